// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"sort"
	"strings"
	"unsafe"
)

// An index answers look-ups in one Packages file. It uses the bytes of its cache file
// in place: opening one costs a read and a checksum, not the parse of 60,000 stanzas.
//
// The format, all numbers little-endian 32-bit:
//
//	"kairos-apt-index 1\n"
//	lengths: body (bytes), names, provides, roots (entries)
//	body      records (see record.go), one after the other
//	names     offset of each record in body, sorted by package name
//	provides  {offset of the name in body, its length, offset of the record},
//	          sorted by name, then by package name
//	roots     offset of each record that is Essential or Priority: required
//	crc32c    of everything before it
//
// The first line holds the version of the format. A file of another version counts as
// damaged, and the index is built again.
type index struct {
	raw      string
	body     string
	names    string
	provides string
	roots    string
}

const (
	indexMagic     = "kairos-apt-index 1\n"
	providesEntry  = 12
	maxIndexLine   = 1 << 20 // no field in Debian is longer than 100 KiB
	maxIndexBody   = 1 << 30
	indexHeaderLen = len(indexMagic) + 16
)

var errBadIndex = errors.New("cached package index is damaged")

func crcOf(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// openIndex checks the bytes of a cached index.
func openIndex(raw []byte) (*index, error) {
	if len(raw) < indexHeaderLen+4 || string(raw[:len(indexMagic)]) != indexMagic {
		return nil, errBadIndex
	}
	end := len(raw) - 4
	if crcOf(raw[:end]) != binary.LittleEndian.Uint32(raw[end:]) {
		return nil, errBadIndex
	}
	return sliceIndex(view(raw[:end]))
}

// view is a string over bytes that no longer change. A copy would cost 25 MB of memory
// and 10 ms.
func view(raw []byte) string { return unsafe.String(unsafe.SliceData(raw), len(raw)) }

func sliceIndex(raw string) (*index, error) {
	ix := &index{raw: raw}
	rest := raw[indexHeaderLen:]
	for i, part := range []struct {
		to   *string
		unit int64
	}{{&ix.body, 1}, {&ix.names, 4}, {&ix.provides, providesEntry}, {&ix.roots, 4}} {
		n := int64(word(raw, len(indexMagic)+4*i)) * part.unit
		if n > int64(len(rest)) {
			return nil, errBadIndex
		}
		*part.to, rest = rest[:n], rest[n:]
	}
	if rest != "" {
		return nil, errBadIndex
	}
	return ix, nil
}

func word(s string, at int) uint32 {
	return uint32(s[at]) | uint32(s[at+1])<<8 | uint32(s[at+2])<<16 | uint32(s[at+3])<<24
}

func (ix *index) size() int { return len(ix.names) / 4 }

// name returns the name of the i-th package in order of names.
func (ix *index) name(i int) string {
	return nameAt(ix.body, word(ix.names, 4*i))
}

func nameAt(body string, offset uint32) string {
	if int64(offset) > int64(len(body)) {
		return ""
	}
	name, _, _ := strings.Cut(body[offset:], "\n")
	return name
}

func (ix *index) at(offset uint32) (*Package, error) {
	if int64(offset) > int64(len(ix.body)) {
		return nil, errBadIndex
	}
	return decodeRecord(ix.body[offset:])
}

// find returns every version of a package.
func (ix *index) find(name string) ([]*Package, error) {
	var out []*Package
	n := ix.size()
	for i := sort.Search(n, func(i int) bool { return ix.name(i) >= name }); i < n && ix.name(i) == name; i++ {
		p, err := ix.at(word(ix.names, 4*i))
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// providers returns the names of the packages that provide a name.
func (ix *index) providers(virtual string) []string {
	var out []string
	n := len(ix.provides) / providesEntry
	for i := sort.Search(n, func(i int) bool { return ix.provided(i) >= virtual }); i < n && ix.provided(i) == virtual; i++ {
		out = append(out, nameAt(ix.body, word(ix.provides, i*providesEntry+8)))
	}
	return slices.Compact(out)
}

func (ix *index) provided(i int) string {
	at := i * providesEntry
	from := int64(word(ix.provides, at))
	to := from + int64(word(ix.provides, at+4))
	if to > int64(len(ix.body)) {
		return ""
	}
	return ix.body[from:to]
}

// required returns the names of the packages that are Essential or required.
func (ix *index) required() []string {
	var out []string
	for i := 0; i < len(ix.roots); i += 4 {
		out = append(out, nameAt(ix.body, word(ix.roots, i)))
	}
	return out
}

// buildIndex reads a Packages file and returns the bytes of its index. It omits
// stanzas of architectures other than arch and "all".
func buildIndex(r io.Reader, arch string) ([]byte, error) {
	b := indexBuilder{arch: arch, field: -1}
	in := bufio.NewReaderSize(r, maxIndexLine)
	for n := 1; ; n++ {
		line, err := in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return nil, fmt.Errorf("line %d is longer than %d bytes", n, maxIndexLine)
		}
		if err != nil && err != io.EOF {
			return nil, err
		}
		if bad := b.line(bytes.TrimRight(line, " \t\r\n"), err == io.EOF); bad != nil {
			return nil, fmt.Errorf("line %d: %w", n, bad)
		}
		if err == io.EOF {
			return b.bytes(), nil
		}
	}
}

type indexBuilder struct {
	arch         string
	body         []byte
	names, roots []uint32
	provides     []provide
	values       [recFields][]byte
	field        int // the field that continuation lines belong to, or -1
	begun        bool
}

type provide struct{ name, length, record uint32 }

func (b *indexBuilder) line(s []byte, last bool) error {
	switch {
	case len(s) == 0:
		return b.end()
	case s[0] == ' ' || s[0] == '\t':
		if b.field >= 0 {
			b.values[b.field] = append(b.values[b.field], s...)
		}
	default:
		if err := b.start(s); err != nil {
			return err
		}
	}
	if last {
		return b.end()
	}
	return nil
}

func (b *indexBuilder) start(s []byte) error {
	colon := bytes.IndexByte(s, ':')
	if colon <= 0 {
		return fmt.Errorf("%q is no field: want \"Name: value\"", s[:min(len(s), 80)])
	}
	b.begun = true
	if b.field = recordField(s[:colon]); b.field >= 0 {
		b.values[b.field] = append(b.values[b.field][:0], bytes.TrimLeft(s[colon+1:], " \t")...)
	}
	return nil
}

// end closes a stanza.
func (b *indexBuilder) end() error {
	if !b.begun {
		return nil
	}
	defer b.reset()
	if !validPackageName(string(b.values[recName])) {
		return fmt.Errorf("the stanza that ends here has no valid Package field (%q)", b.values[recName])
	}
	if a := string(b.values[recArch]); a != b.arch && a != "all" {
		return nil
	}
	if len(b.body) > maxIndexBody {
		return fmt.Errorf("more than %d bytes of package records", maxIndexBody)
	}
	b.append()
	return nil
}

func (b *indexBuilder) append() {
	at := uint32(len(b.body))
	b.names = append(b.names, at)
	if string(b.values[recEssential]) == "yes" || string(b.values[recPriority]) == "required" {
		b.roots = append(b.roots, at)
	}
	for i, v := range b.values {
		if i == recProvides {
			b.provide(uint32(len(b.body)), at, string(v))
		}
		b.body = append(append(b.body, v...), '\n')
	}
}

// provide records the names in a Provides field. The field's text begins at the offset
// from in the body.
func (b *indexBuilder) provide(from, record uint32, field string) {
	for pos := 0; pos < len(field); {
		end := pos + len(field[pos:])
		if i := strings.IndexByte(field[pos:], ','); i >= 0 {
			end = pos + i
		}
		word := strings.TrimLeft(field[pos:end], " \t")
		start := end - len(word)
		if n := strings.IndexAny(word, " \t(:"); n >= 0 {
			word = word[:n]
		}
		if word != "" {
			b.provides = append(b.provides, provide{from + uint32(start), uint32(len(word)), record})
		}
		pos = end + 1
	}
}

func (b *indexBuilder) reset() {
	for i := range b.values {
		b.values[i] = b.values[i][:0]
	}
	b.begun, b.field = false, -1
}

// bytes sorts the tables and returns the index in its format.
func (b *indexBuilder) bytes() []byte {
	body := view(b.body)
	slices.SortStableFunc(b.names, func(x, y uint32) int { return strings.Compare(nameAt(body, x), nameAt(body, y)) })
	slices.SortStableFunc(b.provides, func(x, y provide) int {
		if c := strings.Compare(body[x.name:x.name+x.length], body[y.name:y.name+y.length]); c != 0 {
			return c
		}
		return strings.Compare(nameAt(body, x.record), nameAt(body, y.record))
	})
	out := make([]byte, 0, indexHeaderLen+len(body)+4*len(b.names)+providesEntry*len(b.provides)+4*len(b.roots)+4)
	out = append(out, indexMagic...)
	out = appendWords(out, uint32(len(body)), uint32(len(b.names)), uint32(len(b.provides)), uint32(len(b.roots)))
	out = append(out, body...)
	out = appendWords(out, b.names...)
	for _, p := range b.provides {
		out = appendWords(out, p.name, p.length, p.record)
	}
	out = appendWords(out, b.roots...)
	return appendWords(out, crcOf(out))
}

func appendWords(out []byte, words ...uint32) []byte {
	for _, w := range words {
		out = binary.LittleEndian.AppendUint32(out, w)
	}
	return out
}
