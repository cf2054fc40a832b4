// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package tpm

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/kairos-build/kairos-build/framework/ondisk/luks2"
)

// start starts the TPM whose state is in dir, as after a power-on.
func start(t *testing.T, dir string) transport.TPMCloser {
	t.Helper()
	socket := filepath.Join(dir, "socket")
	c := exec.CommandContext(t.Context(), "swtpm", "socket", "--tpm2", "--tpmstate", "dir="+dir,
		"--server", "type=unixio,path="+socket, "--flags", "not-need-init,startup-clear")
	c.Stderr = os.Stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	for range 100 {
		if conn, err := net.Dial("unix", socket); err == nil {
			return transport.FromReadWriteCloser(conn)
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("swtpm does not answer")
	return nil
}

// measure changes a register, as firmware and boot loaders do.
func measure(t *testing.T, tpm transport.TPM, pcr int) {
	t.Helper()
	_, err := tpm2.PCRExtend{
		PCRHandle: tpm2.AuthHandle{Handle: tpm2.TPMHandle(pcr), Auth: tpm2.PasswordAuth(nil)},
		Digests:   tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{{HashAlg: tpm2.TPMAlgSHA256, Digest: bytes.Repeat([]byte{7}, 32)}}},
	}.Execute(tpm)
	if err != nil {
		t.Fatal(err)
	}
}

var secret = []byte("0123456789abcdef0123456789abcdef")

func TestSealedByThisTPMInThisState(t *testing.T) {
	tpm := start(t, t.TempDir())
	measure(t, tpm, 7)
	token, err := Seal(tpm, secret, []int{7})
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(token.Map())
	if err != nil {
		t.Fatal(err)
	}
	if token, err = ParseToken(data); err != nil {
		t.Fatal(err)
	}
	measure(t, tpm, 8) // another register
	for range 5 {      // the TPM has three places for objects: none may be lost
		if got, err := Unseal(tpm, token); err != nil || !bytes.Equal(got, secret) {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	other := start(t, t.TempDir())
	measure(t, other, 7)
	if _, err := Unseal(other, token); !errors.Is(err, ErrOther) {
		t.Errorf("another TPM: %v", err)
	}
	measure(t, tpm, 7)
	if _, err := Unseal(tpm, token); !errors.Is(err, ErrRegisters) {
		t.Errorf("another state: %v", err)
	}
}

func TestSealedWithoutRegisters(t *testing.T) {
	tpm := start(t, t.TempDir())
	token, err := Seal(tpm, secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	measure(t, tpm, 7)
	if got, err := Unseal(tpm, token); err != nil || !bytes.Equal(got, secret) {
		t.Errorf("got %q, %v", got, err)
	}
}

// Later versions of systemd-cryptenroll use a key that stays in the TPM.
func TestUnderAKeyThatStays(t *testing.T) {
	const handle = 0x81000001
	tpm := start(t, t.TempDir())
	made, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(tpm)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (tpm2.EvictControl{
		Auth: tpm2.TPMRHOwner, ObjectHandle: &tpm2.NamedHandle{Handle: made.ObjectHandle, Name: made.Name}, PersistentHandle: handle,
	}).Execute(tpm); err != nil {
		t.Fatal(err)
	}
	token, err := sealUnder(tpm, binary.BigEndian.AppendUint32(nil, handle))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Unseal(tpm, token); err != nil || !bytes.Equal(got, secret) {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := Unseal(start(t, t.TempDir()), token); !errors.Is(err, ErrOther) {
		t.Errorf("another TPM: %v", err)
	}
}

// The systemd of the host enrols its TPM in a volume that we made, and we unlock it with what
// systemd wrote.
func TestWeReadWhatSystemdCryptenrollWrites(t *testing.T) {
	dir := t.TempDir()
	v, err := luks2.New(luks2.Slot{Passphrase: []byte("first"), KDF: luks2.ForRandom()})
	if err != nil {
		t.Fatal(err)
	}
	volume, socket := filepath.Join(dir, "volume"), filepath.Join(dir, "tpm.sock")
	if err := errors.Join(os.WriteFile(volume, v.Head(), 0o600), os.Truncate(volume, luks2.DataOffset+1<<20)); err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	server := exec.CommandContext(t.Context(), "swtpm", "socket", "--tpm2", "--tpmstate", "dir="+state,
		"--server", "type=unixio,path="+socket, "--ctrl", "type=unixio,path="+socket+".ctrl", "--flags", "not-need-init,startup-clear")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	time.Sleep(300 * time.Millisecond)
	enrol := exec.CommandContext(t.Context(), "systemd-cryptenroll", "--tpm2-device=swtpm:path="+socket, "--tpm2-pcrs=7", volume)
	enrol.Env = append(os.Environ(), "PASSWORD=first")
	out, err := enrol.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) || strings.Contains(string(out), "TPM2 support not installed") {
		t.Skip("systemd-cryptenroll of this host knows no TPM: it needs libtss2-esys, libtss2-mu and libtss2-tcti-swtpm")
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	f, err := os.Open(volume)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h, err := luks2.Read(f)
	if err != nil {
		t.Fatal(err)
	}
	tokens := h.Tokens(TokenType)
	if len(tokens) != 1 {
		t.Fatalf("%d tokens", len(tokens))
	}
	token, err := ParseToken(tokens[0].JSON)
	if err != nil {
		t.Fatal(err)
	}
	_ = server.Process.Kill()
	_ = server.Wait()
	got, err := Unseal(start(t, state), token)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Open(f, []byte(base64.StdEncoding.EncodeToString(got)), tokens[0].Keyslots...); err != nil {
		t.Error(err)
	}
}

func sealUnder(tpm transport.TPM, srk []byte) (Token, error) {
	token := Token{Type: TokenType, PCRs: []int{7}, Bank: bank, PrimaryAlg: primaryAlg, SRK: srk}
	return token.seal(tpm, secret)
}
