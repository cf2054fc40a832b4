// SPDX-License-Identifier: Apache-2.0

package reset

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/kairos-build/kairos-build/framework/grub/bootenv"
	"github.com/kairos-build/kairos-build/framework/grub/grubenv"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
	"github.com/kairos-build/kairos-build/framework/ondisk/verity"
	"github.com/kairos-build/kairos-build/framework/slot"
	"github.com/kairos-build/kairos-build/framework/slot/thisboot"
)

var errIO = errors.New("input/output error")

// A model is a node in memory: its partitions, its boot loader's environment, and
// /oem in a directory.
type model struct {
	boot  *thisboot.Boot
	parts map[string]*part
	block []byte // the environment block of the boot loader
	root  tree.Root
	left  int // writes until every write fails; negative for never
}

// A part is a partition, as it reads now and as it is after a power cut.
type part struct {
	m            *model
	name         string
	now, durable []byte
	claimed      bool
	written      bool
}

func (p *part) ReadAt(b []byte, at int64) (int, error) {
	return bytes.NewReader(p.now).ReadAt(b, at)
}

// WriteAt writes only some of the sectors in the write that fails.
func (p *part) WriteAt(b []byte, at int64) (int, error) {
	if !p.claimed {
		panic("BUG: writing to " + p.name + ", which was opened for reading")
	}
	p.written = true
	if err := p.m.spend(); err != nil {
		return copy(p.now[at:], b[:len(b)/2/fat32.SectorSize*fat32.SectorSize]), err
	}
	return copy(p.now[at:], b), nil
}

func (p *part) Sync() error  { p.durable = bytes.Clone(p.now); return nil }
func (p *part) Close() error { return nil }

func (m *model) spend() error {
	if m.left == 0 {
		return errIO
	}
	m.left--
	return nil
}

func (m *model) Open(name string) (Device, error) {
	p := m.parts[name]
	p.claimed = false
	return p, nil
}

func (m *model) Claim(name string) (Device, error) {
	p := m.parts[name]
	p.claimed = true
	return p, nil
}

// env returns the state in the environment block.
func (m *model) env() slot.State {
	s, err := bootenv.Parse(m.block)
	if err != nil {
		panic(err)
	}
	return s
}

func (m *model) Load() (slot.State, error) { return bootenv.Parse(m.block) }

// Update does the same as that of bootenv.Store, on a block in memory.
func (m *model) Update(change func(slot.State) (slot.State, error)) (slot.State, error) {
	block, err := bootenv.Change(m.block, change)
	if err == nil {
		err = m.spend()
	}
	if err != nil {
		return m.env(), err
	}
	m.block = block
	return m.env(), nil
}

// cut is a power cut. Data that was not synced is lost, or kept, as lost says.
func (m *model) cut(lost bool) {
	for _, p := range m.parts {
		if lost {
			p.now = bytes.Clone(p.durable)
		} else {
			p.durable = bytes.Clone(p.now)
		}
	}
	m.left = -1
}

// boots returns the slot that the boot loader starts.
func (m *model) boots() layout.Slot {
	c, s := m.env().Boot()
	m.block = grubenv.Edit(m.block, slot.VarNames(), s.Vars())
	for _, next := range append([]slot.Choice{c}, s.Fallbacks(c.Slot)...) {
		if m.parts[next.Slot.Boot()].now[510] == 0x55 {
			return next.Slot
		}
	}
	return "nothing"
}

// whole tells whether both partitions of a slot are as at first, or both are copies of
// recovery.
func (m *model) whole(t *testing.T, s layout.Slot, first map[string][]byte) bool {
	root, boot := m.parts[s.Root()].now, m.parts[s.Boot()].now
	if bytes.Equal(root, first[s.Root()]) && bytes.Equal(boot, first[s.Boot()]) {
		return true
	}
	return m.isCopy(t, s)
}

func (m *model) isCopy(t *testing.T, s layout.Slot) bool {
	t.Helper()
	image := m.parts["root-recovery"].now
	label := "BOOT_A"
	if s == layout.SlotB {
		label = "BOOT_B"
	}
	boot := m.parts[s.Boot()].now
	want, err := fat32.Relabel(m.parts["boot-recovery"], label, binary.LittleEndian.Uint32(boot[67:]))
	if err != nil {
		t.Fatal(err)
	}
	wantBoot := make([]byte, want.Size)
	if err := readFull(want, wantBoot, 0); err != nil {
		t.Fatal(err)
	}
	return bytes.HasPrefix(m.parts[s.Root()].now, image) && bytes.Equal(boot, wantBoot)
}

