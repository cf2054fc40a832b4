// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// A VM is a virtual machine: its files, and its current QEMU.
type VM struct {
	machine
	temporary bool // Close removes Dir
	log       *os.File
	stop      func() bool // ends the watch on the context of Start
	tpm       *process    // nil without a TPM

	mu      sync.Mutex
	run     *process
	console *Console
	fed     chan error // gets the result when the console is read to its end
	qmp     *QMP
	ports   map[int]int
	asked   bool // this package ends or has ended this QEMU
	closed  bool
}

// Start makes a machine's files and starts it. The machine ends at Close, or with ctx.
func Start(ctx context.Context, c Config) (*VM, error) {
	c = c.withDefaults()
	if c.Chipset == I440FX && c.Boot != BIOS {
		return nil, fmt.Errorf("a machine with chipset %s and firmware %s: use BIOS, or chipset %s", c.Chipset, c.Boot, Q35)
	}
	if boots := c.Host.Boots(); !slices.Contains(boots, c.Boot) {
		return nil, fmt.Errorf("a machine of %s with firmware %s: there are %v", c.Host.board().arch, c.Boot, boots)
	}
	v := &VM{machine: machine{Config: c}}
	if err := v.prepare(); err != nil {
		return nil, errors.Join(err, v.removeFiles())
	}
	if err := v.launch(ctx, nil); err != nil {
		return nil, errors.Join(err, v.removeFiles())
	}
	v.stop = context.AfterFunc(ctx, v.Kill)
	return v, nil
}

// prepare makes the files that outlast one QEMU.
func (v *VM) prepare() error {
	if err := v.makeDir(); err != nil {
		return err
	}
	if err := v.prepareFirmware(); err != nil {
		return err
	}
	if err := v.prepareDisks(); err != nil {
		return err
	}
	return v.openLog()
}

func (v *VM) openLog() error {
	if v.ConsoleLog == "" {
		v.ConsoleLog = filepath.Join(v.Dir, "console.log")
	}
	log, err := os.OpenFile(v.ConsoleLog, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("opening the console log: %w", err)
	}
	v.log = log
	return nil
}

func (v *VM) makeDir() error {
	if v.Dir != "" {
		return os.MkdirAll(v.Dir, 0o755)
	}
	dir, err := os.MkdirTemp("", "kairos-build-vm-")
	if err != nil {
		return fmt.Errorf("making a directory for the virtual machine: %w", err)
	}
	v.Dir, v.temporary = dir, true
	return nil
}

// prepareFirmware gives the machine its own variables, unless an earlier run left them in
// Dir.
func (v *VM) prepareFirmware() error {
	fw, err := v.Host.Firmware(v.Boot)
	if err != nil || v.Boot == BIOS {
		return err
	}
	vars := filepath.Join(v.Dir, "nvram-"+string(v.Boot)+".fd")
	if err := copyIfMissing(vars, fw.Vars.Path); err != nil {
		return fmt.Errorf("copying the firmware's variables: %w", err)
	}
	fw.Vars.Path = vars
	v.firmware = fw
	return nil
}

// prepareDisks makes an overlay for each disk that has none in Dir yet.
func (v *VM) prepareDisks() error {
	var disks []Overlay
	if v.Disk != "" {
		disks = append(disks, Overlay{Backing: v.Disk, Size: v.DiskSize, Patches: v.Patches})
	}
	for _, d := range v.ExtraDisks {
		disks = append(disks, Overlay{Backing: d})
	}
	for i, d := range disks {
		path := filepath.Join(v.Dir, fmt.Sprintf("disk%d.qcow2", i))
		v.disks = append(v.disks, path)
		if _, err := os.Stat(path); err == nil {
			continue
		}
		if err := d.Write(path); err != nil {
			return err
		}
	}
	return nil
}

func copyIfMissing(to, from string) error {
	if _, err := os.Stat(to); err == nil {
		return nil
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o600)
}

