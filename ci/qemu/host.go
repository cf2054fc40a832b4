// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"cmp"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
)

// A Host is the QEMU of this computer, and the root of its firmware paths.
type Host struct {
	QEMU    string // absolute path of qemu-system-x86_64, or that of Arch
	Version Version
	Arch    string // of its machines, as Go names it; default amd64
	Root    string // folder that firmware paths start from; default /
}

// A Version is a QEMU release.
type Version struct{ Major, Minor, Micro int }

func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Micro) }

// Find finds the QEMU for machines of an architecture, as Go names it; the default is amd64.
// program is a path or a name in PATH; "" means qemu-system-x86_64 or what the other
// architecture has. If QEMU is missing, the error is ErrNoQEMU and says what to install.
func Find(ctx context.Context, arch, program string) (Host, error) {
	b, err := boardOf(arch)
	if err != nil {
		return Host{}, err
	}
	path, err := b.lookPath(program)
	if err != nil {
		return Host{}, err
	}
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return Host{}, fmt.Errorf("asking %s for its version: %w", path, err)
	}
	version, err := ParseVersion(string(out))
	if err != nil {
		return Host{}, fmt.Errorf("reading the version of %s: %w", path, err)
	}
	return Host{QEMU: path, Version: version, Arch: b.arch, Root: "/"}, nil
}

func (b board) lookPath(program string) (string, error) {
	path, err := exec.LookPath(cmp.Or(program, b.program()))
	if err != nil && program != "" {
		return "", fmt.Errorf("%s %w: %q: name a QEMU that exists, or %s", b.program(), ErrNoQEMU, program, b.install())
	}
	if err != nil {
		return "", fmt.Errorf("%s %w in PATH: %s", b.program(), ErrNoQEMU, b.install())
	}
	return filepath.Abs(path)
}

var versionLine = regexp.MustCompile(`QEMU emulator version (\d+)\.(\d+)(?:\.(\d+))?`)

// ParseVersion reads the answer to `qemu-system-x86_64 --version`.
func ParseVersion(text string) (Version, error) {
	m := versionLine.FindStringSubmatch(text)
	if m == nil {
		return Version{}, fmt.Errorf("no QEMU version in %.80q", text)
	}
	var v Version
	for i, field := range []*int{&v.Major, &v.Minor, &v.Micro} {
		if m[i+1] == "" {
			continue
		}
		n, err := strconv.Atoi(m[i+1])
		if err != nil {
			return Version{}, fmt.Errorf("QEMU version in %.80q: %w", text, err)
		}
		*field = n
	}
	return v, nil
}
