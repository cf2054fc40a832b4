// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// A Summary is the evidence about an image, for people and as JSON.
type Summary struct {
	Image      string      `json:"image"` // digest
	Signatures []Signature `json:"signatures"`
	Documents  []Listed    `json:"documents"`
	Parts      []Part      `json:"components"`
	Origin     *Origin     `json:"provenance,omitempty"`
	Test       *TestFacts  `json:"test,omitempty"`
}

// Listed is a document.
type Listed struct {
	Name      string `json:"name"`
	Predicate string `json:"predicate_type"`
	Digest    string `json:"digest"`
	Size      int    `json:"size"`
	From      string `json:"from"`              // where it is
	About     string `json:"about"`             // digest of the image
	Stale     bool   `json:"stale,omitempty"`   // it is about another image
	Signed    bool   `json:"signed"`            // a statement with it is signed
	Signer    string `json:"signer,omitempty"`  // who signed it, checked
	Problem   string `json:"problem,omitempty"` // why the signer is not known, or what else is wrong
}

// A Part is a component of the image.
type Part struct {
	Kind    string `json:"kind"`
	Name    string `json:"name"`
	Version string `json:"version"`
	PURL    string `json:"purl"`
	SHA256  string `json:"sha256,omitempty"`
}

// An Origin says how the image was made.
type Origin struct {
	Builder    string            `json:"builder"`
	Versions   map[string]string `json:"versions"`
	Parameters parameters        `json:"parameters"`
	Created    string            `json:"created"`
	Graph      string            `json:"graph"`
	Materials  int               `json:"materials"`
	Indexes    []Resource        `json:"indexes"`
	Lock       string            `json:"lock,omitempty"`
}

// TestFacts are a test result without the single checks that passed.
type TestFacts struct {
	Result      string   `json:"result"`
	Version     string   `json:"version"`
	Date        string   `json:"date"`
	Accelerator string   `json:"accelerator"`
	QEMU        string   `json:"qemu"`
	Facts       []string `json:"facts"`
	Crash       *Crash   `json:"crash,omitempty"`
	Checks      []Check  `json:"checks"`
}

// Summarize reads documents about an image. Those about another image are listed as stale,
// and nothing else is taken from them. Of several documents of one kind, one whose signer is
// known counts, and of those the last; of test results the newest.
func Summarize(image string, documents []Found) (Summary, error) {
	s := Summary{Image: image, Signatures: []Signature{}, Documents: []Listed{}, Parts: []Part{}}
	inOrder := slices.SortedStableFunc(slices.Values(documents), func(a, b Found) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(min(len(a.Signer), 1), min(len(b.Signer), 1)), cmp.Compare(a.date(), b.date()))
	})
	for _, d := range inOrder {
		l := Listed{Name: d.Name, Predicate: d.Predicate, Digest: d.Digest(), Size: len(d.Data), From: d.From, Signed: d.Signed, Signer: d.Signer, Problem: d.Problem}
		if d.Name != "" {
			var err error
			if l.About, err = d.About(); err != nil {
				return s, err
			}
			l.Stale = l.About != image
		}
		s.Documents = append(s.Documents, l)
		if d.Name == "" || l.Stale {
			continue
		}
		if err := s.take(d.Document); err != nil {
			return s, d.explain(err)
		}
	}
	return s, nil
}

// rank is the place of the document in a list: those of other programs are last.
func (d Document) rank() int {
	at := slices.IndexFunc(kinds(), func(k Document) bool { return k.Name == d.Name })
	if at < 0 {
		return len(kinds())
	}
	return at
}

// date is that of a test result; other documents have none that counts.
func (d Document) date() string {
	if d.Name != TestResultName {
		return ""
	}
	t, err := ParseTestResult(d.Data)
	if err != nil {
		return ""
	}
	return t.Date
}

func (s *Summary) take(d Document) (err error) {
	switch d.Name {
	case CycloneDXName:
		s.Parts, err = readParts(d.Data)
	case ProvenanceName:
		s.Origin, err = readOrigin(d.Data)
	case TestResultName:
		s.Test, err = readTest(d.Data)
	}
	return err
}

func readParts(data []byte) ([]Part, error) {
	var bom cdx.BOM
	if err := json.Unmarshal(data, &bom); err != nil || bom.Components == nil {
		return nil, err
	}
	parts := []Part{}
	for _, c := range *bom.Components {
		p := Part{Kind: string(c.Type), Name: c.Name, Version: c.Version, PURL: c.PackageURL}
		if c.Hashes != nil && len(*c.Hashes) > 0 {
			p.SHA256 = (*c.Hashes)[0].Value
		}
		if c.Properties != nil && len(*c.Properties) > 0 {
			p.Kind = (*c.Properties)[0].Value
		}
		parts = append(parts, p)
	}
	return parts, nil
}

