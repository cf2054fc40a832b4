// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"
)

// Times between two samples of the processes. A look at all of /proc takes 1 to 3 ms, in which
// the processes cannot map memory: of a build, which takes half a minute, fewer samples do.
const (
	oftenEnough = 250 * time.Millisecond // for a build
	sampleEvery = 50 * time.Millisecond
)

// A Peak is the most memory that a tree of processes had at one time, in bytes.
type Peak struct {
	// RSS is the sum of resident pages. A page that n processes share counts n
	// times, so RSS is an upper bound.
	RSS int64
	// PSS is the sum of proportional set sizes: a page that n processes share counts as
	// one n-th for each. It is the memory that the tree really takes.
	PSS int64
}

// A procFS is /proc, or a test's replacement.
type procFS struct {
	fs       fs.FS
	pageSize int64
}

func systemProc() procFS { return procFS{os.DirFS("/proc"), int64(os.Getpagesize())} }

// A process holds fields of /proc/PID/stat (proc_pid_stat(5)).
type process struct {
	pid, parent int
	rss         int64 // bytes
}

// descendants returns the processes below root, without root itself. It leaves out a
// process that ends meanwhile.
func (p procFS) descendants(root int) ([]process, error) {
	entries, err := fs.ReadDir(p.fs, ".")
	if err != nil {
		return nil, fmt.Errorf("listing the processes: %w", err)
	}
	children := map[int][]process{}
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		data, err := fs.ReadFile(p.fs, e.Name()+"/stat")
		if err != nil {
			continue
		}
		if x, ok := p.parseStat(data); ok {
			children[x.parent] = append(children[x.parent], x)
		}
	}
	var found []process
	for next := children[root]; len(next) > 0; {
		x := next[0]
		found = append(found, x)
		next = append(next[1:len(next):len(next)], children[x.pid]...)
	}
	return found, nil
}

// parseStat reads "PID (NAME) STATE PPID …". The name may contain any character, so the
// last parenthesis ends it. Field 24 is the number of resident pages.
func (p procFS) parseStat(data []byte) (process, bool) {
	pid, _, ok := bytes.Cut(data, []byte(" ("))
	end := bytes.LastIndexByte(data, ')')
	if !ok || end < 0 {
		return process{}, false
	}
	fields := strings.Fields(string(data[end+1:])) // field 3 is the first
	if len(fields) < 22 {
		return process{}, false
	}
	id, err1 := strconv.Atoi(string(pid))
	parent, err2 := strconv.Atoi(fields[4-3])
	pages, err3 := strconv.ParseInt(fields[24-3], 10, 64)
	return process{id, parent, pages * p.pageSize}, err1 == nil && err2 == nil && err3 == nil
}

// pss reads the proportional set size of a process, in bytes; 0 if the process is gone.
func (p procFS) pss(pid int) int64 {
	data, err := fs.ReadFile(p.fs, strconv.Itoa(pid)+"/smaps_rollup")
	if err != nil {
		return 0
	}
	kib, _, _ := strings.Cut(valueOf(string(data), "Pss"), " ")
	n, err := strconv.ParseInt(kib, 10, 64)
	if err != nil {
		return 0
	}
	return n << 10
}

// look raises the peak to the memory that the processes below root have now. The PSS is
// slow to read, so look reads it only if it can be a new peak: it is never more than the
// RSS.
func (k *Peak) look(p procFS, root int) error {
	processes, err := p.descendants(root)
	if err != nil {
		return err
	}
	var rss, pss int64
	for _, x := range processes {
		rss += x.rss
	}
	k.RSS = max(k.RSS, rss)
	if rss <= k.PSS {
		return nil
	}
	for _, x := range processes {
		pss += p.pss(x.pid)
	}
	k.PSS = max(k.PSS, pss)
	return nil
}

// watch calls look at an interval until ctx ends.
func (k *Peak) watch(ctx context.Context, p procFS, root int, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := k.look(p, root); err != nil {
				return err
			}
		}
	}
}
