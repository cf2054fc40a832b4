// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"github.com/kairos-build/kairos-build/ci/testregistry"
	"github.com/kairos-build/kairos-build/framework/source/policy"
	"github.com/kairos-build/kairos-build/signing"
	"github.com/kairos-build/kairos-build/signing/signingtest"
)

// A bench is where a test signs: a folder with an image and a registry.
type bench struct {
	t             *testing.T
	dir, registry string
}

// registries run a test with a registry that has the referrers API, and with a real one
// (distribution), which has not.
func registries(t *testing.T, test func(t *testing.T, b bench)) {
	eachRegistry(t, func(t *testing.T, h http.Handler) { test(t, newBench(t, h)) })
}

func eachRegistry(t *testing.T, test func(t *testing.T, h http.Handler)) {
	quiet := registry.Logger(slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo))
	for name, handler := range map[string]http.Handler{
		"referrers API": registry.New(quiet, registry.WithReferrersSupport(true)), "distribution": testregistry.New(t.Context()),
	} {
		t.Run(name, func(t *testing.T) { test(t, handler) })
	}
}

func newBench(t *testing.T, handler http.Handler) bench {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	t.Setenv("KAIROS_BUILD_STATE", t.TempDir())
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	b := bench{t, t.TempDir(), strings.TrimPrefix(server.URL, "http://") + "/edge/debian"}
	b.addImage("image", "etc/hostname")
	return b
}

func (b bench) path(name string) string { return filepath.Join(b.dir, name) }

// addImage makes an OCI layout.
func (b bench) addImage(name, file string) {
	b.t.Helper()
	image, err := smallImage("amd64", []string{file})
	if err != nil {
		b.t.Fatal(err)
	}
	path, err := layout.Write(b.path(name), empty.Index)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := path.AppendImage(image); err != nil {
		b.t.Fatal(err)
	}
}

// key makes a key pair without a password.
func (b bench) key(name string) string {
	b.t.Helper()
	private, _, err := signing.NewKey(b.path(name), nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return private
}

// run runs kairos-build, and fails the test if the exit status is another one.
func (b bench) run(status int, args ...string) (stdout, stderr string) {
	b.t.Helper()
	var out, log bytes.Buffer
	if got := run(b.t.Context(), args, &out, &log); got != status {
		b.t.Fatalf("kairos-build %s: exit status %d, want %d\n%s%s", strings.Join(args, " "), got, status, &out, &log)
	}
	return out.String(), log.String()
}

// says fails the test if the text lacks one of the words.
func (b bench) says(text string, words ...string) {
	b.t.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			b.t.Errorf("got %s\nwant %s", text, word)
		}
	}
}

// TestSignWhilePushing: a pushed image is signed in both formats, once, and by nobody else.
func TestSignWhilePushing(t *testing.T) {
	registries(t, func(t *testing.T, b bench) {
		ours, stranger := b.key("ours"), b.key("stranger")
		ref := b.registry + ":v1"
		out, _ := b.run(0, "push", "--insecure-registry", "--json", "--sign", ours, b.path("image"), ref)
		b.says(out, `"signed": true`, `simplesigning`, `bundle.v0.3`)
		out, _ = b.run(0, "push", "--insecure-registry", "--json", "--sign", ours, b.path("image"), ref)
		b.says(out, `"signed": true`, `"attached": []`)
		out, _ = b.run(0, "sign", "--insecure-registry", "--json", "--key", ours, ref)
		b.says(out, `"present": true`)
		out, _ = b.run(0, "verify", "--key", b.path("ours.pub"), ref)
		b.says(out, "trusted sha256:", `signed by key "ours.pub"`)
		_, log := b.run(1, "verify", "--key", b.path("stranger.pub"), ref)
		b.says(log, "not trusted", "not signed by anybody that this node trusts")
		b.run(0, "sign", "--insecure-registry", "--key", stranger, ref)
		b.run(0, "verify", "--key", b.path("stranger.pub"), ref)
		b.run(0, "verify", "--key", b.path("ours.pub"), ref)
	})
}

