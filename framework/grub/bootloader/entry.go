// SPDX-License-Identifier: Apache-2.0

package bootloader

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/kairos-build/kairos-build/framework/internal/lazyregexp"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
)

// Descriptions of the kairos boot entry. They identify the entry and tell its state.
const (
	trialText  = "Kairos boot loader (trial)"
	provenText = "Kairos boot loader (proven)"
	// firstNumber is the Boot#### number where the search for a free one begins:
	// firmware takes low numbers.
	firstNumber = 0x4b00
)

// An entry is the kairos boot entry, and how the firmware uses it.
type entry struct {
	exists  bool
	number  uint16
	proven  bool
	next    bool // BootNext names it
	current bool // BootCurrent names it
}

var bootName = lazyregexp.New(`^Boot[0-9A-F]{4}$`)

func entryName(number uint16) string { return fmt.Sprintf("Boot%04X", number) }

// findEntry looks for the kairos boot entry. Without variables there is none.
func findEntry(v Vars) (entry, error) {
	e := entry{}
	if v == nil {
		return e, nil
	}
	names, err := v.Names()
	if err != nil {
		return e, err
	}
	for _, n := range names {
		if !bootName.MatchString(n) {
			continue
		}
		data, err := v.Get(n)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return e, err
		}
		if d := description(data); d == trialText || d == provenText {
			e.exists, e.proven = true, d == provenText
			if _, err := fmt.Sscanf(n, "Boot%04X", &e.number); err != nil {
				return e, err
			}
			break
		}
	}
	if !e.exists {
		return e, nil
	}
	e.next, err = pointsTo(v, "BootNext", e.number)
	if err == nil {
		e.current, err = pointsTo(v, "BootCurrent", e.number)
	}
	return e, err
}

func pointsTo(v Vars, variable string, number uint16) (bool, error) {
	data, err := v.Get(variable)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && len(data) == 2 && binary.LittleEndian.Uint16(data) == number, err
}

// writeTrial makes the entry and then selects it for the next boot.
func (m Machine) writeTrial(f *Files) error {
	number, err := freeNumber(m.Vars)
	if err != nil {
		return fmt.Errorf("looking for a free boot entry: %w", err)
	}
	if err := m.writeEntry(f, number, trialText); err != nil {
		return err
	}
	if err := m.Vars.Set("BootNext", binary.LittleEndian.AppendUint16(nil, number)); err != nil {
		return errors.Join(fmt.Errorf("setting BootNext: %w", err), forget(m.Vars))
	}
	return nil
}

func (m Machine) writeEntry(f *Files, number uint16, text string) error {
	esp, _ := m.Table.Partition(partEFI)
	i := slices.IndexFunc(f.programs, func(p program) bool { return strings.HasPrefix(p.name, "shim") })
	option := loadOption(text, m.Table, esp, stagingDir+"/"+f.programs[i].name)
	if err := m.Vars.Set(entryName(number), option); err != nil {
		return fmt.Errorf("writing boot entry %s: %w", entryName(number), err)
	}
	return nil
}

// markProven renames the entry, which tells Plan that Promote began.
func (m Machine) markProven(f *Files) error {
	e, err := findEntry(m.Vars)
	if err != nil {
		return err
	}
	return m.writeEntry(f, e.number, provenText)
}

// forget removes the trial: first BootNext, then the entry.
func forget(v Vars) error {
	e, err := findEntry(v)
	if err != nil || !e.exists {
		return err
	}
	if e.next {
		if err := v.Delete("BootNext"); err != nil {
			return fmt.Errorf("deleting BootNext: %w", err)
		}
	}
	if err := v.Delete(entryName(e.number)); err != nil {
		return fmt.Errorf("deleting boot entry %s: %w", entryName(e.number), err)
	}
	return nil
}

func freeNumber(v Vars) (uint16, error) {
	names, err := v.Names()
	if err != nil {
		return 0, err
	}
	for n := uint16(firstNumber); n >= firstNumber; n++ {
		if !slices.Contains(names, entryName(n)) {
			return n, nil
		}
	}
	return 0, errors.New("all are taken")
}

// loadOption returns an EFI_LOAD_OPTION (UEFI 2.10, 3.1.3) that starts a file on a
// partition: attributes, length of the device path, description, device path. The path
// has a hard drive node (10.3.5.1), a file node (10.3.5.4), and an end node. There is no
// optional data: the shim would take it for the file to start. Its sectors are the disk's own.
func loadOption(text string, table *gpt.Table, part gpt.Partition, file string) []byte {
	le := binary.LittleEndian
	id := part.ID.OnDisk()
	path := []byte{4, 1, 42, 0}
	path = le.AppendUint32(path, uint32(part.Number))
	path = le.AppendUint64(path, uint64(part.Offset()/table.OwnSector()))
	path = le.AppendUint64(path, uint64(part.Size()/table.OwnSector()))
	path = append(append(path, id[:]...), 2, 2) // GPT, identified by GUID
	dos := ucs2(`\` + strings.ReplaceAll(file, "/", `\`))
	path = append(path, 4, 4)
	path = append(le.AppendUint16(path, uint16(4+len(dos))), dos...)
	path = append(path, 0x7f, 0xff, 4, 0)

	option := le.AppendUint32(nil, 1) // LOAD_OPTION_ACTIVE
	option = le.AppendUint16(option, uint16(len(path)))
	return append(append(option, ucs2(text)...), path...)
}

// ucs2 returns s in 16-bit units with a final NUL.
func ucs2(s string) []byte {
	var b []byte
	for _, u := range append(utf16.Encode([]rune(s)), 0) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

// description returns the description of a load option, or "" if option is not one.
func description(option []byte) string {
	if len(option) < 6 {
		return ""
	}
	var units []uint16
	for b := option[6:]; len(b) > 1; b = b[2:] {
		u := binary.LittleEndian.Uint16(b)
		if u == 0 {
			return string(utf16.Decode(units))
		}
		units = append(units, u)
	}
	return ""
}
