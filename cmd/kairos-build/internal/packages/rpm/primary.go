// SPDX-License-Identifier: Apache-2.0

package rpm

import (
	"compress/bzip2"
	"compress/gzip"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/sassoftware/go-rpmutils"
	"github.com/ulikunitz/xz"
)

// An entry is a package in the list of a repository.
type entry struct {
	repository *repository
	Name       string `xml:"name"`
	Arch       string `xml:"arch"`
	Version    struct {
		Epoch   string `xml:"epoch,attr"`
		Version string `xml:"ver,attr"`
		Release string `xml:"rel,attr"`
	} `xml:"version"`
	Checksum struct {
		Type  string `xml:"type,attr"`
		Value string `xml:",chardata"`
	} `xml:"checksum"`
	Size struct {
		Package int64 `xml:"package,attr"`
	} `xml:"size"`
	Location struct {
		Href string `xml:"href,attr"`
		Base string `xml:"base,attr"`
	} `xml:"location"`
	Format struct {
		Provides []struct {
			Name string `xml:"name,attr"`
		} `xml:"provides>entry"`
		Files []string `xml:"file"`
	} `xml:"format"`
}

// evr is [EPOCH:]VERSION-RELEASE, as rpm shows it.
func (e *entry) evr() string {
	v := e.Version.Version + "-" + e.Version.Release
	if e.Version.Epoch != "" && e.Version.Epoch != "0" {
		v = e.Version.Epoch + ":" + v
	}
	return v
}

// id names a package in a repository: NAME-[EPOCH:]VERSION-RELEASE.ARCH.
func (e *entry) id() string { return e.Name + "-" + e.evr() + "." + e.Arch }

// newer compares the versions of two packages as rpm does.
func (e *entry) newer(than *entry) bool { return rpmutils.NEVRAcmp(e.nevra(), than.nevra()) > 0 }

func (e *entry) nevra() rpmutils.NEVRA {
	epoch := e.Version.Epoch
	if epoch == "" {
		epoch = "0"
	}
	return rpmutils.NEVRA{Name: e.Name, Epoch: epoch, Version: e.Version.Version, Release: e.Version.Release, Arch: e.Arch}
}

func (e *entry) check() error {
	e.Checksum.Value = strings.TrimSpace(e.Checksum.Value)
	if e.Name == "" || e.Version.Version == "" || e.Version.Release == "" {
		return errors.New("a package has no name or version")
	}
	if _, err := strconv.Atoi(e.nevra().Epoch); err != nil {
		return fmt.Errorf("the epoch of %s: %w", e.Name, err)
	}
	if e.Location.Base != "" {
		return fmt.Errorf("%s is in another repository (%s)", e.Name, e.Location.Base)
	}
	if err := errors.Join(checkDigest(e.Checksum.Type, e.Checksum.Value), checkPath(e.Location.Href)); err != nil {
		return fmt.Errorf("%s: %w", e.Name, err)
	}
	return nil
}

// readPrimary reads the list of packages in the file at path, and calls each for those of the
// architectures.
func readPrimary(file, kind string, each func(*entry)) (err error) {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := decompress(f, kind)
	if err != nil {
		return err
	}
	return parsePrimary(r, each)
}

func parsePrimary(r io.Reader, each func(*entry)) error {
	in := xml.NewDecoder(r)
	for {
		token, err := in.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		start, ok := token.(xml.StartElement)
		if !ok || start.Name.Local != "package" {
			continue
		}
		e := &entry{}
		if err := in.DecodeElement(e, &start); err != nil {
			return err
		}
		if err := e.check(); err != nil {
			return err
		}
		each(e)
	}
}

// decompress reads a file by the end of its name.
func decompress(r io.Reader, name string) (io.Reader, error) {
	switch path.Ext(name) {
	case ".gz":
		return gzip.NewReader(r)
	case ".zst":
		return zstd.NewReader(r)
	case ".xz":
		return xz.NewReader(r)
	case ".bz2":
		return bzip2.NewReader(r), nil
	case ".xml":
		return r, nil
	}
	return nil, fmt.Errorf("no way to decompress %s", path.Base(name))
}
