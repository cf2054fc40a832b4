// SPDX-License-Identifier: Apache-2.0

package install

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/install/disks"
	"github.com/kairos-build/kairos-build/framework/internal/tpm"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
	"github.com/kairos-build/kairos-build/framework/ondisk/luks2"
)

// A chip is a TPM that seals nothing: the real one is in framework/internal/tpm.
type chip struct {
	forgets bool
	closed  int
}

func (c *chip) Seal(secret []byte, pcrs []int) (tpm.Token, error) {
	return tpm.Token{Type: tpm.TokenType, Blob: bytes.Clone(secret), PCRs: pcrs, Bank: "sha256", PrimaryAlg: "ecc"}, nil
}

func (c *chip) Unseal(t tpm.Token) ([]byte, error) {
	if c.forgets {
		return nil, tpm.ErrRegisters
	}
	return t.Blob, nil
}

func (c *chip) Close() error { c.closed++; return nil }

func (c *chip) open() (Sealer, error) { return c, nil }

func noTPM() (Sealer, error) { return nil, tpm.ErrAbsent }

func decode(t *testing.T, text string) *config.Config {
	t.Helper()
	c, problems := config.Decode("a.yaml", []byte(text))
	if len(problems) > 0 {
		t.Fatal(problems.Error())
	}
	return config.Merge(c)
}

func TestEncryptionOf(t *testing.T) {
	for text, want := range map[string]Encryption{
		"hostname: a\n": {},
		"install: {encrypted_partitions: [COS_PERSISTENT]}\n":                                                                        {Labels: []string{"COS_PERSISTENT"}, TPM: true, PCRs: []int{7}},
		"install: {encrypted_partitions: [COS_PERSISTENT, COS_OEM, COS_OEM], encryption: {passphrase: abc}}\nbind-pcrs: [7, '11']\n": {Labels: []string{"COS_OEM", "COS_PERSISTENT"}, TPM: true, Passphrase: "abc", PCRs: []int{7, 11}},
		"install: {encrypted_partitions: [COS_PERSISTENT], encryption: {key: passphrase, passphrase: abc}}\nbind-pcrs: []\n":         {Labels: []string{"COS_PERSISTENT"}, Passphrase: "abc", PCRs: []int{}},
	} {
		got, err := EncryptionOf(decode(t, text))
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", text, err, diff)
		}
	}
	for text, say := range map[string]string{
		"install: {encryption: {passphrase: abc}}\n":                                         "install.encrypted_partitions names no partition: add encrypted_partitions: [COS_PERSISTENT]",
		"install: {encrypted_partitions: [COS_PERSISTENT], encryption: {key: passphrase}}\n": "there is no install.encryption.passphrase: add one",
	} {
		if _, err := EncryptionOf(decode(t, text)); !errors.Is(err, ErrEncryption) || !strings.Contains(err.Error(), say) {
			t.Errorf("%s: got %v", text, err)
		}
	}
}

