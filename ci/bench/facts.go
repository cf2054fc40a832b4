// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/framework/ondisk/osrelease"
)

// Facts describe the machine and the programs of a run.
type Facts struct {
	CPU       string
	Cores     int
	MemoryGiB float64
	Kernel    string
	System    string
	Load      string // the three load averages
	Program   string // output of kairos-build version
	Go        string
	Rivals    []Version
}

// A Version is a rival program, or one used to measure, with its version.
type Version struct{ Name, Version string }

func readFacts(ctx context.Context, program string) (Facts, error) {
	f := Facts{Cores: runtime.NumCPU(), Go: runtime.Version()}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return f, err
	}
	f.Kernel = unix.ByteSliceToString(name.Release[:])
	out, err := exec.CommandContext(ctx, program, "version").Output()
	if err != nil {
		return f, fmt.Errorf("asking %s for its version: %w", program, err)
	}
	f.Program = strings.TrimSpace(string(out))
	read := func(path string) string {
		data, _ := os.ReadFile(path) // valueOf returns "unknown" for a missing fact
		return string(data)
	}
	f.CPU = valueOf(read("/proc/cpuinfo"), "model name")
	f.System = cmp.Or(osrelease.Of(func(name string) ([]byte, error) { return os.ReadFile("/" + name) })["PRETTY_NAME"], "unknown")
	kib, _ := strconv.ParseFloat(strings.TrimSuffix(valueOf(read("/proc/meminfo"), "MemTotal"), " kB"), 64)
	f.MemoryGiB = kib / (1 << 20)
	f.Load = strings.Join(strings.Fields(read("/proc/loadavg"))[:3], " ")
	return f, nil
}

// valueOf returns the value of the first line "key: value" of text, or "unknown".
func valueOf(text, key string) string {
	for line := range strings.Lines(text) {
		k, v, ok := strings.Cut(line, ":")
		if ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return "unknown"
}

// rival records the version of a program, once.
func (b *bench) rival(name, version string) {
	for _, v := range b.facts.Rivals {
		if v.Name == name {
			return
		}
	}
	b.facts.Rivals = append(b.facts.Rivals, Version{name, version})
}
