// SPDX-License-Identifier: Apache-2.0

package life

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/framework/layout"
)

const readOnlyWords = "Read-only file system"

// secureBootVariable has four bytes of attributes, then a byte: 1 if Secure Boot is on.
const secureBootVariable = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"

func checkFirmware(ctx context.Context, g *lab.Guest) (string, error) {
	efi, err := g.Existing(ctx, []string{"/sys/firmware/efi"})
	if err != nil {
		return "", err
	}
	if g.Boot == qemu.BIOS {
		if len(efi) > 0 {
			return "", errors.New("/sys/firmware/efi exists on a machine without UEFI")
		}
		return "", nil
	}
	if len(efi) == 0 {
		return "", errors.New("/sys/firmware/efi is missing: the node was not started by UEFI")
	}
	text, err := g.Output(ctx, "od", "-An", "-tu1", "-j4", "-N1", secureBootVariable)
	if err != nil {
		return "", fmt.Errorf("reading the Secure Boot state: %w", err)
	}
	return compareSecureBoot(strings.TrimSpace(text), g.Boot == qemu.SecureBoot)
}

func compareSecureBoot(value string, want bool) (string, error) {
	if (value == "1") != want {
		return "", fmt.Errorf("the SecureBoot variable is %q, on a machine where Secure Boot enforcement is %v", value, want)
	}
	return "", nil
}

