// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	"github.com/kairos-build/kairos-build/framework/ondisk/durable"
)

// bootIDFile has an ID that changes with every start of the computer.
const bootIDFile = "/proc/sys/kernel/random/boot_id"

// A probeCache keeps one answer about KVM. The answer is valid for one start of one
// computer, one QEMU, and one depth of trial.
type probeCache struct {
	path string // empty: no cache
	key  string
}

// probeAnswer is the cache file: JSON.
type probeAnswer struct {
	Key    string `json:"key"`
	Reason string `json:"reason"` // empty if KVM works
}

func (p Prober) cache() probeCache {
	bootID, err := os.ReadFile(bootIDFile)
	if p.CacheDir == "" || err != nil {
		return probeCache{}
	}
	depth := "sector"
	if p.Kernel != "" {
		depth = "linux"
	}
	return probeCache{
		path: filepath.Join(p.CacheDir, "kvm.json"),
		key:  strings.Join([]string{strings.TrimSpace(string(bootID)), p.Host.QEMU, p.Host.Version.String(), depth}, " "),
	}
}

// load returns the cached answer. There is none if the file is missing, damaged or no
// longer valid: then the trial runs again.
func (c probeCache) load() (reason string, ok bool) {
	if c.path == "" {
		return "", false
	}
	data, err := os.ReadFile(c.path)
	if err != nil {
		return "", false
	}
	var a probeAnswer
	if json.Unmarshal(data, &a) != nil || a.Key != c.key {
		return "", false
	}
	return a.Reason, true
}

func (c probeCache) store(reason string) error {
	if c.path == "" {
		return nil
	}
	data, err := json.Marshal(probeAnswer{c.key, reason})
	if err != nil {
		return err
	}
	return durable.WriteCache(c.path, data, 0o644)
}
