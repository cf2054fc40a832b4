// SPDX-License-Identifier: Apache-2.0

// Package evidence says what is in an image, how it was made, and what was tested of it:
// bills of materials in SPDX 2.3 and CycloneDX 1.6, provenance in SLSA v1, and test
// results as in-toto statements. It makes them from the facts of a build, and reads them
// back. docs/evidence.md describes the documents.
//
// The same facts give the same bytes: there is no clock and no random number, lists are
// sorted, identifiers are digests of the content. The package asks no network, signs
// nothing, and knows no package manager.
package evidence

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages"
)

// Files of the documents, beside the disks of a build.
const (
	SPDXName       = "sbom.spdx.json"
	CycloneDXName  = "sbom.cdx.json"
	ProvenanceName = "provenance.json"
	TestResultName = "test-result.json"
)

// Types of predicates of in-toto statements.
const (
	SPDXType       = "https://spdx.dev/Document"
	CycloneDXType  = "https://cyclonedx.org/bom"
	ProvenanceType = "https://slsa.dev/provenance/v1"
	TestResultType = "https://in-toto.io/attestation/test-result/v0.1"
)

// home is where we are described. It begins our identifiers and is not asked.
const home = "https://github.com/kairos-build/kairos-build"

// Facts are what a build knows about an image. Nothing in them depends on the machine,
// the folder or the cache of the build.
type Facts struct {
	Flavor       string
	FlavorFile   string     // digest of the flavor's file: sha256:<hex>
	Extended     []Resource // the files of the flavors that it extends
	Added        Added      // what it, or the user, adds to them
	Title        string     // of the flavor, for people
	Distribution string     // ID of os-release: debian
	Release      string     // VERSION_ID of os-release: 13
	Version      string     // of the image
	Arch, Model  string
	MountPoints  []string  // besides those of the flavor
	Image        string    // digest of the manifest: sha256:<hex>
	RootHash     string    // of the root image: 64 hex digits
	Created      time.Time // no file of the image is newer
	Builder      Builder

	PackageType string               // of package URLs: deb
	Installed   []packages.Installed // all packages of the image
	Archive     packages.Facts       // what the build took from the distribution's archive
	Kernel      []string             // names of the packages with the kernel
	Programs    []Program            // ours
	Kubernetes  *Kubernetes          // nil: none
	Base        *Resource            // the image of --base; nil: built from the archive
	Lock        string               // digest of the lock, or empty
	Inputs      []Resource           // of the graph, by name and digest
	Graph       string               // digest of the graph: sha256:<hex>
	Hermetic    bool                 // no step of the graph has a network
	Steps       []string             // that made the image, in order
}

// Added is what is added to a flavor.
type Added struct {
	Packages, Removed, Run []string    // names of packages, and commands
	Files                  []AddedFile // sorted by path
}

// An AddedFile is a file or link that is copied into the image.
type AddedFile struct {
	Path   string // absolute, in the image
	SHA256 string // hex; empty for a link
	Link   string // the target of a link
}

// A Builder is the program that makes images, and what it is made of.
type Builder struct {
	Version string // of kairos-build
	Go      string // go1.26.8
	Engine  string // version of the module of BuildKit, or empty
	Remote  bool   // the graph was executed by another BuildKit, whose version is not known
}

// Kubernetes is a release of k3s or k0s.
type Kubernetes struct {
	Name    string // k3s or k0s
	Version string // v1.34.1+k3s1
	Program File
	Images  *File // the publisher's container images, or nil
}

// A File is a file that was fetched.
type File struct {
	Name   string
	URL    string // without user, password and query
	SHA256 string // hex
}

// A Document is a file of evidence about an image.
type Document struct {
	Name      string // of the file
	Predicate string // type of the predicate of an in-toto statement about the image
	// ArtifactType is the type of the artifact that refers to the image in a registry;
	// MediaType is that of Data.
	ArtifactType, MediaType string
	Data                    []byte
}

// Digest is the digest of the document: sha256:<hex>.
func (d Document) Digest() string { return "sha256:" + sum(d.Data) }

// kinds are the documents of a build without their data, in the order of this table.
func kinds() []Document {
	return []Document{
		{Name: SPDXName, Predicate: SPDXType, ArtifactType: "application/spdx+json", MediaType: "application/spdx+json"},
		{Name: CycloneDXName, Predicate: CycloneDXType, ArtifactType: "application/vnd.cyclonedx+json", MediaType: "application/vnd.cyclonedx+json"},
		{Name: ProvenanceName, Predicate: ProvenanceType, ArtifactType: statementMedia, MediaType: statementMedia},
		{Name: TestResultName, Predicate: TestResultType, ArtifactType: statementMedia, MediaType: statementMedia},
	}
}

// document is the document of this name.
func document(name string, data []byte) Document {
	for _, d := range kinds() {
		if d.Name == name {
			d.Data = data
			return d
		}
	}
	panic("BUG: no kind of evidence is called " + name)
}

// Make makes the bills of materials and the provenance.
func Make(f Facts) ([]Document, error) {
	return documents(f.bill(), f.provenance())
}

// documents are the bills of materials and the provenance.
func documents(b bill, origin statement) ([]Document, error) {
	spdx, err := b.spdx()
	if err != nil {
		return nil, err
	}
	cyclone, err := b.cyclonedx()
	if err != nil {
		return nil, err
	}
	provenance, err := origin.encode()
	if err != nil {
		return nil, err
	}
	return []Document{document(SPDXName, spdx), document(CycloneDXName, cyclone), document(ProvenanceName, provenance)}, nil
}

// Statement is the document as an in-toto statement about the image: what is signed.
func (d Document) Statement(image, name string) ([]byte, error) {
	if d.MediaType == statementMedia {
		return d.Data, nil
	}
	return statement{Type: statementType, Subject: subject(name, image), PredicateType: d.Predicate, Predicate: json.RawMessage(d.Data)}.encode()
}

func sum(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}

// printJSON is a document as we write it: indented, and with <, > and & as they are.
func printJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(v)
	return b.Bytes(), err
}