// launch starts QEMU and waits until it answers. incoming is the state of a frozen machine
// for QEMU to read; nil means that the machine boots.
func (v *VM) launch(ctx context.Context, incoming *os.File) error {
	if err := v.beginWriteLog(); err != nil {
		return err
	}
	v.Log.Info("starting QEMU", "boot", v.Boot, "accel", v.Accel.Name, "disk", v.Disk, "console", v.ConsoleLog)
	args := v.args()
	if incoming != nil {
		args = append(args, "-incoming", fmt.Sprintf("fd:%d", incomingFD))
	}
	p, err := v.spawn(args, incoming)
	if err != nil {
		return err
	}
	v.mu.Lock()
	v.run, v.asked = p, false
	v.console = newConsole(p.console, v.ConsoleLog, v.Faults)
	v.fed = make(chan error, 1)
	console, fed := v.console, v.fed
	v.mu.Unlock()
	go func() { fed <- console.feed(p.console, v.log) }()
	p.stderr.when("KVM internal error", p.kill)
	ctx, cancel := context.WithTimeout(ctx, v.StartTimeout)
	defer cancel()
	if err := v.greet(ctx, p); err != nil {
		return errors.Join(v.explain(err, p), v.end())
	}
	return nil
}

// spawn starts QEMU, and before it the machine's TPM.
func (v *VM) spawn(args []string, incoming *os.File) (*process, error) {
	with := inheritance{incoming: incoming, tap: v.Network.TAP}
	if v.TPM == "" {
		return spawn(v.Host.QEMU, args, with)
	}
	tpm, socket, err := startTPM(v.TPM)
	if err != nil {
		return nil, err
	}
	defer socket.Close() // QEMU has its own
	with.tpm = socket
	p, err := spawn(v.Host.QEMU, args, with)
	if err != nil {
		tpm.kill()
	}
	v.tpm = tpm
	return p, err
}

// beginWriteLog makes an empty log. QEMU does not create the file, and old bytes behind
// the end of a log must not look like a part of it.
func (v *VM) beginWriteLog() error {
	if v.WriteLog == "" {
		return nil
	}
	if err := os.WriteFile(v.WriteLog, nil, 0o644); err != nil {
		return fmt.Errorf("beginning the log of writes: %w", err)
	}
	return nil
}

func (v *VM) greet(ctx context.Context, p *process) error {
	qmp, err := NewQMP(ctx, p.qmp)
	if err != nil {
		return err
	}
	text, err := qmp.Human(ctx, "info usernet")
	if err != nil {
		return err
	}
	ports, err := parseForwards(text)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.qmp, v.ports = qmp, ports
	return err
}

// explain replaces the error of a broken connection with QEMU's last output, if QEMU has
// ended.
func (v *VM) explain(err error, p *process) error {
	select {
	case <-p.done:
		return v.exitError(p)
	case <-time.After(time.Second):
		return err
	}
}

func (v *VM) exitError(p *process) error {
	return &ExitError{p.state, strings.TrimSpace(p.stderr.String()), v.ConsoleLog, v.Console().Tail(tailLines)}
}

// Console is the serial line of the current QEMU.
func (v *VM) Console() *Console {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.console
}

// QMP is the machine protocol of the current QEMU.
func (v *VM) QMP() *QMP {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.qmp
}

// Port is the port of 127.0.0.1 that leads to a port of the guest, or 0.
func (v *VM) Port(guest int) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.ports[guest]
}

// PID is the process ID of QEMU.
func (v *VM) PID() int { return v.process().pid }

func (v *VM) process() *process {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.run
}

// Done is closed when QEMU is gone.
func (v *VM) Done() <-chan struct{} { return v.process().done }

// WaitFor waits for a line of the console; see Console.WaitFor. If QEMU ends by itself,
// the error is an ExitError.
func (v *VM) WaitFor(ctx context.Context, re *regexp.Regexp) (Match, error) {
	return v.waited(v.Console().WaitFor(ctx, re))
}

// WaitLine is WaitFor for finished lines.
func (v *VM) WaitLine(ctx context.Context, re *regexp.Regexp) (Match, error) {
	return v.waited(v.Console().WaitLine(ctx, re))
}

func (v *VM) waited(m Match, err error) (Match, error) {
	if errors.Is(err, ErrEnded) {
		err = v.endError(err)
	}
	return m, err
}

// Send types text on the console.
func (v *VM) Send(text string) error { return v.Console().Send(text) }

