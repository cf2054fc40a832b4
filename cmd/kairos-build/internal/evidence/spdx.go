// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"strings"

	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"
)

const (
	spdxDocument = "DOCUMENT"
	noAssertion  = "NOASSERTION"
)

// spdx is the bill of materials in SPDX 2.3. Its namespace, which must be unique, has the
// digest of the document without it.
func (f Facts) spdx(p parts) ([]byte, error) {
	doc := &v2_3.Document{
		SPDXVersion: v2_3.Version, DataLicense: v2_3.DataLicense, SPDXIdentifier: spdxDocument,
		DocumentName: f.Flavor + " " + f.Version + " " + f.Arch,
		CreationInfo: &v2_3.CreationInfo{
			Created:  f.Created.UTC().Format("2006-01-02T15:04:05Z"),
			Creators: []common.Creator{{CreatorType: "Tool", Creator: "kairos-build-" + f.Builder.Version}},
		},
	}
	image, system := spdxPackage(p.image), spdxPackage(p.system)
	image.PrimaryPackagePurpose, system.PrimaryPackagePurpose = "CONTAINER", "OPERATING-SYSTEM"
	doc.Packages = []*v2_3.Package{image, system}
	doc.Relationships = []*v2_3.Relationship{related(spdxDocument, "DESCRIBES", spdxID(p.image.id())), related(spdxID(p.image.id()), "CONTAINS", spdxID(p.system.id()))}
	for _, c := range p.all {
		doc.Packages = append(doc.Packages, spdxPackage(c))
		if c.kind != kindModule {
			doc.Relationships = append(doc.Relationships, related(spdxID(p.image.id()), "CONTAINS", spdxID(c.id())))
		}
		for _, used := range c.uses {
			doc.Relationships = append(doc.Relationships, related(spdxID(c.id()), "STATIC_LINK", spdxID(used)))
		}
	}
	bare, err := printJSON(doc)
	if err != nil {
		return nil, err
	}
	doc.DocumentNamespace = home + "/spdx/" + f.Flavor + "-" + sum(bare)
	return printJSON(doc)
}

func spdxPackage(c component) *v2_3.Package {
	p := &v2_3.Package{
		PackageName: c.name, PackageSPDXIdentifier: common.ElementID(spdxID(c.id())), PackageVersion: c.version,
		PackageFileName: c.file, PackageDownloadLocation: noAssertion,
		PackageLicenseConcluded: noAssertion, PackageLicenseDeclared: noAssertion, PackageCopyrightText: noAssertion,
		PackageComment:            c.note,
		PackageExternalReferences: []*v2_3.PackageExternalReference{{Category: "PACKAGE-MANAGER", RefType: "purl", Locator: c.id()}},
	}
	if strings.HasPrefix(c.source, "https://") {
		p.PackageDownloadLocation = c.source
	} else {
		p.PackageSourceInfo = c.source
	}
	if c.sha256 != "" {
		p.PackageChecksums = []common.Checksum{{Algorithm: common.SHA256, Value: c.sha256}}
	}
	return p
}

func related(a, how, b string) *v2_3.Relationship {
	return &v2_3.Relationship{RefA: common.DocElementID{ElementRefID: common.ElementID(a)}, RefB: common.DocElementID{ElementRefID: common.ElementID(b)}, Relationship: how}
}

// spdxID is an identifier that SPDX accepts: letters, digits, dots and hyphens. Two
// components may have the same letters, so a part of the digest follows.
func spdxID(id string) string {
	letters := strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '.' {
			return r
		}
		return '-'
	}, strings.TrimPrefix(id, "pkg:"))
	return letters + "-" + sum([]byte(id))[:12]
}
