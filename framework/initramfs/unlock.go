// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/framework/internal/console"
	"github.com/kairos-build/kairos-build/framework/internal/dm"
	"github.com/kairos-build/kairos-build/framework/internal/tpm"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/luks2"
)

const (
	// tpmWait is how long the driver of the TPM may take.
	tpmWait = 10 * time.Second
	// askWait is how long /init waits for a passphrase where a machine must come up, or a
	// slot on trial must end, without a person.
	askWait = 3 * time.Minute
	// askAgain is how often the question is repeated: other messages push it off the screen.
	askAgain = 30 * time.Second
)

// errLocked says that a partition stays locked in this boot.
var errLocked = errors.New("its data is encrypted and stays locked")

// A lock is an encrypted data partition.
type lock struct {
	volume
	device string
	file   *os.File
	header *luks2.Header
}

// unlock opens the partition of v if it is encrypted: from then on, its path is that of the
// decrypted device. On other nodes it reads six bytes.
func (b *boot) unlock(v volume) (err error) {
	device := b.disk.paths[v.partition]
	if device == "" {
		return nil // mountVolume says so
	}
	f, err := os.Open(device)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if encrypted, err := luks2.Is(f); err != nil || !encrypted {
		return err
	}
	l := lock{volume: v, device: device, file: f}
	if l.header, err = luks2.Read(f); err != nil {
		return fmt.Errorf("%s (%s): %w: %w", v.dir, device, errLocked, err)
	}
	data, how, err := b.findKey(l)
	if err == nil {
		err = b.open(l, data, how)
	}
	if err != nil {
		return fmt.Errorf("%s (%s): %w: %w", v.dir, device, errLocked, err)
	}
	return nil
}

// open makes the decrypted device.
func (b *boot) open(l lock, data luks2.Data, how string) error {
	size, err := l.file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	size = (size - data.Offset) / data.SectorSize * data.SectorSize
	if size <= 0 {
		return errors.New("it is too small for the data of its LUKS2 header")
	}
	b.loadByName("dm_crypt", "xts", "aesni_intel")
	name := "kairos-" + l.partition
	device, err := dm.Create(name, cryptUUID(l.header.UUID, name), dm.Crypt{
		Device: l.device, Cipher: luks2.Cipher, Key: data.Key,
		Offset: data.Offset, Size: size, SectorSize: data.SectorSize, IVOffset: data.IVOffset,
	}.Table())
	if err != nil {
		return err
	}
	b.disk.paths[l.partition] = device
	b.noteOpened(l.partition, device, how)
	b.info("unlocked %s (%s) with %s", l.dir, l.device, how)
	return linkDevice(device, name)
}

// cryptUUID is the UUID that cryptsetup would give the device, so that `cryptsetup status`
// knows it.
func cryptUUID(uuid, name string) string {
	return "CRYPT-LUKS2-" + strings.ReplaceAll(uuid, "-", "") + "-" + name
}

// noteOpened notes a decrypted device for the report.
func (b *boot) noteOpened(partition, device, how string) {
	for i := range b.state.Partitions {
		if p := &b.state.Partitions[i]; p.Name == partition {
			p.Opened, p.UnlockedWith = device, how
		}
	}
}

// loadByName loads modules that are not for every machine.
func (b *boot) loadByName(names ...string) {
	if b.modules == nil {
		return
	}
	for _, name := range names {
		if err := b.modules.ByName(name); err != nil {
			b.log.Info(err.Error()) // what needs it fails, in words
		}
	}
}

// findKey asks the TPM, then people. It says who gave the key.
func (b *boot) findKey(l lock) (luks2.Data, string, error) {
	tokens := l.header.Tokens(tpm.TokenType)
	why := "it has a passphrase"
	if len(tokens) > 0 {
		data, err := b.askTPM(l, tokens)
		if err == nil {
			return data, "the TPM", nil
		}
		why = err.Error()
		b.warn("the TPM does not unlock %s: %v", l.dir, err)
	}
	slots := peoplesSlots(l.header.Metadata, tokens)
	if len(slots) == 0 {
		return luks2.Data{}, "", fmt.Errorf("%s; it has no passphrase besides", why)
	}
	data, err := b.askPeople(l, slots, why, len(tokens) > 0)
	return data, "a passphrase", err
}

