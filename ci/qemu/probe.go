// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// A Prober decides between KVM and TCG. /dev/kvm may open, and even make virtual
// machines, without being able to run them: nested and emulated KVM start a guest and
// then hang in it, or die of the first unknown instruction. So a prober boots guests.
//
// The first guest is a boot sector, which a working KVM runs in a tenth of a second. A
// KVM that runs it can still hang in Linux. So the second guest is a Linux kernel without
// a root; its panic proves that it got that far.
type Prober struct {
	Host   Host
	Kernel string // a Linux kernel to try, best the tested one; "" means the boot sector alone
	// CacheDir keeps the answer until the computer restarts or QEMU changes. Default: no
	// cache.
	CacheDir string
	Log      *slog.Logger // default: nothing is logged
	// SectorLimit and LinuxLimit limit the two boots; default 5 s and 20 s.
	SectorLimit, LinuxLimit time.Duration
}

// A Verdict is the result of a prober.
type Verdict struct {
	Accel  Accelerator
	Reason string        // why Accel is not KVM; empty if it is
	Took   time.Duration // 0 if the answer came from the cache
	Cached bool
}

// Probe tries KVM, or reads the cached answer. Broken KVM is no error: the verdict is TCG.
func (p Prober) Probe(ctx context.Context) (Verdict, error) {
	p = p.withDefaults()
	if arch := p.Host.board().arch; arch != runtime.GOARCH {
		return p.verdict(fmt.Sprintf("the machine's processor is %s, this computer's %s", arch, runtime.GOARCH)), nil
	}
	if runtime.GOARCH != "amd64" {
		return p.verdict("KVM is tried on amd64 alone so far"), nil
	}
	if err := openKVM(); err != nil {
		return p.verdict(err.Error()), nil
	}
	cache := p.cache()
	if reason, ok := cache.load(); ok {
		v := p.verdict(reason)
		v.Cached = true
		return v, nil
	}
	begin := time.Now()
	reason, err := p.boot(ctx)
	if err != nil {
		return Verdict{}, fmt.Errorf("trying KVM: %w", err)
	}
	v := p.verdict(reason)
	v.Took = time.Since(begin)
	p.Log.Info("tried KVM", "works", reason == "", "reason", reason, "took", v.Took.Round(time.Millisecond))
	if err := cache.store(reason); err != nil {
		p.Log.Warn("the answer about KVM is not kept", "err", err)
	}
	return v, nil
}

func (p Prober) withDefaults() Prober {
	if p.SectorLimit == 0 {
		p.SectorLimit = 5 * time.Second
	}
	if p.LinuxLimit == 0 {
		p.LinuxLimit = 20 * time.Second
	}
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	return p
}

func (p Prober) verdict(reason string) Verdict {
	if reason == "" {
		return Verdict{Accel: KVM()}
	}
	return Verdict{Accel: TCG(p.Host), Reason: reason}
}

// openKVM returns an error that says why KVM cannot even be tried.
func openKVM() error {
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return errors.New("this computer has no /dev/kvm")
	case errors.Is(err, os.ErrPermission):
		return errors.New("no permission to use /dev/kvm: join the group kvm")
	case err != nil:
		return err
	}
	return f.Close()
}

// boot returns the reason why KVM does not work, or "". Its error is not about KVM.
func (p Prober) boot(ctx context.Context) (string, error) {
	dir, err := os.MkdirTemp("", "kairos-build-probe-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir) // at worst a few small files stay
	trials := []trial{p.sectorTrial(dir)}
	if p.Kernel != "" {
		trials = append(trials, p.linuxTrial(dir))
	}
	if err := os.WriteFile(filepath.Join(dir, "sector.img"), bootSector(), 0o600); err != nil {
		return "", err
	}
	for _, t := range trials {
		if reason := t.run(ctx, p.Host.QEMU); reason != "" {
			return t.name + ": " + reason, ctx.Err()
		}
	}
	return "", nil
}

// A trial is one guest under KVM.
type trial struct {
	name   string
	args   []string
	serial string        // file that gets the serial line
	limit  time.Duration // the guest must end QEMU within it
	status int           // QEMU's exit status on success
	says   string        // text that must be on the serial line
}

func (p Prober) sectorTrial(dir string) trial {
	serial := filepath.Join(dir, "sector.log")
	args := append(trialArgs(serial), "-m", "64",
		"-device", fmt.Sprintf("isa-debug-exit,iobase=%#x,iosize=4", exitPort),
		"-drive", "format=raw,if=ide,file="+quote(filepath.Join(dir, "sector.img")))
	return trial{"a boot sector", args, serial, p.SectorLimit, exitStatus, "K"}
}

// linuxTrial boots a kernel that finds no root, panics, and restarts at once.
func (p Prober) linuxTrial(dir string) trial {
	serial := filepath.Join(dir, "linux.log")
	args := append(trialArgs(serial), "-m", "512", "-no-reboot",
		"-kernel", p.Kernel, "-append", "console=ttyS0 panic=-1")
	return trial{"a Linux kernel", args, serial, p.LinuxLimit, 0, "Kernel panic - not syncing: VFS"}
}

func trialArgs(serial string) []string {
	kvm := KVM()
	return []string{
		"-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35",
		"-accel", kvm.Arg, "-cpu", kvm.CPU, "-smp", "1", "-serial", "file:" + serial,
	}
}

// run returns the reason why the trial failed, or "".
func (t trial) run(ctx context.Context, qemu string) string {
	limited, cancel := context.WithTimeout(ctx, t.limit)
	defer cancel()
	cmd := exec.CommandContext(limited, qemu, t.args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stderr := &tailWriter{limit: stderrTail}
	stderr.when("KVM internal error", cancel)
	cmd.Stderr = stderr
	err := cmd.Run()
	said, readErr := os.ReadFile(t.serial)
	switch {
	case strings.Contains(stderr.String(), "KVM internal error"):
		return "KVM met an instruction that it cannot run"
	case limited.Err() != nil:
		return fmt.Sprintf("no end after %v", t.limit)
	case cmd.ProcessState == nil:
		return err.Error()
	case cmd.ProcessState.ExitCode() != t.status:
		return fmt.Sprintf("QEMU ended with %v: %s", cmd.ProcessState, firstLine(stderr.String()))
	case readErr != nil || !bytes.Contains(said, []byte(t.says)):
		return fmt.Sprintf("its serial line does not say %q", t.says)
	}
	return ""
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}
