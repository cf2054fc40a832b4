// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/ci/testimage"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/signing/signingtest"
)

// A scenario is one attack.
type scenario struct {
	name   string
	setup  func(k *kit)
	says   string // the reason that must be named
	spoils bool   // the slot that was being written may be spoiled
	heavy  bool   // it takes seconds: only with KAIROS_ATTACK=all
}

func scenarios() []scenario {
	var all []scenario
	for _, list := range [][]scenario{signatures(), keyless(), policies(), bindings(), blobs(), documents(), entries(), archives(), ways(), answers()} {
		all = append(all, list...)
	}
	return all
}

// TestAttacks runs all scenarios; without KAIROS_ATTACK=all, every fourth and nothing heavy.
func TestAttacks(t *testing.T) {
	program := build(t)
	trusted, stranger := must(testimage.NewSigner()), must(testimage.NewSigner())
	all := scenarios()
	if len(all) < 40 {
		t.Errorf("%d scenarios, want 40 or more", len(all))
	}
	accepted, spoiled, most, where, tried := 0, 0, int64(0), "", 0
	for i, s := range all {
		if os.Getenv("KAIROS_ATTACK") != "all" && (s.heavy || i%4 != 0) {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			tried++
			out := run(t, s, newKit(t, trusted, stranger), program)
			if out.memory > most {
				most, where = out.memory, s.name
			}
			if out.err == nil {
				accepted++
			}
			if s.spoils {
				spoiled++
			}
		})
	}
	t.Logf("%d attacks tried, %d accepted, %d spoiled the slot that was written, at most %d MiB (%s)", tried, accepted, spoiled, most>>20, where)
}

// run plays a scenario against a node.
func run(t *testing.T, s scenario, k *kit, program string) outcome {
	t.Helper()
	k.policy = policyOf(k.trusted)
	s.setup(k)
	if k.policy == "-" {
		k.policy = ""
	}
	n := newNode(t, program, k.policy)
	for path, data := range k.files {
		n.put(filepath.Join(n.dir, "root", path), data)
	}
	if k.floor != "" {
		n.put(filepath.Join(n.dir, "root", layout.NotesDir, "trust.json"), fmt.Sprintf(`{"version": 1, "floor": {"KAIROS_VERSION": %q}}`, k.floor))
	}
	before := n.contents()
	clear(k.asked)
	if k.source == "" {
		k.source = "oci:" + k.ref(k.tag).Name()
	}
	out := n.upgrade(k.env, append(k.args, "--source", k.source)...)
	if out.err == nil || !strings.Contains(out.said, s.says) {
		t.Errorf("got %v, want a refusal that says %q:\n%s", out.err, s.says, out.said)
	}
	if out.memory > MaxMemory {
		t.Errorf("it took %d MiB, more than %d", out.memory>>20, MaxMemory>>20)
	}
	n.wantUntouched(before, s.spoils)
	if asked := k.asked["GET /v2/"+repository+"/manifests/"+k.tag]; asked > 1 {
		t.Errorf("the tag was asked for %d times", asked)
	}
	if k.check != nil {
		k.check()
	}
	return out
}

// TestHonest: the same node installs an honest image, signed in either format, and the
// largest one that the bounds allow stays below the limit of memory.
func TestHonest(t *testing.T) {
	program := build(t)
	trusted, stranger := must(testimage.NewSigner()), must(testimage.NewSigner())
	for name, setup := range map[string]func(k *kit){
		"old format": func(k *kit) { k.trust(recorded(t, image(release()))) },
		"new format": func(k *kit) {
			image := k.push(image(release()))
			k.attest(trusted, image, k.digest(image), testimage.PredicateSign, map[string]any{})
		},
		"a certificate": func(k *kit) {
			s := signingtest.New(t)
			k.owned(s.Root(true, false), workflow)
			k.bundled(k.push(image(release())), certified(k, s, k.digest(image(release()))))
		},
		"a registry that changes its mind after the first answer": func(k *kit) {
			evil := must(image(release("KAIROS_VERSION", "v9.9.9")).RawManifest())
			k.trust(image(release()))
			first := true
			k.changed(func(good []byte) []byte {
				if first {
					first = false
					return good
				}
				return evil
			}, "/manifests/"+k.tag, "/manifests/"+k.digest(image(release())).String())
		},
		"two signers": func(k *kit) {
			image := k.push(image(release()))
			k.attest(stranger, image, k.digest(image), testimage.PredicateSign, map[string]any{})
			k.sign(trusted, image)
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKit(t, trusted, stranger)
			k.policy = policyOf(trusted)
			setup(k)
			n := newNode(t, program, k.policy)
			for path, data := range k.files {
				n.put(filepath.Join(n.dir, "root", path), data)
			}
			out := n.upgrade(nil, "--source", "oci:"+k.ref(k.tag).Name())
			if signed := strings.Contains(out.said, "signed by key \"the release key\"") || strings.Contains(out.said, "signed by "+workflow); out.err != nil || !signed || !strings.Contains(out.said, k.digest(image(release())).String()) && name != "old format" {
				t.Errorf("got %v:\n%s", out.err, out.said)
			}
		})
	}
}

func policyOf(s *testimage.Signer, more ...string) string {
	pem := strings.ReplaceAll(strings.TrimSpace(string(must(s.PEM()))), "\n", "\n      ")
	return fmt.Sprintf("format: 1\nkeys:\n  - name: the release key\n    pem: |\n      %s\n%s", pem, strings.Join(more, ""))
}

// build compiles the agent.
func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kairos-agent")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", path, "github.com/kairos-build/kairos-build/framework/agent")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, bytes.TrimSpace(out))
	}
	return path
}
