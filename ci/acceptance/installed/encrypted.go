// SPDX-License-Identifier: Apache-2.0

package installed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// passphrase is what a person types where the TPM does not know the disk.
const passphrase = "correct horse battery staple"

// encryption is the part of the key install that encrypts all that a node writes, with a
// partition that the config adds, and mounts.
const encryption = `  encrypted_partitions: [COS_PERSISTENT, COS_OEM, DATA]
  encryption: {passphrase: "` + passphrase + `"}
  extra-partitions:
    - {name: data, label: DATA, size: 64}
mounts:
  - [LABEL=DATA, ` + extraDir + `, ext4]
`

// Where the extra partition is mounted, and by what: no boot waits for it.
const (
	extraDir  = "/mnt/data"
	extraUnit = "mnt-data.mount"
)

// What /init says on the console.
const (
	strangersDisk     = `the TPM does not unlock /oem: .*sealed by another TPM`
	asks              = `Type the passphrase \(it is not shown\) and Enter: `
	refusesPassphrase = `this is not the passphrase`
)

// secretFile is on the encrypted persistent partition, extraSecret on the extra one.
const (
	secretFile  = "/usr/local/kairos-acceptance-secret"
	extraSecret = extraDir + "/secret"
)

// A vault is the story of a machine with a TPM.
type vault struct{ story }

// TellEncrypted tells the life of a machine whose data partitions are encrypted.
func TellEncrypted(ctx context.Context, m *lab.Machine) {
	t := &vault{story: story{Machine: m, more: encryption}}
	m.Tell(ctx, false, []lab.Chapter{
		{Name: "medium", Title: "starts from the medium, with a TPM", Do: t.start},
		{Name: "installed", Title: "installs itself, and comes up from its disk without a person", Do: t.install},
		{Name: "encrypted", Title: "has its data on encrypted partitions, which the TPM has opened, and finds them by label", Do: t.isEncrypted},
		{Name: "stranger", Title: "stays locked in a machine with another TPM, says so and asks; a wrong passphrase is refused, the right one opens it", Do: t.stranger},
		{Name: "reboot", Title: "unlocks itself again after a reboot, and has its data", Do: t.reboot},
		{Name: "alone", Title: "unlocks itself without the media, when the firmware starts the disk's own boot loader", Do: t.alone},
		{Name: "upgrade", Title: "unlocks itself in an upgraded slot, and has its data", Do: t.upgrade},
		{Name: "recovery", Title: "unlocks itself in recovery", Do: t.recovery},
		{Name: "reset", Title: "is as new after a reset, still encrypted, and has the data of the extra partition", Do: t.reset},
	})
}

func (t *vault) start(ctx context.Context) (string, error) {
	dir, err := os.MkdirTemp("", "kairos-build-tpm-")
	if err != nil {
		return "", err
	}
	t.AtEnd(func() error { return os.RemoveAll(dir) })
	t.tpm = filepath.Join(dir, "own")
	return t.medium(ctx)
}

// isEncrypted looks at the partitions from below and from above.
func (t *vault) isEncrypted(ctx context.Context) (string, error) {
	if err := t.mountExtra(ctx); err != nil {
		return "", err
	}
	for _, p := range append(layout.Table(layout.Sizes{}), layout.Partition{Name: "data", Label: "DATA", FS: layout.Ext4}) {
		if p.FS != layout.Ext4 {
			continue
		}
		kind, err := t.Guest.Output(ctx, "lsblk", "--noheadings", "--nodeps", "--output", "FSTYPE", byName(p.Name))
		if err != nil {
			return "", err
		}
		if strings.TrimSpace(kind) != "crypto_LUKS" {
			return "", fmt.Errorf("partition %s has %q, must be crypto_LUKS", p.Name, strings.TrimSpace(kind))
		}
		if err := t.sameContents(ctx, p); err != nil {
			return "", err
		}
	}
	register, err := t.measured(ctx)
	return register, errors.Join(err, t.unlockedWith(ctx, "the TPM"))
}

// registerFile has the register that the key is bound to.
const registerFile = "/sys/class/tpm/tpm0/pcr-sha256/7"

// measured reads the register. A firmware that measures nothing would unlock every machine.
func (t *vault) measured(ctx context.Context) (string, error) {
	text, err := t.Guest.Output(ctx, "cat", registerFile)
	value := strings.ToLower(strings.TrimSpace(text))
	if err == nil && strings.Trim(value, "0") == "" {
		err = fmt.Errorf("%s is %q: the firmware measured nothing", registerFile, value)
	}
	return "register 7 is " + value, err
}

// mountExtra waits until the extra partition is mounted.
func (t *vault) mountExtra(ctx context.Context) error {
	_, err := t.Guest.Output(ctx, "systemctl", "start", extraUnit)
	return err
}

