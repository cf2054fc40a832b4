// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package main

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/kairos-build/kairos-build/framework/source/policy"
	"github.com/kairos-build/kairos-build/signing"
	"github.com/kairos-build/kairos-build/signing/signingtest"
)

// TestStockCosignOfVerbs: the cosign of Debian 13 and that of sid accept what the verbs
// pushed, signed and attested, and refuse another key.
func TestStockCosignOfVerbs(t *testing.T) {
	for _, release := range []string{"trixie", "sid"} {
		t.Run(release, func(t *testing.T) {
			quiet := registry.Logger(slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo))
			b := newBench(t, registry.New(quiet, registry.WithReferrersSupport(true)))
			t.Setenv(envPassword, signingtest.Password)
			b.stockCosign(signingtest.FetchCosign(t, release))
		})
	}
}

func (b bench) stockCosign(cosign *signingtest.Cosign) {
	b.t.Helper()
	ours, err := b.lockedKey("ours")
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.lockedKey("stranger"); err != nil {
		b.t.Fatal(err)
	}
	b.write("passed.json", `{"result":"PASSED"}`)
	pushed, later := b.registry+":pushed", b.registry+"/later:v1"
	b.run(0, "push", "--insecure-registry", "--sign", ours, b.path("image"), pushed)
	b.run(0, "push", "--insecure-registry", "--unsigned", b.path("image"), later)
	b.run(0, "sign", "--insecure-registry", "--key", ours, later)
	b.run(0, "attest", "--insecure-registry", "--legacy", "--key", ours, "--type", "tested", "--predicate", b.path("passed.json"), later)
	for _, tt := range []struct {
		args []string
		want bool
	}{
		{[]string{"verify", "--key", b.path("ours.pub"), pushed}, true},
		{[]string{"verify", "--key", b.path("ours.pub"), later}, true},
		{[]string{"verify-attestation", "--type", policy.TypeTested, "--key", b.path("ours.pub"), later}, true},
		{[]string{"verify", "--key", b.path("stranger.pub"), pushed}, false},
	} {
		out, err := cosign.Run(append(tt.args, "--insecure-ignore-tlog=true")...)
		if (err == nil) != tt.want {
			b.t.Errorf("cosign %s: %v\n%s", strings.Join(tt.args, " "), err, out)
		}
	}
}

// lockedKey makes a key pair with the password that cosign knows.
func (b bench) lockedKey(name string) (string, error) {
	private, _, err := signing.NewKey(b.path(name), []byte(signingtest.Password))
	return private, err
}