// askTPM unseals the passphrase of a keyslot. The driver of the TPM may come late.
func (b *boot) askTPM(l lock, tokens []luks2.Token) (luks2.Data, error) {
	b.awaitTPM()
	t, err := tpm.Open("/dev")
	if err != nil {
		return luks2.Data{}, err
	}
	defer func() { _ = t.Close() }() // it holds nothing of ours
	var errs []error
	for _, token := range tokens {
		data, err := unseal(l, token, t.Unseal)
		if err == nil {
			return data, nil
		}
		errs = append(errs, err)
	}
	return luks2.Data{}, errors.Join(errs...)
}

func unseal(l lock, token luks2.Token, by func(tpm.Token) ([]byte, error)) (luks2.Data, error) {
	sealed, err := tpm.ParseToken(token.JSON)
	if err != nil {
		return luks2.Data{}, err
	}
	secret, err := by(sealed)
	if err != nil {
		return luks2.Data{}, err
	}
	return l.header.Open(l.file, []byte(base64.StdEncoding.EncodeToString(secret)), token.Keyslots...)
}

func (b *boot) awaitTPM() {
	b.loadByName("tpm_crb", "tpm_tis")
	for end := sinceKernelStart() + tpmWait; !tpm.Exists("/dev") && sinceKernelStart() < end; {
		if loaded, err := b.loadDrivers(); err != nil || !loaded {
			time.Sleep(pollInterval / 5)
		}
	}
}

// peoplesSlots are the keyslots that no token of a TPM opens.
func peoplesSlots(m luks2.Metadata, tokens []luks2.Token) []string {
	slots := slices.Sorted(maps.Keys(m.Keyslots))
	return slices.DeleteFunc(slots, func(id string) bool {
		return slices.ContainsFunc(tokens, func(t luks2.Token) bool { return slices.Contains(t.Keyslots, id) })
	})
}

// askPeople asks for the passphrase on every console until it is right. The passphrase of
// another partition is tried first.
func (b *boot) askPeople(l lock, slots []string, why string, hasTPM bool) (luks2.Data, error) {
	if b.passphrase != nil {
		if data, err := l.header.Open(l.file, b.passphrase, slots...); err == nil {
			return data, nil
		}
	}
	terminals, err := console.OpenTerminals("/dev", console.ActiveConsoles(console.Active))
	if err != nil {
		return luks2.Data{}, err
	}
	q := question{
		ask: terminals.Ask, say: terminals.Say, now: sinceKernelStart, alive: b.moreTime, patience: b.patience(hasTPM), outcome: b.whenLocked(),
		text: fmt.Sprintf("kairos: %s is encrypted (%s of %s), and %s.", l.dir, l.partition, b.disk.Path, why),
	}
	var data luks2.Data
	err = q.untilRight(func(passphrase []byte) (err error) {
		if data, err = l.header.Open(l.file, passphrase, slots...); err == nil {
			b.passphrase = passphrase
		}
		return err
	})
	return data, errors.Join(err, terminals.Close())
}

// onTrial tells whether this boot is one of a slot on trial.
func (b *boot) onTrial() bool { return b.args.Env != nil && b.args.Env.Try == b.args.Slot }

// patience is how long /init waits for a person; 0 means for ever. A slot on trial must end.
// A machine whose TPM does not know the disk, and one that was sent to recovery, may have
// nobody beside it, and can be reached over the network when it comes up.
func (b *boot) patience(hasTPM bool) time.Duration {
	if b.onTrial() || hasTPM || b.args.Mode == layout.ModeRecovery {
		return askWait
	}
	return 0
}

// whenLocked says what happens when nobody answers.
func (b *boot) whenLocked() string {
	if b.onTrial() {
		return "this boot of slot " + string(b.args.Slot) + " failed, and the boot loader goes back to the good slot in the end"
	}
	return "the node comes up without this data"
}
