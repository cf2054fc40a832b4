// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/framework/grub/bootloader"
	"github.com/kairos-build/kairos-build/framework/layout"
)

// TestOtherBootloader: the other boot loader differs in every program, and a node
// accepts it.
func TestOtherBootloader(t *testing.T) {
	dir := layout.ImageBoot[1:] + "/"
	boot := make([]byte, layout.SectorSize)
	boot[510], boot[511] = 0x55, 0xaa
	core := make([]byte, 3*layout.SectorSize+100)
	binary.LittleEndian.PutUint16(core[coreSectors:], 3)
	binary.LittleEndian.PutUint16(core[coreSectors+2:], 0x820)
	files := map[string][]byte{
		dir + bootloader.BIOSBoot: boot, dir + bootloader.BIOSCore: core, dir + bootloader.DirFile: []byte("debian\n"), dir + bootloader.Config: []byte("script"),
		dir + "efi/shimx64.efi": peProgram("shim"), dir + "efi/grubx64.efi": peProgram("grub"), dir + "efi/mmx64.efi": peProgram("mm"),
	}
	layer, err := lab.LayerOf(files)
	if err != nil {
		t.Fatal(err)
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	other, err := otherBootloader(image)
	if err != nil {
		t.Fatal(err)
	}
	if len(other) != 5 {
		t.Errorf("got %d files, want grub.cfg, core.img and three programs for UEFI", len(other))
	}
	for name, data := range other {
		if bytes.Equal(data, files[name]) {
			t.Errorf("%s is the same", name)
		}
		files[name] = data
	}
	all := map[string][]byte{}
	for name, data := range files {
		all[strings.TrimPrefix(name, dir)] = data
	}
	if _, err := bootloader.New(all); err != nil {
		t.Error(err)
	}
}

// peProgram has the parts of a PE program that are read, and some text.
func peProgram(text string) []byte {
	program := make([]byte, 0x80)
	program[0x3c] = 0x40
	copy(program[0x40:], "PE\x00\x00")
	return append(program, text...)
}

func TestOtherTime(t *testing.T) {
	program := peProgram("shim")
	other, err := otherTime(program)
	if err != nil || len(other) != len(program) || bytes.Equal(other[0x48:0x4c], program[0x48:0x4c]) || !bytes.Equal(other[:0x48], program[:0x48]) || !bytes.Equal(other[0x4c:], program[0x4c:]) {
		t.Errorf("got %x, %v", other, err)
	}
	far := peProgram("shim")
	far[0x3f] = 0x7f
	for _, broken := range [][]byte{nil, []byte("#!/bin/sh"), make([]byte, 0x80), far} {
		if _, err := otherTime(broken); err == nil {
			t.Errorf("%x is taken for a program", broken)
		}
	}
}

func TestRecordedSteps(t *testing.T) {
	for _, short := range []bool{false, true} {
		steps := recordedSteps(short)
		if last := steps[len(steps)-1]; last.name != "power off" {
			t.Errorf("short %v: the last step is %q, want the end of the machine", short, last.name)
		}
		for _, s := range steps {
			if len(s.running) == 0 || s.do == nil {
				t.Errorf("short %v: step %q has nothing that runs", short, s.name)
			}
		}
	}
}
