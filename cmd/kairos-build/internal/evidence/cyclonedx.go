// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"bytes"
	"crypto/sha256"
	"fmt"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// cyclonedx is the bill of materials in CycloneDX 1.6. Its serial number is a UUID from
// the digest of the document without it.
func (b bill) cyclonedx() ([]byte, error) {
	bom := cdx.NewBOM()
	subject := cyclonePart(b.subject)
	subject.Type = b.kind.cyclone
	bom.Metadata = &cdx.Metadata{
		Timestamp: b.created.UTC().Format("2006-01-02T15:04:05Z"),
		Tools:     &cdx.ToolsChoice{Components: &[]cdx.Component{{Type: cdx.ComponentTypeApplication, Name: "kairos-build", Version: b.tool}}},
		Component: &subject,
	}
	components, depends := b.cycloneParts()
	bom.Components, bom.Dependencies = &components, &depends
	bare, err := printCyclone(bom)
	if err != nil {
		return nil, err
	}
	bom.SerialNumber = "urn:uuid:" + derivedUUID(bare)
	return printCyclone(bom)
}

// cycloneParts are the components, and which uses which.
func (b bill) cycloneParts() ([]cdx.Component, []cdx.Dependency) {
	var components []cdx.Component
	var uses []string
	var depends []cdx.Dependency
	if b.system != nil {
		system := cyclonePart(*b.system)
		system.Type = cdx.ComponentTypeOS
		components, uses = append(components, system), append(uses, system.BOMRef)
	}
	for _, c := range b.all {
		components = append(components, cyclonePart(c))
		if c.kind != kindModule {
			uses = append(uses, c.id())
		}
		if len(c.uses) > 0 {
			depends = append(depends, cdx.Dependency{Ref: c.id(), Dependencies: &c.uses})
		}
	}
	return components, append([]cdx.Dependency{{Ref: b.subject.id(), Dependencies: &uses}}, depends...)
}

func printCyclone(bom *cdx.BOM) ([]byte, error) {
	var b bytes.Buffer
	err := cdx.NewBOMEncoder(&b, cdx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false).EncodeVersion(bom, cdx.SpecVersion1_6)
	return b.Bytes(), err
}

func cyclonePart(c component) cdx.Component {
	part := cdx.Component{BOMRef: c.id(), Type: cycloneType(c.kind), Name: c.name, Version: c.version, PackageURL: c.id(), Description: c.note}
	if c.sha256 != "" {
		part.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: c.sha256}}
	}
	var properties []cdx.Property
	for _, p := range []cdx.Property{{Name: "kairos-build:kind", Value: string(c.kind)}, {Name: "kairos-build:file", Value: c.file}, {Name: "kairos-build:source", Value: c.source}} {
		if p.Value != "" {
			properties = append(properties, p)
		}
	}
	if properties != nil {
		part.Properties = &properties
	}
	return part
}

func cycloneType(k kind) cdx.ComponentType {
	switch k {
	case kindProgram, kindKubernetes:
		return cdx.ComponentTypeApplication
	case kindImages, kindFile:
		return cdx.ComponentTypeFile
	}
	return cdx.ComponentTypeLibrary
}

// derivedUUID is a UUID of version 8 (RFC 9562): its bits are ours, from a digest.
func derivedUUID(data []byte) string {
	s := sha256.Sum256(data)
	s[6], s[8] = s[6]&0x0f|0x80, s[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", s[:4], s[4:6], s[6:8], s[8:10], s[10:16])
}
