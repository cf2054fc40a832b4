// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	controlapi "github.com/moby/buildkit/api/services/control"
	"golang.org/x/mod/semver"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// minVersion is the first BuildKit that can set the times of a layer's files to one moment
// (rewrite-timestamp), without which no image has the same bytes twice.
const minVersion = "v0.13.0"

// A Description says what a builder can do.
type Description struct {
	Builder     string   `json:"builder,omitempty"`  // its URL; empty: embedded
	Version     string   `json:"version,omitempty"`  // of BuildKit; empty if it does not tell
	Platforms   []string `json:"platforms"`          // whose programs it runs, such as linux/amd64
	Snapshotter string   `json:"snapshotter"`        // how it keeps the states of a root, such as overlayfs
	CacheLimit  int64    `json:"cacheLimit"`         // bytes that it keeps when it collects garbage; 0: not known
	Rootless    bool     `json:"rootless,omitempty"` // the embedded one of an ordinary user
}

// Describe asks a builder what it can do, and refuses one that is too old with a
// *BuilderError.
func Describe(ctx context.Context, o Options) (d Description, err error) {
	e, err := Open(ctx, o)
	if err != nil {
		return d, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	return e.describe(ctx)
}

func (e *Engine) describe(ctx context.Context) (Description, error) {
	d := Description{Builder: e.builder, Rootless: e.rootless}
	if e.Embedded() {
		d.Version = builtIn()
	} else {
		// One that does not know the question is older than v0.11.
		info, err := e.client.ControlClient().Info(ctx, &controlapi.InfoRequest{})
		switch {
		case err != nil && status.Code(err) != codes.Unimplemented:
			return d, &BuilderError{URL: e.builder, Err: plainReason(ctx, err)}
		case err == nil:
			d.Version = info.GetBuildkitVersion().GetVersion()
		}
		if strings.HasPrefix(d.Version, "v0.0.0") || strings.HasPrefix(d.Version, "0.0.0") { // compiled without a version
			d.Version = ""
		}
		if old := semver.IsValid(d.Version) && semver.Compare(d.Version, minVersion) < 0; err != nil || old {
			return d, &BuilderError{URL: e.builder, What: "is too old: it has BuildKit " + orOlder(d.Version), Do: "update it to " + minVersion + " or newer"}
		}
	}
	workers, err := e.client.ListWorkers(ctx)
	if err != nil {
		return d, fmt.Errorf("asking the builder what it can do: %w", rootCause(err))
	}
	for _, w := range workers {
		for _, p := range w.Platforms {
			if name := platforms.Format(platforms.Normalize(p)); !slices.Contains(d.Platforms, name) {
				d.Platforms = append(d.Platforms, name)
			}
		}
		d.Snapshotter = w.Labels["org.mobyproject.buildkit.worker.snapshotter"]
		for _, rule := range w.GCPolicy {
			d.CacheLimit = max(d.CacheLimit, rule.MaxUsedSpace, rule.ReservedSpace)
		}
	}
	return d, nil
}

func orOlder(version string) string {
	if version == "" {
		return "from before v0.11"
	}
	return version
}

// Runs returns a *PlatformError if the builder cannot run the programs of a platform.
func (d Description) Runs(platform string) error {
	if platform == "" || slices.Contains(d.Platforms, platform) {
		return nil
	}
	return &PlatformError{Builder: d.Builder, Platform: platform, Has: d.Platforms}
}

// A PlatformError is a builder that cannot run the programs of a platform.
type PlatformError struct {
	Builder  string // its URL; empty: this machine
	Platform string
	Has      []string
}

func (e *PlatformError) Error() string {
	who := "this machine"
	if e.Builder != "" {
		who = "builder " + e.Builder
	}
	return fmt.Sprintf("%s runs programs of %s, and none of %s: install the emulation of other processors there "+
		"(apt-get install qemu-user-static binfmt-support), or name a builder that has it with --builder URL", who, strings.Join(e.Has, ", "), e.Platform)
}

// builtIn is the version of the BuildKit in this program; empty in a test's program.
func builtIn() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range info.Deps {
		if m.Path == "github.com/moby/buildkit" {
			return m.Version
		}
	}
	return ""
}
