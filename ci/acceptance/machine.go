// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
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

// extraSize is how much larger than the artifact the guest's disk is, in bytes.
const extraSize = 2 * layout.GiB

// checkTimeout limits one check, and everything else that is over in seconds, or
// on a busy host that emulates in a minute or two: only what fails comes near it.
const checkTimeout = 10 * time.Minute

// readyLine is what the agent prints when the node is up.
var readyLine = regexp.MustCompile(`kairos: ready slot=(\S+) mode=(\S+) version=(\S+)`)

// A session is one virtual machine and what was found with it.
type session struct {
	r       *runner
	name    string // machine in the report
	boot    qemu.Boot
	setup   setup
	vm      *qemu.VM
	client  *qemu.Client
	guest   *Guest
	boots   []Boot
	lived   int // how often the node said that it is ready
	crashes int // earlier machines of this job whose emulated kernel crashed
	version string
	results map[string]*Result
	order   []string
}

func newSession(r *runner, name string, boot qemu.Boot, crashes int) *session {
	return &session{r: r, name: name, boot: boot, crashes: crashes, results: map[string]*Result{}}
}

// A setup is what is special about a machine. The zero value is the artifact
// with the test's access, coming up in slot a.
type setup struct {
	disk     string       // default: the artifact
	oem      *qemu.Patch  // default: the test's access
	chipset  qemu.Chipset // default: one with a watchdog
	faults   []qemu.Fault // what on the console ends the wait; nil means the usual
	cdrom    string       // an ISO image; default: none
	disks    []string     // more disks
	writeLog string       // gets a log of the disk's writes; default: none
	dir      string       // keeps the machine's files; default: one that ends with it
}

func (s *session) diskPath() string {
	if s.setup.disk != "" {
		return s.setup.disk
	}
	return s.r.disk.Path
}

func (s *session) oem() qemu.Patch {
	if s.setup.oem != nil {
		return *s.setup.oem
	}
	return s.r.oem
}

// survivable are the faults that end a wait on a node that restarts by itself
// when its kernel crashes. Software emulation crashes kernels now and then, at
// any boot; a story goes on as the node does.
func (r *runner) survivable() []qemu.Fault {
	faults := qemu.DefaultFaults()
	if r.accel.Name != "tcg" {
		return faults
	}
	return slices.DeleteFunc(faults, func(f qemu.Fault) bool {
		return f.Meaning == qemu.KernelCrashed || f.Meaning == qemu.KernelPanicked
	})
}

// record adds seconds and an outcome to a check: the first failure stays.
func (s *session) record(name, title string, took time.Duration, message string, err error) {
	res := s.results[name]
	if res == nil {
		res = &Result{Machine: s.name, Name: name, Title: title, Status: Pass, Console: s.r.logName(s.name)}
		s.results[name] = res
		s.order = append(s.order, name)
	}
	res.Seconds += seconds(took)
	if res.Status == Fail {
		return
	}
	if err != nil {
		res.Status, res.Message = Fail, err.Error()
		if path := s.r.logPath(s.name); !strings.Contains(res.Message, path) {
			res.Message += "\nconsole log: " + path
		}
	} else if message != "" {
		res.Message = message
	}
}

// skip notes a check that could not be made.
func (s *session) skip(name, title, why string) {
	if s.results[name] != nil {
		return
	}
	s.results[name] = &Result{Machine: s.name, Name: name, Title: title, Status: Skip, Message: why, Console: s.r.logName(s.name)}
	s.order = append(s.order, name)
}

// start boots the machine for the first time.
func (s *session) start(ctx context.Context) error {
	begin := time.Now()
	if err := s.launch(ctx); err != nil {
		return err
	}
	return s.ready(ctx, begin, slot.Choice{Slot: layout.SlotA, Mode: layout.ModeActive})
}

// crash gives the line with which the console tells that the kernel crashed in
// emulation, at any time of the machine's life.
func (s *session) crash() (string, bool) {
	if s.vm == nil {
		return "", false
	}
	return s.r.accel.CrashLine(s.vm.Console())
}

// failed tells whether a check failed so far.
func (s *session) failed() bool {
	for _, res := range s.results {
		if res.Status == Fail {
			return true
		}
	}
	return false
}

// launch makes the machine and starts it.
func (s *session) launch(ctx context.Context) error {
	log, err := s.newLog()
	if err != nil {
		return err
	}
	vm, err := qemu.Start(ctx, qemu.Config{
		Host: s.r.host, Accel: s.r.accel, Boot: s.boot, Chipset: s.setup.chipset, Log: s.r.Log,
		Disk: s.diskPath(), DiskSize: s.r.disk.Size + extraSize, Faults: s.setup.faults,
		Patches: []qemu.Patch{s.oem()}, CDROM: s.setup.cdrom, ExtraDisks: s.setup.disks, ConsoleLog: log, WriteLog: s.setup.writeLog, Dir: s.setup.dir,
	})
	if err != nil {
		return err
	}
	s.vm = vm
	return nil
}

