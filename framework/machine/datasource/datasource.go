// SPDX-License-Identifier: Apache-2.0

// Package datasource finds the data that a cloud, hypervisor or operator provides
// for a node: user data (a cloud-config or a script), a host name, SSH keys and a
// network configuration. They come from a CD-ROM or disk, the firmware, a metadata
// service or a URL. The package stores correct data below /oem and writes a record;
// it applies nothing.
//
// A local source is read before the cloud-config; a remote source is asked over
// the network. DMI and the kernel command line decide which sources exist on a
// machine, so that no service is asked in vain.
package datasource

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/framework/config/userdata"
	"github.com/kairos-build/kairos-build/framework/strict/nearest"
)

// MaxSize is the largest user data, in bytes, packed or unpacked.
const MaxSize = userdata.MaxSize

// ErrNone is the error of a source that this machine does not have.
var ErrNone = errors.New("no such datasource here")

// Data is the data of a source. Any field may be empty.
type Data struct {
	Source     string // its name, such as nocloud
	Place      string // a device, a file or a URL without secrets
	InstanceID string
	Hostname   string
	Keys       []string // SSH public keys, one line each
	UserData   []byte   // unchanged
	// Encoded: UserData may be base64, as some services deliver it.
	Encoded       bool
	NetworkConfig []byte // cloud-init network-config, version 1 or 2
	// Notes are sentences about data that is present and not used.
	Notes []string
}

// A Source is one datasource.
type Source interface {
	// Name is its name in records, commands and configs.
	Name() string
	// Local tells whether it works before there is a network.
	Local() bool
	// Here tells whether the facts show that the machine has the source. It is
	// true for a local source that can only be found by a search.
	Here(f Facts) bool
	// Fetch gets the data. The error is ErrNone if the source does not exist.
	Fetch(ctx context.Context, m *Access) (*Data, error)
}

// Access is how sources reach the machine and the network.
type Access struct {
	// FS is the root directory: sources read sys, proc and run below it.
	FS fs.FS
	// Open opens a block device for reading, by a name such as /dev/sr0.
	Open func(device string) (*os.File, error)
	// Client asks services; nil: a client with a timeout of five seconds that
	// uses no proxy.
	Client *http.Client
	// Patience is how long a service that does not answer is retried; 0: two
	// minutes.
	Patience time.Duration
	// Pause is the time before the second attempt; 0: one second. It doubles
	// before each further attempt, up to 16 seconds.
	Pause time.Duration
	// LoadModule loads a kernel module; nil: none is loaded.
	LoadModule func(ctx context.Context, name string) error
	Log        *slog.Logger

	base map[string]string // address by source, see SetBase
}

// All lists every source in the order in which they are asked: local sources
// first.
func All() []Source {
	return []Source{
		noCloud{}, configDrive{}, firmware{}, ovf{}, seed{},
		seedURL{}, ec2{}, gce{}, azure{}, openStack{}, digitalOcean{}, hetzner{}, vultr{}, packet{}, metaldata{},
	}
}

// aliases maps names in Kairos and cloud-init to our sources.
var aliases = map[string][]string{
	"cdrom": {"nocloud"}, "cidata": {"nocloud"}, "aws": {"ec2"}, "gcp": {"gce"}, "configdrive": {"config-drive"},
	"equinix": {"packet"}, "azure": {"ovf", "azure"}, "qemu": {"firmware"},
}

// later lists the providers of Kairos that are not implemented yet.
var later = []string{"vmware", "maas", "scaleway"}

// Named returns the sources of a name; an alias may have several.
func Named(name string) ([]Source, error) {
	if slices.Contains(later, name) {
		return nil, fmt.Errorf("the datasource %q is known and not implemented yet in this version", name)
	}
	names := aliases[name]
	if names == nil {
		names = []string{name}
	}
	var out []Source
	for _, s := range All() {
		if slices.Contains(names, s.Name()) {
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		return nil, unknown(name)
	}
	return out, nil
}

func unknown(name string) error {
	if near := nearest.Word(name, Names()); near != "" {
		return fmt.Errorf("there is no datasource %q; did you mean %q?", name, near)
	}
	return fmt.Errorf("there is no datasource %q; they are %s", name, strings.Join(Names(), ", "))
}

// Names lists all known names and aliases, including the unimplemented ones.
func Names() []string {
	out := slices.Clone(later)
	for _, s := range All() {
		out = append(out, s.Name())
	}
	for alias := range aliases {
		out = append(out, alias)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Fetch asks sources in order and returns the first answer, with the errors of the
// sources before it: after a failure, the next source is asked. Without an answer
// it returns these errors, or ErrNone.
func (m *Access) Fetch(ctx context.Context, sources []Source) (*Data, error) {
	var errs []error
	for _, s := range sources {
		data, err := s.Fetch(ctx, m)
		if err == nil {
			data.Source = s.Name()
			return data, errors.Join(errs...)
		}
		if !errors.Is(err, ErrNone) {
			errs = append(errs, fmt.Errorf("datasource %s: %w", s.Name(), err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	if len(errs) == 0 {
		return nil, ErrNone
	}
	return nil, errors.Join(errs...)
}

func (m *Access) log() *slog.Logger {
	if m.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return m.Log
}

// text returns a file below FS without surrounding blanks and NULs; empty if it
// cannot be read.
func (m *Access) text(name string) string { return text(m.FS, name) }

func text(fsys fs.FS, name string) string {
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		return ""
	}
	return strings.Trim(strings.TrimSpace(string(data)), "\x00")
}

// lines returns the lines that are neither blank nor comments.
func lines(s string) []string {
	var out []string
	for line := range strings.Lines(s) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			out = append(out, line)
		}
	}
	return out
}
