// SPDX-License-Identifier: Apache-2.0

package bootchain

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// A pe is a program for UEFI: the parts of the format PE/COFF that signatures are about.
// The numbers are from Microsoft's "PE Format".
type pe struct {
	data       []byte
	checksum   int // offset of the field, which is not signed
	directory  int // offset of the entry of the certificate table, which is not signed
	table, end int // of the certificate table
}

var errNotPE = errors.New("it is no program for UEFI")

const (
	certificateEntry = 4 // of the data directories
	sectionSize      = 40
	vendorSection    = ".vendor_cert" // of shim; names of sections have 8 bytes, longer ones are numbers
)

// parsePE finds the certificate table. A program without one has no signature.
func parsePE(data []byte) (*pe, error) {
	header, err := number(data, 0x3c)
	if err != nil || !bytes.HasPrefix(data, []byte("MZ")) {
		return nil, errNotPE
	}
	if header > len(data)-24 || string(data[header:header+4]) != "PE\x00\x00" {
		return nil, errNotPE
	}
	optional := header + 24
	magic, err := short(data, optional)
	if err != nil {
		return nil, errNotPE
	}
	directories := map[int]int{0x10b: 96, 0x20b: 112}[magic]
	if directories == 0 {
		return nil, errNotPE
	}
	p := &pe{data: data, checksum: optional + 64, directory: optional + directories + 8*certificateEntry}
	if p.directory+8 > len(data) {
		return nil, errNotPE
	}
	return p, p.findTable()
}

func (p *pe) findTable() error {
	table, err := number(p.data, p.directory)
	size, sizeErr := number(p.data, p.directory+4)
	if errors.Join(err, sizeErr) != nil {
		return errNotPE
	}
	p.table, p.end = table, table+size
	if size == 0 {
		p.table, p.end = len(p.data), len(p.data)
	}
	if p.table < p.directory+8 || p.end > len(p.data) {
		return fmt.Errorf("%w: its certificates are outside of the file", errNotPE)
	}
	return nil
}

// digest is the SHA-256 that a signature is about (Authenticode): all of the file but its
// checksum, the entry of the certificate table, and the table.
func (p *pe) digest() []byte {
	h := sha256.New()
	h.Write(p.data[:p.checksum])
	h.Write(p.data[p.checksum+4 : p.directory])
	h.Write(p.data[p.directory+8 : p.table])
	h.Write(p.data[p.end:])
	return h.Sum(nil)
}

// signatures are the PKCS #7 messages of the certificate table.
func (p *pe) signatures() ([][]byte, error) {
	const head, pkcs = 8, 2
	var all [][]byte
	for at := p.table; at+head <= p.end; {
		size, err := number(p.data, at)
		if err != nil || size < head || size > p.end-at {
			return nil, errors.New("the table of its signatures is broken")
		}
		if kind := binary.LittleEndian.Uint16(p.data[at+6:]); kind == pkcs {
			all = append(all, p.data[at+head:at+size])
		}
		at += (size + 7) &^ 7
	}
	return all, nil
}

// section is the content of a section, or nil. The name is as in the table of sections.
func (p *pe) section(match func(name string) bool) []byte {
	header, _ := number(p.data, 0x3c)
	count, err := short(p.data, header+6)
	optional, optionalErr := short(p.data, header+20)
	if errors.Join(err, optionalErr) != nil {
		return nil
	}
	for i := range count {
		at := header + 24 + optional + i*sectionSize
		if at+sectionSize > len(p.data) {
			return nil
		}
		name := string(bytes.TrimRight(p.data[at:at+8], "\x00"))
		if !match(name) {
			continue
		}
		virtual, _ := number(p.data, at+8)
		size, _ := number(p.data, at+16)
		start, _ := number(p.data, at+20)
		size = min(size, virtual)
		if start > len(p.data) || size > len(p.data)-start {
			return nil
		}
		return p.data[start : start+size]
	}
	return nil
}

// longName is the name of a section that is longer than 8 bytes: "/" and an offset in the
// table of strings, which follows the table of symbols.
func (p *pe) longName(name string) string {
	var offset int
	if n, err := fmt.Sscanf(name, "/%d", &offset); n != 1 || err != nil || offset < 0 {
		return name
	}
	header, _ := number(p.data, 0x3c)
	symbols, err := number(p.data, header+12)
	count, countErr := number(p.data, header+16)
	const symbolSize = 18
	if errors.Join(err, countErr) != nil || count > len(p.data)/symbolSize {
		return name
	}
	at := symbols + count*symbolSize + offset
	if at >= len(p.data) {
		return name
	}
	text, _, _ := bytes.Cut(p.data[at:], []byte{0})
	return string(text)
}

// vendorCertificate is the certificate in a shim by which it verifies what it starts; nil if
// there is none. The section has two sizes, two offsets, and the data (shim's cert.S).
func (p *pe) vendorCertificate() []byte {
	section := p.section(func(name string) bool { return p.longName(name) == vendorSection })
	size, err := number(section, 0)
	start, startErr := number(section, 8)
	if errors.Join(err, startErr) != nil || start > len(section) || size > len(section)-start {
		return nil
	}
	return section[start : start+size]
}

var errShort = errors.New("the file ends")

// number is a number of 32 bits that fits into an int.
func number(data []byte, at int) (int, error) {
	if at < 0 || at > len(data)-4 {
		return 0, errShort
	}
	n := binary.LittleEndian.Uint32(data[at:])
	if n > 1<<31-1 {
		return 0, errShort
	}
	return int(n), nil
}

// short is a number of 16 bits.
func short(data []byte, at int) (int, error) {
	if at < 0 || at > len(data)-2 {
		return 0, errShort
	}
	return int(binary.LittleEndian.Uint16(data[at:])), nil
}
