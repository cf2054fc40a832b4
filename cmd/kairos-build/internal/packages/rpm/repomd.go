// SPDX-License-Identifier: Apache-2.0

package rpm

import (
	"encoding/xml"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A repomd is the file repodata/repomd.xml: the files of a repository's metadata with their
// digests.
type repomd struct {
	XMLName  xml.Name    `xml:"repomd"`
	Revision string      `xml:"revision"`
	Data     []*metadata `xml:"data"`
}

// A metadata is one file of a repomd.
type metadata struct {
	Type     string `xml:"type,attr"`
	Checksum struct {
		Type  string `xml:"type,attr"`
		Value string `xml:",chardata"`
	} `xml:"checksum"`
	Location struct {
		Href string `xml:"href,attr"`
	} `xml:"location"`
	Timestamp string `xml:"timestamp"` // seconds, perhaps with a fraction
	Size      int64  `xml:"size"`

	path string // in the cache
}

// parseRepomd reads a repomd.xml, and checks what is needed of it.
func parseRepomd(text []byte) (*repomd, error) {
	r := &repomd{}
	if err := xml.Unmarshal(text, r); err != nil {
		return nil, err
	}
	for _, d := range r.Data {
		if err := d.check(); err != nil {
			return nil, fmt.Errorf("its %s: %w", d.Type, err)
		}
	}
	if r.of("primary") == nil {
		return nil, errors.New("it names no list of packages (primary)")
	}
	return r, nil
}

// check refuses a digest that vouches for nothing, and a path that leaves the repository.
func (d *metadata) check() error {
	d.Checksum.Value = strings.TrimSpace(d.Checksum.Value)
	if err := checkDigest(d.Checksum.Type, d.Checksum.Value); err != nil {
		return err
	}
	return checkPath(d.Location.Href)
}

// checkDigest accepts SHA-256 and SHA-512.
func checkDigest(kind, value string) error {
	digits := map[string]int{"sha256": 64, "sha512": 128}[kind]
	if digits == 0 {
		return fmt.Errorf("its checksum is of the kind %q, and nothing weaker than sha256 vouches for a file", kind)
	}
	if len(value) != digits || strings.Trim(value, "0123456789abcdef") != "" {
		return fmt.Errorf("%q is no %s", value, kind)
	}
	return nil
}

// checkPath refuses a path that leaves the repository.
func checkPath(p string) error {
	if p == "" || path.IsAbs(p) || path.Clean(p) != p || strings.HasPrefix(p, "../") || strings.ContainsAny(p, "\n\\") {
		return fmt.Errorf("the path %q does not stay inside the repository", p)
	}
	return nil
}

// of is the file of a kind, or nil.
func (r *repomd) of(kind string) *metadata {
	i := slices.IndexFunc(r.Data, func(d *metadata) bool { return d.Type == kind })
	if i < 0 {
		return nil
	}
	return r.Data[i]
}

// kept are the kinds of metadata that a solver reads. Advisories, change logs and the
// databases of old tools are left out.
func kept() []string { return []string{"primary", "filelists", "modules"} }

// reduced is a repomd.xml with the files that are kept.
func (r *repomd) reduced() []byte {
	var text strings.Builder
	fmt.Fprintf(&text, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<repomd xmlns=\"http://linux.duke.edu/metadata/repo\">\n<revision>%d</revision>\n", r.date().Unix())
	for _, kind := range kept() {
		if d := r.of(kind); d != nil {
			fmt.Fprintf(&text, "<data type=%q><checksum type=%q>%s</checksum><location href=%q/><timestamp>%d</timestamp><size>%d</size></data>\n",
				kind, d.Checksum.Type, d.Checksum.Value, "repodata/"+d.name(), r.date().Unix(), d.Size)
		}
	}
	text.WriteString("</repomd>\n")
	return []byte(text.String())
}

// name is the name of the file for a solver: plain, because the original one is in the text
// of an XML attribute.
func (d *metadata) name() string {
	name, ext, found := strings.Cut(path.Base(d.Location.Href), ".xml")
	if !found {
		_, ext, _ = strings.Cut(name, ".yaml")
		return d.Type + ".yaml" + ext
	}
	return d.Type + ".xml" + ext
}

// date is when the list of packages was made.
func (r *repomd) date() time.Time {
	seconds, err := strconv.ParseFloat(strings.TrimSpace(r.of("primary").Timestamp), 64)
	if err != nil {
		return time.Unix(0, 0).UTC()
	}
	return time.Unix(int64(seconds), 0).UTC()
}
