// SPDX-License-Identifier: Apache-2.0

// Package datasource finds what the place where a node runs wants to tell it:
// user data (a cloud-config or a script), a host name, SSH keys and a network
// configuration, from a CD-ROM or disk, the firmware, a metadata service or a
// URL. It stores what is correct below /oem and leaves a record; it applies
// nothing.
//
// A source is either local, and then read before the cloud-config is, or asked
// over the network. Which ones are there is decided by what the machine says of
// itself (DMI, the kernel command line): no service is asked in vain.
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

// MaxSize is the largest user data, in bytes, also when it is unpacked.
const MaxSize = userdata.MaxSize

// ErrNone says that a source is not there.
var ErrNone = errors.New("no such datasource here")

// Data is what a source says. Everything may be empty.
type Data struct {
	Source     string // its name, such as nocloud
	Place      string // a device, a file or a URL without secrets
	InstanceID string
	Hostname   string
	Keys       []string // of SSH, one line each
	UserData   []byte   // as it came
	// Encoded: UserData may be base64, as some services have it.
	Encoded       bool
	NetworkConfig []byte // of cloud-init, version 1 or 2
	// Notes are sentences about what is there and not used.
	Notes []string
}

// A Source is one place to ask.
type Source interface {
	// Name is its name in records, commands and configs.
	Name() string
	// Local tells whether it works before there is a network.
	Local() bool
	// Here tells whether the machine says that it has the source. A local
	// source that can only be found by looking says yes.
	Here(f Facts) bool
	// Fetch asks it. The error is ErrNone when it is not there.
	Fetch(ctx context.Context, m *Access) (*Data, error)
}

// Access is how sources reach the machine and the network.
type Access struct {
	// FS is the root directory: sources read sys, proc and run below it.
	FS fs.FS
	// Open opens a block device for reading, by a name such as /dev/sr0.
	Open func(device string) (*os.File, error)
	// Client asks services; nil: one that waits five seconds for an answer and
	// goes through no proxy.
	Client *http.Client
	// Patience is how long a service that does not answer is asked again; 0:
	// two minutes.
	Patience time.Duration
	// Pause is before the second attempt, twice that before the next, at most
	// 16 times; 0: a second.
	Pause time.Duration
	// LoadModule loads a kernel module; nil: none is loaded.
	LoadModule func(ctx context.Context, name string) error
	Log        *slog.Logger

	base map[string]string // addresses by source, from the command line
}

// All lists every source in the order in which they are asked: what is close
// comes first.
func All() []Source {
	return []Source{
		noCloud{}, configDrive{}, firmware{}, ovf{}, seed{},
		seedURL{}, ec2{}, gce{}, azure{}, openStack{}, digitalOcean{}, hetzner{}, vultr{}, packet{}, metaldata{},
	}
}

// aliases are the names that Kairos and cloud-init have for our sources.
var aliases = map[string][]string{
	"cdrom": {"nocloud"}, "cidata": {"nocloud"}, "aws": {"ec2"}, "gcp": {"gce"}, "configdrive": {"config-drive"},
	"equinix": {"packet"}, "azure": {"ovf", "azure"}, "qemu": {"firmware"},
}

// later are providers of Kairos that we do not have.
var later = []string{"vmware", "maas", "scaleway"}

// Named returns the sources that a name stands for; an alias may have several.
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

// Names lists what Named takes, the ones that are not implemented too.
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

// Fetch asks sources in their order and returns the first answer. Without one
// the error is ErrNone, or what went wrong. A source that is there and fails
// does not keep the next from being asked.
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

// text is a file below FS without blanks around it; empty when it cannot be
// read.
func (m *Access) text(name string) string { return text(m.FS, name) }

func text(fsys fs.FS, name string) string {
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		return ""
	}
	return strings.Trim(strings.TrimSpace(string(data)), "\x00")
}

// lines are the lines that say something.
func lines(s string) []string {
	var out []string
	for line := range strings.Lines(s) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			out = append(out, line)
		}
	}
	return out
}
