// SPDX-License-Identifier: Apache-2.0

package bootchain

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestChain: the shim's certificate issued those of GRUB and of the kernel.
func TestChain(t *testing.T) {
	microsoft, vendor := newAuthority(t, "UEFI CA"), newAuthority(t, "Vendor CA")
	grub, stranger := vendor.signer(t, "Vendor GRUB"), newAuthority(t, "Stranger CA").signer(t, "Stranger")
	shim := microsoft.signer(t, "Publisher").sign(t, program(vendor.certificate.Raw), true)
	good := grub.sign(t, program(nil), true)
	changed := append([]byte{}, good...)
	changed[300] ^= 1
	type result struct {
		Verified bool
		Signer   string
		Problem  string
	}
	for _, tt := range []struct {
		name     string
		programs []Program
		want     result // of the last
	}{
		{"shim", []Program{{Shim, "", shim}}, result{true, "Publisher", ""}},
		{"GRUB", []Program{{Shim, "", shim}, {GRUB, "", good}}, result{true, "Vendor GRUB", ""}},
		{"signed without attributes", []Program{{Shim, "", shim}, {GRUB, "", grub.sign(t, program(nil), false)}}, result{true, "Vendor GRUB", ""}},
		{"a byte was changed", []Program{{Shim, "", shim}, {GRUB, "", changed}}, result{false, "", "the signature is about other content: the file was changed after it was signed: Secure Boot refuses it"}},
		{"of a stranger", []Program{{Shim, "", shim}, {GRUB, "", stranger.sign(t, program(nil), true)}},
			result{false, "Stranger", "the shim's certificate (Vendor CA) did not issue the signer's: Secure Boot refuses it, unless its key was enrolled by hand"}},
		{"not signed", []Program{{Shim, "", shim}, {GRUB, "", program(nil)}}, result{false, "", "it has no signature: Secure Boot refuses it"}},
		{"no program", []Program{{Shim, "", shim}, {GRUB, "", []byte("grub")}}, result{false, "", "it is no program for UEFI: Secure Boot refuses it"}},
		{"no shim", []Program{{GRUB, "", good}}, result{false, "Vendor GRUB", "there is no shim with a certificate: only a key that was enrolled by hand can verify it"}},
	} {
		links := Inspect(Facts{Programs: tt.programs}).Links
		l := links[len(links)-1]
		if diff := cmp.Diff(tt.want, result{l.Verified, l.Signer, l.Problem}); diff != "" {
			t.Errorf("%s: -want +got:\n%s", tt.name, diff)
		}
	}
}

// TestSameNameIsNotEnough: a certificate authority with the name of the vendor's.
func TestSameNameIsNotEnough(t *testing.T) {
	vendor, impostor := newAuthority(t, "Vendor CA"), newAuthority(t, "Vendor CA")
	shim := newAuthority(t, "UEFI CA").sign(t, program(vendor.certificate.Raw), true)
	c := Inspect(Facts{Programs: []Program{{Shim, "", shim}, {GRUB, "", impostor.signer(t, "Vendor GRUB").sign(t, program(nil), true)}}})
	if c.Links[1].Verified {
		t.Errorf("got %+v", c.Links[1])
	}
}

// TestWhatIsNotCovered: the chain says plainly that nobody verifies initrd and command
// line.
func TestWhatIsNotCovered(t *testing.T) {
	c := Inspect(Facts{BIOS: true, Slots: []Slot{{Name: "a", RootHash: "ab", Policy: Policy{File: "/etc/kairos/policy.yaml"}}, {Name: "b", Policy: Policy{Data: []byte("x"), Says: []string{"trusts ann"}}}, {Name: "recovery", Policy: Policy{Data: []byte("x"), Problem: "a typo"}}}})
	var out strings.Builder
	if err := c.Print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"slot a\n", "slot b\n", "– initrd", "– command line, with the root hash", "✔ root", "root hash    ab", "BIOS verifies nothing",
		"The initrd and the kernel command line have no signature.", "there is no policy in the root", "it says      trusts ann", "problem      it does not count, the last correct policy of a good slot does: a typo", "the command line has no root hash",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("there is no %q in\n%s", want, out.String())
		}
	}
}

func FuzzSignature(f *testing.F) {
	t := &testing.T{}
	f.Add(newAuthority(t, "a").sign(t, program([]byte("x")), true))
	f.Add(program(nil))
	f.Fuzz(func(_ *testing.T, data []byte) {
		Inspect(Facts{Programs: []Program{{Shim, "", data}, {GRUB, "", data}}})
	})
}
