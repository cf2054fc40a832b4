// SPDX-License-Identifier: Apache-2.0

package publish

// FormatVersion is the version of Result as JSON. It changes only when a field changes its
// meaning or goes away; docs/publish.md describes it.
const FormatVersion = 1

// A Result says what was published.
type Result struct {
	Format     int        `json:"format"`
	Reference  string     `json:"reference"` // REGISTRY/NAME:TAG
	Repository string     `json:"repository"`
	Tag        string     `json:"tag"`
	Digest     string     `json:"digest"` // of what the tag names: the image, or the index of several
	MediaType  string     `json:"media_type"`
	Signed     bool       `json:"signed"`
	Replaced   string     `json:"replaced,omitempty"` // digest that the tag named before
	Images     []Image    `json:"images"`
	Attached   []Attached `json:"attached"` // evidence and new signatures, in the order of writing
	Bytes      Bytes      `json:"bytes"`
}

// An Image is a published image.
type Image struct {
	Path     string `json:"path"` // as the user named it
	Platform string `json:"platform"`
	Digest   string `json:"digest"`
}

// Bytes says how the blobs of the images got into the repository.
type Bytes struct {
	Sent    int64 `json:"sent"`
	Mounted int64 `json:"mounted"` // taken from another repository of the registry
	Present int64 `json:"present"` // there before
}
