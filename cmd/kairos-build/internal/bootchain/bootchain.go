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
	"strings"
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
	Image    string    // digest of the image that is looked at; empty for a disk
	Programs []Program // that all slots share: shim, GRUB, MOK manager
	BIOS     bool      // there is a boot loader for BIOS
	Slots    []Slot
}

// A Slot is one bootable copy; an image is one.
type Slot struct {
	Name     string // a, b, recovery; empty for an image
	Kernel   Program
	RootHash string // of dm-verity, hex
	Policy   Policy
}

// A Policy says whose images the node installs. It is a file of the root.
type Policy struct {
	File    string   // its path
	Data    []byte   // nil: there is none
	Says    []string // in sentences
	Problem string   // a mistake in it
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
	Problem  string `json:"problem,omitempty"` // what is wrong with it or its signature
	// Says is what a policy says, in sentences.
	Says []string `json:"says,omitempty"`
}

// Inspect makes the chain.
func Inspect(f Facts) Chain {
	c := Chain{Links: []Link{}}
	if f.Image != "" {
		l := f.image()
		l.Verified = true
		c.Links = append(c.Links, l)
	}
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

// policy says whether the slot's agent verifies the next image, and by which rules.
func (s Slot) policy() Link {
	l := Link{What: "policy for the next image", File: s.Policy.File, Says: s.Policy.Says, Problem: s.Policy.Problem}
	if s.Policy.Data == nil {
		l.By = "nobody: there is no policy in the root, so the node installs no image, unless a file in /oem makes a policy"
		return l
	}
	sum := sha256.Sum256(s.Policy.Data)
	l.SHA256, l.Verified, l.By = hex.EncodeToString(sum[:]), true, "dm-verity, as part of the root; a file in /oem can replace it"
	if l.Problem != "" {
		l.Problem, l.Says = "it does not count, the last correct policy of a good slot does: "+l.Problem, nil
	}
	return l
}

// image is what vouches for the image before it is installed.
func (f Facts) image() Link {
	return Link{
		What: "image", SHA256: strings.TrimPrefix(f.Image, "sha256:"),
		By: "the agent of the running system, before it installs the image: its signature by the policy, and each layer by its digest. The boot does not look at this signature again",
	}
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
