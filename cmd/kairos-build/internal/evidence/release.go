// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"time"
)

// releaseType names the way in which kairos-build itself is made; docs/release.md
// describes it.
const releaseType = home + "/build/release/v1"

// self is the Go module of kairos-build.
const self = "github.com/kairos-build/kairos-build"

// A Release is what is known about a release of kairos-build itself. Nothing in it depends
// on the machine or the folder that made it, but the builder.
type Release struct {
	Version  string    // v1.2.3
	Created  time.Time // of the commit
	Commit   string    // of the source, hex
	Builder  string    // URI of who made it; empty: a person, on any machine
	Go       string    // go1.26.8
	Flags    []string  // of go build
	Programs []ReleaseProgram
}

// A ReleaseProgram is a program of a release. Those that are published are files; the others
// are inside them.
type ReleaseProgram struct {
	Program
	Arch      string // as Go names it; the system is Linux
	Published bool
}

// MakeRelease makes the bills of materials and the provenance of a release.
func MakeRelease(r Release) ([]Document, error) {
	return documents(r.bill(), r.provenance())
}

// bill lists the programs and all Go modules in them. A module that several programs have
// is in it once.
func (r Release) bill() bill {
	var all []component
	for _, p := range r.Programs {
		all = append(all, p.parts(r.Version, r.programPURL(p))...)
	}
	return bill{
		name: "kairos-build " + r.Version, space: "kairos-build", created: r.Created, tool: r.Version,
		subject: component{name: "kairos-build", version: r.Version, purl: modulePURL(self, r.Version)},
		kind:    subjectKind{"APPLICATION", "application"}, all: inOrder(all),
	}
}

func (r Release) programPURL(p ReleaseProgram) purl {
	id := modulePURL(self, r.Version)
	id.qualifiers, id.subpath = [][2]string{{"goarch", p.Arch}, {"goos", "linux"}}, p.Name
	return id
}

// releaseParameters are what somebody chose for a release.
type releaseParameters struct {
	Version   string   `json:"version"`
	Platforms []string `json:"platforms"`
}

// releaseInternals are what follows from the source.
type releaseInternals struct {
	SourceDateEpoch int64    `json:"sourceDateEpoch"`
	Go              string   `json:"go"`
	Flags           []string `json:"flags"` // of go build
}

func (r Release) provenance() statement {
	p := provenance[releaseParameters, releaseInternals]{
		BuildDefinition: definition[releaseParameters, releaseInternals]{
			BuildType:            releaseType,
			ExternalParameters:   releaseParameters{r.Version, r.platforms()},
			InternalParameters:   releaseInternals{r.Created.Unix(), r.Go, r.Flags},
			ResolvedDependencies: r.materials(),
		},
		RunDetails: runDetails{Builder: builder{ID: cmp.Or(r.Builder, releaseType+"/local"), Version: map[string]string{"go": r.Go}}},
	}
	return statement{Type: statementType, Subject: r.subjects(), PredicateType: ProvenanceType, Predicate: p}
}

func (r Release) subjects() []Resource {
	var all []Resource
	for _, p := range r.Programs {
		if p.Published {
			all = append(all, Named(p.Name, "sha256:"+p.SHA256))
		}
	}
	return all
}

func (r Release) platforms() []string {
	var all []string
	for _, p := range r.Programs {
		if p.Published {
			all = append(all, "linux/"+p.Arch)
		}
	}
	return all
}

// materials are the source and the modules, by their digests.
func (r Release) materials() []Resource {
	modules := map[Module]bool{}
	for _, p := range r.Programs {
		for _, m := range p.Modules {
			modules[m] = true
		}
	}
	all := []Resource{{Name: "source", URI: "git+" + home, Digest: map[string]string{"gitCommit": r.Commit}}}
	for _, m := range slices.SortedFunc(maps.Keys(modules), compareModules) {
		all = append(all, Resource{Name: m.Path, URI: modulePURL(m.Path, m.Version).String(), Digest: m.digest()})
	}
	return all
}

func compareModules(a, b Module) int {
	return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Sum, b.Sum))
}

// digest is the checksum of go.sum as in-toto writes it.
func (m Module) digest() map[string]string {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.Sum, "h1:"))
	if err != nil || len(raw) != 32 {
		return nil
	}
	return map[string]string{"dirHash": hex.EncodeToString(raw)}
}
