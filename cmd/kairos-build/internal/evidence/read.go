// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// Read reads the documents in the folder of a build, in the order in which they are
// listed. A missing one is not in the result.
func Read(dir string) ([]Document, error) {
	var all []Document
	for _, d := range kinds() {
		data, err := os.ReadFile(filepath.Join(dir, d.Name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading evidence: %w", err)
		}
		d.Data = data
		all = append(all, d)
	}
	return all, nil
}

// OfType is the kind of a document that a
// registry has, by the type of its predicate or of the artifact.
func OfType(kind string, data []byte) (Document, bool) {
	for _, d := range kinds() {
		if d.Predicate == kind || d.ArtifactType == kind && d.ArtifactType != statementMedia {
			d.Data = data
			return d, true
		}
	}
	return Document{}, false
}

// About is the digest of the image that the document is about.
func (d Document) About() (string, error) {
	switch d.Name {
	case SPDXName:
		return d.spdxAbout()
	case CycloneDXName:
		return d.cycloneAbout()
	}
	image, _, err := parseStatement[json.RawMessage](d.Data, d.Predicate)
	return image, d.explain(err)
}

func (d Document) explain(err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w: it is not what kairos-build wrote: build again", d.Name, err)
	}
	return nil
}

// errNoImageIn is the error about a bill of materials that names no image.
var errNoImageIn = errors.New("it does not say of which image it is")

func (d Document) spdxAbout() (string, error) {
	// The reader of SPDX's module panics on a package that is null, and the document may
	// come from a registry.
	var doc struct {
		Packages []struct {
			Purpose   string `json:"primaryPackagePurpose"`
			Checksums []struct {
				Value string `json:"checksumValue"`
			} `json:"checksums"`
		} `json:"packages"`
	}
	if err := json.Unmarshal(d.Data, &doc); err != nil {
		return "", d.explain(err)
	}
	for _, p := range doc.Packages {
		if p.Purpose == "CONTAINER" && len(p.Checksums) == 1 {
			return "sha256:" + p.Checksums[0].Value, nil
		}
	}
	return "", d.explain(errNoImageIn)
}

func (d Document) cycloneAbout() (string, error) {
	var bom cdx.BOM
	if err := json.Unmarshal(d.Data, &bom); err != nil {
		return "", d.explain(err)
	}
	if bom.Metadata == nil || bom.Metadata.Component == nil || bom.Metadata.Component.Hashes == nil || len(*bom.Metadata.Component.Hashes) != 1 {
		return "", d.explain(errNoImageIn)
	}
	return "sha256:" + (*bom.Metadata.Component.Hashes)[0].Value, nil
}
