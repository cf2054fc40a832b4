// SPDX-License-Identifier: Apache-2.0

// Package lab holds the tools for tests of a disk: virtual machines that boot it, nodes
// frozen when they are ready, images to upgrade to, a registry that misbehaves, a site
// that serves what a config names, and damage to the disk. It decides nothing about a
// disk: ci/acceptance and the packages below it do.
//
// The artifact is never written to. Each machine works on a copy-on-write overlay. In
// the overlay, the oem partition has one more file, a cloud-config that lets the test
// log in and writes a policy that trusts the lab's own throw-away key, as the owner of a
// node does it. The disk is larger than the artifact, so that the persistent partition can
// grow.
package lab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/ci/testimage"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/machine/kubernetes"
)

// MediumName is the installer medium beside the disk of a build, if there is one.
const MediumName = "live.iso"

// Options say which disk is booted and how. Disk or Dir is needed.
type Options struct {
	Dir string // holds disk.raw; gets the console logs
	// Disk is the image to boot; default disk.raw in Dir.
	Disk  string
	Boots []qemu.Boot // default: all that the disk's architecture has
	QEMU  string      // program; default qemu-system-x86_64 in PATH, or that of the architecture
	// NoKVM uses emulation without trying KVM.
	NoKVM bool
	// CacheDir keeps the result of the KVM probe; default kairos-build in the user's
	// cache directory.
	CacheDir string
	// Jobs is how many machines run at the same time; default one for each CPU of the
	// host, at most 4. Machines that only wait for their watchdog, usually two at most,
	// are not counted; they keep their memory.
	Jobs int
	// BootTimeout limits one boot, from QEMU's start to the first login. The default is
	// 2 minutes with KVM and 10 minutes in emulation, ten times what an idle computer
	// needs. A failed boot is noticed much earlier.
	BootTimeout time.Duration
	Log         *slog.Logger // default: discarded
	// Checked gets the result of each check that ended; default: discarded.
	Checked func(Result)
	// Say gets each line worth telling about a machine; default: discarded.
	Say func(machine, line string)
}

