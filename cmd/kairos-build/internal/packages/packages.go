// SPDX-License-Identifier: Apache-2.0

// Package packages defines what a build gets from a package family. Each family is a
// package below this one.
package packages

import (
	"errors"
	"time"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/inputs"
)

// ErrGone marks an error about a locked package that no archive has any more.
var ErrGone = errors.New("package is gone")

// A Set is the exact packages of a recipe.
type Set struct {
	Facts
	// Inputs are the inputs for a root that starts empty.
	Inputs []inputs.Source
	// Over returns the inputs for a root that starts from an image with the given
	// package database. They omit the packages of the image, and there is no base.
	Over func(database []byte) ([]inputs.Source, error)
}

// Facts are what a lock keeps of a set. They are enough to make the set again.
type Facts struct {
	Epoch   time.Time // the date of the distribution's release: no file is newer
	Indexes []Index   // the signed files that list the packages
	// Snapshots are times, by the names of archives, at which an archive's history has
	// all packages of the set.
	Snapshots map[string]time.Time
	Lists     []List // the packages of each input
}

// An Index is a signed file of an archive.
type Index struct {
	Archive     string // main or security
	Suite       string
	URL         string // in the form of fetch.Shown
	Date        time.Time
	SHA256      string // hex
	Key         string // name of the key that signed it
	Fingerprint string // of that key, upper-case hex
}

// A List is the packages of one input, in the order of their installation.
type List struct {
	Input    string
	Packages []Package
}

// A Package is one file of an archive.
type Package struct {
	Name, Version string
	Arch          string // as the family names it, or all
	Archive       string // main or security
	Path          string // below the archive's root
	Size          int64  // bytes
	SHA256        string // hex; of 128 digits, it is a SHA-512
}

// Installed is a package in the package database of an image.
type Installed struct {
	Name, Version string
	Arch          string // as the family names it
	// Source and SourceVersion are the package that it was built from.
	Source, SourceVersion string
	// State is empty for an installed package, else the state in the family's words,
	// such as "deinstall ok config-files".
	State string
}
