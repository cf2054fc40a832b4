// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/therootcompany/xz"
	"go.yaml.in/yaml/v3"

	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/framework/fetch"
)

// maxIndex is the largest index that is read, in bytes.
const maxIndex = 1 << 30

// refresh reads the archive of a flavor and returns the facts about its names, as YAML.
func refresh(ctx context.Context, flavor *flavors.Flavor, mirrors map[string]string) ([]byte, error) {
	packages, files := names(flavor)
	facts := Facts{Sources: map[string]Source{}, Packages: map[string]string{}, Files: map[string]string{}}
	for _, name := range packages {
		facts.Packages[name] = unconfirmed
	}
	for _, name := range files {
		facts.Files[name] = unconfirmed
	}
	keyring, err := flavor.Keyring()
	if err != nil {
		return nil, err
	}
	keys, err := openpgp.ReadKeyRing(bytes.NewReader(keyring))
	if err != nil {
		return nil, fmt.Errorf("reading the keyring of %s: %w", flavor.Name, err)
	}
	for _, r := range flavor.Base.Archive.Repositories {
		address := cmp.Or(mirrors[r.ID], strings.ReplaceAll(r.URL, "{arch}", "x86_64"))
		if err := facts.take(ctx, repository{address, r, keys}); err != nil {
			return nil, fmt.Errorf("the repository %s (%s): %w", r.ID, address, err)
		}
	}
	data, err := yaml.Marshal(facts)
	return append([]byte("# Facts about "+flavor.Title+", read from its archive by go run ./ci/facts -refresh "+flavor.Name+".\n"), data...), err
}

// A repository is one that is being read.
type repository struct {
	address string
	flavors.Repository
	keys openpgp.EntityList
}

// take confirms the names that a repository has.
func (f Facts) take(ctx context.Context, r repository) error {
	index, err := r.index(ctx)
	if err != nil {
		return err
	}
	f.Sources[r.ID] = Source{From: r.address, Date: index.date()}
	return errors.Join(
		r.each(ctx, index, "primary", func(p indexed) { f.confirm(f.Packages, p.Name, r.ID) }),
		r.each(ctx, index, "filelists", func(p indexed) {
			for _, file := range p.Files {
				f.confirm(f.Files, file, r.ID)
			}
		}))
}

func (f Facts) confirm(facts map[string]string, name, source string) {
	if facts[name] == unconfirmed {
		facts[name] = source
	}
}

// A repomd is the list of a repository's indexes.
type repomd struct {
	Revision string   `xml:"revision"`
	Data     []listed `xml:"data"`
}

// A listed is an index in a repomd.
type listed struct {
	Type     string `xml:"type,attr"`
	Checksum struct {
		Type string `xml:"type,attr"`
		Sum  string `xml:",chardata"`
	} `xml:"checksum"`
	Location struct {
		Path string `xml:"href,attr"`
	} `xml:"location"`
	Timestamp int64 `xml:"timestamp"`
}

// date is the day of the newest index.
func (m repomd) date() string {
	newest, _ := strconv.ParseInt(m.Revision, 10, 64) // not every publisher has a time there
	for _, d := range m.Data {
		newest = max(newest, d.Timestamp)
	}
	return time.Unix(newest, 0).UTC().Format(time.DateOnly)
}

// index reads the repomd.xml and checks its signature.
func (r repository) index(ctx context.Context) (m repomd, err error) {
	data, err := r.get(ctx, "repodata/repomd.xml")
	if err != nil {
		return m, err
	}
	if !r.Unsigned() {
		signature, err := r.get(ctx, "repodata/repomd.xml.asc")
		if err != nil {
			return m, err
		}
		if _, err := openpgp.CheckArmoredDetachedSignature(r.keys, bytes.NewReader(data), bytes.NewReader(signature), nil); err != nil {
			return m, fmt.Errorf("repomd.xml: %w", err)
		}
	}
	return m, xml.Unmarshal(data, &m)
}

// An indexed is a package in an index: primary has names as elements, filelists as attributes.
type indexed struct {
	Name  string   `xml:"name"`
	Files []string `xml:"file"`
}

// each calls do with each package of an index, which has the checksum of the repomd.xml.
func (r repository) each(ctx context.Context, m repomd, kind string, do func(indexed)) error {
	at := slices.IndexFunc(m.Data, func(d listed) bool { return d.Type == kind })
	if at < 0 {
		return fmt.Errorf("it has no %s", kind)
	}
	d := m.Data[at]
	data, err := r.get(ctx, d.Location.Path)
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(data); d.Checksum.Type == "sha256" && hex.EncodeToString(sum[:]) != strings.TrimSpace(d.Checksum.Sum) {
		return fmt.Errorf("%s: its SHA-256 is %x, repomd.xml says %s", d.Location.Path, sum, d.Checksum.Sum)
	}
	plain, err := unpacked(d.Location.Path, data)
	if err != nil {
		return err
	}
	for in := xml.NewDecoder(plain); ; {
		token, err := in.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", d.Location.Path, err)
		}
		start, ok := token.(xml.StartElement)
		if !ok || start.Name.Local != "package" {
			continue
		}
		var p indexed
		if err := in.DecodeElement(&p, &start); err != nil {
			return fmt.Errorf("%s: %w", d.Location.Path, err)
		}
		do(p)
	}
}

func unpacked(name string, data []byte) (io.Reader, error) {
	in := bytes.NewReader(data)
	switch {
	case strings.HasSuffix(name, ".gz"):
		return gzip.NewReader(in)
	case strings.HasSuffix(name, ".xz"):
		return xz.NewReader(in, xz.DefaultDictMax)
	case strings.HasSuffix(name, ".zst"):
		return zstd.NewReader(in)
	}
	return in, nil
}

// get reads a file of the repository.
func (r repository) get(ctx context.Context, path string) ([]byte, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.RegisterProtocol("file", http.NewFileTransport(http.Dir("/")))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.address+"/"+path, nil)
	if err != nil {
		return nil, err
	}
	answer, err := fetch.Client(transport).Do(req)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close() // read to its end below
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: the mirror answers %s", path, answer.Status)
	}
	return io.ReadAll(io.LimitReader(answer.Body, maxIndex))
}
