// SPDX-License-Identifier: Apache-2.0

package source

import (
	"cmp"
	"log/slog"
	"runtime"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// DefaultAuth is the file with credentials that is read, if it exists, when
// Options.Auth is empty.
const DefaultAuth = "/etc/kairos/registry/config.json"

// Options say which image to open, and how to talk to a registry.
type Options struct {
	Arch string // GOARCH of the image; default that of this program
	// Auth is a file with credentials in the form of docker's config.json.
	// Default DefaultAuth; missing credentials are looked for in $DOCKER_CONFIG and
	// ~/.docker.
	Auth string
	// CAFile has certificates (PEM) that are trusted besides the system's.
	CAFile string
	// Mirrors are asked, in this order, before the registry whose host is the
	// key: "https://mirror.example.org/prefix", or plain "host:port" for https.
	// An answer of a mirror counts as the registry's answer.
	Mirrors map[string][]string
	// StallTimeout ends a connection from which no byte came. Default 30 s.
	StallTimeout time.Duration
	// Retries is how often a request is sent again after a failure that may
	// pass. A blob that went on counts anew. Default 5, negative for none.
	Retries int
	// Backoff is the pause before the first retry; it doubles up to 16 s.
	// Default 500 ms.
	Backoff time.Duration
	Log     *slog.Logger // gets a line for each retry; default none
}

func (o Options) withDefaults() Options {
	o.Arch = cmp.Or(o.Arch, runtime.GOARCH)
	o.StallTimeout = cmp.Or(o.StallTimeout, 30*time.Second)
	o.Retries = max(0, cmp.Or(o.Retries, 5))
	o.Backoff = cmp.Or(o.Backoff, 500*time.Millisecond)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

func (o Options) platform() v1.Platform { return v1.Platform{OS: "linux", Architecture: o.Arch} }

func (o Options) patience() patience { return patience{o.Retries, o.Backoff, o.Log} }
