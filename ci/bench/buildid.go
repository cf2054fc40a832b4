// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
)

// buildID finds the Go build ID of a program: the offset and the length of its text. It
// is an ELF note: sizes of name and text, type, the name "Go", the text.
func buildID(program []byte) (offset, size int, err error) {
	f, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		return 0, 0, fmt.Errorf("reading the agent: %w", err)
	}
	s := f.Section(".note.go.buildid")
	if s == nil {
		return 0, 0, errors.New("the agent has no Go build ID")
	}
	note, err := s.Data()
	if err != nil {
		return 0, 0, err
	}
	const header = 16
	if len(note) < header {
		return 0, 0, errors.New("the agent's Go build ID is cut off")
	}
	size = int(binary.LittleEndian.Uint32(note[4:]))
	if size < header || header+size > len(note) {
		return 0, 0, fmt.Errorf("the agent's Go build ID cannot have %d bytes", size)
	}
	return int(s.Offset) + header, size, nil
}