// ready waits for the ready line, logs in, and notes the times. begin is when the
// boot was asked for.
func (s *session) ready(ctx context.Context, begin time.Time, want slot.Choice) error {
	ctx, cancel := context.WithTimeout(ctx, s.r.BootTimeout)
	defer cancel()
	m, err := s.readyIn(ctx, want)
	if err != nil {
		return err
	}
	return s.cameUp(ctx, begin, m)
}

// readyIn waits for the ready line of a slot.
func (s *session) readyIn(ctx context.Context, want slot.Choice) (qemu.Match, error) {
	m, err := s.vm.WaitLine(ctx, readyLine)
	if err != nil {
		return m, err
	}
	s.lived++
	if got := (slot.Choice{Slot: layout.Slot(m.Groups[1]), Mode: layout.Mode(m.Groups[2])}); got != want {
		return m, fmt.Errorf("the node says %q, must say slot=%s mode=%s", strings.TrimSpace(m.Text), want.Slot, want.Mode)
	}
	return m, nil
}

// cameUp logs in to a node that said m, and notes the times.
func (s *session) cameUp(ctx context.Context, begin time.Time, m qemu.Match) error {
	s.version = m.Groups[3]
	if err := s.login(ctx); err != nil {
		return err
	}
	kernel, err := sinceKernelStart(ctx, s.client, m.At)
	if err != nil {
		return err
	}
	s.boots = append(s.boots, Boot{
		Machine: s.name, Number: len(s.boots) + 1,
		ReadySeconds: seconds(kernel), TotalSeconds: seconds(m.At.Sub(begin)), Crashes: s.crashes,
	})
	return nil
}

func (s *session) login(ctx context.Context) error {
	client, err := s.vm.SSH(ctx, qemu.Login{User: "root", Signer: s.r.key.Signer()})
	if err != nil {
		return err
	}
	s.client = client
	cmdline, err := output(ctx, client, "", "cat", "/proc/cmdline")
	if err != nil {
		return err
	}
	memory := map[string]string{}
	if s.guest != nil {
		memory = s.guest.Memory
	}
	s.guest = &Guest{
		Runner: client, Boot: s.boot, Disk: s.r.disk, Cmdline: cmdline, Memory: memory,
		HostKey: strings.TrimSpace(string(ssh.MarshalAuthorizedKey(client.HostKey))),
		LoginAs: s.loginAs,
	}
	return nil
}

func (s *session) loginAs(ctx context.Context, user string) (Runner, func() error, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	client, err := s.vm.SSH(ctx, qemu.Login{User: user, Signer: s.r.key.Signer()})
	if err != nil {
		return nil, nil, err
	}
	return client, client.Close, nil
}

// sinceKernelStart gives how long the kernel had run at a moment that has passed.
func sinceKernelStart(ctx context.Context, r Runner, at time.Time) (time.Duration, error) {
	text, err := output(ctx, r, "", "cat", "/proc/uptime")
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

// reboot restarts the guest the way a person would, and waits until it is ready
// in slot a.
func (s *session) reboot(ctx context.Context) error {
	return s.rebootBy(ctx, slot.Choice{Slot: layout.SlotA, Mode: layout.ModeActive}, "systemctl", "reboot")
}

// rebootBy restarts the guest by a command in it, and waits until it is ready.
func (s *session) rebootBy(ctx context.Context, want slot.Choice, argv ...string) error {
	begin := time.Now()
	s.vm.Console().Skip()
	short, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	// The connection may go down before the answer comes.
	out, err := s.client.Run(short, argv...)
	if short.Err() != nil {
		return err
	}
	if err == nil && out.Exit != 0 {
		return fmt.Errorf("%s: exit status %d: %s", strings.Join(argv, " "), out.Exit, firstOf(out.Stderr, out.Stdout))
	}
	if err := s.client.Close(); err != nil {
		s.r.Log.Debug("closing the connection of a machine that restarts", "err", err)
	}
	return s.ready(ctx, begin, want)
}

// close ends the machine.
func (s *session) close() error {
	if s.vm == nil {
		return nil
	}
	return s.vm.Close()
}

// check runs one half of a row with a time limit; last means that no other half
// follows.
func (s *session) check(ctx context.Context, c Check, half func(context.Context, *Guest) (string, error), last bool) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	begin := time.Now()
	message, err := half(ctx, s.guest)
	s.record(c.Name, c.Title, time.Since(begin), message, err)
	if last || err != nil {
		s.r.progress(*s.results[c.Name])
	}
}

// inOrder gives the results in the order of the list.
func (s *session) inOrder() []Result {
	out := make([]Result, len(s.order))
	for i, name := range s.order {
		out[i] = *s.results[name]
	}
	return out
}
