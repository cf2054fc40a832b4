// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func isTestSignature(a Attachment) bool { return a.ArtifactType == signType }

// promote are the options of a push of which nobody signs anything here.
func promote(target string) Options {
	o := options(target)
	o.Signer, o.Evidence, o.Carry, o.IsSignature = nil, nil, true, isTestSignature
	return o
}

// TestPromote: from one registry to another one, with all that is attached.
func TestPromote(t *testing.T) {
	both(t, func(t *testing.T, r *testRegistry) {
		first := mustPush(t, options(newRegistry(t, true).host()+"/staging/debian"), amd64().write(t))
		result := mustPush(t, promote(r.repo()), first.Reference)
		if !result.Signed || result.Digest != first.Digest || result.Tag != testTag {
			t.Errorf("got %+v", result)
		}
		checkOrder(t, r.requests(), result)
		checkPulled(t, result)
		checkAttached(t, result, []string{sbomType, signType})
		for i, a := range first.Attached {
			if result.Attached[i].Digest != a.Digest && a.Tag == "" {
				t.Errorf("%s is %s, and was %s", a.ArtifactType, result.Attached[i].Digest, a.Digest)
			}
		}
		_ = r.requests()
		if again := mustPush(t, promote(r.repo()), first.Reference); !again.Signed || len(writes(r.requests())) > 0 {
			t.Errorf("the second run gives %+v", again)
		}
	})
}

// TestPublishASignedLayout: the signature lies in the layout of a build.
func TestPublishASignedLayout(t *testing.T) {
	r, dir := newRegistry(t, true), amd64().write(t)
	inside := filepath.Join(dir, "image")
	l, subjects, err := OpenLayout(inside)
	if err != nil {
		t.Fatal(err)
	}
	list, err := new(notary).Sign(t.Context(), subjects[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Attach(subjects[0], list); err != nil {
		t.Fatal(err)
	}
	result := mustPush(t, promote(r.repo()), "dir:"+inside)
	if !result.Signed {
		t.Errorf("got %+v", result)
	}
	checkAttached(t, result, []string{signType})

	o := promote(r.host() + "/other/debian")
	o.Signer = &notary{count: 8}
	if mustPush(t, o, dir); o.Signer.(*notary).count != 8 {
		t.Error("a signature that was brought along was made again")
	}
}

func TestNothingSigns(t *testing.T) {
	r, dir := newRegistry(t, true), amd64().write(t)
	unsigned := options(r.host() + "/staging/debian")
	unsigned.Signer, unsigned.Unsigned = nil, true
	from := mustPush(t, unsigned, dir).Reference // with an SBOM
	for _, path := range []string{dir, from} {
		_ = r.requests()
		_, err := push(t.Context(), promote(r.repo()), path)
		if !errors.Is(err, ErrBadInput) || !strings.Contains(err.Error(), "nothing signs this one: sign it with --sign KEY") {
			t.Errorf("%s: %v", path, err)
		}
		if changed := writes(r.requests()); len(changed) > 2 { // whether it may write was tried
			t.Errorf("%s: it wrote %q", path, changed)
		}
	}
}

// TestTooLargeToCarry: what cannot be read is told, and the rest is taken along.
func TestTooLargeToCarry(t *testing.T) {
	r, dir := newRegistry(t, true), amd64().write(t)
	o := options(newRegistry(t, true).host() + "/staging/debian")
	first := mustPush(t, o, dir)
	p, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	all, err := p.Find(t.Context(), first.Digest)
	if err != nil {
		t.Fatal(err)
	}
	huge := Attachment{ArtifactType: "application/vnd.example.huge", Layers: []Content{{MediaType: "text/plain", Data: make([]byte, maxContent+1)}}}
	if _, err := p.Attach(t.Context(), all[0], []Attachment{huge}); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	carry := promote(r.repo())
	carry.Log = slog.New(slog.NewTextHandler(&log, nil))
	checkAttached(t, mustPush(t, carry, first.Reference), []string{sbomType, signType})
	if !strings.Contains(log.String(), "not taken along") || !strings.Contains(log.String(), "vnd.example.huge") {
		t.Errorf("the log says %q", log.String())
	}
}

// TestPromoteAttestation: cosign before version 3 keeps attestations below a tag of their own.
func TestPromoteAttestation(t *testing.T) {
	r, o := newRegistry(t, true), options(newRegistry(t, true).host()+"/staging/debian")
	first := mustPush(t, o, amd64().write(t))
	p, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	all, err := p.Find(t.Context(), first.Digest)
	if err != nil {
		t.Fatal(err)
	}
	old := Attachment{ArtifactType: "old", Suffix: "att", Layers: []Content{{MediaType: "application/vnd.dsse.envelope.v1+json", Data: []byte("{}")}}}
	if _, err := p.Attach(t.Context(), all[0], []Attachment{old}); err != nil {
		t.Fatal(err)
	}
	result := mustPush(t, promote(r.repo()), first.Reference)
	if !slices.ContainsFunc(result.Attached, func(a Attached) bool { return strings.HasSuffix(a.Tag, ".att") }) {
		t.Errorf("attached are %+v", result.Attached)
	}
}