// TestKeyService: a key that never leaves a key service signs. Our verifier accepts it with the
// public key that the service gives out, and no other. A key that the service does not have is an
// error that names it, and leaves no tag.
func TestKeyService(t *testing.T) {
	registries(t, func(t *testing.T, b bench) {
		service := signingtest.NewKeyService(t)
		b.key("stranger")
		public, _ := b.run(0, "key", "--show", service.Key)
		b.write("service.pub", public)

		_, log := b.run(1, "push", "--insecure-registry", "--sign", service.Other, b.path("image"), b.registry+":v1")
		b.says(log, "alias/release-2 is not found")
		_, log = b.run(1, "verify", "--key", b.path("service.pub"), b.registry+":v1")
		b.says(log, "v1")

		b.run(0, "push", "--insecure-registry", "--sign", service.Key, b.path("image"), b.registry+":v1")
		if service.Asked("Sign") == 0 {
			t.Error("the service has signed nothing")
		}
		out, _ := b.run(0, "verify", "--key", b.path("service.pub"), b.registry+":v1")
		b.says(out, "trusted sha256:")
		b.run(1, "verify", "--key", b.path("stranger.pub"), b.registry+":v1")
		b.run(0, "sign", "--key", service.Key, b.path("image"))
		b.run(0, "verify", "--key", b.path("service.pub"), "dir:"+b.path("image"))
	})
}

