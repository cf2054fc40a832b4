// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/source/release"
	"github.com/kairos-build/kairos-build/framework/strict/nearest"
)

// neighbours is how many versions are named on each side of one that is unknown.
const neighbours = 2

// noChannel is the error about a channel that does not exist.
func noChannel(d release.Distribution, name string, all channels) error {
	about := rebuild(d, name+".0", 0)
	if about != (release.Version{}) {
		return unknown(fmt.Sprintf("%s has no channel %s: the nearest are %s", d, name, all.list(all.near(about))))
	}
	names := slices.Sorted(maps.Keys(all))
	text := fmt.Sprintf("%s has no channel %q", d, name)
	if mean := nearest.DidYouMean(name, names); mean != "" {
		text += "; " + mean
	}
	return unknown(text + " (there are: " + strings.Join(names, ", ") + ")")
}

// noVersion is the error about a release that does not exist.
func (f *Finder) noVersion(ctx context.Context, arch string, v release.Version) error {
	text := fmt.Sprintf("there is no %s", f)
	all, err := f.channels(ctx)
	if err != nil {
		return unknown(text + ", and its channels cannot be read: " + err.Error())
	}
	if last, err := f.rebuilds(ctx, arch, v.Kubernetes()); err == nil && last != nil {
		return unknown(fmt.Sprintf("%s: the newest with Kubernetes %s is %s", text, v.Kubernetes(), last.version))
	}
	return unknown(text + ": the nearest are " + all.list(all.near(v)))
}

// near are the names of the minors' channels whose releases are next to v, the newest
// first.
func (c channels) near(v release.Version) []string {
	var older, newer []string
	for _, name := range c.minors() {
		if c[name].Compare(v) < 0 {
			older = append(older, name)
		} else {
			newer = append(newer, name)
		}
	}
	newer = newer[:min(neighbours, len(newer))]
	names := append(older[max(0, len(older)-neighbours):], newer...)
	slices.Reverse(names)
	return names
}

// minors are the names of the channels of minors, the oldest first.
func (c channels) minors() []string {
	var names []string
	for name, v := range c {
		if name == v.Channel() {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int { return c[a].Compare(c[b]) })
	return names
}

func (c channels) list(names []string) string {
	var parts []string
	for _, name := range names {
		parts = append(parts, fmt.Sprintf("%s (%s)", name, c[name]))
	}
	return strings.Join(parts, ", ")
}

// unknown is an error of the kind ErrUnknown with its own text.
type unknown string

func (u unknown) Error() string { return string(u) }
func (u unknown) Unwrap() error { return ErrUnknown }
