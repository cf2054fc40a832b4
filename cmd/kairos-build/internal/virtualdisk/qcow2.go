// SPDX-License-Identifier: Apache-2.0

package virtualdisk

import (
	"context"
	"encoding/binary"
)

// qcow2, version 3 (docs/interop/qcow2.rst of QEMU), big-endian. The file is a row of
// clusters of 64 KiB:
//
//	header · refcount table · refcount blocks · L1 table · L2 tables · data
//
// A cluster of the disk without data has no L2 entry. Clusters with equal data share one
// in the file, with a reference count above 1, as after a snapshot: QEMU copies such a
// cluster before it writes to it. The flag "copied" is set where the count is 1.
const (
	cluster       = 64 << 10
	qcowEntry     = 8           // bytes of an entry of the L1, L2 and refcount tables
	perTable      = cluster / 8 // entries in an L2 table or in a cluster of another table
	perRefcounts  = cluster / 2 // counts of 16 bits in a refcount block
	qcowHeader    = 104         // bytes, version 3
	qcowCopied    = uint64(1) << 63
	perL2         = cluster * perTable // bytes of the disk that an L2 table maps
	refcountOrder = 4                  // counts have 1 << 4 bits
)

// A qcow2 is the plan of a file.
type qcow2 struct {
	to   sink
	data spans           // of the disk, in clusters
	same map[int64]int64 // twins

	size                     int64 // of the disk
	tables, blocks, l1, used int64 // clusters of each part; used are those of data
	l2                       []int64
	host                     map[int64]int64 // offsets in the file by those on the disk
	count                    map[int64]int   // references, by offsets in the file
}

func openQcow2(_ context.Context, d Disk, to sink) (writer, error) {
	q := planQcow2(d)
	q.to = to
	for _, part := range [][]byte{q.header(), q.refcountTable(), q.refcounts(), q.l1Table(), q.l2Tables()} {
		if _, err := to.Write(part); err != nil {
			return nil, err
		}
	}
	return q, nil
}

func qcow2Size(d Disk) int64 {
	q := planQcow2(d)
	return (q.first() + q.used) * cluster
}

func planQcow2(d Disk) *qcow2 {
	q := &qcow2{size: d.Size, data: ranges(d.Extents, cluster), same: twins(d.Extents), host: map[int64]int64{}, count: map[int64]int{}}
	q.l1 = blocks(blocks(d.Size, perL2)*qcowEntry, cluster)
	q.l2 = q.mapped()
	q.data.each(cluster, func(at int64) {
		if _, ok := q.twin(at); !ok {
			q.used++
		}
	})
	for q.tables, q.blocks = 1, 1; q.blocks*perRefcounts < q.first()+q.used; {
		q.blocks++
		q.tables = blocks(q.blocks, perTable)
	}
	q.place()
	return q
}

// place gives each cluster of the disk one in the file.
func (q *qcow2) place() {
	next := q.first() * cluster
	q.data.each(cluster, func(at int64) {
		if twin, ok := q.twin(at); ok {
			q.host[at] = q.host[twin]
		} else {
			q.host[at] = next
			next += cluster
		}
		q.count[q.host[at]]++
	})
}

// mapped are the L1 entries that have an L2 table.
func (q *qcow2) mapped() []int64 {
	var all []int64
	q.data.each(cluster, func(at int64) {
		if i := at / perL2; len(all) == 0 || all[len(all)-1] != i {
			all = append(all, i)
		}
	})
	return all
}

// first is the first cluster of data in the file.
func (q *qcow2) first() int64 { return 1 + q.tables + q.blocks + q.l1 + int64(len(q.l2)) }

// twin is the earlier cluster with the same data.
func (q *qcow2) twin(at int64) (int64, bool) {
	whole := at / chunkSize * chunkSize
	twin, ok := q.same[whole]
	return twin + at - whole, ok
}

func (q *qcow2) header() []byte {
	be := binary.BigEndian
	h := make([]byte, cluster)
	copy(h, "QFI\xfb")
	be.PutUint32(h[4:], 3)   // version
	be.PutUint32(h[20:], 16) // bits of a cluster
	be.PutUint64(h[24:], uint64(q.size))
	be.PutUint32(h[36:], uint32(blocks(q.size, perL2))) // entries of the L1 table
	be.PutUint64(h[40:], uint64(1+q.tables+q.blocks)*cluster)
	be.PutUint64(h[48:], cluster) // refcount table
	be.PutUint32(h[56:], uint32(q.tables))
	be.PutUint32(h[96:], refcountOrder)
	be.PutUint32(h[100:], qcowHeader)
	return h
}

func (q *qcow2) refcountTable() []byte {
	table := make([]byte, q.tables*cluster)
	for i := range q.blocks {
		binary.BigEndian.PutUint64(table[i*qcowEntry:], uint64(1+q.tables+i)*cluster)
	}
	return table
}

func (q *qcow2) refcounts() []byte {
	counts := make([]byte, q.blocks*cluster)
	for i := range q.first() {
		binary.BigEndian.PutUint16(counts[2*i:], 1)
	}
	for at, n := range q.count {
		binary.BigEndian.PutUint16(counts[2*(at/cluster):], uint16(n))
	}
	return counts
}

func (q *qcow2) l1Table() []byte {
	table := make([]byte, q.l1*cluster)
	for i, entry := range q.l2 {
		at := (q.first() - int64(len(q.l2)) + int64(i)) * cluster
		binary.BigEndian.PutUint64(table[entry*qcowEntry:], uint64(at)|qcowCopied)
	}
	return table
}

func (q *qcow2) l2Tables() []byte {
	tables, number := make([]byte, int64(len(q.l2))*cluster), map[int64]int64{}
	for i, entry := range q.l2 {
		number[entry] = int64(i)
	}
	for at, host := range q.host {
		entry := uint64(host)
		if q.count[host] == 1 {
			entry |= qcowCopied
		}
		table := number[at/perL2] * cluster
		binary.BigEndian.PutUint64(tables[table+at%perL2/cluster*qcowEntry:], entry)
	}
	return tables
}

func (q *qcow2) chunk(c *chunk) error {
	if _, ok := q.same[c.offset]; ok {
		return nil
	}
	return putParts(q.to, c, q.data)
}

func (*qcow2) close() error { return nil }

// putParts writes the parts of a chunk that are in s.
func putParts(to sink, c *chunk, s spans) error {
	for _, part := range s.within(c.offset, c.offset+chunkSize) {
		if part.end-part.start == chunkSize {
			return to.put(c)
		}
		data, err := c.bytes()
		if err != nil {
			return err
		}
		if _, err := to.Write(data[part.start-c.offset : part.end-c.offset]); err != nil {
			return err
		}
	}
	return nil
}

// blocks is the number of units that hold n.
func blocks(n, unit int64) int64 { return (n + unit - 1) / unit }
