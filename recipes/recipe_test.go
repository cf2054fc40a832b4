// SPDX-License-Identifier: Apache-2.0

package recipes

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"

	"github.com/kairos-build/kairos-build/ci/golden"
	"github.com/kairos-build/kairos-build/flavors"
)

func testInputs(agent string) Inputs {
	layout := func(name string) llb.State {
		return llb.OCILayout("kairos-build/" + name + "@sha256:" + strings.Repeat("0", 64))
	}
	return Inputs{
		InputBase: layout("base"), InputPackages: layout("packages"), InputTools: layout("tools"),
		InputKernel: layout("kernel"), InputBootloader: layout("bootloader"),
		InputToolbox:  layout("toolbox"),
		InputAssemble: layout("assemble"), InputInit: layout("init"), InputFramework: layout("framework"), InputAgent: layout("agent-" + agent), InputRelease: layout("release"),
	}
}

func resolve(t *testing.T, name string) Recipe {
	t.Helper()
	flavor, err := flavors.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	recipe, err := Resolve(flavor, Lock{Epoch: time.Unix(1700000000, 0)}, Options{Version: "v1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	return recipe
}

func marshal(t *testing.T, r Recipe, in Inputs) *llb.Definition {
	t.Helper()
	state, err := r.State(in)
	if err != nil {
		t.Fatal(err)
	}
	def, err := state.Marshal(t.Context(), llb.LinuxAmd64)
	if err != nil {
		t.Fatal(err)
	}
	return def
}

// TestGraph compares the graph of every flavor with a listing that a person
// can review.
func TestGraph(t *testing.T) {
	for _, name := range flavors.Names() {
		t.Run(name, func(t *testing.T) {
			got := listing(t, marshal(t, resolve(t, name), testInputs("1")))
			golden.Check(t, filepath.Join("testdata", name+".golden"), string(got))
		})
	}
}

// TestGraphOfAnotherArchitecture: arm64 has other kernels and consoles, and no BIOS.
func TestGraphOfAnotherArchitecture(t *testing.T) {
	flavor, err := flavors.Load("debian-13")
	if err != nil {
		t.Fatal(err)
	}
	recipe, err := Resolve(flavor, Lock{Epoch: time.Unix(1700000000, 0)}, Options{Version: "v1.2.3", Arch: "arm64"})
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, l := range recipe.PackageLists() {
		fmt.Fprintln(&got, l.Input, strings.Join(l.Names, " "))
	}
	fmt.Fprintln(&got, recipe.Cmdline())
	got.Write(listing(t, marshal(t, recipe, testInputs("1"))))
	golden.Check(t, filepath.Join("testdata", "debian-13-arm64.golden"), got.String())
	for input, name := range map[string]string{InputKernel: "linux-image-arm64", InputTools: "kmod", InputPackages: "systemd"} {
		if at := recipe.Place(input, name); !strings.HasPrefix(at, "flavors/debian-13/flavor.yaml:") {
			t.Errorf("%s is written at %q", name, at)
		}
	}
}

func TestGraphIsDeterministic(t *testing.T) {
	for _, name := range flavors.Names() {
		a, b := marshal(t, resolve(t, name), testInputs("1")), marshal(t, resolve(t, name), testInputs("1"))
		if diff := cmp.Diff(a.Def, b.Def); diff != "" {
			t.Errorf("%s marshals differently the second time:\n%s", name, diff)
		}
	}
}

// TestNewAgentRunsNoStep changes the agent alone: layers are joined, and no step runs again.
func TestNewAgentRunsNoStep(t *testing.T) {
	recipe := resolve(t, "debian-13")
	before := steps(t, marshal(t, recipe, testInputs("1")))
	after := steps(t, marshal(t, recipe, testInputs("2")))
	var changed []string
	for digest, args := range after {
		if _, same := before[digest]; !same {
			changed = append(changed, args)
		}
	}
	if len(changed) != 0 {
		t.Errorf("a new agent runs again: %q", changed)
	}
}

// ownSite is debian-13 with additions of every kind.
func ownSite(t *testing.T, o Options) Recipe {
	t.Helper()
	flavor, err := flavors.Load("debian-13")
	if err != nil {
		t.Fatal(err)
	}
	flavor.Added = flavors.Additions{Packages: []string{"htop", "curl"}, Run: []string{"true"}}
	o.Version = "v1.2.3"
	recipe, err := Resolve(flavor, Lock{Epoch: time.Unix(1700000000, 0)}, o)
	if err != nil {
		t.Fatal(err)
	}
	return recipe
}

func siteInputs(site string) Inputs {
	in := testInputs("1")
	for _, name := range []string{InputSitePackages, InputSite, InputKubernetes, InputUsers} {
		in[name] = llb.OCILayout("kairos-build/" + name + site + "@sha256:" + strings.Repeat("0", 64))
	}
	return in
}

// TestSite: what a site adds is in two layers of its own, below the parts and the release.
func TestSite(t *testing.T) {
	r := ownSite(t, Options{})
	golden.Check(t, "testdata/site.golden", string(listing(t, marshal(t, r, siteInputs("")))))
	lists := r.PackageLists()
	last := lists[len(lists)-1]
	if last.Input != InputSitePackages || last.Over != InputPackages || strings.Join(last.Names, " ") != "htop" {
		t.Errorf("the packages of the site are %+v: curl is one of the flavor's", last)
	}
	if at := ownSite(t, Options{Packages: []string{"jo"}}).Place(InputSitePackages, "jo"); at != "--package jo" {
		t.Errorf("jo is at %q", at)
	}
	if at := lists[0].Place("curl"); !strings.HasPrefix(at, "flavors/debian-13/flavor.yaml:") {
		t.Errorf("curl is at %q", at)
	}
}

// TestSiteChangeRerunsItself changes the files of a site: no other step runs again, also
// when the image has Kubernetes.
func TestSiteChangeRerunsItself(t *testing.T) {
	for _, o := range []Options{{HasFiles: true}, {Packages: []string{"jo"}, Run: []string{"x"}}} {
		r := ownSite(t, o)
		before := steps(t, marshal(t, r, siteInputs("1")))
		in := siteInputs("1")
		in[InputSite] = siteInputs("2")[InputSite]
		var changed []string
		for digest, args := range steps(t, marshal(t, r, in)) {
			if _, same := before[digest]; !same {
				changed = append(changed, args)
			}
		}
		if len(changed) != 1 || !strings.Contains(changed[0], " site ") {
			t.Errorf("other files run again: %q, want site alone", changed)
		}
	}
}

// TestNoSite: without additions nothing of a site is in the graph.
func TestNoSite(t *testing.T) {
	for _, l := range resolve(t, "debian-13").Layers {
		if strings.HasPrefix(l.Name, "site") {
			t.Errorf("a layer %s", l.Name)
		}
	}
}

// steps maps the digest of every run to its arguments.
func steps(t *testing.T, def *llb.Definition) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, raw := range def.Def {
		op := unmarshal(t, raw)
		if exec := op.GetExec(); exec != nil {
			found[digestOf(raw)] = strings.Join(exec.Meta.Args, " ") + " "
		}
	}
	return found
}

// listing prints one line for each operation: number, name, inputs.
func listing(t *testing.T, def *llb.Definition) []byte {
	t.Helper()
	var out bytes.Buffer
	number := map[string]int{}
	for i, raw := range def.Def {
		op := unmarshal(t, raw)
		digest := digestOf(raw)
		number[digest] = i
		var inputs []string
		for _, in := range op.Inputs {
			inputs = append(inputs, fmt.Sprintf("%d", number[in.Digest]))
		}
		fmt.Fprintf(&out, "%2d %s", i, describe(op))
		if len(inputs) > 0 {
			fmt.Fprintf(&out, "  <- %s", strings.Join(inputs, " "))
		}
		out.WriteString("\n")
	}
	return out.Bytes()
}

func describe(op *pb.Op) string {
	switch {
	case op.GetSource() != nil:
		return "source " + strings.Split(op.GetSource().Identifier, "@")[0]
	case op.GetExec() != nil:
		exec := op.GetExec()
		text := "run " + strings.Join(exec.Meta.Args[1:], " ") + " network=" + exec.Network.String()
		for _, m := range exec.Mounts {
			text += fmt.Sprintf(" %s:input=%d,output=%d", m.Dest, m.Input, m.Output)
		}
		return text
	case op.GetMerge() != nil:
		return "merge"
	case op.GetFile() != nil:
		var actions []string
		for _, action := range op.GetFile().Actions {
			switch {
			case action.GetMkfile() != nil:
				actions = append(actions, "mkfile "+action.GetMkfile().Path)
			case action.GetMkdir() != nil:
				actions = append(actions, "mkdir "+action.GetMkdir().Path)
			}
		}
		return "file " + strings.Join(actions, ", ")
	}
	return "result"
}

// TestMissingInputs: the error names every missing input.
func TestMissingInputs(t *testing.T) {
	for name := range testInputs("1") {
		in, flavor := testInputs("1"), "debian-13"
		delete(in, name)
		if strings.HasPrefix(name, "toolbox") {
			flavor = "rocky-9"
		}
		if _, err := resolve(t, flavor).State(in); err == nil || !strings.Contains(err.Error(), "is made from "+name+", which is not there") {
			t.Errorf("without %s: got %v", name, err)
		}
	}
}

func TestResolveRefusesWhatIsNotMade(t *testing.T) {
	flavor, err := flavors.Load("debian-13")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		options Options
		want    string
	}{
		{Options{Arch: "riscv64"}, `flavor debian-13 is not made for architecture "riscv64": it is for amd64, arm64`},
		{Options{Model: "rpi4"}, `flavor debian-13 has no model "rpi4": it has cloud, generic`},
	} {
		if _, err := Resolve(flavor, Lock{}, tt.options); err == nil || err.Error() != tt.want {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}

func unmarshal(t *testing.T, raw []byte) *pb.Op {
	t.Helper()
	op := &pb.Op{}
	if err := op.UnmarshalVT(raw); err != nil {
		t.Fatal(err)
	}
	return op
}

func digestOf(raw []byte) string { return digest.FromBytes(raw).String() }
