// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"fmt"
	"slices"
	"strings"
)

// An arrow says what packages may import. Names that start with "./" are folders of this
// repository, "./..." is all of it, "std" is the standard library, and all others are
// import paths. Each name covers the packages below it too, except a name that ends in
// "/.": it is one folder of this repository alone.
type arrow struct {
	from  string
	but   []string // exceptions below from; packages below these are no exceptions
	never []string // must not be imported, directly or through packages of ours
	only  []string // if not empty, nothing else may be imported directly
	why   string
}

const (
	buildkit = "github.com/moby/buildkit"
	sigstore = "github.com/sigstore"
	cosign   = sigstore + "/cosign"
	agent    = "./framework/agent"
	builder  = "./cmd/kairos-build/internal"
)

func arrows() []arrow {
	return []arrow{
		{
			from:  "./framework",
			never: []string{buildkit, "./cmd", "./recipes", "./flavors", "./ci"},
			why:   "what runs on a node knows nothing of the builder",
		},
		{
			from:  "./framework",
			never: []string{"./signing/.", cosign},
			why:   "a node checks signatures and makes none: signing/verify is enough",
		},
		{
			from:  "./signing",
			never: []string{"./framework", "./cmd", "./recipes", "./flavors", "./ci"},
			why:   "signing stands below everything else",
		},
		{
			from:  "./signing/verify",
			only:  []string{"std", "./signing/verify", "github.com/google/go-containerregistry", sigstore},
			never: []string{cosign, "net/http", "os", "os/exec"},
			why:   "it works on bytes, and is what a node needs; the caller fetches and reads them",
		},
		{
			from:  "./framework",
			but:   []string{agent, "./framework/commandline"},
			never: []string{"github.com/spf13/cobra"},
			why:   "flags end in package main",
		},
		{
			from:  "./...",
			never: []string{agent},
			why:   "the agent is a program; what others need of it is a room of its own",
		},
		{
			from:  "./framework/machine",
			never: []string{"./framework/node", "./framework/upgrade", "./framework/install/reset"},
			why:   "the hands that change a machine are told what to do",
		},
		{
			from:  "./framework/machine/kubernetes",
			never: []string{"net/http", "os/exec"},
			why:   "the node passes in what runs programs; nothing is fetched",
		},
		{
			from: "./framework/source/release",
			only: []string{"std", "./framework/internal/lazyregexp"},
			why:  "versions and names are values; builder and node share them",
		},
		{
			from:  "./framework/machine/kubernetes/jointoken",
			only:  []string{"std", "./framework/internal/lazyregexp", "go.yaml.in/yaml/v3"},
			never: []string{"net/http", "os/exec", "log/slog"},
			why:   "a token is a secret value: the program reads it, and nothing but the program shows it",
		},
		{
			from: "./framework/source/reference",
			only: []string{"std", "./framework/internal/lazyregexp", "./framework/source/release", "golang.org/x/mod/semver"},
			why:  "a name is a value; builder and node share it",
		},
		{
			from:  "./framework/config",
			never: []string{"./framework/machine", "./framework/node"},
			why:   "a config is read before anything is done with it",
		},
		{
			from:  "./framework/install/reset",
			never: []string{"./framework/node", "./framework/upgrade"},
			why:   "the node decides on a reset; how it is done is here",
		},
		{
			from:  "./framework/upgrade",
			never: []string{"./framework/node", "./framework/machine", "./framework/install/reset"},
			why:   "the node decides on an upgrade; how it is done is here",
		},
		{
			from:  "./framework/source/policy",
			never: []string{"./framework/node", "./framework/machine", "./framework/upgrade"},
			why:   "it judges what others fetched and read: node, builder and tests share it",
		},
		{
			from:  "./ci/attack",
			never: []string{"./ci/lab", "./ci/acceptance", "./cmd"},
			why:   "an attacker has a registry, and no machine",
		},
		{
			from: "./framework/machine/kubernetes/arguments",
			only: []string{"std", "./framework/source/release", "./framework/strict/nearest"},
			why:  "a build step writes the list that the node reads; it needs nothing of either",
		},
		{
			from: "./framework/machine/kubernetes/datastore",
			only: []string{"std", "./framework/internal/treecopy", "./framework/source/release", "./framework/ondisk/durable", "go.etcd.io/bbolt", "golang.org/x/sys/unix"},
			why:  "it moves files of a stopped service; the node decides when, and tells",
		},
		{
			from: "./framework",
			but: []string{
				"./framework/grub/bootconf", "./framework/grub/bootenv", "./framework/grub/bootenv/bootenvtest", "./framework/grub/bootloader",
				agent, "./framework/initramfs", "./framework/rootfs/assemble", // these programs choose the boot loader
				"./framework/node", "./framework/node/status", // this node has one
			},
			never: []string{"./framework/grub"},
			why:   "GRUB is one of several boot loaders: declare what you need of one, and let the program pass it in",
		},
		{
			from:  builder,
			but:   []string{builder + "/factory", builder + "/testrun"}, // factory chooses the boot loader, testrun runs tests of it
			never: []string{"./framework/grub"},
			why:   "GRUB is one of several boot loaders: declare what you need of one, and let the factory pass it in",
		},
		{
			from:  "./framework/initramfs",
			never: []string{"net/http", "crypto/tls"},
			why:   "/init has no network, and is loaded from disk at each boot",
		},
		{
			from:  "./framework/rootfs/assemble",
			never: []string{"net/http", "crypto/tls"},
			why:   "a build step's inputs are in the graph; it fetches nothing",
		},
		{
			from: "./framework/layout",
			only: []string{"std"},
			why:  "it is the truth that all others share, and does nothing",
		},
		{
			from:  "./flavors",
			never: []string{buildkit, "./cmd", "./recipes", "./ci", "net/http"},
			why:   "a flavor is data",
		},
		{
			from: "./recipes",
			only: []string{"std", "./recipes", "./flavors", "./framework/layout", "./framework/source/release", buildkit + "/client/llb", "github.com/opencontainers/image-spec/specs-go"},
			why:  "a recipe is a pure function from a flavor to a graph",
		},
		{
			from:  "./recipes",
			never: []string{"os/exec", "./cmd", "./ci"},
			why:   "a recipe is a pure function from a flavor to a graph",
		},
		{
			from:  builder + "/factory",
			never: []string{builder + "/packages/deb", builder + "/packages/rpm"},
			why:   "the order of the steps is the same for every family",
		},
		{
			from:  builder + "/lock",
			never: []string{builder + "/factory", builder + "/engine", builder + "/packages/deb", builder + "/packages/rpm", builder + "/kubernetes"},
			why:   "a lock is a value: it knows neither how it is made nor what a build does with it",
		},
		{
			from:  builder + "/publish",
			never: []string{"./signing/.", sigstore, builder + "/evidence", builder + "/factory", builder + "/engine", "os/exec"},
			why:   "it carries what others made and signed, and knows neither how",
		},
		{
			from:  builder + "/notary",
			never: []string{builder + "/factory", builder + "/engine", builder + "/evidence", "./framework/node", "os/exec"},
			why:   "it signs what is there, wherever it came from",
		},
		{
			from: builder + "/bootchain",
			only: []string{"std"},
			why:  "what a signature says is found in bytes: no disk, no image, no network",
		},
		{
			from:  builder + "/evidence",
			never: []string{builder + "/factory", builder + "/engine", builder + "/packages/deb", builder + "/packages/rpm", "./ci", "net/http", "os/exec"},
			why:   "evidence is a function of facts: the build gives them, and the program signs and publishes",
		},
		{
			from:  builder + "/referrers",
			never: []string{"./signing/.", builder + "/factory", builder + "/engine", "./ci", "os/exec"},
			why:   "it stores and reads evidence; the program passes in who signs",
		},
		{
			from: builder + "/supportmatrix",
			only: []string{"std", "./framework/ondisk/durable"},
			why:  "a report is a function of files: it builds, tests and fetches nothing",
		},
		{
			from:  builder + "/packages",
			never: []string{builder + "/factory", builder + "/engine"},
			why:   "a family gives inputs; it does not know what a build is",
		},
		{
			from:  "./ci/qemu",
			never: []string{"./ci/lab", "./ci/acceptance", "./cmd"},
			why:   "a virtual machine knows nothing of what is tested with it",
		},
		{
			from:  "./ci/lab",
			never: []string{"./ci/acceptance", "./ci/crash", "./ci/bench", "./cmd"},
			why:   "a lab decides nothing about a disk",
		},
		{
			from: "./ci/acceptance",
			but:  []string{"./ci/acceptance"},
			only: []string{"std", "./ci/lab", "./ci/qemu", "./ci/testimage", "./framework", "github.com/google/go-containerregistry", "go.yaml.in/yaml/v3"},
			why:  "a story knows the lab, neither the runner nor another story",
		},
		{
			from:  "./...",
			but:   []string{"./cmd/kairos-build", builder + "/testrun"},
			never: []string{"./ci/acceptance/."},
			why:   "kairos-build alone runs the stories",
		},
		{
			from:  "./...",
			but:   []string{"./ci/dagger", "./ci/dagger/engine"},
			never: []string{"dagger.io/dagger", "./ci/dagger"},
			why:   "a pipeline calls the product, and is no part of it",
		},
		{
			from: "./ci/dagger/pipeline",
			only: []string{"std"},
			why:  "a pipeline is a value: it knows no engine",
		},
		{
			from:  "./...",
			never: []string{"github.com/rhysd/actionlint"},
			but:   []string{"./ci/workflows"},
			why:   "ci/workflows alone reads workflows",
		},
		{
			from:  builder,
			never: []string{"github.com/spf13/cobra"},
			why:   "flags end in package main",
		},
	}
}

