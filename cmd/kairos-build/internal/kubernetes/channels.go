// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/kairos-build/kairos-build/framework/fetch"
	"github.com/kairos-build/kairos-build/framework/source/release"
)

// Channels are the releases that channels stand for, by the channels' names: stable,
// latest, v1.34.
type channels map[string]release.Version

// Files about channels.
const (
	k3sChannels = "channels"      // JSON of k3s
	k0sVersions = "versions.json" // JSON of k0s: all releases with documentation
)

// channels reads the channels of the distribution.
func (f *Finder) channels(ctx context.Context) (channels, error) {
	all, err := f.readChannels(ctx)
	if errors.Is(err, errMissing) {
		err = fmt.Errorf("%w: %s, or name a release, such as %s", err, f.client.advice, rebuild(f.Distribution, "v1.34.1", 1))
	}
	return all, err
}

func (f *Finder) readChannels(ctx context.Context) (channels, error) {
	if f.Distribution == release.K3s {
		address := f.from.channels + "/" + k3sChannels
		data, err := f.client.read(ctx, address)
		if err != nil {
			return nil, fmt.Errorf("reading the channels of k3s: %w", err)
		}
		return parseK3sChannels(fetch.Shown(address), data)
	}
	return f.k0sChannels(ctx)
}

// parseK3sChannels reads {"data": [{"name": "stable", "latest": "v1.34.1+k3s1"}, …]}.
func parseK3sChannels(name string, data []byte) (channels, error) {
	var document struct {
		Data []struct{ Name, Latest string } `json:"data"`
	}
	if err := json.Unmarshal(data, &document); err != nil {
		return nil, fmt.Errorf("%s: it is not the list of channels: %w", name, err)
	}
	all := channels{}
	for _, c := range document.Data {
		if v, err := release.Parse(c.Latest); err == nil && v.Distribution() == release.K3s { // old channels are empty
			all[c.Name] = v
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: it lists no channel", name)
	}
	return all, nil
}

// k0sChannels makes channels from the files stable.txt and latest.txt and from the
// list of releases. A mirror needs one of them.
func (f *Finder) k0sChannels(ctx context.Context) (channels, error) {
	all := channels{}
	for _, name := range []string{"stable", "latest"} {
		v, err := f.k0sFile(ctx, name+".txt")
		if errors.Is(err, errMissing) {
			continue
		} else if err != nil {
			return nil, err
		}
		all[name] = v
		all.offer(v)
	}
	address := f.from.channels + "/" + k0sVersions
	data, err := f.client.read(ctx, address)
	if err == nil {
		err = all.addK0sVersions(fetch.Shown(address), data)
	}
	if err != nil && (!errors.Is(err, errMissing) || len(all) == 0) {
		return nil, fmt.Errorf("reading the channels of k0s: %w", err)
	}
	return all, nil
}

// k0sFile reads a file with one line, a version.
func (f *Finder) k0sFile(ctx context.Context, name string) (release.Version, error) {
	address := f.from.channels + "/" + name
	data, err := f.client.read(ctx, address)
	if err != nil {
		return release.Version{}, err
	}
	v, err := release.Parse(strings.TrimSpace(string(data)))
	if err != nil {
		return v, fmt.Errorf("%s: %w: %s", fetch.Shown(address), err, f.client.advice)
	}
	return v, nil
}

// addK0sVersions reads [{"version": "v1.34.1+k0s.0", …}, …]. Other entries, such as
// "head", are no releases.
func (c channels) addK0sVersions(name string, data []byte) error {
	var document []struct{ Version string }
	if err := json.Unmarshal(data, &document); err != nil {
		return fmt.Errorf("%s: it is not the list of releases: %w", name, err)
	}
	for _, entry := range document {
		if v, err := release.Parse(entry.Version); err == nil && v.Distribution() == release.K0s {
			c.offer(v)
		}
	}
	return nil
}

// offer makes v its minor's channel if it is newer than the one that is there.
func (c channels) offer(v release.Version) {
	if !v.Prerelease() && v.Compare(c[v.Channel()]) > 0 {
		c[v.Channel()] = v
	}
}
