// SPDX-License-Identifier: Apache-2.0

package fat32

import (
	"fmt"
	"math"
)

// grow writes a file, and the directories around it, to free clusters, and returns
// the entry of the outermost. above is the cluster of the directory that will hold
// that entry, in the form of "..".
func (e *editor) grow(above uint32, names []shortName, data []byte) ([]byte, error) {
	if len(names) == 1 {
		return e.file(names[0], data)
	}
	own, err := e.allocate(1)
	if err != nil {
		return nil, err
	}
	child, err := e.grow(own[0], names[1:], data)
	if err != nil {
		return nil, err
	}
	content := e.stamp.entry(dots("."), attrDirectory, own[0], 0)
	content = append(content, e.stamp.entry(dots(".."), attrDirectory, above, 0)...)
	content = append(content, child...)
	return e.stamp.entry(names[0], attrDirectory, own[0], 0), e.fill(own, content)
}

func (e *editor) file(name shortName, data []byte) ([]byte, error) {
	if int64(len(data)) > math.MaxUint32 {
		return nil, fmt.Errorf("%d bytes: a file on FAT is at most 4 GiB", len(data))
	}
	clusters, err := e.allocate(e.clustersFor(int64(len(data))))
	if err != nil || len(clusters) == 0 {
		return e.stamp.entry(name, attrArchive, 0, 0), err
	}
	return e.stamp.entry(name, attrArchive, clusters[0], len(data)), e.fill(clusters, data)
}

// fill writes data, with zeros up to the end of the last cluster.
func (e *editor) fill(clusters []uint32, data []byte) error {
	for len(clusters) > 0 {
		n := 1
		for n < len(clusters) && clusters[n] == clusters[n-1]+1 {
			n++
		}
		run := make([]byte, int64(n)*e.clusterSize())
		data = data[copy(run, data):]
		if err := writeAt(e.d, run, e.clusterOffset(clusters[0])); err != nil {
			return err
		}
		clusters = clusters[n:]
	}
	return nil
}

// allocate takes n clusters that nothing refers to, in one run if there is one,
// and chains them.
func (e *editor) allocate(n uint32) ([]uint32, error) {
	list := e.run(n)
	if list == nil {
		list = e.scattered(n)
	}
	if uint32(len(list)) < n {
		return nil, fmt.Errorf("%d clusters of %d bytes: %w", n, e.clusterSize(), ErrNoSpace)
	}
	for i, c := range list {
		e.used[c] = true
		if e.set(c, endOfChain); i > 0 {
			e.set(list[i-1], c)
		}
	}
	return list, nil
}

func (e *editor) free(c uint32) bool { return !e.used[c] && e.next(c) != badCluster }

func (e *editor) run(n uint32) []uint32 {
	var list []uint32
	for c := uint32(rootCluster); c < rootCluster+e.clusters && uint32(len(list)) < n; c++ {
		if !e.free(c) {
			list = list[:0]
			continue
		}
		list = append(list, c)
	}
	if uint32(len(list)) < n {
		return nil
	}
	return list
}

func (e *editor) scattered(n uint32) []uint32 {
	var list []uint32
	for c := uint32(rootCluster); c < rootCluster+e.clusters && uint32(len(list)) < n; c++ {
		if e.free(c) {
			list = append(list, c)
		}
	}
	return list
}

// slot finds room for an entry in a directory, and makes room if there is none. It
// changes no file.
func (e *editor) slot(d directory) (int64, error) {
	for at := 0; at < len(d.raw); at += entrySize {
		switch d.raw[at] {
		case entryFree:
			return e.offsetIn(d, at), nil
		case 0:
			return e.offsetIn(d, at), e.clearBehind(d, at+entrySize)
		}
	}
	return e.extend(d)
}

// clearBehind makes the entry at that byte, after the entry that ends the directory,
// an end too: some systems leave old data there.
func (e *editor) clearBehind(d directory, at int) error {
	if at == len(d.raw) || d.raw[at] == 0 {
		return nil
	}
	if err := e.patch(e.offsetIn(d, at), make([]byte, entrySize)); err != nil {
		return err
	}
	return e.d.Sync()
}

// extend adds a cluster to a directory: first it writes the cluster, then it links
// it.
func (e *editor) extend(d directory) (int64, error) {
	if len(d.raw) >= maxDirSize {
		return 0, fmt.Errorf("%w: the directory has the largest size", ErrNoSpace)
	}
	fresh, err := e.allocate(1)
	if err != nil {
		return 0, err
	}
	if err := e.fill(fresh, nil); err != nil {
		return 0, err
	}
	for _, link := range []bool{false, true} {
		if link {
			e.set(d.clusters[len(d.clusters)-1], fresh[0])
		}
		if err := e.writeFATs(); err != nil {
			return 0, err
		}
		if err := e.d.Sync(); err != nil {
			return 0, err
		}
	}
	return e.clusterOffset(fresh[0]), nil
}
