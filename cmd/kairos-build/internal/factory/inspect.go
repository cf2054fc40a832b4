// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/bootchain"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
	"github.com/kairos-build/kairos-build/framework/grub/bootconf"
	"github.com/kairos-build/kairos-build/framework/grub/bootloader"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
	"github.com/kairos-build/kairos-build/framework/ondisk/rootimage"
	"github.com/kairos-build/kairos-build/framework/source/policy"
	"github.com/kairos-build/kairos-build/signing/verify"
)

// InspectOptions are the options of `kairos-build inspect`.
type InspectOptions struct {
	Ref      string // a disk, an output folder of `kairos-build flavor`, or what source.Open takes
	Arch     string // default amd64
	State    string // folder that outlives a build; see MakeState
	Progress progress.Reporter
}

// Inspect finds the boot chain of a disk or an image.
func Inspect(ctx context.Context, o InspectOptions) (bootchain.Chain, error) {
	f, err := os.Open(o.Ref)
	if err != nil {
		return o.image(ctx) // a registry has it, or nobody: openImage says
	}
	size, sizeErr := f.Seek(0, io.SeekEnd)
	if sizeErr != nil || !isDisk(f, size) {
		if err := f.Close(); err != nil {
			return bootchain.Chain{}, err
		}
		return o.image(ctx)
	}
	facts, err := diskFacts(f, size)
	if err := errors.Join(err, f.Close()); err != nil {
		return bootchain.Chain{}, badInput(fmt.Errorf("%s: %w", o.Ref, err))
	}
	return bootchain.Inspect(facts), nil
}

// isDisk tells whether a file begins with a protective MBR.
func isDisk(r io.ReaderAt, size int64) bool {
	var header [8]byte
	_, err := r.ReadAt(header[:], gpt.SectorSize)
	return err == nil && string(header[:]) == "EFI PART" && size > gpt.SectorSize
}

func (o InspectOptions) image(ctx context.Context) (chain bootchain.Chain, err error) {
	err = SimulateOptions{Image: o.Ref, Arch: o.Arch, State: o.State, Progress: o.Progress}.withRoot(ctx, func(files fs.FS, _ *recorder, root rootOf) error {
		image := root.made.image
		says, err := readPolicy(files)
		if err != nil {
			return err
		}
		facts := bootchain.Facts{Image: root.digest, BIOS: image.Bootloader[bootloader.BIOSCore] != nil, Slots: []bootchain.Slot{{
			Kernel:   bootchain.Program{Role: bootchain.Kernel, File: layout.ImageKernel, Data: image.Kernel},
			RootHash: fmt.Sprintf("%x", image.Tree.RootHash), Policy: says,
		}}}
		for name, data := range image.Bootloader {
			if role := roleOf(name); role != "" {
				facts.Programs = append(facts.Programs, bootchain.Program{Role: role, File: layout.ImageBoot + "/" + name, Data: data})
			}
		}
		sortPrograms(facts.Programs)
		chain = bootchain.Inspect(facts)
		return nil
	})
	return chain, err
}

// roleOf is the role of a file of the boot loader; empty if it is no program for UEFI. Names
// are those of an image (efi/shimx64.efi) or of a disk (EFI/BOOT/BOOTX64.EFI).
func roleOf(name string) string {
	name = strings.ToLower(name[strings.LastIndexByte(name, '/')+1:])
	if !strings.HasSuffix(name, ".efi") {
		return ""
	}
	for _, r := range [][2]string{{"shim", bootchain.Shim}, {"boot", bootchain.Shim}, {"grub", bootchain.GRUB}, {"mm", bootchain.MOK}} {
		if strings.HasPrefix(name, r[0]) {
			return r[1]
		}
	}
	return ""
}

// sortPrograms puts programs in the order in which they start.
func sortPrograms(list []bootchain.Program) {
	order := []string{bootchain.Shim, bootchain.GRUB, bootchain.MOK}
	slices.SortFunc(list, func(a, b bootchain.Program) int {
		if by := slices.Index(order, a.Role) - slices.Index(order, b.Role); by != 0 {
			return by
		}
		return strings.Compare(a.File, b.File)
	})
}

// readPolicy reads the policy of a root, and the keys that it names.
func readPolicy(files fs.FS) (bootchain.Policy, error) {
	p := bootchain.Policy{File: layout.ImagePolicy}
	var err error
	if p.Data, err = readRoot(files, layout.ImagePolicy); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return p, nil
		}
		return p, err
	}
	parsed, err := policy.Parse(layout.ImagePolicy, p.Data, func(path string) ([]byte, error) { return readRoot(files, path) })
	if err != nil {
		p.Problem = err.Error()
		return p, nil
	}
	p.Says = policySays(parsed)
	return p, nil
}

// maxPolicyFile, in bytes, is the largest policy, key or trusted root that is read.
const maxPolicyFile = 1 << 20

// readRoot reads a small file of a root by its absolute path.
func readRoot(files fs.FS, path string) ([]byte, error) {
	info, err := fs.Stat(files, strings.TrimPrefix(path, "/"))
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxPolicyFile {
		return nil, fmt.Errorf("%s is no file of at most %d bytes", path, maxPolicyFile)
	}
	return fs.ReadFile(files, strings.TrimPrefix(path, "/"))
}

