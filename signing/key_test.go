// SPDX-License-Identifier: Apache-2.0

package signing

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kairos-build/kairos-build/signing/verify"
)

func newKey(t *testing.T, password string) (private string, trust verify.Trust) {
	t.Helper()
	private, public, err := NewKey(filepath.Join(t.TempDir(), "state", "cosign"), []byte(password))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(public)
	if err != nil {
		t.Fatal(err)
	}
	if trust.Keys, err = verify.ParseKeys(text); err != nil {
		t.Fatal(err)
	}
	return private, trust
}

func password(text string) func() ([]byte, error) {
	return func() ([]byte, error) { return []byte(text), nil }
}

// TestKey: what a key signs is verified with its public key, and with no other.
func TestKey(t *testing.T) {
	private, trust := newKey(t, "secret")
	_, stranger := newKey(t, "")
	var warned []string
	s := open(t, Options{Key: private, Password: password("secret"), Warn: func(text string) { warned = append(warned, text) }})
	list, err := s.Sign(t.Context(), "registry.example/os", image)
	if err != nil {
		t.Fatal(err)
	}
	statements, err := s.Attest(t.Context(), image, "https://example.org/tested", json.RawMessage(`{"n":1}`), true)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if _, err := trust.Signature(image, e); err != nil || !s.Made(image, e) || s.Made(another, e) {
			t.Errorf("%s: %v", e.MediaType, err)
		}
		if _, err := stranger.Signature(image, e); !errors.Is(err, verify.ErrStranger) {
			t.Errorf("%s: got %v", e.MediaType, err)
		}
		if _, err := trust.Signature(another, e); !errors.Is(err, verify.ErrOtherSubject) {
			t.Errorf("%s: got %v", e.MediaType, err)
		}
	}
	for _, e := range statements {
		if _, _, err := trust.Attestation(image, "https://example.org/tested", e); err != nil {
			t.Errorf("%s: %v", e.MediaType, err)
		}
	}
	bundle, err := s.File(t.Context(), []byte("a disk"))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("a disk"))
	if _, err := trust.Signature(v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}, verify.Evidence{Data: bundle}); err != nil {
		t.Error(err)
	}
	if len(warned) > 0 {
		t.Errorf("warned of %q", warned)
	}
}

// TestBadKeys: the messages about keys that cannot be used.
func TestBadKeys(t *testing.T) {
	private, _ := newKey(t, "secret")
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	plain := string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: []byte("x")}))
	for _, tt := range []struct{ name, key, password, want string }{
		{"wrong password", private, "guess", "opening the key " + private + ": the password is wrong"},
		{"no password", private, "", "the password is wrong"},
		{"no file", filepath.Join(dir, "nosuch.key"), "", "there is no key file " + filepath.Join(dir, "nosuch.key") + ": `kairos-build key " + filepath.Join(dir, "nosuch") + "` makes one"},
		{"the public key", strings.TrimSuffix(private, ".key") + ".pub", "", "give the file that ends in .key"},
		{"not encrypted", write("plain", plain), "", "cosign import-key-pair"},
		{"no key", write("text", "hello"), "", "has no private key"},
		{"a damaged key", write("damaged", string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED SIGSTORE PRIVATE KEY", Bytes: []byte("{}")}))), "", "opening the key"},
		{"no such service", "kms://project/key", "", "there is no key service kms://; there are awskms://"},
		{"over the network", "https://keys.example/cosign.key", "", "there is no key service https://"},
		{"a token", "pkcs11:token=x", "", "PKCS#11 tokens are not supported yet"},
		{"nothing", "", "", "sign with what?"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Open(t.Context(), Options{Key: tt.key, Password: password(tt.password), Now: time.Now})
			if !errors.Is(err, ErrBadInput) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestKeyThatOthersRead(t *testing.T) {
	private, _ := newKey(t, "")
	if err := os.Chmod(private, 0o644); err != nil {
		t.Fatal(err)
	}
	var warned string
	open(t, Options{Key: private, Warn: func(text string) { warned = text }})
	if want := "other users can read the key " + private + " (mode 0644): chmod 600 " + private; warned != want {
		t.Errorf("warned of %q, want %q", warned, want)
	}
}

func TestNewKeyReplacesNothing(t *testing.T) {
	private, _ := newKey(t, "")
	name := strings.TrimSuffix(private, ".key")
	before, err := os.ReadFile(private)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(private); err != nil {
		t.Fatal(err)
	}
	if _, _, err := NewKey(name, nil); !errors.Is(err, ErrBadInput) || !strings.Contains(err.Error(), name+".pub exists already") {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(private, before, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := NewKey(name, nil); !errors.Is(err, ErrBadInput) {
		t.Errorf("got %v", err)
	}
	if after, err := os.ReadFile(private); err != nil || string(after) != string(before) {
		t.Errorf("the key changed: %v", err)
	}
	if info, err := os.Stat(private); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v", info.Mode(), err)
	}
}

func TestBadStatements(t *testing.T) {
	private, _ := newKey(t, "")
	s := open(t, Options{Key: private})
	for want, tt := range map[string][2]string{
		"a statement needs a type": {"", "{}"}, "the statement is no JSON": {"https://example.org/x", "{"},
	} {
		if _, err := s.Attest(t.Context(), image, tt[0], json.RawMessage(tt[1]), false); !errors.Is(err, ErrBadInput) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
