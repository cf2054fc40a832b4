// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// ExtraSize is how many bytes larger the guest's disk is than the artifact.
const ExtraSize = 2 * layout.GiB

// CheckTimeout limits one check, and every other action that takes seconds, or a minute
// or two in emulation on a busy host. Only a failing one comes near it.
const CheckTimeout = 10 * time.Minute

// ReadyLine is what the agent prints when the node is up.
var ReadyLine = regexp.MustCompile(`kairos: ready slot=(\S+) mode=(\S+) version=(\S+)`)

// A Machine is one virtual machine and its results.
type Machine struct {
	Lab     *Lab
	Name    string // in the report
	Boot    qemu.Boot
	Setup   Setup
	VM      *qemu.VM
	Client  *qemu.Client
	Guest   *Guest
	Boots   []Boot
	Lived   int // how often the node printed the ready line
	Crashes int // earlier machines of this job whose emulated kernel crashed
	Version string
	results map[string]*Result
	order   []string
	ends    []func() error
}

// Machine makes a machine that does not run yet.
func (l *Lab) Machine(name string, boot qemu.Boot, crashes int) *Machine {
	return &Machine{Lab: l, Name: name, Boot: boot, Crashes: crashes, results: map[string]*Result{}}
}

// AtEnd registers do for Close, which calls the last one first.
func (m *Machine) AtEnd(do func() error) { m.ends = append(m.ends, do) }

// A Setup says how a machine differs from the usual one. The zero value boots the
// artifact with the test's access.
type Setup struct {
	Disk      string       // default: the artifact
	OEM       *qemu.Patch  // default: the test's access
	Chipset   qemu.Chipset // default: one with a watchdog
	Faults    []qemu.Fault // console faults that end a wait; nil means the usual ones
	CDROMs    []string     // ISO images; default: none
	CDFirst   bool         // the firmware prefers the CD-ROMs; default: the disk
	Disks     []string     // more disks
	WriteLog  string       // gets a log of the disk's writes; default: none
	MemoryMiB int          // default: see qemu.Config
	Dir       string       // keeps the machine's files; default: a folder removed with it
	TPM       string       // folder with the state of its TPM; default: it has none
	Bus       qemu.Bus     // of the disks; default: see qemu.Config
	Sector    int          // size of the disks' sectors in bytes; default: 512
}

// Start boots the machine for the first time, in slot a.
func (m *Machine) Start(ctx context.Context) error {
	begin := time.Now()
	if err := m.Launch(ctx); err != nil {
		return err
	}
	return m.Ready(ctx, begin, slot.Choice{Slot: layout.SlotA, Mode: layout.ModeActive})
}

// Crash returns the console line that shows a kernel crash in emulation, at any time of
// the machine's life.
func (m *Machine) Crash() (string, bool) {
	if m.VM == nil {
		return "", false
	}
	return m.Lab.Accel.CrashLine(m.VM.Console())
}

// Launch makes the machine and starts it. It waits for nothing.
func (m *Machine) Launch(ctx context.Context) error {
	log, err := m.newLog()
	if err != nil {
		return err
	}
	oem := m.Lab.oem
	if m.Setup.OEM != nil {
		oem = *m.Setup.OEM
	}
	m.VM, err = qemu.Start(ctx, qemu.Config{
		Host: m.Lab.Host, Accel: m.Lab.Accel, Boot: m.Boot, Chipset: m.Setup.Chipset, Log: m.Lab.Log,
		Disk: cmp.Or(m.Setup.Disk, m.Lab.Artifact.Path), DiskSize: m.Lab.Artifact.Size + ExtraSize, Faults: m.Setup.Faults,
		Patches: []qemu.Patch{oem}, CDROMs: m.Setup.CDROMs, CDFirst: m.Setup.CDFirst, ExtraDisks: m.Setup.Disks, ConsoleLog: log, WriteLog: m.Setup.WriteLog, Dir: m.Setup.Dir, TPM: m.Setup.TPM, MemoryMiB: m.Setup.MemoryMiB,
		Bus: m.Setup.Bus, SectorSize: m.Setup.Sector,
	})
	return err
}

// Ready waits for the ready line, logs in, and notes the times. begin is the time of the
// request to boot.
func (m *Machine) Ready(ctx context.Context, begin time.Time, want slot.Choice) error {
	ctx, cancel := qemu.WithTimeout(ctx, m.Lab.BootTimeout)
	defer cancel()
	said, err := m.Says(ctx, want)
	if err != nil {
		return err
	}
	return m.CameUp(ctx, begin, said)
}

// Says waits for the ready line, which must name this slot and mode. It does not log in.
func (m *Machine) Says(ctx context.Context, want slot.Choice) (qemu.Match, error) {
	said, err := m.VM.WaitLine(ctx, ReadyLine)
	if err != nil {
		return said, err
	}
	m.Lived++
	return said, saysSlot(said, want)
}

