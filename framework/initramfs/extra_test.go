// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
	"github.com/kairos-build/kairos-build/framework/ondisk/luks2"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// TestUnlockExtra: a volume of the installer that stays locked ends the boot of a slot on
// trial, and is a warning in another one. Volumes of others are left alone.
func TestUnlockExtra(t *testing.T) {
	trial, good := &slot.State{Good: "a", Try: "b", Tries: 1}, &slot.State{Good: "b"}
	// Another cipher locks a volume, without the wait for a TPM.
	ours, damaged := remade(t, onlyTPM(t), luks2.Cipher, "aes-cbc-plain64"), []byte("LUKS\xba\xbe\x00\x02")
	for name, tt := range map[string]struct {
		partition string
		contents  []byte
		env       *slot.State
		ends      bool
		say       string
	}{
		"not encrypted":     {"data", nil, trial, false, ""},
		"ours, on trial":    {"data", ours, trial, true, ""},
		"ours":              {"data", ours, good, false, "partition data (DEVICE): its data is encrypted and stays locked"},
		"of the layout":     {layout.PartPersistent, ours, trial, false, ""}, // mountData does it
		"LUKS 1":            {"data", []byte("LUKS\xba\xbe\x00\x01"), trial, false, ""},
		"of another":        {"data", remade(t, onlyTPM(t), luks2.Subsystem+"\x00", "admins\x00"), trial, false, ""},
		"a damaged header":  {"data", damaged, trial, false, "reading the encrypted volume DEVICE: the LUKS2 header is damaged"},
		"no such partition": {"", nil, trial, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			device := t.TempDir() + "/partition"
			if err := os.WriteFile(device, append(bytes.Clone(tt.contents), make([]byte, 64<<10)...), 0o600); err != nil {
				t.Fatal(err)
			}
			b := &boot{
				log: slog.New(slog.DiscardHandler), args: arguments{Slot: "b", Mode: layout.ModeActive, Env: tt.env},
				disk:  disk{paths: map[string]string{tt.partition: device}},
				table: &gpt.Table{Partitions: []gpt.Partition{{Name: layout.PartPersistent}, {Name: "data"}}},
			}
			if err := b.unlockExtra(); errors.Is(err, errLocked) != tt.ends || (err != nil) != tt.ends {
				t.Errorf("got %v", err)
			}
			said := strings.Join(b.state.Warnings, "\n")
			if want := strings.ReplaceAll(tt.say, "DEVICE", device); !strings.Contains(said, want) || want == "" && strings.Contains(said, "untouched") {
				t.Errorf("it warns %q, must say %q", said, want)
			}
		})
	}
}

// onlyTPM is the head of a volume with no passphrase for people.
func onlyTPM(t *testing.T) []byte {
	t.Helper()
	v, err := luks2.New(luks2.Slot{Passphrase: []byte("of a TPM that is not here"), KDF: luks2.ForRandom(), Token: map[string]any{"type": "systemd-tpm2"}})
	if err != nil {
		t.Fatal(err)
	}
	return v.Head()
}

// remade is the head of a volume with another text in both headers, and their new checksums;
// see framework/ondisk/luks2.
func remade(t *testing.T, head []byte, from, to string) []byte {
	t.Helper()
	head = bytes.ReplaceAll(head, []byte(from), []byte(to))
	const size, checksum = 16 << 10, 448
	for at := 0; at < 2*size; at += size {
		h := head[at : at+size]
		clear(h[checksum : checksum+64])
		sum := sha256.Sum256(h)
		copy(h[checksum:], sum[:])
	}
	if _, err := luks2.Read(bytes.NewReader(head)); errors.Is(err, luks2.ErrDamaged) {
		t.Fatal(err)
	}
	return head
}
