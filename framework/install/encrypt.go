// SPDX-License-Identifier: Apache-2.0

package install

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/internal/tpm"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/luks2"
)

// ErrEncryption says that partitions cannot be encrypted as asked for.
var ErrEncryption = errors.New("the partitions cannot be encrypted as the config asks for")

// An Encryption says which partitions are encrypted, and what opens them.
type Encryption struct {
	Labels     []string // of their file systems
	TPM        bool     // it opens them
	Passphrase string   // opens them, too, or alone; may be empty with TPM
	PCRs       []int    // of the TPM
}

// defaultPCRs has the register of Secure Boot: whether it is on, its keys, and who signed
// the boot loader (docs/decisions/0020).
func defaultPCRs() []int { return []int{7} }

// EncryptionOf reads what a config asks for.
func EncryptionOf(c *config.Config) (Encryption, error) {
	how := c.Install.Encryption
	if len(c.Install.Encrypted) == 0 {
		if how != (config.Encryption{}) {
			return Encryption{}, fmt.Errorf("%w: install.encryption says how, and install.encrypted_partitions names no partition: add encrypted_partitions: [%s]", ErrEncryption, layout.LabelPersistent)
		}
		return Encryption{}, nil
	}
	e := Encryption{Labels: slices.Compact(slices.Sorted(slices.Values(c.Install.Encrypted))), TPM: how.Key != config.KeyPassphrase, Passphrase: how.Passphrase, PCRs: c.BindPCRs}
	if e.PCRs == nil {
		e.PCRs = defaultPCRs()
	}
	if !e.TPM && e.Passphrase == "" {
		return Encryption{}, fmt.Errorf("%w: install.encryption.key is %s, and there is no install.encryption.passphrase: add one", ErrEncryption, config.KeyPassphrase)
	}
	return e, nil
}

// A Sealer is a TPM.
type Sealer interface {
	Seal(secret []byte, pcrs []int) (tpm.Token, error)
	Unseal(tpm.Token) ([]byte, error)
	Close() error
}

// memory is what encryption takes besides, in bytes: for the key of a passphrase, and for the
// contents of the partitions before they are encrypted.
func (e Encryption) memory() int64 {
	if len(e.Labels) == 0 {
		return 0
	}
	return int64(luks2.ForPeople().Memory)<<10 + 64*layout.MiB
}

// volumes makes the volumes, by the names of their partitions, and opens each with
// everything that must open it. It returns nil if nothing is to be encrypted.
func (e Encryption) volumes(extra []layout.Partition, open func() (Sealer, error)) (_ map[string]*luks2.Volume, err error) {
	if len(e.Labels) == 0 {
		return nil, nil
	}
	var chip Sealer
	if e.TPM {
		if chip, err = open(); err != nil {
			return nil, fmt.Errorf("%w: the key of %s belongs in a TPM 2.0: %w. Switch it on in the firmware (or give the virtual machine one), or write install.encryption: {key: %s, passphrase: …}; nothing was written",
				ErrEncryption, strings.Join(e.Labels, " and "), err, config.KeyPassphrase)
		}
		defer func() { err = errors.Join(err, chip.Close()) }()
	}
	out := map[string]*luks2.Volume{}
	for _, label := range e.Labels {
		name, err := partitionOf(label, extra)
		if err == nil {
			out[name], err = e.volume(chip)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w; nothing was written", ErrEncryption, label, err)
		}
	}
	return out, nil
}

// partitionOf is the name of the partition whose file system has a label. /init names the
// decrypted device after it: kairos-root is that of the slot, and udev writes spaces in
// another way.
func partitionOf(label string, extra []layout.Partition) (string, error) {
	labels := []string{layout.LabelPersistent, layout.LabelOEM}
	for _, p := range withData(extra) {
		switch {
		case p.Label == label && (strings.Contains(p.Name, " ") || p.Name == "root"):
			return "", fmt.Errorf("an encrypted partition cannot have the name %q, since it has a space or is that of another device: change its name in install.extra-partitions", p.Name)
		case p.Label == label:
			return p.Name, nil
		case p.Label != "" && !slices.Contains(labels, p.Label):
			labels = append(labels, p.Label)
		}
	}
	return "", fmt.Errorf("the node has no partition with data that has this label: want some of %s, or list it in install.extra-partitions", strings.Join(labels, ", "))
}

// withData are the partitions with data of a node, and extra ones.
func withData(extra []layout.Partition) []layout.Partition {
	var out []layout.Partition
	for _, p := range layout.Table(layout.Sizes{}) {
		if p.FS == layout.Ext4 {
			out = append(out, p)
		}
	}
	return append(out, extra...)
}

// volume makes one volume.
func (e Encryption) volume(chip Sealer) (*luks2.Volume, error) {
	var slots []luks2.Slot
	if e.TPM {
		slot, err := e.sealed(chip)
		if err != nil {
			return nil, err
		}
		slots = append(slots, slot)
	}
	if e.Passphrase != "" {
		slots = append(slots, luks2.Slot{Passphrase: []byte(e.Passphrase), KDF: luks2.ForPeople()})
	}
	v, err := luks2.New(slots...)
	if err != nil {
		return nil, err
	}
	return v, opensWithAll(v, slots)
}

// sealed is a keyslot with a random passphrase that the TPM keeps. The TPM has to give it
// back once before anything is erased.
func (e Encryption) sealed(chip Sealer) (luks2.Slot, error) {
	secret := make([]byte, 32)
	rand.Read(secret)
	token, err := chip.Seal(secret, e.PCRs)
	if err != nil {
		return luks2.Slot{}, err
	}
	back, err := chip.Unseal(token)
	if err == nil && !bytes.Equal(back, secret) {
		err = errors.New("the TPM gives something else back than it got")
	}
	if err != nil {
		return luks2.Slot{}, fmt.Errorf("trying the TPM: %w", err)
	}
	return luks2.Slot{Passphrase: []byte(base64.StdEncoding.EncodeToString(secret)), KDF: luks2.ForRandom(), Token: token.Map()}, nil
}

func opensWithAll(v *luks2.Volume, slots []luks2.Slot) error {
	h, err := v.Header()
	if err != nil {
		return err
	}
	for i, s := range slots {
		if _, err := h.Open(bytes.NewReader(v.Head()), s.Passphrase, fmt.Sprint(i)); err != nil {
			return err
		}
	}
	return nil
}

// line says what is encrypted, and what opens it.
func (e Encryption) line() string {
	how := "a passphrase that is asked for at each boot"
	switch {
	case e.TPM && e.Passphrase != "":
		how = "the TPM, bound to " + tpm.Words(e.PCRs) + "; or the passphrase"
	case e.TPM:
		how = "the TPM alone, bound to " + tpm.Words(e.PCRs) + ": without it, or when these change, the data is lost (install.encryption.passphrase adds a second way)"
	}
	return fmt.Sprintf("locked  %s: encrypted; opened by %s", strings.Join(e.Labels, ", "), how)
}
