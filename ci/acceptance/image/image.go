// SPDX-License-Identifier: Apache-2.0

// Package image checks a disk without booting it.
package image

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/framework/grub/bootconf"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/verity"
)

// A Check is one check of a disk that is not booted.
type Check struct {
	Name, Title string
	Run         func(context.Context, *lab.Disk) (string, error)
}

// Checks returns all checks.
func Checks() []Check {
	return []Check{
		{"partitions", "the partition table is complete, in both copies", checkPartitions},
		{"hash-tree", "every block of the root matches its hash", checkHashTree},
		{"secrets", "no host keys, machine-id, passwords or private keys", checkSecrets},
	}
}

func checkPartitions(_ context.Context, d *lab.Disk) (string, error) {
	all := d.Table.PrimaryFault
	for _, want := range layout.Table(layout.Sizes{}) {
		p, err := d.Partition(want.Name)
		if err == nil && p.Number != want.Number {
			err = fmt.Errorf("partition %q has number %d, must have %d", want.Name, p.Number, want.Number)
		}
		all = errors.Join(all, err)
	}
	return "", all
}

func checkHashTree(ctx context.Context, d *lab.Disk) (string, error) {
	script, err := d.BootFile(bootconf.SlotConfig)
	if err != nil {
		return "", err
	}
	hash, err := d.RootHash()
	if err != nil {
		return "", err
	}
	text, _ := lab.Argument(string(script), layout.ArgHashOffset)
	offset, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return "", fmt.Errorf("%s: %s: %w", bootconf.SlotConfig, layout.ArgHashOffset, err)
	}
	section, err := d.Section(layout.SlotA.Root())
	if err != nil {
		return "", err
	}
	var root [verity.HashSize]byte
	if _, err := hex.Decode(root[:], []byte(hash)); err != nil {
		return "", err
	}
	tree, err := verity.NewTree(offset, root)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d MiB", offset>>20), verity.Verify(ctx, section, tree)
}

// checkSecrets searches the root of slot a for files that must be made on the node and
// must not come with an image.
func checkSecrets(ctx context.Context, d *lab.Disk) (string, error) {
	root, err := d.Root()
	if err != nil {
		return "", err
	}
	all := errors.Join(checkMachineIDFile(root), checkShadow(root))
	err = fs.WalkDir(root, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		if why := secret(name, e); why != "" {
			all = errors.Join(all, fmt.Errorf("/%s: %s", name, why))
		}
		return nil
	})
	return "", errors.Join(all, err)
}

// secret returns why a path must not be in an image, or "".
func secret(name string, e fs.DirEntry) string {
	if !e.Type().IsRegular() {
		return ""
	}
	base := path.Base(name)
	is := func(pattern string) bool { ok, _ := path.Match(pattern, name); return ok }
	switch {
	case is("etc/ssh/ssh_host_*key*"):
		return "an SSH host key"
	case base == "id_rsa", base == "id_ed25519", base == "id_ecdsa", is("etc/ssl/private/*"):
		return "a private key"
	case is("root/.ssh/authorized_keys"), is("home/*/.ssh/authorized_keys"):
		return "SSH keys that let somebody in"
	case is("var/lib/systemd/random-seed"), is("var/lib/systemd/credential.secret"):
		return "a random seed that every node would share"
	case strings.HasPrefix(name, "var/cache/apt/archives/") && strings.HasSuffix(base, ".deb"):
		return "a package cache"
	}
	return ""
}

func checkMachineIDFile(root fs.FS) error {
	for _, name := range []string{"etc/machine-id", "var/lib/dbus/machine-id"} {
		data, err := readRegular(root, name)
		if err != nil {
			return err
		}
		if text := strings.TrimSpace(string(data)); text != "" && text != "uninitialized" {
			return fmt.Errorf("/%s: every node would have the machine-id %q", name, text)
		}
	}
	return nil
}

// readRegular reads a regular file. For any other path it returns nothing.
func readRegular(root fs.FS, name string) ([]byte, error) {
	info, err := fs.Lstat(root, name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return fs.ReadFile(root, name)
}

// checkShadow finds accounts with a password; see shadow(5).
func checkShadow(root fs.FS) error {
	data, err := readRegular(root, "etc/shadow")
	if err != nil {
		return err
	}
	var all error
	for line := range strings.Lines(string(data)) {
		f := strings.SplitN(line, ":", 3)
		if len(f) == 3 && (f[1] == "" || strings.HasPrefix(f[1], "$")) {
			all = errors.Join(all, fmt.Errorf("/etc/shadow: %s can log in with a password that is in the image", f[0]))
		}
	}
	return all
}