func (m *model) snapshot() map[string][]byte {
	all := map[string][]byte{}
	for name, p := range m.parts {
		all[name] = bytes.Clone(p.now)
	}
	return all
}

func (m *model) node() Installation {
	return Installation{
		Disk: m, Store: m, Root: m.root, Log: slog.New(slog.DiscardHandler), Now: time.Unix(1700000000, 0), UUID: [16]byte{7},
	}
}

func (m *model) reset(t *testing.T, o Options) error {
	t.Helper()
	p, err := New(m.boot, o)
	if err != nil {
		t.Fatal(err)
	}
	return p.Run(t.Context(), m.node())
}

// newModel makes a node in recovery whose slots a and b hold older images.
func newModel(t *testing.T, env slot.State) *model {
	t.Helper()
	block, err := grubenv.Encode(env.Vars())
	if err != nil {
		t.Fatal(err)
	}
	m := &model{parts: map[string]*part{}, block: block, root: tree.Root{Dir: t.TempDir(), KeepOwner: true}, left: -1}
	image, hash, offset := rootImage(t)
	m.boot = &thisboot.Boot{
		Slot: layout.SlotRecovery, Mode: layout.ModeRecovery, RootHash: hex.EncodeToString(hash[:]), HashOffset: offset,
		Mounts: []thisboot.Mount{{Path: layout.MountOEM, Kind: thisboot.MountData}},
	}
	for _, s := range []layout.Slot{layout.SlotA, layout.SlotB} {
		m.add(s.Root(), bytes.Repeat([]byte(s), len(image)+4096))
		m.add(s.Boot(), bootImage("BOOT_"+string(s), 0x11))
	}
	m.add(layout.SlotRecovery.Root(), image)
	m.add(layout.SlotRecovery.Boot(), bootImage("BOOT_R", 0x22))
	m.boot.Partitions = append(m.boot.Partitions, thisboot.Partition{Name: layout.PartPersistent, Size: 1 << 20})
	for _, name := range []string{"oem/90.yaml", "oem/sub/dir/x", "oem/.kairos/other.json", "oem/lost+found/.keep"} {
		path := filepath.Join(m.root.Dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func (m *model) add(name string, data []byte) {
	m.parts[name] = &part{m: m, name: name, now: data, durable: bytes.Clone(data)}
	m.boot.Partitions = append(m.boot.Partitions, thisboot.Partition{Name: name, Size: int64(len(data)), PartUUID: "id of " + name})
}

// buffer is memory that grows.
type buffer struct{ data []byte }

func (b *buffer) WriteAt(p []byte, at int64) (int, error) {
	if need := int(at) + len(p); need > len(b.data) {
		b.data = append(b.data, make([]byte, need-len(b.data))...)
	}
	return copy(b.data[at:], p), nil
}

func (b *buffer) ReadAt(p []byte, at int64) (int, error) {
	return bytes.NewReader(b.data).ReadAt(p, at)
}

func rootImage(t *testing.T) (image []byte, hash [32]byte, offset int64) {
	t.Helper()
	b := &buffer{bytes.Repeat([]byte("recovery"), 20*verity.BlockSize/8)}
	size := int64(len(b.data))
	made, err := verity.Write(t.Context(), b, size, verity.Params{Salt: [32]byte{1}})
	if err != nil {
		t.Fatal(err)
	}
	return b.data, made.RootHash, made.HashOffset
}

// bootImage is the smallest file system that fat32.Relabel accepts: 32 reserved sectors,
// two FATs of one sector, and the root directory.
func bootImage(label string, fill byte) []byte {
	b := bytes.Repeat([]byte{fill}, 64*fat32.SectorSize)
	le := binary.LittleEndian
	for _, at := range []int{0, 6 * fat32.SectorSize} {
		s := b[at : at+fat32.SectorSize]
		s[13], s[16], s[66], s[510], s[511] = 1, 2, 0x29, 0x55, 0xaa
		le.PutUint16(s[14:], 32)
		le.PutUint32(s[32:], 64)
		le.PutUint32(s[36:], 1)
		le.PutUint32(s[44:], 2)
		copy(s[71:], label+"           "[:11-len(label)])
		copy(s[82:], "FAT32   ")
	}
	entry := b[34*fat32.SectorSize:]
	copy(entry, label+"           "[:11-len(label)])
	entry[11] = 0x08
	return b
}

var _ io.ReaderAt = (*part)(nil)