// TestEncryptedInstall: the disk has a volume that the TPM's secret and the passphrase open,
// and says what opens it.
func TestEncryptedInstall(t *testing.T) {
	p, c := &plate{make([]byte, 270<<20)}, &chip{}
	r, m := request(t), computer(p, disks.Contents{})
	r.Encryption = Encryption{Labels: []string{layout.LabelOEM, layout.LabelPersistent}, TPM: true, Passphrase: "correct horse", PCRs: []int{7}}
	m.TPM = c.open
	plan, err := Prepare(t.Context(), m, r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.closed != 1 {
		t.Errorf("the TPM was closed %d times", c.closed)
	}
	if said := strings.Join(plan.Lines(), "\n"); !strings.Contains(said, "locked  COS_OEM, COS_PERSISTENT: encrypted; opened by the TPM, bound to the registers [7]; or the passphrase") {
		t.Errorf("it says\n%s", said)
	}
	if err := errors.Join(plan.Run(t.Context()), plan.Close()); err != nil {
		t.Fatal(err)
	}
	table, err := gpt.Read(p, p.Size())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{layout.PartOEM, layout.PartPersistent} {
		part, _ := table.Partition(name)
		at := section{p, part.Offset()}
		h, err := luks2.Read(at)
		if err != nil {
			t.Fatal(err)
		}
		token, err := tpm.ParseToken(h.Tokens(tpm.TokenType)[0].JSON)
		if err != nil {
			t.Fatal(err)
		}
		for _, passphrase := range []string{base64.StdEncoding.EncodeToString(token.Blob), "correct horse"} {
			if _, err := h.Open(at, []byte(passphrase)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if bytes.Contains(p.data, []byte("hostname: a")) || bytes.Contains(p.data, []byte("correct horse")) {
		t.Error("the config or the passphrase can be read on the disk")
	}
}

// TestEncryptedExtra: a partition that the config adds is encrypted by its label.
func TestEncryptedExtra(t *testing.T) {
	p := &plate{make([]byte, 300<<20)}
	r, m := request(t), computer(p, disks.Contents{})
	r.Extra = Extra(decode(t, "install: {extra-partitions: [{name: open, label: OPEN, size: 16}, {name: data, label: DATA, size: 16}]}\n").Install.Extra)
	r.Encryption, m.TPM = Encryption{Labels: []string{"DATA"}, Passphrase: "correct horse"}, noTPM
	plan, err := Prepare(t.Context(), m, r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(plan.Run(t.Context()), plan.Close()); err != nil {
		t.Fatal(err)
	}
	table, err := gpt.Read(p, p.Size())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"open": false, "data": true, layout.PartOEM: false, layout.PartPersistent: false} {
		part, _ := table.Partition(name)
		if got, err := luks2.Is(section{p, part.Offset()}); got != want || err != nil {
			t.Errorf("%s: encrypted %v, %v; must be %v", name, got, err, want)
		}
	}
	part, _ := table.Partition("data")
	at := section{p, part.Offset()}
	h, err := luks2.Read(at)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Open(at, []byte("correct horse")); err != nil || h.Subsystem != luks2.Subsystem {
		t.Errorf("made by %q: %v", h.Subsystem, err)
	}
}

// TestEncryptionRefuses: nothing is written if the keys cannot be kept.
func TestEncryptionRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		e   Encryption
		tpm func() (Sealer, error)
		say string
	}{
		"no TPM":            {Encryption{Labels: []string{"COS_PERSISTENT"}, TPM: true}, noTPM, "the key of COS_PERSISTENT belongs in a TPM 2.0: this machine has no TPM 2.0. Switch it on in the firmware (or give the virtual machine one), or write install.encryption: {key: passphrase, passphrase: …}; nothing was written"},
		"a TPM that lies":   {Encryption{Labels: []string{"COS_OEM"}, TPM: true}, (&chip{forgets: true}).open, "COS_OEM: trying the TPM: registers of the TPM differ"},
		"no such partition": {Encryption{Labels: []string{"DATA"}, Passphrase: "a"}, noTPM, "the node has no partition with data that has this label: want some of COS_PERSISTENT, COS_OEM, SHARE, or list it in install.extra-partitions"},
		"spaces":            {Encryption{Labels: []string{"SHARE"}, Passphrase: "a"}, noTPM, `an encrypted partition cannot have the name "my share"`},
		"a slot":            {Encryption{Labels: []string{layout.PartEFI}, Passphrase: "a"}, noTPM, "no partition with data"},
	} {
		p := &plate{make([]byte, 270<<20)}
		r, m := request(t), computer(p, disks.Contents{})
		r.Encryption, m.TPM = c.e, c.tpm
		r.Extra = []layout.Partition{{Name: "my share", Label: "SHARE", Type: layout.TypeLinux, FS: layout.FAT32, Size: 16 * layout.MiB}}
		if _, err := Prepare(t.Context(), m, r, nil); !errors.Is(err, ErrEncryption) || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: got %v", name, err)
		}
		if len(bytes.Trim(p.data, "\x00")) > 0 {
			t.Errorf("%s: something is written", name)
		}
	}
}

// TestEncryptionMemory: more is needed than for the same installation without encryption.
func TestEncryptionMemory(t *testing.T) {
	p := &plate{make([]byte, 270<<20)}
	r, m := request(t), computer(p, disks.Contents{})
	m.Available = func() (int64, error) { return 200 << 20, nil }
	r.Encryption, m.TPM = Encryption{Labels: []string{"COS_OEM"}, Passphrase: "a"}, noTPM
	if _, err := Prepare(t.Context(), m, r, nil); !errors.Is(err, ErrMemory) || !strings.Contains(err.Error(), "an installation needs 224 MiB") {
		t.Errorf("got %v", err)
	}
}

func TestEncryptionLine(t *testing.T) {
	for want, e := range map[string]Encryption{
		"opened by a passphrase that is asked for at each boot": {Passphrase: "a"},
		"without it, or when these change, the data is lost":    {TPM: true, PCRs: []int{7}},
		"bound to no register; or the passphrase":               {TPM: true, Passphrase: "a"},
	} {
		if got := e.line(); !strings.Contains(got, want) {
			t.Errorf("%q does not say %q", got, want)
		}
	}
}
