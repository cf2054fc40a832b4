// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"maps"
	"time"
)

// maxChannels is how many channels are remembered. Those that were seen longest ago go first.
const maxChannels = 16

// A Seen is the newest pointer of a channel that this node has seen.
type Seen struct {
	Sequence int64     `json:"sequence"`
	Digest   string    `json:"digest"` // of what it named
	Version  string    `json:"version"`
	Time     time.Time `json:"time"` // when the pointer was made, by its signer's clock
}

// See notes a pointer of a channel, REGISTRY/NAME:TAG, unless it is known. It returns whether
// the record changed.
func (r *Record) See(channel string, s Seen) bool {
	if had, ok := r.Channels[channel]; ok && had.Sequence >= s.Sequence {
		return false
	}
	r.Channels = maps.Clone(r.Channels)
	if r.Channels == nil {
		r.Channels = map[string]Seen{}
	}
	r.Channels[channel] = s
	for len(r.Channels) > maxChannels {
		oldest := channel
		for name, seen := range r.Channels {
			if name != channel && (oldest == channel || seen.Sequence < r.Channels[oldest].Sequence) {
				oldest = name
			}
		}
		delete(r.Channels, oldest)
	}
	return true
}
