// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/evidence"
)

// ForSigning are the artifacts of a build whose files are signed: a disk or an ISO then needs
// its checksum, which is what is signed.
func ForSigning(artifacts []string) []string {
	signed := func(name string) bool { return isDiskKind(name) || name == kindISO }
	if slices.ContainsFunc(artifacts, signed) && !slices.Contains(artifacts, kindChecksum) {
		return append(slices.Clone(artifacts), kindChecksum)
	}
	return artifacts
}

// A SignedFile is a file of a build that a signature belongs beside, in a file with
// verify.BundleSuffix behind its name.
type SignedFile struct {
	Path   string
	Digest v1.Hash // SHA-256; a disk has several GB, and is not hashed again
}

// SignedFiles lists the files in the folder of a build that are signed: disks with a
// checksum, their checksums, the documents about the image, the test result if there is one,
// and build.json, which has the digests of everything.
func SignedFiles(dir string) ([]SignedFile, error) {
	path := filepath.Join(dir, resultName)
	var r Result
	if err := readJSON(path, &r); err != nil {
		return nil, err
	}
	var files []SignedFile
	small := []string{}
	for _, d := range r.Disks {
		if d.SHA256 == "" {
			return nil, badInput(fmt.Errorf("%s has no SHA-256, which is what is signed: build it again with --artifact %s,%s", filepath.Join(dir, d.Path), d.Kind, kindChecksum))
		}
		files, small = append(files, SignedFile{filepath.Join(dir, d.Path), sha256Hash(d.SHA256)}), append(small, d.Checksum)
	}
	for _, e := range r.Evidence {
		small = append(small, e.Path)
	}
	if tested(dir, r.Image) {
		small = append(small, evidence.TestResultName)
	}
	for _, name := range append(small, resultName) {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, fmt.Errorf("listing what is signed: %w", err)
		}
		sum := sha256.Sum256(data)
		files = append(files, SignedFile{filepath.Join(dir, name), sha256Hash(hex.EncodeToString(sum[:]))})
	}
	return files, checkEvidence(dir, r.Evidence, files)
}

// tested tells whether the folder has a test result about the image of its build.
func tested(dir string, image *Image) bool {
	data, err := os.ReadFile(filepath.Join(dir, evidence.TestResultName))
	if err != nil || image == nil {
		return false
	}
	result, err := evidence.ParseTestResult(data)
	return err == nil && result.Image == image.Digest
}

func sha256Hash(hex string) v1.Hash { return v1.Hash{Algorithm: "sha256", Hex: hex} }

// checkEvidence refuses documents that are not those of the build.
func checkEvidence(dir string, listed []Evidence, files []SignedFile) error {
	for _, e := range listed {
		for _, f := range files {
			if f.Path == filepath.Join(dir, e.Path) && f.Digest.String() != e.Digest {
				return badInput(fmt.Errorf("%s is not what the build wrote: build it again", f.Path))
			}
		}
	}
	return nil
}