func checkArrows(t *Tree) []Finding {
	graph := newImportGraph(t)
	var found []Finding
	for _, a := range arrows() {
		for _, s := range t.Go {
			if a.holdsFor(s) {
				found = append(found, a.check(s, graph)...)
			}
		}
	}
	return found
}

func (a arrow) holdsFor(s Source) bool {
	inside := a.from == "./..." || below(s.Package, strings.TrimPrefix(a.from, "./"))
	return inside && !s.Test && !slices.Contains(a.but, "./"+s.Package)
}

func (a arrow) check(s Source, graph importGraph) []Finding {
	var found []Finding
	for _, i := range s.Imports {
		if len(a.only) > 0 && !matchAny(i.Path, a.only) {
			found = append(found, Finding{s.Path, i.Line, fmt.Sprintf("%s imports %s: %s", a.from, i.Path, a.why)})
		}
		if chain := graph.chain(i.Path, a.never); len(chain) > 0 {
			found = append(found, Finding{s.Path, i.Line, fmt.Sprintf("%s imports %s: %s", a.from, strings.Join(chain, " -> "), a.why)})
		}
	}
	return found
}

func matchAny(name string, list []string) bool {
	return slices.ContainsFunc(list, func(want string) bool {
		if want == "std" {
			return isStandard(name)
		}
		if ours, ok := strings.CutPrefix(want, "./"); ok {
			if alone, ok := strings.CutSuffix(ours, "/."); ok {
				return name == Module+"/"+alone
			}
			return below(name, Module+"/"+ours)
		}
		return below(name, want)
	})
}