// TestSignLater: an image that was published without a signature gets one, by tag and by
// digest; a folder and a file, too.
func TestSignLater(t *testing.T) {
	b := newBench(t, testregistry.New(t.Context()))
	ours := b.key("ours")
	out, _ := b.run(0, "push", "--insecure-registry", "--unsigned", "--json", b.path("image"), b.registry+":v1")
	var pushed struct{ Digest string }
	if err := json.Unmarshal([]byte(out), &pushed); err != nil {
		t.Fatal(err)
	}
	byDigest := b.registry + "@" + pushed.Digest
	_, log := b.run(1, "verify", "--key", b.path("ours.pub"), byDigest)
	b.says(log, "the image is not signed")
	b.run(0, "sign", "--insecure-registry", "--key", ours, byDigest)
	b.run(0, "verify", "--key", b.path("ours.pub"), b.registry+":v1")
	b.run(0, "sign", "--key", ours, b.path("image"))
	b.run(0, "verify", "--key", b.path("ours.pub"), "dir:"+b.path("image"))
	if err := os.WriteFile(b.path("disk.raw"), bytes.Repeat([]byte{1}, 3<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	b.run(0, "sign", "--key", ours, b.path("disk.raw"))
	b.run(0, "verify", "--key", b.path("ours.pub"), b.path("disk.raw"))
	if err := os.WriteFile(b.path("disk.raw"), bytes.Repeat([]byte{2}, 3<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	_, log = b.run(1, "verify", "--key", b.path("ours.pub"), b.path("disk.raw"))
	b.says(log, "disk.raw is not the file that was signed")
}

// TestAttestVerb: a policy that requires a statement is met by one that is attached, in a
// registry and in a folder. A statement about another image is not signed.
func TestAttestVerb(t *testing.T) {
	b := newBench(t, testregistry.New(t.Context()))
	ours := b.key("ours")
	b.write("policy.yaml", "format: 1\nkeys: [{file: /etc/kairos/keys/ours.pub}]\nrequire: [{type: tested}]\n")
	b.write("passed.json", `{"result":"PASSED"}`)
	out, _ := b.run(0, "push", "--insecure-registry", "--sign", ours, "--json", b.path("image"), b.registry+":v1")
	var pushed struct{ Digest string }
	if err := json.Unmarshal([]byte(out), &pushed); err != nil {
		t.Fatal(err)
	}
	b.run(0, "sign", "--key", ours, b.path("image"))
	for _, image := range []string{b.registry + ":v1", b.path("image")} {
		_, log := b.run(1, "verify", "--policy", b.path("policy.yaml"), image)
		b.says(log, "lacks what the policy requires")
		b.run(0, "attest", "--insecure-registry", "--key", ours, "--type", "tested", "--predicate", b.path("passed.json"), image)
		out, _ := b.run(0, "verify", "--policy", b.path("policy.yaml"), image)
		b.says(out, "tested, by key")
	}
	statement := func(digest string) string {
		return `{"_type":"https://in-toto.io/Statement/v1","predicateType":"` + policy.TypeTested + `","subject":[{"digest":{"sha256":"` + digest + `"}}],"predicate":{"result":"PASSED"}}`
	}
	b.write("other.json", statement(strings.Repeat("1", 64)))
	b.write("this.json", statement(strings.TrimPrefix(pushed.Digest, "sha256:")))
	_, log := b.run(2, "attest", "--key", ours, "--predicate", b.path("other.json"), b.path("image"))
	b.says(log, "the statement is about sha256:1111", "it is not signed")
	b.run(0, "attest", "--key", ours, "--predicate", b.path("this.json"), b.path("image"))
}

func (b bench) write(name, text string) {
	b.t.Helper()
	if err := os.WriteFile(b.path(name), []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

const (
	testIssuer  = "https://token.example"
	testSubject = "https://forge.example/o/r/.github/workflows/release.yml@refs/tags/v1"
)

// keylessFlags are the flags for a sigstore on this machine.
func (b bench) keylessFlags(s *signingtest.Sigstore) []string {
	b.write("token", s.Token(testIssuer, testSubject, time.Now().Add(time.Minute)))
	b.write("root.json", string(s.Root(true, true)))
	return []string{"--insecure-registry", "--fulcio", s.Fulcio, "--rekor", s.Rekor, "--timestamp", s.TSA, "--identity-token", b.path("token"), "--trusted-root", b.path("root.json")}
}

// TestKeylessVerbs: from the verb to a registry and back.
func TestKeylessVerbs(t *testing.T) {
	registries(t, func(t *testing.T, b bench) {
		flags := b.keylessFlags(signingtest.New(t))
		ref := b.registry + ":v1"
		out, _ := b.run(0, append([]string{"push", "--json", "--sign", "keyless", b.path("image"), ref}, flags...)...)
		b.says(out, `"signed": true`)
		out, _ = b.run(0, append([]string{"push", "--json", "--sign", "keyless", b.path("image"), ref}, flags...)...)
		b.says(out, `"attached": []`)
		trust := []string{"verify", "--issuer", testIssuer, "--trusted-root", b.path("root.json"), "--subject"}
		out, _ = b.run(0, append(trust, "https://forge.example/o/r/*@refs/tags/*", ref)...)
		b.says(out, "signed by", testSubject)
		_, log := b.run(1, append(trust, "https://forge.example/stranger/*", ref)...)
		b.says(log, "not signed by anybody that this node trusts")
	})
}

// TestKeylessFailsClosed: if a service does not answer, nothing is sent; the message names it,
// and says what to do.
func TestKeylessFailsClosed(t *testing.T) {
	down := httptest.NewServer(http.NotFoundHandler())
	down.Close()
	for flag, service := range map[string]string{"--rekor": "the transparency log ", "--fulcio": "the certificate authority ", "--timestamp": "the timestamp authority "} {
		requests := 0
		b := newBench(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests++ }))
		args := append([]string{"push", "--sign", "keyless", b.path("image"), b.registry + ":v1"}, b.keylessFlags(signingtest.New(t))...)
		_, log := b.run(1, append(args, flag, down.URL)...)
		b.says(log, "nothing was signed: "+service+down.URL, "check the network and the proxy, name another service, or sign with a key (`kairos-build key FILE` makes one)")
		if requests > 0 {
			t.Errorf("%s: the registry was asked %d times", flag, requests)
		}
	}
}

// TestClockFarOff: the user is told, and the signature is good, because the log's time counts.
func TestClockFarOff(t *testing.T) {
	b := newBench(t, testregistry.New(t.Context()))
	s := signingtest.New(t)
	s.Now = func() time.Time { return time.Now().Add(-90 * 24 * time.Hour) }
	flags := b.keylessFlags(s)
	flags = flags[:len(flags)-2] // the root of the test is younger than these certificates
	_, log := b.run(0, append([]string{"push", "--sign", "keyless", b.path("image"), b.registry + ":v1"}, flags...)...)
	b.says(log, "the clock of this machine says", "set the clock")
	b.write("token", s.Token(testIssuer, testSubject, time.Now().Add(-time.Hour)))
	_, log = b.run(2, append([]string{"push", "--sign", "keyless", b.path("image"), b.registry + ":v2"}, flags...)...)
	b.says(log, "the identity token ended at", "get a new token, or set the clock")
}

// TestBadSigners: what is wrong with a key or a registry is said before anything is sent.
func TestBadSigners(t *testing.T) {
	b := newBench(t, testregistry.New(t.Context(), testregistry.ReadOnly))
	if _, _, err := signing.NewKey(b.path("locked"), []byte("secret")); err != nil {
		t.Fatal(err)
	}
	open := b.key("open")
	push := func(status int, args ...string) string {
		t.Helper()
		_, log := b.run(status, append([]string{"push", "--insecure-registry", b.path("image"), b.registry + ":v1"}, args...)...)
		return log
	}
	b.says(push(2, "--sign", b.path("locked.key")), "the key "+b.path("locked.key")+" has a password: give it with --password-file FILE or in $KAIROS_BUILD_KEY_PASSWORD")
	b.says(push(2, "--sign", open, "--unsigned"), "--sign and --unsigned: leave one of them out")
	b.says(push(2, "--sign", b.path("nosuch.key")), "there is no key file "+b.path("nosuch.key")+": `kairos-build key "+b.path("nosuch")+"` makes one")
	b.says(push(2, "--sign", "awskm://alias/release"), "there is no key service awskm://")
	b.says(push(2, "--sign", "keyless"), "keyless signing needs an identity token, and there is none")
	b.says(push(1, "--sign", open), "the registry is read-only")
	t.Setenv(envCosignPassword, "wrong")
	b.says(push(2, "--sign", b.path("locked.key")), "opening the key "+b.path("locked.key")+": the password is wrong")
	b.write("password", "secret\n")
	if err := os.Chmod(b.path("locked.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	log := push(1, "--sign", b.path("locked.key"), "--password-file", b.path("password"))
	b.says(log, "other users can read the key "+b.path("locked.key"), "chmod 600", "the registry is read-only")
}

// TestNewKeyIsKept: --sign new makes a key, says where it is, and uses it the next time.
func TestNewKeyIsKept(t *testing.T) {
	b := newBench(t, testregistry.New(t.Context()))
	state := os.Getenv("KAIROS_BUILD_STATE")
	_, log := b.run(0, "push", "--insecure-registry", "--sign", "new", b.path("image"), b.registry+":v1")
	private := filepath.Join(state, "keys", "signing.key")
	b.says(log, "made the key "+private, "keep a copy of it")
	info, err := os.Stat(private)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key has mode %v, %v", info.Mode(), err)
	}
	_, log = b.run(0, "sign", "--insecure-registry", "--key", "new", b.registry+":v1")
	if strings.Contains(log, "made the key") {
		t.Errorf("got %s", log)
	}
	b.run(0, "verify", "--key", filepath.Join(state, "keys", "signing.pub"), b.registry+":v1")
}