func checkRoot(ctx context.Context, g *lab.Guest) (string, error) {
	text, err := g.Output(ctx, "cat", "/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	m, err := rootMount(text)
	if err != nil {
		return "", err
	}
	if !slices.Contains(rootFormats(), m.fs) {
		return "", fmt.Errorf("/ is %s, must be one of %v", m.fs, rootFormats())
	}
	if options := strings.Split(m.options, ","); !slices.Contains(options, "ro") || slices.Contains(options, "rw") {
		return "", fmt.Errorf("/ is mounted with %q, must be ro", m.options)
	}
	return "", nil
}

// rootFormats are the formats of root images.
func rootFormats() []string { return []string{string(layout.EROFS), string(layout.SquashFS)} }

func checkVerity(ctx context.Context, g *lab.Guest) (string, error) {
	text, err := g.Output(ctx, "cat", "/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	m, err := rootMount(text)
	if err != nil {
		return "", err
	}
	uuid, err := g.Output(ctx, "cat", "/sys/dev/block/"+m.device+"/dm/uuid")
	if err != nil {
		return "", fmt.Errorf("/ is on %s (%s), which device-mapper does not know: %w", m.source, m.device, err)
	}
	if !strings.HasPrefix(uuid, "CRYPT-VERITY-") {
		return "", fmt.Errorf("/ is on a device-mapper device that is not dm-verity: its UUID is %q", strings.TrimSpace(uuid))
	}
	want, err := g.Disk.RootHash()
	if err != nil {
		return "", err
	}
	if got, _ := lab.Argument(g.Cmdline, layout.ArgRootHash); got != want {
		return "", fmt.Errorf("the kernel was given the root hash %q, the disk has %q", got, want)
	}
	return "", nil
}

func checkWrite(path string) func(context.Context, *lab.Guest) (string, error) {
	return func(ctx context.Context, g *lab.Guest) (string, error) {
		return "", g.Refuses(ctx, readOnlyWords, "touch", path)
	}
}

// checkStatus compares the agent's status with the expected one.
func checkStatus(ctx context.Context, g *lab.Guest) (string, error) {
	text, err := g.Output(ctx, "kairos-agent", "status", "--json")
	if err != nil {
		return "", err
	}
	return compareStatus([]byte(text))
}

// agentStatus is the part of `kairos-agent status --json` that is checked.
type agentStatus struct {
	Slot    string `json:"slot"`
	Mode    string `json:"mode"`
	Version string `json:"version"`
	Root    struct {
		FS       string `json:"fs"`
		ReadOnly bool   `json:"readOnly"`
		Verity   struct {
			State string `json:"state"`
		} `json:"verity"`
	} `json:"root"`
	Problems []string `json:"problems"`
}

func compareStatus(data []byte) (string, error) {
	var s agentStatus
	if err := json.Unmarshal(data, &s); err != nil {
		return "", fmt.Errorf("reading the status: %w", err)
	}
	var all error
	for _, f := range []struct{ name, got, want string }{
		{"slot", s.Slot, string(layout.SlotA)},
		{"mode", s.Mode, string(layout.ModeActive)},
		{"root.readOnly", strconv.FormatBool(s.Root.ReadOnly), "true"},
		{"root.verity.state", s.Root.Verity.State, "verified"},
	} {
		if f.got != f.want {
			all = errors.Join(all, fmt.Errorf("status says %s is %q, must be %q", f.name, f.got, f.want))
		}
	}
	if !slices.Contains(rootFormats(), s.Root.FS) {
		all = errors.Join(all, fmt.Errorf("status says root.fs is %q, must be one of %v", s.Root.FS, rootFormats()))
	}
	if s.Version == "" {
		all = errors.Join(all, errors.New("status has no version"))
	}
	for _, p := range s.Problems {
		all = errors.Join(all, fmt.Errorf("status has a problem: %s", p))
	}
	return "", all
}

// checkWarnings fails if the initramfs left warnings in the state file.
func checkWarnings(ctx context.Context, g *lab.Guest) (string, error) {
	text, err := g.Output(ctx, "cat", layout.StateFile)
	if err != nil {
		return "", err
	}
	var state struct {
		Warnings []string `json:"warnings"`
	}
	if err := json.Unmarshal([]byte(text), &state); err != nil {
		return "", fmt.Errorf("reading %s: %w", layout.StateFile, err)
	}
	if len(state.Warnings) > 0 {
		return "", errors.New(strings.Join(state.Warnings, "\n"))
	}
	return "", nil
}

// checkUdev fails if udev warned of something: of a link that it cannot make, for instance,
// because a rule of ours takes one device for another.
func checkUdev(ctx context.Context, g *lab.Guest) (string, error) {
	text, err := g.Output(ctx, "journalctl", "--boot", "--quiet", "--no-pager", "--output=cat", "--priority=warning",
		"--identifier=systemd-udevd", "--identifier=(udev-worker)")
	if err != nil {
		return "", err
	}
	if text = strings.TrimSpace(text); text != "" {
		return "", errors.New(text)
	}
	return "", nil
}

// checkConfig checks the file of the cloud-config, and logs in as its user.
func checkConfig(ctx context.Context, g *lab.Guest) (string, error) {
	text, err := g.Output(ctx, "cat", lab.ConfigFile)
	if err != nil {
		return "", err
	}
	if text != lab.ConfigWords {
		return "", fmt.Errorf("%s contains %q, the cloud-config says %q", lab.ConfigFile, text, lab.ConfigWords)
	}
	user, closeUser, err := g.LoginAs(ctx, lab.TestUser)
	if err != nil {
		return "", fmt.Errorf("logging in as the user of the cloud-config: %w", err)
	}
	groups, err := lab.Output(ctx, user, "", "id", "-Gn")
	if err := errors.Join(err, closeUser()); err != nil {
		return "", err
	}
	if !strings.Contains(" "+strings.TrimSpace(groups)+" ", " "+lab.TestGroup+" ") {
		return "", fmt.Errorf("user %s is in the groups %q, must be in %s", lab.TestUser, strings.TrimSpace(groups), lab.TestGroup)
	}
	return "", nil
}

// checkGrown compares the file system with the partition in the artifact. It must have
// grown by at least nine tenths of what the disk has grown.
func checkGrown(ctx context.Context, g *lab.Guest) (string, error) {
	text, err := g.Output(ctx, "stat", "-f", "-c", "%S %b", layout.MountPersistent)
	if err != nil {
		return "", err
	}
	p, err := g.Disk.Partition(layout.PartPersistent)
	if err != nil {
		return "", err
	}
	return compareGrown(text, p.Size())
}

var sizeLine = regexp.MustCompile(`^(\d+) (\d+)\s*$`)

func compareGrown(text string, before int64) (string, error) {
	m := sizeLine.FindStringSubmatch(text)
	if m == nil {
		return "", fmt.Errorf("stat says %q", text)
	}
	block, err := strconv.ParseInt(m[1], 10, 64)
	blocks, err2 := strconv.ParseInt(m[2], 10, 64)
	if err := errors.Join(err, err2); err != nil {
		return "", err
	}
	got, want := block*blocks, before+lab.ExtraSize/10*9
	if got < want {
		return "", fmt.Errorf("%s has %d MiB, must have %d MiB or more: the disk is %d MiB larger than the artifact",
			layout.MountPersistent, got>>20, want>>20, lab.ExtraSize>>20)
	}
	return fmt.Sprintf("%d MiB, in the artifact %d MiB", got>>20, before>>20), nil
}

// A mountPoint is a line of /proc/self/mountinfo; see proc_pid_mountinfo(5).
type mountPoint struct {
	device, path, options, fs, source string
}

var errMountinfo = errors.New("/proc/self/mountinfo has no line that can be read for /")

// rootMount finds the mount at /; the last one counts.
func rootMount(mountinfo string) (mountPoint, error) {
	found := mountPoint{}
	for line := range strings.Lines(mountinfo) {
		left, right, ok := strings.Cut(line, " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if ok && len(l) >= 6 && len(r) >= 3 && l[4] == "/" {
			found = mountPoint{l[2], l[4], l[5] + "," + r[2], r[0], r[1]}
		}
	}
	if found.path == "" {
		return found, errMountinfo
	}
	return found, nil
}
