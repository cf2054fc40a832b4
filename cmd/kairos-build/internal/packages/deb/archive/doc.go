// SPDX-License-Identifier: Apache-2.0

// Package archive reads a Debian-style signed package archive: it chooses the
// mirror, checks the InRelease file of each suite against the distribution's
// OpenPGP keys, reads the package indexes that the InRelease vouches for,
// resolves package names to a closed set, and downloads that set.
//
// The chain of trust has no gap: keyring -> InRelease (OpenPGP) -> Packages
// (SHA-256 and size) -> .deb (SHA-256 and size). If a byte does not fit, the error
// names the file, the expected value and the value found.
//
// It needs no apt and no dpkg on the host. It refuses to unpack or install
// anything: package bootstrap does that.
package archive
