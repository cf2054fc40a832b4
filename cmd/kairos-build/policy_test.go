// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/ed25519"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/factory"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/source/policy"
	"github.com/kairos-build/kairos-build/signing/signingtest"
)

// trust opens the trust of a build, and returns it with the warnings.
func (b bench) trust(sign, target, policyFile string) (trust factory.Trust, warnings string, err error) {
	b.t.Helper()
	var log strings.Builder
	t := truster{how: &publishFlags{sign: sign}, target: target, policy: policyFile, desk: desk{
		stdin: new(bytes.Buffer), stderr: &log, warn: func(text string) { log.WriteString(text) },
		state: func() (string, error) { return b.path("state"), nil },
	}}
	trust, err = t.open(b.t.Context())
	return trust, log.String(), err
}

// TestPolicyForKey: the policy depends on the key and the place alone: not on the time, the
// name of the file, or a signature. The node's own parser reads it.
func TestPolicyForKey(t *testing.T) {
	b := newBench(t, http.NotFoundHandler())
	ours := b.key("ours")
	data, err := os.ReadFile(ours)
	if err != nil {
		t.Fatal(err)
	}
	b.write("renamed.key", string(data))
	var texts []string
	for _, key := range []string{ours, b.path("renamed.key")} {
		for _, target := range []string{"", "registry.example.org:5000/edge/debian:v1"} {
			trust, warnings, err := b.trust(key, target, "")
			if err != nil || warnings != "" || trust.Signer == nil || len(trust.Policy) != 1 || "/"+trust.Policy[0].Path != layout.ImagePolicy {
				t.Fatalf("got %+v, %q, %v", trust, warnings, err)
			}
			texts = append(texts, string(trust.Policy[0].Data))
		}
	}
	if texts[0] != texts[2] || texts[1] != texts[3] || texts[0] == texts[1] {
		t.Errorf("got %q", texts)
	}
	everywhere, _ := policy.Parse("policy.yaml", []byte(texts[0]), os.ReadFile)
	here, err := policy.Parse("policy.yaml", []byte(texts[1]), os.ReadFile)
	if err != nil || everywhere == nil {
		t.Fatal(err)
	}
	key := here.Keys[0].Key
	for repository, want := range map[string]bool{"registry.example.org:5000/edge/debian": true, "": true, "registry.example.org:5000/edge/other": false} {
		if got := here.TrustsKey(repository, key); got != want || !everywhere.TrustsKey(repository, key) {
			t.Errorf("%q: got %v, want %v", repository, got, want)
		}
	}
}

// TestOwnPolicy: a user's policy comes into the image as it is, with the files that it names.
func TestOwnPolicy(t *testing.T) {
	b := newBench(t, http.NotFoundHandler())
	ours, stranger := b.key("ours"), b.key("stranger")
	text := "format: 1\nkeys:\n  - file: /etc/kairos/keys/ours.pub\n"
	b.write("policy.yaml", text)
	trust, warnings, err := b.trust(ours, "", b.path("policy.yaml"))
	if err != nil || warnings != "" || len(trust.Policy) != 2 || string(trust.Policy[0].Data) != text || trust.Policy[1].Path != "etc/kairos/keys/ours.pub" {
		t.Errorf("got %+v, %q, %v", trust, warnings, err)
	}
	if _, warnings, err = b.trust(stranger, "", b.path("policy.yaml")); err != nil {
		t.Fatal(err)
	}
	b.says(warnings, "does not trust the key that signs this image: its nodes will refuse the next image")
	for text, want := range map[string]string{
		"format: 1\nkees: []\n": "wrong.yaml:2:1: kees: unknown key",
		"format: 1\nkeys: [{file: /etc/kairos/keys/nosuch.pub}]\n": "nosuch.pub: no such file",
		"format: 1\nkeys: [{file: /usr/keys/ours.pub}]\n":          "/usr/keys/ours.pub is not below /etc/kairos",
	} {
		b.write("wrong.yaml", text)
		_, _, err := b.trust(ours, "", b.path("wrong.yaml"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestNoPolicy: a build whose nodes will refuse every upgrade says so, and what mends it.
func TestNoPolicy(t *testing.T) {
	b := newBench(t, http.NotFoundHandler())
	trust, warnings, err := b.trust("", "", "")
	if err != nil || trust.Signer != nil || trust.Policy != nil {
		t.Errorf("got %+v, %v", trust, err)
	}
	b.says(warnings, "this image has no policy (/etc/kairos/policy.yaml), so its nodes will refuse every upgrade", "--sign KEY", "--sign new", "--policy FILE")
	b.write("nobody.yaml", "format: 1\n")
	_, warnings, err = b.trust("", "", b.path("nobody.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	b.says(warnings, "trusts nobody, so the nodes of this image will refuse every upgrade")
}

// TestKeyThatSignsNoDisk: a key that signs images and no disks is refused before the build.
func TestKeyThatSignsNoDisk(t *testing.T) {
	b := newBench(t, http.NotFoundHandler())
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.trust(signingtest.ImportedKey(t, key), "", ""); err == nil || !strings.Contains(err.Error(), "use an ECDSA key on the curve P-256") {
		t.Errorf("got %v", err)
	}
}
