// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"time"

	"github.com/moby/buildkit/client"
)

const (
	defaultCacheLimit = 10 << 30
	// volatileLimit bounds what is cheap to get again (copies of local folders,
	// package caches) once it has not been used for volatileAge.
	volatileLimit = 512 << 20
	volatileAge   = 48 * time.Hour
)

// cacheLimit is the limit in bytes for a disk of diskSize bytes.
func cacheLimit(option, diskSize int64) int64 {
	if option > 0 {
		return option
	}
	if fifth := diskSize / 5; fifth > 0 && fifth < defaultCacheLimit {
		return fifth
	}
	return defaultCacheLimit
}

// gcPolicy keeps the cache under limit. BuildKit's default policy also keeps a fifth
// of the disk free, and so deletes everything on a full disk; this policy does not.
func gcPolicy(limit int64) []client.PruneInfo {
	return []client.PruneInfo{
		{
			Filter:       []string{"type==source.local", "type==exec.cachemount", "type==source.git.checkout"},
			KeepDuration: volatileAge,
			MaxUsedSpace: min(volatileLimit, limit),
		},
		{MaxUsedSpace: limit},
		{MaxUsedSpace: limit, All: true},
	}
}
