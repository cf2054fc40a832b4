// SPDX-License-Identifier: Apache-2.0

// Package database reads rpm's package database, in the formats sqlite and ndb, as bytes. It
// writes nothing, and needs neither rpm nor SQLite.
package database

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages"
)

// Read lists the packages of a database: of rpmdb.sqlite or Packages.db.
func Read(data []byte) ([]packages.Installed, error) {
	read := ndb
	if bytes.HasPrefix(data, []byte(sqliteMagic)) {
		read = sqlite
	}
	headers, err := read(data)
	if err != nil {
		return nil, fmt.Errorf("reading rpm's database: %w", err)
	}
	var all []packages.Installed
	for _, h := range headers {
		p, err := installed(h)
		if err != nil {
			return nil, fmt.Errorf("reading rpm's database: %w", err)
		}
		if p.Name != "gpg-pubkey" { // a key that rpm trusts
			all = append(all, p)
		}
	}
	return all, nil
}

// Tags of a header: rpmtag.h of rpm.
const (
	tagName, tagVersion, tagRelease, tagEpoch = 1000, 1001, 1002, 1003
	tagArch, tagSource                        = 1022, 1044
)

// maxEntries bounds the index of a header.
const maxEntries = 1 << 16

// installed reads a header as rpm stores it: two counts, an index with entries of tag, type,
// offset and count, and then the values. All numbers are big-endian.
func installed(h []byte) (packages.Installed, error) {
	var p packages.Installed
	if len(h) < 8 {
		return p, errors.New("a header is too short")
	}
	entries, size := int(binary.BigEndian.Uint32(h)), int(binary.BigEndian.Uint32(h[4:]))
	if entries > maxEntries || size < 0 || len(h) < 8+16*entries+size {
		return p, fmt.Errorf("a header of %d bytes cannot have %d entries with %d bytes", len(h), entries, size)
	}
	values := map[uint32]string{}
	data := h[8+16*entries:]
	for i := range entries {
		e := h[8+16*i:]
		tag, kind, at := binary.BigEndian.Uint32(e), binary.BigEndian.Uint32(e[4:]), binary.BigEndian.Uint32(e[8:])
		if _, seen := values[tag]; seen || int64(at) >= int64(len(data)) {
			continue
		}
		switch kind {
		case 4: // numbers of 32 bits
			if int(at)+4 <= len(data) {
				values[tag] = fmt.Sprint(binary.BigEndian.Uint32(data[at:]))
			}
		case 6: // a text
			text, _, _ := bytes.Cut(data[at:], []byte{0})
			values[tag] = string(text)
		}
	}
	p.Name, p.Arch = values[tagName], values[tagArch]
	p.Version = values[tagVersion] + "-" + values[tagRelease]
	if e := values[tagEpoch]; e != "" && e != "0" {
		p.Version = e + ":" + p.Version
	}
	p.Source, p.SourceVersion = source(values[tagSource], p)
	if p.Name == "" {
		return p, errors.New("a header names no package")
	}
	return p, nil
}

// source takes apart a name such as bash-5.1.8-9.el9.src.rpm.
func source(file string, p packages.Installed) (name, version string) {
	parts := strings.Split(strings.TrimSuffix(strings.TrimSuffix(file, ".rpm"), ".src"), "-")
	if len(parts) < 3 {
		return p.Name, p.Version
	}
	n := len(parts)
	return strings.Join(parts[:n-2], "-"), strings.Join(parts[n-2:], "-")
}

// The parts of an ndb database, see lib/backend/ndb/rpmpkg.c of rpm: pages of 4096 bytes with
// slots of 16 bytes, the first two of which are the database's header, and blobs at multiples
// of 16 bytes. All numbers are little-endian.
const (
	ndbMagic  = "RpmP"
	slotMagic = "Slot"
	blobMagic = "BlbS"
	slotSize  = 16
	ndbPage   = 4096
)

// ndb returns the headers in a Packages.db.
func ndb(data []byte) (headers [][]byte, _ error) {
	if len(data) < 2*slotSize || !bytes.HasPrefix(data, []byte(ndbMagic)) {
		return nil, errors.New("it is neither SQLite's nor ndb's format")
	}
	end := int64(binary.LittleEndian.Uint32(data[12:])) * ndbPage
	for at := int64(2 * slotSize); at+slotSize <= min(end, int64(len(data))); at += slotSize {
		slot := data[at:]
		if !bytes.HasPrefix(slot, []byte(slotMagic)) {
			return nil, fmt.Errorf("at %d is no slot", at)
		}
		if binary.LittleEndian.Uint32(slot[4:]) == 0 { // free
			continue
		}
		blob := int64(binary.LittleEndian.Uint32(slot[8:])) * slotSize
		if blob+slotSize > int64(len(data)) || !bytes.HasPrefix(data[blob:], []byte(blobMagic)) {
			return nil, fmt.Errorf("at %d is no package", blob)
		}
		size := int64(binary.LittleEndian.Uint32(data[blob+12:]))
		if blob+slotSize+size > int64(len(data)) {
			return nil, fmt.Errorf("the package at %d ends after the file", blob)
		}
		headers = append(headers, data[blob+slotSize:blob+slotSize+size])
	}
	return headers, nil
}