// saysSlot checks the slot and the mode of a ready line.
func saysSlot(said qemu.Match, want slot.Choice) error {
	if got := (slot.Choice{Slot: layout.Slot(said.Groups[1]), Mode: layout.Mode(said.Groups[2])}); got != want {
		return fmt.Errorf("the node says %q, must say slot=%s mode=%s", strings.TrimSpace(said.Text), want.Slot, want.Mode)
	}
	return nil
}

// CameUp logs in to a node that printed the ready line said, and notes the times.
func (m *Machine) CameUp(ctx context.Context, begin time.Time, said qemu.Match) error {
	m.Version = said.Groups[3]
	if err := m.login(ctx); err != nil {
		return err
	}
	kernel, err := sinceKernelStart(ctx, m.Client, said.At)
	if err != nil {
		return err
	}
	m.Boots = append(m.Boots, Boot{
		Machine: m.Name, Number: len(m.Boots) + 1,
		ReadySeconds: Seconds(kernel), TotalSeconds: Seconds(said.At.Sub(begin)), Crashes: m.Crashes,
	})
	return nil
}

func (m *Machine) login(ctx context.Context) error {
	client, err := m.VM.SSH(ctx, qemu.Login{User: "root", Signer: m.Lab.Key.Signer()})
	if err != nil {
		return err
	}
	m.Client = client
	cmdline, err := Output(ctx, client, "", "cat", "/proc/cmdline")
	if err != nil {
		return err
	}
	memory := map[string]string{}
	if m.Guest != nil {
		memory = m.Guest.Memory
	}
	m.Guest = &Guest{
		Runner: client, Boot: m.Boot, Disk: m.Lab.Artifact, Cmdline: cmdline, Memory: memory,
		HostKey: strings.TrimSpace(string(ssh.MarshalAuthorizedKey(client.HostKey))),
		LoginAs: m.loginAs,
	}
	return nil
}

func (m *Machine) loginAs(ctx context.Context, user string) (Runner, func() error, error) {
	ctx, cancel := qemu.WithTimeout(ctx, CheckTimeout)
	defer cancel()
	client, err := m.VM.SSH(ctx, qemu.Login{User: user, Signer: m.Lab.Key.Signer()})
	if err != nil {
		return nil, nil, err
	}
	return client, client.Close, nil
}

// sinceKernelStart returns how long the kernel had run at a time in the past.
func sinceKernelStart(ctx context.Context, r Runner, at time.Time) (time.Duration, error) {
	text, err := Output(ctx, r, "", "cat", "/proc/uptime")
	if err != nil {
		return 0, err
	}
	up, _, _ := strings.Cut(text, " ")
	secs, err := strconv.ParseFloat(up, 64)
	if err != nil {
		return 0, fmt.Errorf("reading /proc/uptime: %w", err)
	}
	return time.Duration(secs*float64(time.Second)) - time.Since(at), nil
}

// Reboot restarts the guest with systemctl, as a user would, and waits until it is
// ready in slot a.
func (m *Machine) Reboot(ctx context.Context) error {
	return m.RebootBy(ctx, slot.Choice{Slot: layout.SlotA, Mode: layout.ModeActive}, "systemctl", "reboot")
}

// RebootBy restarts the guest by a command in it, and waits until it is ready.
func (m *Machine) RebootBy(ctx context.Context, want slot.Choice, argv ...string) error {
	begin := time.Now()
	if err := m.restart(ctx, argv...); err != nil {
		return err
	}
	return m.Ready(ctx, begin, want)
}

// RebootInto restarts the guest and chooses an entry of its boot menu. It does not wait until
// the node is ready.
func (m *Machine) RebootInto(ctx context.Context, e qemu.MenuEntry) error {
	if err := m.restart(ctx, "systemctl", "reboot"); err != nil {
		return err
	}
	ctx, cancel := qemu.WithTimeout(ctx, m.Lab.BootTimeout)
	defer cancel()
	return m.VM.Choose(ctx, e)
}

// restart has the guest restart itself, and closes the connection.
func (m *Machine) restart(ctx context.Context, argv ...string) error {
	m.VM.Console().Skip()
	short, cancel := qemu.WithTimeout(ctx, CheckTimeout)
	defer cancel()
	// The connection may break before the answer comes.
	out, err := m.Client.Run(short, argv...)
	if short.Err() != nil {
		return err
	}
	if err == nil && out.Exit != 0 {
		return fmt.Errorf("%s: exit status %d: %s", strings.Join(argv, " "), out.Exit, FirstOf(out.Stderr, out.Stdout))
	}
	if err := m.Client.Close(); err != nil {
		m.Lab.Log.Debug("closing the connection of a machine that restarts", "err", err)
	}
	return nil
}

// Close ends the machine and everything registered with AtEnd.
func (m *Machine) Close() error {
	for _, end := range slices.Backward(m.ends) {
		if err := end(); err != nil {
			m.Lab.Log.Warn("cleaning up after machine "+m.Name, "err", err)
		}
	}
	m.ends = nil
	if m.VM == nil {
		return nil
	}
	return m.VM.Close()
}