// sameContents checks that a partition is mounted, and found by its label, through its
// decrypted device.
func (t *vault) sameContents(ctx context.Context, p layout.Partition) error {
	mounts := map[string]string{layout.PartOEM: layout.MountOEM, layout.PartPersistent: layout.MountPersistent, "data": extraDir}
	device, err := t.Guest.Output(ctx, "readlink", "-f", "/dev/mapper/kairos-"+p.Name)
	if err != nil {
		return err
	}
	label, err := t.Guest.Output(ctx, "readlink", "-f", "/dev/disk/by-label/"+p.Label)
	if err != nil {
		return err
	}
	mounted, err := t.Guest.Output(ctx, "findmnt", "--noheadings", "--output", "MAJ:MIN", "--mountpoint", mounts[p.Name])
	if err != nil {
		return err
	}
	number, err := t.Guest.Output(ctx, "lsblk", "--noheadings", "--nodeps", "--output", "MAJ:MIN", strings.TrimSpace(device))
	if err != nil {
		return err
	}
	if label != device || strings.TrimSpace(mounted) != strings.TrimSpace(number) {
		return fmt.Errorf("%s is %s (%s), its label leads to %s, and %s is mounted from %s", p.Name, strings.TrimSpace(device), strings.TrimSpace(number), strings.TrimSpace(label), mounts[p.Name], strings.TrimSpace(mounted))
	}
	return nil
}

// unlockedWith reads how the partitions were opened in this boot.
func (t *vault) unlockedWith(ctx context.Context, want string) error {
	state, err := t.Guest.Output(ctx, "cat", layout.StateFile)
	if err != nil {
		return err
	}
	if n := strings.Count(state, `"unlockedWith": "`+want+`"`); n != 3 {
		return fmt.Errorf("%d partitions were unlocked with %s, must be 3: %s", n, want, state)
	}
	return nil
}

func (t *vault) reboot(ctx context.Context) (string, error) {
	if err := t.Reboot(ctx); err != nil {
		return "", err
	}
	return "", errors.Join(t.hasSecret(ctx), t.unlockedWith(ctx, "the TPM"), t.Settled(ctx))
}

// alone takes the media out. Until now, the firmware has started the boot loader of the
// medium, which it measured into the registers of the TPM.
func (t *vault) alone(ctx context.Context) (string, error) {
	if _, err := t.story.alone(ctx); err != nil {
		return "", err
	}
	return "", errors.Join(t.hasSecret(ctx), t.unlockedWith(ctx, "the TPM"))
}

func (t *vault) hasSecret(ctx context.Context) error {
	return errors.Join(t.has(ctx, secretFile), t.mountExtra(ctx), t.has(ctx, extraSecret))
}

func (t *vault) has(ctx context.Context, file string) error {
	got, err := t.Guest.Output(ctx, "cat", file)
	if err == nil && got != lab.ConfigWords {
		err = fmt.Errorf("%s has %q", file, got)
	}
	return err
}

func (t *vault) upgrade(ctx context.Context) (string, error) {
	message, err := t.upgradeToNext(ctx)
	if err != nil {
		return "", err
	}
	return message, errors.Join(t.hasSecret(ctx), t.unlockedWith(ctx, "the TPM"), t.WaitSlot(ctx, layout.SlotB, slot.Good))
}

// stranger puts the disk into a machine with another TPM, and back. It writes the files that
// all chapters look for.
func (t *vault) stranger(ctx context.Context) (string, error) {
	if err := errors.Join(t.PutFile(ctx, secretFile, lab.ConfigWords), t.PutFile(ctx, extraSecret, lab.ConfigWords)); err != nil {
		return "", err
	}
	own := t.Setup.TPM
	t.Setup.TPM = filepath.Join(filepath.Dir(own), "other")
	begin := time.Now()
	if err := t.swap(ctx); err != nil {
		return "", err
	}
	for _, step := range [][2]string{
		{strangersDisk, ""}, {asks, "wrong\n"}, {refusesPassphrase, ""}, {asks, passphrase + "\n"},
	} {
		if err := t.answer(ctx, step[0], step[1]); err != nil {
			return "", err
		}
	}
	if err := t.Ready(ctx, begin, slot.Choice{Slot: layout.SlotA, Mode: layout.ModeActive}); err != nil {
		return "", err
	}
	if err := errors.Join(t.hasSecret(ctx), t.unlockedWith(ctx, "a passphrase")); err != nil {
		return "", err
	}
	t.Setup.TPM = own
	begin = time.Now()
	if err := t.swap(ctx); err != nil {
		return "", err
	}
	if err := t.Ready(ctx, begin, slot.Choice{Slot: layout.SlotA, Mode: layout.ModeActive}); err != nil {
		return "", err
	}
	return "", errors.Join(t.hasSecret(ctx), t.unlockedWith(ctx, "the TPM"))
}

// swap cuts the power and starts the machine with the TPM of its setup.
func (t *vault) swap(ctx context.Context) error {
	if err := t.Client.Close(); err != nil {
		t.Lab.Log.Debug("closing the connection of a machine that loses its power", "err", err)
	}
	if err := t.VM.Close(); err != nil {
		return err
	}
	return t.Launch(ctx)
}

// answer waits for words on the console, and types a text.
func (t *vault) answer(ctx context.Context, words, text string) error {
	ctx, cancel := qemu.WithTimeout(ctx, t.Lab.BootTimeout)
	defer cancel()
	if _, err := t.VM.WaitFor(ctx, regexp.MustCompile(words)); err != nil || text == "" {
		return err
	}
	return t.VM.Send(text)
}

func (t *vault) recovery(ctx context.Context) (string, error) {
	if err := t.intoRecovery(ctx); err != nil {
		return "", err
	}
	return "", errors.Join(t.hasSecret(ctx), t.unlockedWith(ctx, "the TPM"))
}

func (t *vault) reset(ctx context.Context) (string, error) {
	if err := t.resetLoses(ctx, secretFile); err != nil {
		return "", err
	}
	said, err := t.isEncrypted(ctx)
	return said, errors.Join(err, t.has(ctx, extraSecret))
}