func readOrigin(data []byte) (*Origin, error) {
	_, p, err := parseStatement[imageProvenance](data, ProvenanceType)
	if err != nil {
		return nil, err
	}
	d := p.BuildDefinition
	o := &Origin{
		Builder: p.RunDetails.Builder.ID, Versions: p.RunDetails.Builder.Version, Parameters: d.ExternalParameters,
		Created: time.Unix(d.InternalParameters.SourceDateEpoch, 0).UTC().Format(time.RFC3339), Graph: d.InternalParameters.Graph,
		Materials: len(d.ResolvedDependencies), Indexes: []Resource{},
	}
	for _, m := range d.ResolvedDependencies {
		switch {
		case strings.HasPrefix(m.Name, "index "):
			o.Indexes = append(o.Indexes, m)
		case m.Name == "lock":
			o.Lock = "sha256:" + m.Digest["sha256"]
		}
	}
	return o, nil
}

func readTest(data []byte) (*TestFacts, error) {
	t, err := ParseTestResult(data)
	if err != nil {
		return nil, err
	}
	return &TestFacts{t.Result(), t.Version, t.Date, t.Accelerator, t.QEMU, t.Facts, t.Crash, t.Checks}, nil
}

// Print writes the summary for people. If all is true, it lists every component and every
// check.
func (s Summary) Print(w io.Writer, all bool) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "image\t%s\n", s.Image)
	for _, signature := range s.Signatures {
		fmt.Fprintf(table, "signature\t%s\t%s\n", signature.From, signedBy(true, signature.Signer, signature.Problem))
	}
	for _, d := range s.Documents {
		fmt.Fprintf(table, "document\t%s\t%d bytes\t%s  %s\n", cmp.Or(d.Name, d.Predicate, "(unknown)"), d.Size, d.Digest, d.note())
	}
	if len(s.Documents) == 0 {
		fmt.Fprintf(table, "document\tnone: `kairos-build push` of a build attaches its evidence\n")
	}
	s.printParts(table, all)
	s.printOrigin(table)
	s.printTest(table, all)
	return table.Flush()
}

// note says who signed the document, and what is wrong with it.
func (d Listed) note() string {
	note := signedBy(d.Signed, d.Signer, d.Problem)
	if d.Stale {
		note += "; about another image: " + d.About
	}
	return note
}

// signedBy says plainly whether anybody checked a signature.
func signedBy(signed bool, signer, problem string) string {
	switch {
	case signer != "":
		return "signed by " + signer
	case signed:
		return "not verified: " + problem
	case problem != "":
		return problem
	}
	return "not signed"
}

func (s Summary) printParts(w io.Writer, all bool) {
	counts := map[string]int{}
	for _, p := range s.Parts {
		counts[p.Kind]++
	}
	var words []string
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		words = append(words, fmt.Sprintf("%d %s", counts[k], k))
	}
	if words != nil {
		fmt.Fprintf(w, "contents\t%s\n", strings.Join(words, ", "))
	}
	for _, p := range s.Parts {
		if all || slices.Contains([]string{string(kindKernel), string(kindProgram), string(kindKubernetes), string(kindImages)}, p.Kind) {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", p.Kind, p.Name, p.Version, p.PURL)
		}
	}
}

func (s Summary) printOrigin(w io.Writer) {
	o := s.Origin
	if o == nil {
		return
	}
	fmt.Fprintf(w, "made by\tkairos-build %s\twith BuildKit %s and %s\n", o.Versions["kairos-build"], orUnknown(o.Versions["buildkit"]), orUnknown(o.Versions["go"]))
	fmt.Fprintf(w, "made as\t%s %s\t%s, %s; no file is newer than %s\n", o.Parameters.Flavor, o.Parameters.Version, o.Parameters.Architecture, o.Parameters.Model, o.Created)
	for _, l := range []struct {
		name string
		list []string
	}{{"added", o.Parameters.Packages}, {"removed", o.Parameters.Removed}, {"files", o.Parameters.Files}, {"commands", o.Parameters.Run}} {
		if len(l.list) > 0 {
			fmt.Fprintf(w, "%s\t%s\n", l.name, strings.Join(l.list, ", "))
		}
	}
	if o.Lock != "" {
		fmt.Fprintf(w, "lock\t%s\n", o.Lock)
	}
	for _, i := range o.Indexes {
		fmt.Fprintf(w, "%s\t%s\tsha256:%s\n", i.Name, i.URI, i.Digest["sha256"])
	}
	fmt.Fprintf(w, "made from\t%d materials\tgraph %s\n", o.Materials, o.Graph)
}

func orUnknown(version string) string {
	if version == "" {
		return "(not known)"
	}
	return version
}

func (s Summary) printTest(w io.Writer, all bool) {
	t := s.Test
	if t == nil {
		fmt.Fprintf(w, "tested\tno result: `kairos-build test --attest` writes one\n")
		return
	}
	fmt.Fprintf(w, "tested\t%s on %s\t%d checks of %s, %s, QEMU %s\n", t.Result, t.Date, len(t.Checks), t.Version, t.Accelerator, t.QEMU)
	if t.Crash != nil {
		fmt.Fprintf(w, "power cuts\t%d states\t%d of them booted, %d bad\n", t.Crash.States, t.Crash.Booted, t.Crash.Bad)
	}
	for _, f := range t.Facts {
		fmt.Fprintf(w, "proven\t%s\n", f)
	}
	for _, c := range t.Checks {
		if all || c.Result != Passed {
			fmt.Fprintf(w, "%s\t%s\t%s\n", c.Result, c.ID(), c.Title)
		}
	}
}
