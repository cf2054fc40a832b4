// SPDX-License-Identifier: Apache-2.0

// Package bootchain says which parts of a boot are verified, by whom and with which
// certificate, and which are not. It checks the signatures of programs for UEFI
// (Authenticode) against their content. It reads no disk and no image, and does not know
// which keys a firmware trusts.
package bootchain

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
)

// Roles of programs.
const (
	Shim   = "shim"
	GRUB   = "GRUB"
	MOK    = "MOK manager"
	Kernel = "kernel"
)

// A Program is a program that is started in a boot with UEFI.
type Program struct {
	Role string
	File string // where it is
	Data []byte
}

// Facts are what boots.
type Facts struct {
	Programs []Program // that all slots share: shim, GRUB, MOK manager
	BIOS     bool      // there is a boot loader for BIOS
	Slots    []Slot
}

// A Slot is one bootable copy; an image is one.
type Slot struct {
	Name       string // a, b, recovery; empty for an image
	Kernel     Program
	RootHash   string // of dm-verity, hex
	Policy     []byte // of the root; nil: none
	PolicyFile string
}

// A Chain is the way from the firmware to the root.
type Chain struct {
	Links []Link `json:"links"`
	// NotCovered says plainly what nobody verifies.
	NotCovered []string `json:"not_covered"`
}

// A Link is one part of the boot.
type Link struct {
	Slot     string `json:"slot,omitempty"`
	What     string `json:"what"`
	File     string `json:"file,omitempty"`
	SHA256   string `json:"sha256,omitempty"`
	Verified bool   `json:"verified"` // somebody verifies it before it is used
	By       string `json:"by"`       // who verifies it, and with what; or why nobody does
	Signer   string `json:"signer,omitempty"`
	Issuer   string `json:"issuer,omitempty"`
	Problem  string `json:"problem,omitempty"` // what is wrong with its signature
}

// Inspect makes the chain.
func Inspect(f Facts) Chain {
	c := Chain{Links: []Link{}}
	if f.BIOS {
		c.Links = append(c.Links, Link{What: "boot loader for BIOS", By: "nobody: BIOS verifies nothing"})
	}
	vendor := f.vendor()
	for _, p := range f.Programs {
		c.Links = append(c.Links, p.link(vendor))
	}
	for _, s := range f.Slots {
		c.Links = append(c.Links, s.links(vendor)...)
	}
	c.NotCovered = notCovered(f)
	return c
}

// vendor is the certificate in the shim, or nil.
func (f Facts) vendor() *x509.Certificate {
	for _, p := range f.Programs {
		if p.Role != Shim {
			continue
		}
		if program, err := parsePE(p.Data); err == nil {
			if c, err := x509.ParseCertificate(program.vendorCertificate()); err == nil {
				return c
			}
		}
	}
	return nil
}

// link says who verifies a program.
func (p Program) link(vendor *x509.Certificate) Link {
	sum := sha256.Sum256(p.Data)
	l := Link{What: p.Role, File: p.File, SHA256: hex.EncodeToString(sum[:])}
	signed, err := p.signature()
	if err != nil {
		l.By, l.Problem = "nobody", err.Error()+": Secure Boot refuses it"
		return l
	}
	l.Signer, l.Issuer = signed.certificate.Subject.CommonName, signed.certificate.Issuer.CommonName
	if p.Role == Shim {
		l.Verified, l.By = true, "the firmware with Secure Boot, with the keys in its db"
		return l
	}
	by := map[string]string{Kernel: "GRUB, which asks the shim"}[p.Role]
	if by == "" {
		by = "the shim"
	}
	switch {
	case vendor == nil:
		l.By, l.Problem = by, "there is no shim with a certificate: only a key that was enrolled by hand can verify it"
	case !signed.isIssuedBy(vendor):
		l.By, l.Problem = by, fmt.Sprintf("the shim's certificate (%s) did not issue the signer's: Secure Boot refuses it, unless its key was enrolled by hand", vendor.Subject.CommonName)
	default:
		l.Verified, l.By = true, fmt.Sprintf("%s, with the shim's certificate (%s)", by, vendor.Subject.CommonName)
	}
	return l
}

// signature is the first signature that is about the program.
func (p Program) signature() (*signature, error) {
	program, err := parsePE(p.Data)
	if err != nil {
		return nil, err
	}
	messages, err := program.signatures()
	if err != nil {
		return nil, err
	}
	if len(messages) == 0 {
		return nil, errors.New("it has no signature")
	}
	digest := program.digest()
	for _, m := range messages {
		var signed *signature
		if signed, err = checkSignature(m, digest); err == nil {
			return signed, nil
		}
	}
	return nil, err
}

// links are the parts of a slot.
func (s Slot) links(vendor *x509.Certificate) []Link {
	kernel := s.Kernel.link(vendor)
	root := Link{What: "root", Verified: s.RootHash != "", By: "the kernel (dm-verity): each block when it is read, against the root hash in the command line", SHA256: s.RootHash}
	if s.RootHash == "" {
		root.By, root.Problem = "nobody", "the command line has no root hash"
	}
	list := []Link{
		kernel,
		{What: "initrd", By: "nobody"},
		{What: "command line, with the root hash", By: "nobody"},
		root,
		s.policy(),
	}
	for i := range list {
		list[i].Slot = s.Name
	}
	return list
}

// policy says whether the slot's agent verifies the next image.
func (s Slot) policy() Link {
	if s.Policy == nil {
		return Link{What: "policy for the next image", File: s.PolicyFile, By: "nobody: there is no policy in the root"}
	}
	sum := sha256.Sum256(s.Policy)
	return Link{What: "policy for the next image", File: s.PolicyFile, SHA256: hex.EncodeToString(sum[:]), Verified: true, By: "dm-verity, as part of the root; a file in /oem can replace it"}
}

// notCovered are the gaps of a boot with GRUB.
func notCovered(f Facts) []string {
	list := []string{
		"The initrd and the kernel command line have no signature. GRUB reads them, grub.cfg and its environment block from partitions that nobody verifies. The root hash is in the command line. So dm-verity detects a damaged or changed root; it does not stop somebody who can write to the boot partition, who can replace initrd, root hash and root together.",
		"The partitions oem and persistent are not verified.",
	}
	if f.BIOS {
		list = append(list, "Under BIOS, and under UEFI without Secure Boot, shim, GRUB and kernel are not verified either.")
	} else {
		list = append(list, "Under UEFI without Secure Boot, shim, GRUB and kernel are not verified either.")
	}
	return list
}
