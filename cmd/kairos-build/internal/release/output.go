// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/evidence"
	"github.com/kairos-build/kairos-build/signing"
)

const (
	// sumsName is the file that sha256sum -c reads. It is written last but for the
	// signatures: without it, a release is not complete.
	sumsName = "SHA256SUMS"
	// keyName is the public key, if the release is signed with one.
	keyName = "kairos-build.pub"
	// bundleSuffix follows the name of a file in that of its signature.
	bundleSuffix = ".sigstore.json"
	// provenanceSuffix follows the name of a program in that of its signed provenance.
	provenanceSuffix = ".provenance" + bundleSuffix
)

// A folder has the files of one release.
type folder struct{ dir string }

func (f folder) path(name string) string { return filepath.Join(f.dir, name) }

// clear makes the folder, and removes what an earlier run left in it. Files that are not
// ours stop the release: they would be published with it.
func (f folder) clear(arches []string) error {
	if err := os.MkdirAll(f.dir, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return err
	}
	ours := f.names(arches)
	for _, e := range entries {
		if !slices.Contains(ours, e.Name()) {
			return fmt.Errorf("%s is not a file of this release: remove it, or give another folder with -o", f.path(e.Name()))
		}
	}
	for _, name := range ours {
		if err := os.Remove(f.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// names are all files that a release can have.
func (f folder) names(arches []string) []string {
	all := []string{sumsName, sumsName + bundleSuffix, keyName, evidence.SPDXName, evidence.CycloneDXName, evidence.ProvenanceName}
	for _, arch := range arches {
		all = append(all, published(arch), published(arch)+bundleSuffix, published(arch)+provenanceSuffix)
	}
	return all
}

// finish writes everything but the programs, which are there.
func (f folder) finish(ctx context.Context, r evidence.Release, documents []evidence.Document, signer *signing.Signer, stdout io.Writer) error {
	sums := map[string]string{}
	for _, p := range r.Programs {
		if p.Published {
			sums[p.Name] = p.SHA256
		}
	}
	for _, d := range documents {
		if err := f.write(d.Name, d.Data); err != nil {
			return err
		}
		sums[d.Name] = strings.TrimPrefix(d.Digest(), "sha256:")
	}
	text := checksums(sums)
	if signer != nil {
		if err := f.sign(ctx, r, documents, []byte(text), signer); err != nil {
			return err
		}
	}
	if err := f.write(sumsName, []byte(text)); err != nil {
		return err
	}
	_, err := io.WriteString(stdout, text)
	return err
}

func (f folder) write(name string, data []byte) error {
	return os.WriteFile(f.path(name), data, 0o644)
}

// checksums are the lines of sha256sum, by name.
func checksums(sums map[string]string) string {
	names := make([]string, 0, len(sums))
	for name := range sums {
		names = append(names, name)
	}
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, "%s  %s\n", sums[name], name)
	}
	return b.String()
}

// sign signs the checksums and the programs as files, and the provenance as a statement
// about each program.
func (f folder) sign(ctx context.Context, r evidence.Release, documents []evidence.Document, sums []byte, signer *signing.Signer) error {
	if err := f.signFile(ctx, sumsName, sums, signer); err != nil {
		return err
	}
	predicate, err := predicateOf(documents)
	if err != nil {
		return err
	}
	for _, p := range r.Programs {
		if !p.Published {
			continue
		}
		if err := f.signProgram(ctx, p, predicate, signer); err != nil {
			return err
		}
	}
	public, err := signer.PublicKey()
	if err != nil || public == nil {
		return err
	}
	return f.write(keyName, public)
}

func (f folder) signProgram(ctx context.Context, p evidence.ReleaseProgram, predicate json.RawMessage, signer *signing.Signer) error {
	data, err := os.ReadFile(f.path(p.Name))
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != p.SHA256 {
		return fmt.Errorf("%s changed while the release was made: make it again", f.path(p.Name))
	}
	if err := f.signFile(ctx, p.Name, data, signer); err != nil {
		return err
	}
	made, err := signer.Attest(ctx, v1.Hash{Algorithm: "sha256", Hex: p.SHA256}, evidence.ProvenanceType, predicate, false)
	if err != nil {
		return fmt.Errorf("signing the provenance of %s: %w", p.Name, err)
	}
	return f.write(p.Name+provenanceSuffix, made[0].Data)
}

func (f folder) signFile(ctx context.Context, name string, data []byte, signer *signing.Signer) error {
	bundle, err := signer.File(ctx, data)
	if err != nil {
		return fmt.Errorf("signing %s: %w", name, err)
	}
	return f.write(name+bundleSuffix, bundle)
}

// predicateOf is the provenance without its subjects.
func predicateOf(documents []evidence.Document) (json.RawMessage, error) {
	for _, d := range documents {
		if d.Name == evidence.ProvenanceName {
			var s struct {
				Predicate json.RawMessage `json:"predicate"`
			}
			return s.Predicate, json.Unmarshal(d.Data, &s)
		}
	}
	return nil, errors.New("BUG: a release without provenance")
}
