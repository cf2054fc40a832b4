// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// Options say which engine to use and how.
type Options struct {
	// Builder is the URL of a BuildKit that already runs: unix://, tcp://,
	// docker-container://, podman-container:// or kube-pod://. Empty: embedded.
	Builder string
	// TLS is for a tcp:// builder. Zero: plain text.
	TLS TLS
	// Timeout is how long Builder may take to answer for the first time.
	// Zero: 8 seconds.
	Timeout time.Duration
	// StateDir holds the embedded engine's cache. Empty: /var/lib/kairos-build
	// for root, else $XDG_STATE_HOME/kairos-build or ~/.local/state/kairos-build.
	StateDir string
	// CacheLimit is the size in bytes that the cache may keep when a build
	// ends. Zero: 10 GiB, or a fifth of the disk if that is less.
	CacheLimit int64
	// CacheFrom and CacheTo are caches outside the engine that builds read and write, in
	// the syntax of buildctl: type=registry,ref=registry.example.org/cache:debian-13.
	CacheFrom, CacheTo []string
	// RunC is the path of the runc to use. Empty: the one in PATH.
	RunC string
	// Log receives the engine's log. Nil: nothing is logged.
	Log *slog.Logger
}

// TLS names the PEM files of a mutually authenticated tcp:// connection.
type TLS struct {
	ServerName string // name to verify in the server's certificate; empty: the URL's host
	CACert     string // authority that signed the server's certificate
	Cert, Key  string // the client's own
	Dir        string // folder with ca.pem, cert.pem and key.pem, for what is empty above
}

// FromEnv fills what o leaves empty from the environment: BUILDKIT_HOST,
// KAIROS_BUILD_STATE and KAIROS_BUILD_RUNC.
func FromEnv(o Options, getenv func(string) string) Options {
	fill(&o.Builder, getenv("BUILDKIT_HOST"))
	fill(&o.StateDir, getenv("KAIROS_BUILD_STATE"))
	fill(&o.RunC, getenv("KAIROS_BUILD_RUNC"))
	return o
}

func fill(field *string, value string) {
	if *field == "" {
		*field = value
	}
}

func (o Options) withDefaults() (Options, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Timeout == 0 {
		o.Timeout = remoteTimeout
	}
	if o.StateDir == "" {
		dir, err := defaultStateDir(os.Geteuid(), os.Getenv)
		if err != nil {
			return o, err
		}
		o.StateDir = dir
	}
	dir, err := filepath.Abs(o.StateDir)
	if err != nil {
		return o, fmt.Errorf("state folder %q: %w", o.StateDir, err)
	}
	o.StateDir = dir
	if _, _, err := o.cacheEntries(); err != nil {
		return o, err
	}
	o.TLS = o.TLS.withDir()
	return o, nil
}

// defaultStateDir follows the XDG base directory specification for everyone
// but root.
func defaultStateDir(euid int, getenv func(string) string) (string, error) {
	if euid == 0 {
		return "/var/lib/kairos-build", nil
	}
	if dir := getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "kairos-build"), nil
	}
	if home := getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local/state/kairos-build"), nil
	}
	return "", ErrNoStateDir
}

func (t TLS) withDir() TLS {
	if t.Dir == "" {
		return t
	}
	fill(&t.CACert, filepath.Join(t.Dir, "ca.pem"))
	fill(&t.Cert, filepath.Join(t.Dir, "cert.pem"))
	fill(&t.Key, filepath.Join(t.Dir, "key.pem"))
	return t
}
