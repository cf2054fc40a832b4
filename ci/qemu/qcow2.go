// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"bytes"
	"encoding/binary"
	"io"
	"slices"
)

// The layout of the file (QEMU's docs/interop/qcow2.txt, version 3): header with the
// backing file's name and refcount table, one cluster each; then refcount blocks, L1
// table, L2 tables and data. Numbers are big endian.
const (
	clusterBits = 16
	clusterSize = 1 << clusterBits
	l2Entries   = clusterSize / 8
	refEntries  = clusterSize / 2 // 16-bit reference counts
	headerSize  = 104
	copied      = 1 << 63 // the cluster has exactly one reference
	zeroCluster = 1
)

// qcow2 holds the place of each part of an overlay in its file, in clusters.
type qcow2 struct {
	Overlay
	data       map[int64][]byte
	numbers    []int64         // keys of data, sorted
	l1         map[int64]int64 // L1 index to cluster of the L2 table
	l1Size     int64           // entries
	l1At       int64
	refBlocks  int64
	firstData  int64
	totalCount int64 // clusters in the file
}

// place decides the place of each part. The number of refcount blocks depends on the
// number of clusters, which includes the blocks, hence the loop.
func (o Overlay) place(data map[int64][]byte) *qcow2 {
	q := &qcow2{Overlay: o, data: data, l1: map[int64]int64{}}
	for n := range data {
		q.numbers = append(q.numbers, n)
	}
	slices.Sort(q.numbers)
	q.l1Size = divideUp(o.Size, clusterSize*l2Entries)
	l1Clusters := divideUp(q.l1Size*8, clusterSize)
	for need := int64(1); q.refBlocks != need; need = divideUp(q.totalCount, refEntries) {
		q.refBlocks = need
		q.l1At = 2 + q.refBlocks
		next := q.l1At + l1Clusters
		for _, n := range q.numbers {
			q.l1[n/l2Entries] = 0
		}
		for _, i := range sortedKeys(q.l1) {
			q.l1[i] = next
			next++
		}
		q.firstData = next
		q.totalCount = next + q.stored()
	}
	return q
}

// stored counts the clusters that are not all zeros.
func (q *qcow2) stored() int64 {
	var n int64
	for _, c := range q.data {
		if !isZero(c) {
			n++
		}
	}
	return n
}

func (q *qcow2) write(w io.WriterAt) error {
	for _, step := range []func(io.WriterAt) error{q.writeHeader, q.writeRefcounts, q.writeMapping} {
		if err := step(w); err != nil {
			return err
		}
	}
	return nil
}

func (q *qcow2) writeHeader(w io.WriterAt) error {
	h := struct {
		Magic, Version                                   uint32
		BackingOffset                                    uint64
		BackingSize, ClusterBits                         uint32
		Size                                             uint64
		Crypt, L1Size                                    uint32
		L1Offset, RefTableOffset                         uint64
		RefTableClusters, Snapshots                      uint32
		SnapshotsOffset, Incompatible, Compat, Autoclear uint64
		RefcountOrder, HeaderLength                      uint32
	}{
		Magic: 0x514649fb, Version: 3, ClusterBits: clusterBits, Size: uint64(q.Size),
		L1Size: uint32(q.l1Size), L1Offset: uint64(q.l1At * clusterSize),
		RefTableOffset: clusterSize, RefTableClusters: 1, RefcountOrder: 4, HeaderLength: headerSize,
	}
	// Header extensions: the backing file's format, then the end marker.
	format := append(be32(0xE2792ACA, 3), "raw\x00\x00\x00\x00\x00"...)
	extensions := append(format, be32(0, 0)...)
	h.BackingOffset = uint64(headerSize + len(extensions))
	h.BackingSize = uint32(len(q.Backing))
	var b bytes.Buffer
	if err := binary.Write(&b, binary.BigEndian, h); err != nil {
		return err
	}
	b.Write(extensions)
	b.WriteString(q.Backing)
	b.Write(make([]byte, clusterSize-b.Len()))
	_, err := w.WriteAt(b.Bytes(), 0)
	return err
}

func (q *qcow2) writeRefcounts(w io.WriterAt) error {
	table := make([]byte, clusterSize)
	for i := range q.refBlocks {
		binary.BigEndian.PutUint64(table[i*8:], uint64((2+i)*clusterSize))
	}
	counts := make([]byte, q.refBlocks*clusterSize)
	for i := range q.totalCount {
		binary.BigEndian.PutUint16(counts[i*2:], 1)
	}
	_, err := w.WriteAt(append(table, counts...), clusterSize)
	return err
}

// writeMapping writes the L1 table, the L2 tables and the data.
func (q *qcow2) writeMapping(w io.WriterAt) error {
	l1 := make([]byte, divideUp(q.l1Size*8, clusterSize)*clusterSize)
	l2 := map[int64][]byte{}
	for i, cluster := range q.l1 {
		binary.BigEndian.PutUint64(l1[i*8:], copied|uint64(cluster*clusterSize))
		l2[i] = make([]byte, clusterSize)
	}
	next := q.firstData
	for _, n := range q.numbers {
		entry := uint64(zeroCluster)
		if !isZero(q.data[n]) {
			entry = copied | uint64(next*clusterSize)
			if _, err := w.WriteAt(q.data[n], next*clusterSize); err != nil {
				return err
			}
			next++
		}
		binary.BigEndian.PutUint64(l2[n/l2Entries][n%l2Entries*8:], entry)
	}
	for i, cluster := range q.l1 {
		if _, err := w.WriteAt(l2[i], cluster*clusterSize); err != nil {
			return err
		}
	}
	_, err := w.WriteAt(l1, q.l1At*clusterSize)
	return err
}

func be32(values ...uint32) []byte {
	var b []byte
	for _, v := range values {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

func sortedKeys(m map[int64]int64) []int64 {
	keys := make([]int64, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func divideUp(a, b int64) int64 { return (a + b - 1) / b }

func isZero(b []byte) bool { return len(bytes.TrimLeft(b, "\x00")) == 0 }
