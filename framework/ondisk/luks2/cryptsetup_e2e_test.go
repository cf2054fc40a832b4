// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package luks2

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// cryptsetup runs the standard tool, with passphrase on its standard input.
func cryptsetup(t *testing.T, passphrase string, args ...string) (string, error) {
	t.Helper()
	c := exec.CommandContext(t.Context(), "cryptsetup", args...)
	c.Stdin = strings.NewReader(passphrase)
	out, err := c.CombinedOutput()
	return string(out), err
}

func TestCryptsetupReadsWhatWeWrite(t *testing.T) {
	v := volume(t)
	file := filepath.Join(t.TempDir(), "volume")
	if err := os.WriteFile(file, v.Head(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, DataOffset+1<<20); err != nil {
		t.Fatal(err)
	}
	dump, err := cryptsetup(t, "", "luksDump", file)
	for _, words := range []string{"cipher: aes-xts-plain64", "Subsystem:     \tkairos", "sector: 4096 [bytes]", "PBKDF:      argon2id", "16777216 [bytes]"} {
		if err != nil || !strings.Contains(dump, words) {
			t.Fatalf("luksDump says no %q: %v\n%s", words, err, dump)
		}
	}
	for _, passphrase := range []string{"from the TPM", "correct horse"} {
		keyFile := filepath.Join(t.TempDir(), "key")
		if out, err := cryptsetup(t, passphrase, "luksDump", "--batch-mode", "--dump-volume-key", "--volume-key-file", keyFile, file); err != nil {
			t.Fatalf("%q: %v\n%s", passphrase, err, out)
		}
		key, err := os.ReadFile(keyFile)
		if err != nil {
			t.Fatal(err)
		}
		c, err := newXTS(key)
		if err != nil {
			t.Fatal(err)
		}
		want, got := make([]byte, SectorSize), make([]byte, SectorSize)
		v.Encrypt(want, 0)
		c.Encrypt(got, got, 0)
		if !bytes.Equal(got, want) {
			t.Errorf("%q: cryptsetup has another volume key", passphrase)
		}
	}
	if out, err := cryptsetup(t, "wrong", "luksOpen", "--test-passphrase", file); err == nil {
		t.Errorf("cryptsetup took a wrong passphrase:\n%s", out)
	}
}

func TestWeReadWhatCryptsetupWrites(t *testing.T) {
	for name, args := range map[string][]string{
		"argon2id":          {"--pbkdf", "argon2id", "--pbkdf-force-iterations", "4", "--pbkdf-memory", "32768", "--pbkdf-parallel", "2"},
		"argon2i":           {"--pbkdf", "argon2i", "--pbkdf-force-iterations", "4", "--pbkdf-memory", "32768", "--pbkdf-parallel", "1"},
		"pbkdf2 sha512":     {"--pbkdf", "pbkdf2", "--hash", "sha512", "--pbkdf-force-iterations", "1000"},
		"AES-128, 512":      {"--key-size", "256", "--sector-size", "512", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"},
		"a larger metadata": {"--luks2-metadata-size", "64k", "--luks2-keyslots-size", "1m", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"},
	} {
		t.Run(name, func(t *testing.T) {
			file, keyFile := filepath.Join(t.TempDir(), "volume"), filepath.Join(t.TempDir(), "key")
			if err := os.WriteFile(file, make([]byte, 20<<20), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := cryptsetup(t, "of cryptsetup", append([]string{"luksFormat", "--batch-mode", "--type", "luks2"}, append(args, file)...)...); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if out, err := cryptsetup(t, "of cryptsetup", "luksDump", "--batch-mode", "--dump-volume-key", "--volume-key-file", keyFile, file); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			want, err := os.ReadFile(keyFile)
			if err != nil {
				t.Fatal(err)
			}
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			h, err := Read(f)
			if err != nil {
				t.Fatal(err)
			}
			d, err := h.Open(f, []byte("of cryptsetup"))
			if err != nil || !bytes.Equal(d.Key, want) {
				t.Errorf("the key differs (%v)", err)
			}
			tear(t, file)
			if h, err = Read(f); err != nil {
				t.Fatalf("with only the second header: %v", err)
			}
			if d, err := h.Open(f, []byte("of cryptsetup")); err != nil || !bytes.Equal(d.Key, want) {
				t.Errorf("with only the second header, the key differs (%v)", err)
			}
		})
	}
}

// tear destroys the first header.
func tear(t *testing.T, file string) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(make([]byte, 512), 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
