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
func (b bill) spdx() ([]byte, error) {
	subject := spdxPackage(b.subject)
	subject.PrimaryPackagePurpose = b.kind.spdx
	doc := &v2_3.Document{
		SPDXVersion: v2_3.Version, DataLicense: v2_3.DataLicense, SPDXIdentifier: spdxDocument,
		DocumentName: b.name,
		CreationInfo: &v2_3.CreationInfo{
			Created:  b.created.UTC().Format("2006-01-02T15:04:05Z"),
			Creators: []common.Creator{{CreatorType: "Tool", Creator: "kairos-build-" + b.tool}},
		},
		Packages:      []*v2_3.Package{subject},
		Relationships: []*v2_3.Relationship{related(spdxDocument, "DESCRIBES", spdxID(b.subject.id()))},
	}
	b.addTo(doc)
	bare, err := printJSON(doc)
	if err != nil {
		return nil, err
	}
	doc.DocumentNamespace = home + "/spdx/" + b.space + "-" + sum(bare)
	return printJSON(doc)
}

// addTo adds what the subject has in it.
func (b bill) addTo(doc *v2_3.Document) {
	whole := spdxID(b.subject.id())
	if b.system != nil {
		system := spdxPackage(*b.system)
		system.PrimaryPackagePurpose = "OPERATING-SYSTEM"
		doc.Packages = append(doc.Packages, system)
		doc.Relationships = append(doc.Relationships, related(whole, "CONTAINS", spdxID(b.system.id())))
	}
	for _, c := range b.all {
		doc.Packages = append(doc.Packages, spdxPackage(c))
		if c.kind != kindModule {
			doc.Relationships = append(doc.Relationships, related(whole, "CONTAINS", spdxID(c.id())))
		}
		for _, used := range c.uses {
			doc.Relationships = append(doc.Relationships, related(spdxID(c.id()), "STATIC_LINK", spdxID(used)))
		}
	}
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