// isStandard tells whether an import path is of the standard library: only its paths
// have no dot in the first element.
func isStandard(name string) bool {
	first, _, _ := strings.Cut(name, "/")
	return !strings.Contains(first, ".")
}

// An importGraph holds the imports of each of our packages, without those of tests.
type importGraph map[string][]string

func newImportGraph(t *Tree) importGraph {
	graph := importGraph{}
	for _, s := range t.Go {
		if s.Test {
			continue
		}
		for _, i := range s.Imports {
			graph[Module+"/"+s.Package] = append(graph[Module+"/"+s.Package], i.Path)
		}
	}
	return graph
}

// chain returns the path from a package to one that matches, both included, through
// packages of ours. It is empty if there is none.
func (g importGraph) chain(from string, never []string) []string {
	return g.walk(from, never, map[string]bool{})
}

func (g importGraph) walk(from string, never []string, seen map[string]bool) []string {
	if matchAny(from, never) {
		return []string{from}
	}
	if seen[from] {
		return nil
	}
	seen[from] = true
	for _, next := range g[from] {
		if rest := g.walk(next, never, seen); rest != nil {
			return append([]string{from}, rest...)
		}
	}
	return nil
}

// A ban is a package that must not be used, and its replacement.
type ban struct {
	path    string
	instead string
	except  []string // folders that may: BuildKit logs this way, a crash state is a seed and a number
}

func bans() []ban {
	return []ban{
		{path: "io/ioutil", instead: "io and os"},
		{path: "log", instead: "log/slog, with the logger passed in", except: []string{"cmd/kairos-build/internal/engine"}},
		{path: "math/rand", instead: "nothing: outputs are deterministic"},
		{path: "math/rand/v2", instead: "nothing: outputs are deterministic", except: []string{"ci/crash", "framework/internal/layers/layerstest"}}, // for tests, with a seed
		{path: "github.com/pkg/errors", instead: "errors and fmt.Errorf with %w"},
		{path: "github.com/sirupsen/logrus", instead: "log/slog", except: []string{"cmd/kairos-build/internal/engine", "ci/testregistry"}},
		{path: "github.com/stretchr/testify", instead: "testing and go-cmp"},
		{path: "gopkg.in/yaml.v2", instead: "go.yaml.in/yaml/v3"},
		{path: "gopkg.in/yaml.v3", instead: "go.yaml.in/yaml/v3"},
		{path: "sigs.k8s.io/yaml", instead: "go.yaml.in/yaml/v3, which knows lines"},
		{path: sigstore, instead: "signing/verify to check, signing to sign", except: []string{"signing"}}, // see also the arrows
		{path: "github.com/docker/docker", instead: "the engine, or go-containerregistry"},
	}
}

func checkBanned(t *Tree) []Finding {
	var found []Finding
	for _, s := range t.Go {
		for _, i := range s.Imports {
			for _, b := range bans() {
				if b.hits(s, i) {
					found = append(found, Finding{s.Path, i.Line, fmt.Sprintf("imports %s: use %s", i.Path, b.instead)})
				}
			}
		}
	}
	return found
}

// hits tells whether an import breaks the ban. A ban covers the packages below it too,
// except in the standard library, where these are different things (log/slog is not
// log).
func (b ban) hits(s Source, i Import) bool {
	if s.Test && strings.HasPrefix(b.path, "math/rand") {
		return false
	}
	if slices.ContainsFunc(b.except, func(dir string) bool { return below(s.Package, dir) }) {
		return false
	}
	return i.Path == b.path || !isStandard(b.path) && below(i.Path, b.path)
}
