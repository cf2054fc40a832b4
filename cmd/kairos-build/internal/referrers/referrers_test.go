// SPDX-License-Identifier: Apache-2.0

package referrers_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/evidence"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/publish"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/referrers"
	"github.com/kairos-build/kairos-build/framework/source"
	"github.com/kairos-build/kairos-build/framework/source/policy"
	"github.com/kairos-build/kairos-build/signing/verify"
)

// A notary signs images for publish, as the verbs do: the bundle, and the old format.
type notary struct{ person }

func (n notary) Signed(s publish.Subject, attached []publish.Attachment) bool {
	return slices.ContainsFunc(attached, func(a publish.Attachment) bool {
		return slices.ContainsFunc(a.Layers, func(c publish.Content) bool {
			return n.Made(s.Digest, verify.Evidence{MediaType: c.MediaType, Annotations: c.Annotations, Data: c.Data})
		})
	})
}

func (n notary) Sign(ctx context.Context, s publish.Subject) ([]publish.Attachment, error) {
	made, err := n.Signer.Sign(ctx, s.Repository, s.Digest)
	if err != nil {
		return nil, err
	}
	return []publish.Attachment{referrers.Bundle(verify.SignaturePredicate, made[0])}, nil
}

// read reads the evidence at a place, with the trust of somebody if it is not nil.
func read(t *testing.T, ref string, trust referrers.Trust) evidence.Summary {
	t.Helper()
	return readPlace(t, referrers.Place{Ref: ref, Arch: "amd64", Trust: trust})
}

// read reads the evidence in the folder.
func (f folder) read(t *testing.T, trust referrers.Trust) evidence.Summary {
	t.Helper()
	return readPlace(t, referrers.Place{Ref: f.dir, Built: f.image, Trust: trust})
}

