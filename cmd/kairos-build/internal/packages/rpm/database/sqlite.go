// SPDX-License-Identifier: Apache-2.0

package database

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// sqliteMagic begins a file of SQLite: https://www.sqlite.org/fileformat2.html
const sqliteMagic = "SQLite format 3\x00"

// A sqliteFile is a database whose pages are read.
type sqliteFile struct {
	data         []byte
	page, usable int // bytes
	left         int // pages that may still be read: a circle ends
}

// A row has the values of a table's row: texts and blobs as bytes, numbers as 8 bytes.
type row [][]byte

var errPage = errors.New("a page is damaged")

// sqlite returns the headers in a rpmdb.sqlite: the column blob of the table Packages.
func sqlite(data []byte) ([][]byte, error) {
	if len(data) < 100 {
		return nil, errors.New("the file is too short")
	}
	page := int(binary.BigEndian.Uint16(data[16:]))
	if page == 1 {
		page = 65536
	}
	f := &sqliteFile{data: data, page: page, usable: page - int(data[20])}
	if f.usable < 480 || len(data)%page != 0 {
		return nil, fmt.Errorf("its %d bytes are no pages of %d bytes", len(data), page)
	}
	f.left = 4 * len(data) / page
	root, err := f.rootOf("Packages")
	if err != nil {
		return nil, err
	}
	var headers [][]byte
	err = f.table(root, func(r row) error {
		if len(r) < 2 {
			return errPage
		}
		headers = append(headers, r[1])
		return nil
	})
	return headers, err
}

// rootOf finds the first page of a table in the schema, the table of page 1: type, name,
// table, first page, SQL.
func (f *sqliteFile) rootOf(name string) (root int, _ error) {
	err := f.table(1, func(r row) error {
		if len(r) >= 4 && string(r[0]) == "table" && string(r[1]) == name && len(r[3]) == 8 {
			root = int(binary.BigEndian.Uint64(r[3]))
		}
		return nil
	})
	if err == nil && root == 0 {
		err = fmt.Errorf("it has no table %s", name)
	}
	return root, err
}

// table calls each for the rows of the table at a page.
func (f *sqliteFile) table(number int, each func(row) error) error {
	f.left--
	if number < 1 || number*f.page > len(f.data) || f.left < 0 {
		return errPage
	}
	page := f.data[(number-1)*f.page : number*f.page]
	head := 0
	if number == 1 {
		head = 100
	}
	const interior, leaf = 0x05, 0x0d
	kind, cells := page[head], int(binary.BigEndian.Uint16(page[head+3:]))
	pointers := head + map[byte]int{interior: 12, leaf: 8}[kind]
	if kind != interior && kind != leaf || pointers+2*cells > len(page) {
		return errPage
	}
	for i := range cells {
		at := int(binary.BigEndian.Uint16(page[pointers+2*i:]))
		if at+4 > len(page) {
			return errPage
		}
		if kind == interior {
			if err := f.table(int(binary.BigEndian.Uint32(page[at:])), each); err != nil {
				return err
			}
			continue
		}
		if err := f.leaf(page[at:], each); err != nil {
			return err
		}
	}
	if kind == interior {
		return f.table(int(binary.BigEndian.Uint32(page[head+8:])), each)
	}
	return nil
}

// leaf reads a cell: the size of the payload, the number of the row, and the payload.
func (f *sqliteFile) leaf(cell []byte, each func(row) error) error {
	size, n := varint(cell)
	_, m := varint(cell[min(n, len(cell)):])
	if n == 0 || m == 0 {
		return errPage
	}
	payload, err := f.payload(cell[n+m:], size)
	if err != nil {
		return err
	}
	r, err := values(payload)
	if err != nil {
		return err
	}
	return each(r)
}

// payload collects the parts of a payload: what does not fit into the cell is in a chain of
// pages.
func (f *sqliteFile) payload(in []byte, size int64) ([]byte, error) {
	u := int64(f.usable)
	if size < 0 || size > int64(len(f.data)) {
		return nil, errPage
	}
	local := size
	if size > u-35 {
		least := (u-12)*32/255 - 23
		if local = least + (size-least)%(u-4); local > u-35 {
			local = least
		}
	}
	if local > int64(len(in)) {
		return nil, errPage
	}
	out := append([]byte(nil), in[:local]...)
	rest := in[local:]
	for int64(len(out)) < size {
		f.left--
		if len(rest) < 4 || f.left < 0 {
			return nil, errPage
		}
		next := int(binary.BigEndian.Uint32(rest))
		if next < 1 || next*f.page > len(f.data) {
			return nil, errPage
		}
		rest = f.data[(next-1)*f.page : next*f.page]
		out = append(out, rest[4:4+min(u-4, size-int64(len(out)))]...)
	}
	return out, nil
}

// values takes a record apart: a header with the kind of each value, and the values.
func values(record []byte) (r row, _ error) {
	size, n := varint(record)
	if n == 0 || size < int64(n) || size > int64(len(record)) {
		return nil, errPage
	}
	kinds, body := record[n:size], record[size:]
	for len(kinds) > 0 {
		kind, n := varint(kinds)
		length := width(kind)
		if n == 0 || length < 0 || length > int64(len(body)) {
			return nil, errPage
		}
		value := body[:length]
		if kind < 12 {
			value = number(kind, value)
		}
		r = append(r, value)
		kinds, body = kinds[n:], body[length:]
	}
	return r, nil
}

// width is the size of a value of a kind.
func width(kind int64) int64 {
	if kind >= 12 {
		return (kind - 12) / 2
	}
	if kind < 0 {
		return -1
	}
	return []int64{0, 1, 2, 3, 4, 6, 8, 8, 0, 0, -1, -1}[kind]
}

// number widens a positive number to 8 bytes. Kinds 8 and 9 are the numbers 0 and 1.
func number(kind int64, value []byte) []byte {
	out := make([]byte, 8)
	copy(out[8-len(value):], value)
	if kind == 9 {
		out[7] = 1
	}
	return out
}

// varint reads a number of 1 to 9 bytes; n is 0 if there is none.
func varint(in []byte) (v int64, n int) {
	for n < len(in) && n < 8 {
		v = v<<7 | int64(in[n]&0x7f)
		n++
		if in[n-1] < 0x80 {
			return v, n
		}
	}
	if n < 8 || n == len(in) {
		return 0, 0
	}
	return v<<8 | int64(in[n]), n + 1
}
