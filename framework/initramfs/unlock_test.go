// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/internal/console"
	"github.com/kairos-build/kairos-build/framework/internal/tpm"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/luks2"
	"github.com/kairos-build/kairos-build/framework/slot"
)

var sealed = bytes.Repeat([]byte{42}, 32)

// locked is a partition that a TPM and the passphrase "right" open.
func locked(t *testing.T) lock {
	t.Helper()
	token := tpm.Token{Type: tpm.TokenType, Blob: []byte("blob"), PCRs: []int{7}, Bank: "sha256", PrimaryAlg: "ecc"}
	v, err := luks2.New(
		luks2.Slot{Passphrase: []byte(base64.StdEncoding.EncodeToString(sealed)), KDF: luks2.ForRandom(), Token: token.Map()},
		luks2.Slot{Passphrase: []byte("right"), KDF: luks2.KDF{Type: "argon2id", Time: 1, Memory: 64, CPUs: 1}},
	)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "partition")
	if err := os.WriteFile(name, v.Head(), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	h, err := luks2.Read(f)
	if err != nil {
		t.Fatal(err)
	}
	return lock{volume: volumes()[1], device: name, file: f, header: h}
}

func TestUnseal(t *testing.T) {
	l := locked(t)
	tokens := l.header.Tokens(tpm.TokenType)
	data, err := unseal(l, tokens[0], func(s tpm.Token) ([]byte, error) {
		if string(s.Blob) != "blob" || !slices.Equal(s.PCRs, []int{7}) {
			t.Errorf("the TPM is asked for %+v", s)
		}
		return sealed, nil
	})
	if err != nil || len(data.Key) != 64 {
		t.Errorf("got a key of %d bytes, %v", len(data.Key), err)
	}
	if _, err := unseal(l, tokens[0], func(tpm.Token) ([]byte, error) { return nil, tpm.ErrOther }); !errors.Is(err, tpm.ErrOther) {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff([]string{"1"}, peoplesSlots(l.header.Metadata, tokens)); diff != "" {
		t.Error(diff)
	}
}

// A scene is a boot that asks for a passphrase, with a clock that goes on while it waits.
type scene struct {
	question
	clock   time.Duration
	said    strings.Builder
	living  int
	answers []string // empty: nobody answers
}

func newScene(patience time.Duration, answers ...string) *scene {
	s := &scene{answers: answers}
	s.question = question{
		text: "kairos: /usr/local is encrypted.", patience: patience, outcome: "the node comes up without this data",
		now: func() time.Duration { return s.clock }, say: func(text string) { s.said.WriteString(text) }, alive: func() { s.living++ },
		ask: func(question string, wait time.Duration) ([]byte, error) {
			s.said.WriteString(question)
			if len(s.answers) == 0 || s.answers[0] == "" {
				s.clock += wait
			}
			if len(s.answers) == 0 {
				return nil, console.ErrNoAnswer
			}
			answer := s.answers[0]
			s.answers = s.answers[1:]
			if answer == "" {
				return nil, console.ErrNoAnswer
			}
			return []byte(answer), nil
		},
	}
	return s
}

func opens(l lock) func([]byte) error {
	return func(passphrase []byte) error {
		_, err := l.header.Open(l.file, passphrase, "1")
		return err
	}
}

func TestAskedUntilRight(t *testing.T) {
	s := newScene(0, "", "", "wrong", "", "right")
	if err := s.untilRight(opens(locked(t))); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(s.said.String(), "Type the passphrase (it is not shown) and Enter: "); got != 5 {
		t.Errorf("asked %d times:\n%s", got, s.said.String())
	}
	if !strings.Contains(s.said.String(), "this is not the passphrase. Try again.") || strings.Contains(s.said.String(), "comes up without") {
		t.Errorf("said %s", s.said.String())
	}
	if s.living != 5 {
		t.Errorf("the boot was kept alive %d times", s.living)
	}
}

// Without a person, a slot on trial ends: it says so, and the time is that which was said.
func TestNobodyAnswers(t *testing.T) {
	s := newScene(askWait, "wrong")
	err := s.untilRight(opens(locked(t)))
	if err == nil || !strings.Contains(err.Error(), "nobody gave the passphrase within 3m0s (1 wrong ones)") {
		t.Errorf("got %v", err)
	}
	if s.clock != askWait {
		t.Errorf("it took %v", s.clock)
	}
	if said := s.said.String(); !strings.Contains(said, "In 3m0s the node comes up without this data.") || !strings.HasSuffix(said, "kairos: the node comes up without this data.\n") {
		t.Errorf("said %s", said)
	}
}

// A damaged keyslot or a dead console is no wrong passphrase: it ends the questions.
func TestAskingFails(t *testing.T) {
	broken := errors.New("broken")
	s := newScene(0, "right")
	if err := s.untilRight(func([]byte) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	s.ask = func(string, time.Duration) ([]byte, error) { return nil, broken }
	if err := s.untilRight(opens(locked(t))); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

// TestPatience: only a good slot whose owner chose a passphrase waits for ever.
func TestPatience(t *testing.T) {
	for name, tt := range map[string]struct {
		args   arguments
		hasTPM bool
		want   time.Duration
		say    string
	}{
		"good":            {arguments{Slot: "a", Mode: layout.ModeActive, Env: &slot.State{Good: "a"}}, false, 0, "without this data"},
		"good, TPM":       {arguments{Slot: "a", Mode: layout.ModeActive, Env: &slot.State{Good: "a"}}, true, askWait, "without this data"},
		"trial":           {arguments{Slot: "b", Mode: layout.ModeActive, Env: &slot.State{Good: "a", Try: "b", Tries: 1}}, false, askWait, "this boot of slot b failed"},
		"trial, last try": {arguments{Slot: "b", Mode: layout.ModeActive, Env: &slot.State{Good: "a", Try: "b"}}, true, askWait, "this boot of slot b failed"},
		"other is trying": {arguments{Slot: "a", Mode: layout.ModePassive, Env: &slot.State{Good: "a", Try: "b", Tries: 1}}, false, 0, "without this data"},
		"recovery":        {arguments{Slot: "recovery", Mode: layout.ModeRecovery, Env: &slot.State{Good: "a"}}, false, askWait, "without this data"},
		"no environment":  {arguments{Slot: "a", Mode: layout.ModeActive}, false, 0, "without this data"},
	} {
		b := &boot{args: tt.args}
		if got := b.patience(tt.hasTPM); got != tt.want || !strings.Contains(b.whenLocked(), tt.say) {
			t.Errorf("%s: %v, %q", name, got, b.whenLocked())
		}
	}
}

// TestNotEncrypted: on other nodes nothing happens.
func TestNotEncrypted(t *testing.T) {
	name := filepath.Join(t.TempDir(), "partition")
	if err := os.WriteFile(name, make([]byte, 8192), 0o600); err != nil {
		t.Fatal(err)
	}
	b := &boot{disk: disk{paths: map[string]string{layout.PartOEM: name}}}
	for _, v := range volumes() {
		if err := b.unlock(v); err != nil || b.disk.paths[layout.PartOEM] != name {
			t.Errorf("%s: %v, %v", v.partition, err, b.disk.paths)
		}
	}
}

// TestDamagedHeader: a partition whose headers are gone is locked, and that is said.
func TestDamagedHeader(t *testing.T) {
	l := locked(t)
	if err := os.WriteFile(l.device, append([]byte("LUKS\xba\xbe\x00\x02"), make([]byte, 64<<10)...), 0o600); err != nil {
		t.Fatal(err)
	}
	b := &boot{disk: disk{paths: map[string]string{layout.PartPersistent: l.device}}}
	if err := b.unlock(l.volume); !errors.Is(err, errLocked) || !errors.Is(err, luks2.ErrDamaged) {
		t.Errorf("got %v", err)
	}
}

func TestCryptUUID(t *testing.T) {
	if got, want := cryptUUID("11223344-5566-4788-99aa-bbccddeeff00", "kairos-oem"), "CRYPT-LUKS2-112233445566478899aabbccddeeff00-kairos-oem"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