// policySays is a policy in sentences.
func policySays(p *policy.Policy) []string {
	var says []string
	where := func(repositories []string) string {
		if len(repositories) == 0 {
			return "for every repository"
		}
		return "for " + strings.Join(repositories, ", ")
	}
	for _, k := range p.Keys {
		id, err := verify.Fingerprint(k.Key)
		if err != nil {
			id = err.Error()
		}
		says = append(says, fmt.Sprintf("trusts key %q (%s) %s", k.Name, id, where(k.Repositories)))
	}
	for _, i := range p.Identities {
		says = append(says, fmt.Sprintf("trusts %s %s", i.Identity, where(i.Repositories)))
	}
	if says == nil {
		says = append(says, "trusts nobody: the node installs no image")
	}
	days := func(age time.Duration) string {
		if age == 0 {
			return ""
		}
		return fmt.Sprintf(", at most %d days old", int(age.Hours()/24))
	}
	for _, r := range p.Require {
		says = append(says, fmt.Sprintf("requires the attestation %s%s", r.Name, days(r.MaxAge)))
	}
	if p.MaxAge != 0 {
		says = append(says, "requires an image"+strings.TrimPrefix(days(p.MaxAge), ","))
	}
	return says
}

// diskFacts reads the parts of a disk that boot.
func diskFacts(r io.ReaderAt, size int64) (bootchain.Facts, error) {
	table, err := gpt.Read(r, size)
	if err != nil {
		return bootchain.Facts{}, err
	}
	d := inspectedDisk{r, table}
	var f bootchain.Facts
	if f.Programs, err = d.programs(); err != nil {
		return f, err
	}
	_, f.BIOS = table.Partition(layout.PartBIOS)
	for _, slot := range layout.Slots() {
		s, err := d.slot(slot)
		if err != nil {
			return f, fmt.Errorf("slot %s: %w", slot, err)
		}
		f.Slots = append(f.Slots, s)
	}
	return f, nil
}

// An inspectedDisk is a disk that is only read.
type inspectedDisk struct {
	r     io.ReaderAt
	table *gpt.Table
}

func (d inspectedDisk) section(name string) (*io.SectionReader, error) {
	p, ok := d.table.Partition(name)
	if !ok {
		return nil, fmt.Errorf("it has no partition %q: is this a disk of kairos-build?", name)
	}
	return io.NewSectionReader(d.r, p.Offset(), p.Size()), nil
}

func (d inspectedDisk) volume(name string) (*fat32.Volume, error) {
	s, err := d.section(name)
	if err != nil {
		return nil, err
	}
	v, err := fat32.Open(s, s.Size())
	if err != nil {
		return nil, fmt.Errorf("partition %s: %w", name, err)
	}
	return v, nil
}

// programs are those where firmware looks on a disk without boot entries.
func (d inspectedDisk) programs() ([]bootchain.Program, error) {
	const dir = "EFI/BOOT"
	v, err := d.volume(layout.PartEFI)
	if err != nil {
		return nil, err
	}
	entries, err := v.List(dir)
	if err != nil {
		return nil, fmt.Errorf("partition %s: %w", layout.PartEFI, err)
	}
	var list []bootchain.Program
	for _, e := range entries {
		role := roleOf(e.Name)
		if role == "" {
			continue
		}
		data, err := v.ReadFile(dir + "/" + e.Name)
		if err != nil {
			return nil, fmt.Errorf("partition %s: %w", layout.PartEFI, err)
		}
		list = append(list, bootchain.Program{Role: role, File: layout.PartEFI + ":" + dir + "/" + e.Name, Data: data})
	}
	sortPrograms(list)
	return list, nil
}

func (d inspectedDisk) slot(slot layout.Slot) (bootchain.Slot, error) {
	s := bootchain.Slot{Name: string(slot)}
	v, err := d.volume(slot.Boot())
	if err != nil {
		return s, err
	}
	kernel, kernelErr := v.ReadFile(layout.BootKernel)
	script, scriptErr := v.ReadFile(bootconf.SlotConfig)
	if err := errors.Join(kernelErr, scriptErr); err != nil {
		return s, fmt.Errorf("partition %s: %w", slot.Boot(), err)
	}
	s.Kernel = bootchain.Program{Role: bootchain.Kernel, File: slot.Boot() + ":" + layout.BootKernel, Data: kernel}
	s.RootHash = argument(string(script), layout.ArgRootHash)
	root, err := d.section(slot.Root())
	if err != nil {
		return s, err
	}
	files, err := rootimage.Open(root)
	if err != nil {
		return s, fmt.Errorf("partition %s: %w", slot.Root(), err)
	}
	s.Policy, err = readPolicy(files)
	return s, err
}

// argument is the value of a kernel argument in a slot's script, or empty.
func argument(script, key string) string {
	for _, word := range strings.FieldsFunc(script, func(r rune) bool { return strings.ContainsRune(" \t\n\"", r) }) {
		if value, ok := strings.CutPrefix(word, key+"="); ok {
			return value
		}
	}
	return ""
}