// WithDefaults fills in the missing options.
func (o Options) WithDefaults() (Options, error) {
	if o.Disk == "" {
		o.Disk = filepath.Join(o.Dir, "disk.raw")
	}
	if o.Jobs == 0 {
		o.Jobs = min(4, max(1, runtime.NumCPU())) // every CPU emulates one machine
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Checked == nil {
		o.Checked = func(Result) {}
	}
	if o.Say == nil {
		o.Say = func(string, string) {}
	}
	if o.CacheDir == "" {
		if cache, err := os.UserCacheDir(); err == nil {
			o.CacheDir = filepath.Join(cache, "kairos-build")
		}
	}
	if _, err := os.Stat(o.Disk); err != nil {
		return o, fmt.Errorf("nothing to test: %w: build it with: kairos-build flavor debian-13 -o %s", err, o.Dir)
	}
	return o, nil
}

// A Lab holds what all machines share.
type Lab struct {
	Options
	Host     qemu.Host
	Verdict  qemu.Verdict // of Probe
	Accel    qemu.Accelerator
	Artifact *Disk            // Options.Disk is its path
	Cluster  kubernetes.Image // what its image has of Kubernetes
	Key      qemu.Key
	Signer   *testimage.Signer // of the images in the machines' registries; the nodes trust it alone
	Images   *Images           // nil if no scenario runs
	Places   Places            // of the machines that run
	access   []byte            // cloud-config that lets the key in, with the policy
	oem      qemu.Patch
	nodes    *readyNodes
	stopped  func() bool // tells whether the test was interrupted
}

// New finds everything that the machines need: a missing part is an error before
// anything is started. Call Probe before the first machine.
func New(ctx context.Context, o Options) (*Lab, error) {
	l, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := l.prepare(); err != nil {
		return nil, errors.Join(err, l.Artifact.Close())
	}
	return l, nil
}

// open finds QEMU, the firmwares and the disk.
func open(ctx context.Context, o Options) (*Lab, error) {
	o, err := o.WithDefaults()
	if err != nil {
		return nil, err
	}
	l := &Lab{Options: o, Places: make(Places, o.Jobs), nodes: newReadyNodes(), stopped: func() bool { return ctx.Err() != nil }}
	if o.QEMU != "" { // before anything about the disk
		if _, err := qemu.Find(ctx, "", o.QEMU); err != nil {
			return nil, err
		}
	}
	if l.Artifact, err = OpenDisk(o.Disk); err != nil {
		return nil, err
	}
	if err := l.read(ctx); err != nil {
		return nil, errors.Join(err, l.Artifact.Close())
	}
	return l, nil
}

// read reads from the disk what the machines need for it.
func (l *Lab) read(ctx context.Context) error {
	kernel, err := l.Artifact.BootFile(layout.BootKernel)
	if err != nil {
		return err
	}
	if l.Host, err = l.host(ctx, kernel); err != nil {
		return err
	}
	if len(l.Boots) == 0 {
		l.Boots = l.Host.Boots()
	}
	root, err := l.Artifact.Root()
	if err != nil {
		return err
	}
	l.Cluster, err = kubernetes.ReadImage(root)
	return err
}

// host finds QEMU and the firmwares for the architecture of a kernel.
func (o Options) host(ctx context.Context, kernel []byte) (qemu.Host, error) {
	arch, err := qemu.KernelArch(kernel)
	if err != nil {
		return qemu.Host{}, err
	}
	host, err := qemu.Find(ctx, arch, o.QEMU)
	if err != nil {
		return host, err
	}
	boots := o.Boots
	if len(boots) == 0 {
		boots = host.Boots()
	}
	for _, b := range boots {
		if !slices.Contains(host.Boots(), b) {
			return host, fmt.Errorf("machines of %s have no firmware %s: there are %v", arch, b, host.Boots())
		}
		if _, err := host.Firmware(b); err != nil {
			return host, err
		}
	}
	return host, nil
}

func (l *Lab) prepare() (err error) {
	if l.Key, err = qemu.NewKey(); err != nil {
		return err
	}
	if l.Signer, err = testimage.NewSigner(); err != nil {
		return err
	}
	trusted, err := Policy(map[string]*testimage.Signer{KeyName: l.Signer})
	if err != nil {
		return err
	}
	if l.access, err = access(l.Key.Authorized(), trusted); err != nil {
		return err
	}
	l.oem, err = l.OEM(nil)
	return err
}

// Probe tries KVM with the disk's own kernel.
func (l *Lab) Probe(ctx context.Context) (err error) {
	l.Verdict, err = l.accelerator(ctx)
	l.Accel = l.Verdict.Accel
	if l.BootTimeout == 0 {
		l.BootTimeout = bootTimeout(l.Accel)
	}
	return err
}

// Close ends the lab.
func (l *Lab) Close() error { return errors.Join(l.Artifact.Close(), l.Images.remove()) }

// OEM returns the oem partition with the test's access and more files.
func (l *Lab) OEM(files map[string][]byte) (qemu.Patch, error) {
	all := map[string][]byte{AccessFile: l.access}
	maps.Copy(all, files)
	return l.Artifact.OEM(all)
}

// bootTimeout is the default of Options.BootTimeout.
func bootTimeout(a qemu.Accelerator) time.Duration {
	if a.Name == qemu.KVM().Name {
		return 2 * time.Minute
	}
	return 10 * time.Minute
}

func (l *Lab) accelerator(ctx context.Context) (verdict qemu.Verdict, err error) {
	if l.NoKVM {
		return l.tryKVM(ctx, l.Host, "")
	}
	kernel, err := l.Artifact.BootFile(layout.BootKernel)
	if err != nil {
		return verdict, err
	}
	dir, err := os.MkdirTemp("", "kairos-build-kernel-")
	if err != nil {
		return verdict, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "vmlinuz")
	if err := os.WriteFile(path, kernel, 0o600); err != nil {
		return verdict, err
	}
	return l.tryKVM(ctx, l.Host, path)
}

// tryKVM decides between KVM and emulation; kernel is the path of a Linux kernel.
func (o Options) tryKVM(ctx context.Context, host qemu.Host, kernel string) (qemu.Verdict, error) {
	if o.NoKVM {
		return qemu.Verdict{Accel: qemu.TCG(host), Reason: "not wanted"}, nil
	}
	return qemu.Prober{Host: host, Kernel: kernel, CacheDir: o.CacheDir, Log: o.Log}.Probe(ctx)
}

// Survivable returns the faults that end a wait on a node that restarts by itself after
// a kernel crash. Software emulation crashes kernels now and then, at any boot. So in
// emulation a kernel crash or panic is not among them: the wait goes on.
func (l *Lab) Survivable() []qemu.Fault {
	faults := qemu.DefaultFaults()
	if l.Accel.Name != "tcg" {
		return faults
	}
	return slices.DeleteFunc(faults, func(f qemu.Fault) bool {
		return f.Meaning == qemu.KernelCrashed || f.Meaning == qemu.KernelPanicked
	})
}

// LogsName is the folder in Options.Dir with the console logs.
const LogsName = "test-logs"

func logName(machine string) string { return filepath.Join(LogsName, machine+".log") }

// LogPath returns the path of a machine's console log.
func (l *Lab) LogPath(machine string) string { return filepath.Join(l.Dir, logName(machine)) }
