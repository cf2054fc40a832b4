// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The mirrors of the archive, as folders.
const (
	mainMirror     = "main"
	securityMirror = "security"
)

// components are those that every suite has.
var components = []string{"main", "restricted", "universe", "multiverse"}

// A suite is a suite of the new archive.
type suite struct {
	mirror, name string
	index        map[string]*bytes.Buffer // Packages, by component
}

// publish writes the two mirrors: the pools with the packages, and the signed suites.
func (p *plan) publish(dir string, all []pkg, key *signingKey, at time.Time) error {
	for _, mirror := range []string{mainMirror, securityMirror} {
		if err := os.RemoveAll(filepath.Join(dir, mirror)); err != nil {
			return err
		}
	}
	suites := map[string]*suite{}
	for _, s := range []*suite{{mirror: mainMirror, name: p.Codename}, {mirror: mainMirror, name: p.Codename + "-updates"}, {mirror: securityMirror, name: p.Codename + "-security"}} {
		s.index = map[string]*bytes.Buffer{}
		for _, c := range components {
			s.index[c] = &bytes.Buffer{}
		}
		suites[s.name] = s
	}
	for _, made := range all {
		s := suites[p.Codename+p.pocket(made)]
		if err := s.put(dir, made, p.component(made)); err != nil {
			return err
		}
	}
	var errs []error
	for _, s := range suites {
		errs = append(errs, s.write(dir, p, key, at))
	}
	return errors.Join(errs...)
}

// pocket is the end of the name of a package's suite.
func (p *plan) pocket(made pkg) string {
	switch {
	case slices.Contains(p.Security, made.source):
		return "-security"
	case slices.Contains(p.Updates, made.source):
		return "-updates"
	}
	return ""
}

func (p *plan) component(made pkg) string {
	if slices.Contains(p.Universe, made.name) {
		return "universe"
	}
	return "main"
}

// put writes a package into the pool of the suite's mirror, and lists it.
func (s *suite) put(dir string, made pkg, component string) error {
	version := field(made.text, "Version")
	version = version[strings.Index(version, ":")+1:] // file names are without the epoch
	name := fmt.Sprintf("%s_%s_%s.deb", made.name, version, field(made.text, "Architecture"))
	below := path.Join("pool", component, made.name[:1], made.name, name)
	to := filepath.Join(dir, s.mirror, below)
	fmt.Fprintf(s.index[component], "%s\nFilename: %s\nSize: %d\nSHA256: %x\n\n", strings.TrimRight(made.text, "\n"), below, len(made.deb), sha256.Sum256(made.deb))
	return errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, made.deb, 0o644))
}

// write writes the indexes, plain, compressed and by their hashes, and the InRelease.
func (s *suite) write(dir string, p *plan, key *signingKey, at time.Time) error {
	top := filepath.Join(dir, s.mirror, "dists", s.name)
	var sums strings.Builder
	for _, component := range components {
		plain := s.index[component].Bytes()
		packed, err := gzipped(plain)
		if err != nil {
			return err
		}
		below := path.Join(component, "binary-amd64")
		for _, f := range []struct {
			name string
			data []byte
		}{{"Packages", plain}, {"Packages.gz", packed}} {
			sum := fmt.Sprintf("%x", sha256.Sum256(f.data))
			fmt.Fprintf(&sums, " %s %d %s/%s\n", sum, len(f.data), below, f.name)
			byHash := filepath.Join(top, below, "by-hash", "SHA256")
			err := errors.Join(os.MkdirAll(byHash, 0o755), os.WriteFile(filepath.Join(byHash, sum), f.data, 0o644), os.WriteFile(filepath.Join(top, below, f.name), f.data, 0o644))
			if err != nil {
				return err
			}
		}
	}
	release := fmt.Sprintf("Origin: %s\nLabel: %s\nSuite: %s\nVersion: stand-in\nCodename: %s\nDate: %s\nArchitectures: amd64\nComponents: %s\nAcquire-By-Hash: yes\nSHA256:\n%s",
		p.Origin, p.Origin, s.name, p.Codename, at.UTC().Format(time.RFC1123), strings.Join(components, " "), sums.String())
	signed, err := key.sign(release)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(top, "InRelease"), signed, 0o644)
}

func gzipped(data []byte) ([]byte, error) {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(data)
	err = errors.Join(err, w.Close())
	return out.Bytes(), err
}
