// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"context"
	"io"
	"path"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"

	"github.com/kairos-build/kairos-build/framework/fetch"
)

// Fresh returns a small file of a mirror: the copy of an earlier run if the mirror says that
// it is current. It is trusted no more than the network.
func (p *Pool) Fresh(ctx context.Context, address string) ([]byte, error) {
	return p.client.revalidate(ctx, path.Join(p.o.Cache, "release"), address)
}

// A File is a file of a mirror whose contents somebody vouches for.
type File struct {
	URL     string
	SHA256  string // hex
	Size    int64  // bytes
	Voucher string // for messages: "the signed repomd.xml"
}

// File puts a file into the cache and returns its path. It checks it, new or cached.
func (p *Pool) File(ctx context.Context, f File) (string, error) {
	return p.store.fetch(ctx, blob{urls: []string{f.URL}, sha256: f.SHA256, size: f.Size, voucher: f.Voucher, seen: func(int64) {}})
}

// Keys are public keys that may sign.
type Keys struct{ list openpgp.EntityList }

// ReadKeys reads public keys, binary or armored, and keeps those with the fingerprints; none:
// all.
func ReadKeys(keyring []byte, fingerprints []string) (Keys, error) {
	list, err := parseKeyring(keyring, fingerprints)
	return Keys{list}, err
}

// List is the keys.
func (k Keys) List() openpgp.EntityList { return k.list }

// Detached checks the signature of a file that has it in a file of its own, armored or
// binary. address is that of the signed file, for messages. One good signature is enough.
func (k Keys) Detached(address string, signed, signature []byte, now time.Time) (Signer, error) {
	shown := fetch.Shown(address)
	var packets io.Reader = bytes.NewReader(signature)
	if block, err := armor.Decode(bytes.NewReader(signature)); err == nil {
		packets = block.Body
	}
	sigs, err := signatures(packets)
	if err != nil {
		return Signer{}, problemf(ErrSignature, "%s: its OpenPGP signature is damaged: %v: %s", shown, err, otherMirror)
	}
	signer, err := signedBy(signed, sigs, k.list, now)
	if err != nil {
		return Signer{}, problemf(ErrSignature, "%s: %v; %s", shown, err, otherMirror)
	}
	return signer, nil
}

// Unsigned is the error about a file that must be signed, and is not.
func Unsigned(address string) error {
	return problemf(ErrSignature, "%s: it is not signed: there is no %s.asc; a flavor whose publisher signs only the packages says `metadata: unsigned`",
		fetch.Shown(address), path.Base(address))
}

// Changed is the error about a mirror whose parts do not belong together.
func Changed(address, how string) error {
	return problemf(ErrMismatch, "%s: %s: the mirror is in the middle of an update, or tampered with; %s", fetch.Shown(address), how, otherMirror)
}