func (v *VM) endError(err error) error {
	v.mu.Lock()
	p, asked := v.run, v.asked
	v.mu.Unlock()
	if asked {
		return err
	}
	return v.explain(err, p)
}

// Wait waits until QEMU has ended. It returns nil if this package ended QEMU, or the guest
// ended it with exit status 0.
func (v *VM) Wait(ctx context.Context) error {
	p := v.process()
	select {
	case <-p.done:
	case <-ctx.Done():
		return &TimeoutError{"the end of the virtual machine", v.ConsoleLog, v.Console().Tail(tailLines), ctx.Err()}
	}
	v.mu.Lock()
	asked := v.asked
	v.mu.Unlock()
	if !asked && p.state != "exit status 0" {
		return v.exitError(p)
	}
	return v.end()
}

// Reset presses the reset button.
func (v *VM) Reset(ctx context.Context) error { return v.QMP().Do(ctx, "system_reset", nil, nil) }

// NextReset waits for the next reset of the guest: by a watchdog, by the guest's own
// reboot, or by Reset. Resets before the call do not count.
func (v *VM) NextReset(ctx context.Context) error {
	qmp := v.QMP()
	err := qmp.WaitEvents(ctx, "RESET", qmp.Events("RESET")+1)
	if err != nil && ctx.Err() != nil {
		return &TimeoutError{"a reset of the guest", v.ConsoleLog, v.Console().Tail(tailLines), ctx.Err()}
	}
	if err != nil {
		return v.endError(err)
	}
	return nil
}

// Pause stops the guest and its clocks until Resume.
func (v *VM) Pause(ctx context.Context) error { return v.QMP().Do(ctx, "stop", nil, nil) }

// Resume continues a paused guest.
func (v *VM) Resume(ctx context.Context) error { return v.QMP().Do(ctx, "cont", nil, nil) }

// PowerOff presses the power button and waits until the guest has shut down.
func (v *VM) PowerOff(ctx context.Context) error {
	if err := v.QMP().Do(ctx, "system_powerdown", nil, nil); err != nil {
		return err
	}
	return v.Wait(ctx)
}

// Kill cuts the power: QEMU gets SIGKILL. The guest's writes, flushed or not, stay in the
// overlay, except those that QEMU still had in its own memory.
func (v *VM) Kill() {
	v.mu.Lock()
	p := v.run
	v.asked = true
	v.mu.Unlock()
	if p != nil {
		p.kill()
	}
}

// settleTime limits how long QEMU may write what it still has.
const settleTime = 2 * time.Minute

// settle has QEMU write what it has of a memory card in its own memory. Such a card has no
// cache: Linux flushes nothing, and after a power cut all is there that was written.
func (v *VM) settle() error {
	p := v.process()
	if v.Bus != SD || p == nil || v.QMP() == nil {
		return nil
	}
	select {
	case <-p.done:
		return nil
	default:
	}
	ctx, cancel := context.WithTimeout(context.Background(), settleTime)
	defer cancel()
	return v.Pause(ctx) // QEMU flushes when a guest stops
}

// end ends the current QEMU and closes its console and sockets.
func (v *VM) end() error {
	settled := v.settle()
	v.Kill()
	v.mu.Lock()
	p, fed := v.run, v.fed
	v.fed = nil
	v.mu.Unlock()
	if p == nil || fed == nil {
		return settled
	}
	err := errors.Join(settled, <-fed) // QEMU's end is closed, so this ends
	p.closeSockets()
	if v.tpm != nil {
		v.tpm.kill()
	}
	return err
}

// Restart ends the current QEMU and starts the machine again with the same disks and
// firmware variables. ctx limits the start only.
func (v *VM) Restart(ctx context.Context) error {
	if err := v.end(); err != nil {
		return err
	}
	return v.launch(ctx, nil)
}

// Close ends the machine and removes its files, unless Config.Dir was set. It can be called
// twice.
func (v *VM) Close() error {
	if v.closed {
		return nil
	}
	v.closed = true
	v.stop()
	return errors.Join(v.end(), v.removeFiles())
}

func (v *VM) removeFiles() error {
	var err error
	if v.log != nil {
		err = v.log.Close()
	}
	if v.temporary {
		err = errors.Join(err, os.RemoveAll(v.Dir))
	}
	return err
}
