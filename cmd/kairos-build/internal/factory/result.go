// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/netboot"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/publish"
	"github.com/kairos-build/kairos-build/framework/install/disk"
)

// FormatVersion is the version of build.json. It changes only when a field
// changes its meaning or goes away; docs/build-json.md describes it.
const FormatVersion = 2

// A Result describes the outputs of a build: the content of build.json.
type Result struct {
	Format       int    `json:"format"`
	Flavor       string `json:"flavor"`
	Version      string `json:"version"`
	Architecture string `json:"architecture"`
	Model        string `json:"model"`
	Kubernetes   string `json:"kubernetes,omitempty"` // release, such as v1.34.1+k3s1
	Created      string `json:"created"`              // RFC 3339: the time that every file is clamped to
	Registry     string `json:"registry,omitempty"`   // where the flavor says that it is published: REGISTRY/NAME
	Image        *Image `json:"image,omitempty"`
	Disks        []Disk `json:"disks"`
	// Netboot describes the folder for the network boot, if it was made.
	Netboot *netboot.Manifest `json:"netboot,omitempty"`
	// Evidence are the documents about the image, beside build.json.
	Evidence []Evidence `json:"evidence"`
	Steps    []Step     `json:"steps"`
	Inputs   []Input    `json:"inputs"`
	Seconds  float64    `json:"seconds"`
	// Published says where the image was published. build.json is written before that, so
	// the file never has it.
	Published *publish.Result `json:"published,omitempty"`

	// Signer is who signed the image: a key or an identity. The file never has it, either.
	Signer string `json:"signer,omitempty"`

	// Dir is the output folder; paths in build.json are relative to it.
	Dir string `json:"-"`
}

// An Image is the OCI image.
type Image struct {
	Path     string  `json:"path"`   // of the OCI layout, relative to build.json
	Digest   string  `json:"digest"` // of the manifest
	Size     int64   `json:"size"`   // bytes of all blobs
	RootHash string  `json:"verity_root_hash"`
	Layers   []Layer `json:"layers"` // bottom to top
}

// A Layer is one layer of the image.
type Layer struct {
	Digest    string `json:"digest"`
	MediaType string `json:"media_type"`
	Size      int64  `json:"size"` // bytes, compressed
}

// A Disk is one bootable artifact.
type Disk struct {
	Kind        string `json:"kind"`                  // the format: one of DiskKinds
	Compression string `json:"compression,omitempty"` // one of Compressions
	Path        string `json:"path"`                  // relative to build.json
	Size        int64  `json:"size"`                  // bytes of the disk, holes included
	FileSize    int64  `json:"file_size"`             // bytes of the file, holes included
	Allocated   int64  `json:"allocated"`             // bytes of the file, holes excluded
	Content     string `json:"content_sha256"`        // of the disk, hex, see disk.Content
	// SHA256 of the file, holes included, in hex, and the file with it for sha256sum;
	// both are empty if they were not made.
	SHA256   string        `json:"sha256,omitempty"`
	Checksum string        `json:"checksum,omitempty"`
	RootHash string        `json:"verity_root_hash"`
	Extents  []disk.Extent `json:"extents"`
}

// Evidence is a document about the image.
type Evidence struct {
	Path          string `json:"path"`           // relative to build.json
	PredicateType string `json:"predicate_type"` // of an in-toto statement with it
	MediaType     string `json:"media_type"`
	Size          int64  `json:"size"`   // bytes
	Digest        string `json:"digest"` // sha256:<hex>
}

// A Step is one step of the build.
type Step struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
	Cached  bool    `json:"cached"`
}

// An Input is something the outputs depend on.
type Input struct {
	Name   string `json:"name"`
	Digest string `json:"digest"` // sha256:<hex>
}