func readPlace(t *testing.T, p referrers.Place) evidence.Summary {
	t.Helper()
	s, err := p.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (p person) trust(t *testing.T) referrers.Trust {
	t.Helper()
	return p.policy(t, "").Trust
}

// policy is a policy with the person's key, and what else it says.
func (p person) policy(t *testing.T, more string) *policy.Policy {
	t.Helper()
	pem, err := os.ReadFile(p.public)
	if err != nil {
		t.Fatal(err)
	}
	text := "format: 1\nkeys:\n  - name: release\n    file: /cosign.pub\n" + more
	parsed, err := policy.Parse("policy.yaml", []byte(text), func(string) ([]byte, error) { return pem, nil })
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// about says of each document which it is, and who signed it.
func about(s evidence.Summary) (list []string) {
	for _, d := range s.Documents {
		list = append(list, fmt.Sprintf("%s signed:%v signer:%.13s %s", d.Name, d.Signed, d.Signer, d.Problem))
	}
	return list
}

// TestUnsigned: without a signer the documents lie in the registry as they are, and a second
// push writes nothing.
func TestUnsigned(t *testing.T) {
	both(t, func(t *testing.T, f *front, repository string) {
		built := newFolder(t)
		first := push(t, repository, referrers.Of{}, nil, built.dir)
		if len(first.Attached) != 4 {
			t.Errorf("attached are %+v", first.Attached)
		}
		f.writes()
		push(t, repository, referrers.Of{}, nil, built.dir)
		if again := f.writes(); len(again) > 0 {
			t.Errorf("the second push writes %q", again)
		}
		want := []string{
			"sbom.spdx.json signed:false signer: ", "sbom.cdx.json signed:false signer: ",
			"provenance.json signed:false signer: ", "test-result.json signed:false signer: ",
		}
		for _, ref := range []string{repository + ":v1", repository + "@" + built.image} {
			s := read(t, ref, nil)
			if diff := cmp.Diff(want, about(s)); diff != "" {
				t.Errorf("%s: -want +got\n%s", ref, diff)
			}
			same(t, built, s)
		}
	})
}

// same checks that the evidence in a registry says what that in the folder says.
func same(t *testing.T, built folder, got evidence.Summary) {
	t.Helper()
	want := built.read(t, nil)
	if diff := cmp.Diff(want.Parts, got.Parts); diff != "" || len(want.Parts) < 2 {
		t.Errorf("components: -folder +registry\n%s", diff)
	}
	if diff := cmp.Diff(want.Origin, got.Origin); diff != "" || want.Origin == nil {
		t.Errorf("provenance: -folder +registry\n%s", diff)
	}
	if diff := cmp.Diff(want.Test, got.Test); diff != "" || want.Test == nil {
		t.Errorf("test: -folder +registry\n%s", diff)
	}
}

// TestSigned: with a signer each document is a signed statement. A second push signs nothing
// again, and one of another signer stands beside the first.
func TestSigned(t *testing.T) {
	both(t, func(t *testing.T, f *front, repository string) {
		built, ann, bob := newFolder(t), newPerson(t), newPerson(t)
		push(t, repository, referrers.Of{Signer: ann}, notary{ann}, built.dir)
		f.writes()
		push(t, repository, referrers.Of{Signer: ann}, notary{ann}, built.dir)
		if again := f.writes(); len(again) > 0 {
			t.Errorf("the second push writes %q", again)
		}
		s := read(t, repository+":v1", ann.trust(t))
		for _, d := range s.Documents {
			if !d.Signed || !strings.HasPrefix(d.Signer, `key "release" (sha256:`) || d.Stale || d.Problem != "" {
				t.Errorf("got %+v", d)
			}
		}
		if len(s.Documents) != 4 || len(s.Signatures) != 1 || s.Signatures[0].Signer == "" {
			t.Errorf("got %v, signatures %+v", about(s), s.Signatures)
		}
		same(t, built, s)

		for name, s := range map[string]evidence.Summary{
			"no key and no policy was given (--key, --policy)": read(t, repository+":v1", nil),
			"none of the trusted keys made this signature":     read(t, repository+":v1", bob.trust(t)),
		} {
			for _, d := range s.Documents {
				if d.Signer != "" || !d.Signed || !strings.Contains(d.Problem, name) {
					t.Errorf("%s: got %+v", name, d)
				}
			}
			if len(s.Signatures) != 1 || s.Signatures[0].Signer != "" || !strings.Contains(s.Signatures[0].Problem, name) {
				t.Errorf("%s: got %+v", name, s.Signatures)
			}
		}
		push(t, repository, referrers.Of{Signer: bob}, notary{bob}, built.dir)
		if s := read(t, repository+":v1", ann.trust(t)); len(s.Documents) != 8 || len(s.Signatures) != 2 || s.Test == nil {
			t.Errorf("after the second signer: %v, signatures %+v", about(s), s.Signatures)
		}
	})
}

// judge lets a node decide about an image, as `kairos-agent upgrade` does.
func judge(t *testing.T, p *policy.Policy, ref string) ([]string, error) {
	t.Helper()
	image, err := source.Resolve(t.Context(), ref, source.Options{Arch: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	now := func() time.Time { return time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC) }
	return policy.Judge{Policy: p, Now: now}.Verify(t.Context(), image)
}

// TestTheNodeReadsWhatTheTestWrote: the policy "require: tested" accepts what `test --attest`
// writes and push signs, and nothing less.
func TestTheNodeReadsWhatTheTestWrote(t *testing.T) {
	const fresh, full = "require:\n  - {type: tested, max_age: 30d}\n", "require: [{type: tested}, {type: provenance}, {type: spdx}, {type: cyclonedx}]\n"
	ann, bob := newPerson(t), newPerson(t)
	for _, tt := range []struct {
		name, policy string
		signer       *person
		result       func(*testing.T, folder)
		want         string // in the reasons, or in the error
		refused      bool
	}{
		{"tested", fresh, &ann, nil, `tested, by key "release"`, false},
		{"with all evidence", full, &ann, nil, `cyclonedx, by key "release"`, false},
		{"a check failed", fresh, &ann, func(t *testing.T, f folder) { f.write(t, result(t, f.image, "2026-11-28", evidence.Failed)) }, `its tests ended with "FAILED"`, true},
		{"a check was not made", fresh, &ann, func(t *testing.T, f folder) { f.write(t, result(t, f.image, "2026-11-28", evidence.Warned)) }, `tested, by key "release"`, false},
		{"long ago", fresh, &ann, func(t *testing.T, f folder) { f.write(t, result(t, f.image, "2026-10-28", evidence.Passed)) }, "its test result is of 2026-10-28, more than 30 days old", true},
		{"another image", fresh, &ann, func(t *testing.T, f folder) {
			f.write(t, result(t, "sha256:"+strings.Repeat("9", 64), "2026-11-28", evidence.Passed))
		}, `no attestation "tested" of somebody who is trusted`, true},
		{"not tested", fresh, &ann, func(t *testing.T, f folder) {
			if err := os.Remove(filepath.Join(f.dir, evidence.TestResultName)); err != nil {
				t.Fatal(err)
			}
		}, `no attestation "tested" of somebody who is trusted`, true},
		{"attested by a stranger", fresh, &bob, nil, "none of the trusted keys made this signature", true},
		{"attested by nobody", fresh, nil, nil, `no attestation "tested" of somebody who is trusted`, true},
	} {
		both(t, func(t *testing.T, _ *front, repository string) {
			built := newFolder(t)
			if tt.result != nil {
				tt.result(t, built)
			}
			of := referrers.Of{}
			if tt.signer != nil {
				of.Signer = *tt.signer
			}
			push(t, repository, of, notary{ann}, built.dir)
			reasons, err := judge(t, ann.policy(t, tt.policy), repository+":v1")
			said := strings.Join(reasons, "; ")
			if err != nil {
				said = err.Error()
			}
			if (err != nil) != tt.refused || !strings.Contains(said, tt.want) {
				t.Errorf("%s: got %v, %v; want %q", tt.name, reasons, err, tt.want)
			}
		})
	}
}

// TestStale: a test result of another image is left out, with a reason. A bill of materials
// of another image is a mistake.
func TestStale(t *testing.T) {
	other := "sha256:" + strings.Repeat("9", 64)
	built := newFolder(t)
	built.write(t, result(t, other, "2026-11-28", evidence.Passed))
	var said []string
	of := referrers.Of{Stale: func(reason string) { said = append(said, reason) }}
	subject := publish.Subject{Path: built.dir, Digest: hash(t, built.image)}
	list, err := of.Evidence(t.Context(), subject, nil)
	if err != nil || len(list) != 3 || len(said) != 1 || !strings.Contains(said[0], "test-result.json is about another image ("+other+") and is not attached: `kairos-build test "+built.dir+" --attest`") {
		t.Errorf("got %d documents, %v, %q", len(list), err, said)
	}
	subject.Digest = hash(t, other)
	if _, err := of.Evidence(t.Context(), subject, nil); err == nil || !strings.Contains(err.Error(), "sbom.spdx.json is about the image "+built.image+", and "+built.dir+" has "+other+": build it again") {
		t.Errorf("got %v", err)
	}
	subject.Path = "registry.example.org/edge/debian:v1"
	if list, err := of.Evidence(t.Context(), subject, nil); list != nil || err != nil {
		t.Errorf("got %v, %v", list, err)
	}
}

func hash(t *testing.T, text string) v1.Hash {
	t.Helper()
	h, err := v1.NewHash(text)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestForeignDocuments: what others attached is listed, and breaks nothing.
func TestForeignDocuments(t *testing.T) {
	both(t, func(t *testing.T, _ *front, repository string) {
		built := newFolder(t)
		foreign := others{{ArtifactType: "application/spdx+json", Layers: []publish.Content{{MediaType: "application/spdx+json", Data: []byte("{")}}},
			{ArtifactType: "application/x-notes", Layers: []publish.Content{{MediaType: "text/plain", Data: []byte("hello")}}},
			{ArtifactType: verify.BundleType, Layers: []publish.Content{{MediaType: verify.BundleType, Data: []byte("{}")}}}}
		push(t, repository, foreign, nil, built.dir)
		push(t, repository, referrers.Of{}, nil, built.dir)
		s := read(t, repository+":v1", nil)
		same(t, built, s)
		var out strings.Builder
		if err := s.Print(&out, false); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"application/x-notes ", "it is not what kairos-build wrote", verify.BundleType} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("there is no %q in\n%s", want, out.String())
			}
		}
	})
}

type others []publish.Attachment

func (o others) Evidence(context.Context, publish.Subject, []publish.Attachment) ([]publish.Attachment, error) {
	return o, nil
}

// TestSignedFile: a document in a folder may have the bundle of a signature beside it.
func TestSignedFile(t *testing.T) {
	built, ann := newFolder(t), newPerson(t)
	path := filepath.Join(built.dir, evidence.SPDXName)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := ann.File(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+verify.BundleSuffix, bundle, 0o644); err != nil {
		t.Fatal(err)
	}
	if s := built.read(t, ann.trust(t)); s.Documents[0].Signer == "" || s.Documents[1].Signed {
		t.Errorf("got %v", about(s))
	}
	if err := os.WriteFile(path, append(data, ' '), 0o644); err != nil {
		t.Fatal(err)
	}
	if s := built.read(t, ann.trust(t)); s.Documents[0].Signer != "" || s.Documents[0].Problem == "" {
		t.Errorf("after a change: got %v", about(s))
	}
}

// TestLayout: an OCI layout may have attachments, too, and need not.
func TestLayout(t *testing.T) {
	built := newFolder(t)
	s := read(t, filepath.Join(built.dir, "image"), nil)
	var out strings.Builder
	if err := s.Print(&out, false); err != nil {
		t.Fatal(err)
	}
	if s.Image != built.image || len(s.Documents) != 0 || !strings.Contains(out.String(), "none: `kairos-build push` of a build attaches its evidence") {
		t.Errorf("got %s", out.String())
	}
}
