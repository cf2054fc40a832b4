// SPDX-License-Identifier: Apache-2.0

package signing

import (
	"bytes"
	"context"
	"crypto"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/sigstore/cosign/v2/pkg/cosign"
	cosignkeys "github.com/sigstore/cosign/v2/pkg/signature"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/options"

	"github.com/kairos-build/kairos-build/signing/verify"
)

// maxKeyFile is the largest key file, in bytes, that is read.
const maxKeyFile = 1 << 20

func openKey(ctx context.Context, o Options) (*Signer, error) {
	signer, err := loadKey(ctx, o)
	if err != nil {
		return nil, err
	}
	public, err := signer.PublicKey(options.WithContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("reading the public key of %s: %w", o.Key, err)
	}
	keys, err := newKeypair(signer, public)
	if err != nil {
		return nil, badInput(fmt.Errorf("%s: %w", o.Key, err))
	}
	return &Signer{keys: keys, public: public}, nil
}

func loadKey(ctx context.Context, o Options) (signature.SignerVerifier, error) {
	scheme, _, isReference := strings.Cut(o.Key, "://")
	switch {
	case strings.HasPrefix(o.Key, "pkcs11:"):
		return nil, badInput(errors.New("keys on PKCS#11 tokens are not supported yet: use a key file or a key management service"))
	case !isReference:
		return loadFile(o)
	case !isKnownScheme(scheme):
		return nil, badInput(fmt.Errorf("%s: there is no key service %s://; there are %s", o.Key, scheme, strings.Join(schemes(), ", ")))
	}
	signer, err := cosignkeys.SignerVerifierFromKeyRef(ctx, o.Key, func(bool) ([]byte, error) { return o.password() }, pureEd25519())
	if err != nil {
		return nil, fmt.Errorf("opening the key %s: %w", o.Key, err)
	}
	return signer, nil
}

func (o Options) password() ([]byte, error) {
	if o.Password == nil {
		return nil, nil
	}
	return o.Password()
}

// pureEd25519 signs the bytes themselves with keys of that kind: envelopes have them so.
func pureEd25519() *[]signature.LoadOption { return &[]signature.LoadOption{} }

func loadFile(o Options) (signature.SignerVerifier, error) {
	text, err := readKey(o)
	if err != nil {
		return nil, err
	}
	if !bytes.Contains(text, []byte("PRIVATE KEY-----")) {
		return nil, badInput(fmt.Errorf("%s has no private key: give the file that ends in .key, not the one that ends in .pub", o.Key))
	}
	password, err := o.password()
	if err != nil {
		return nil, err
	}
	signer, err := cosign.LoadPrivateKey(text, password, pureEd25519())
	switch {
	case err == nil:
		return signer, nil
	case strings.Contains(err.Error(), "decryption failed"):
		return nil, badInput(fmt.Errorf("opening the key %s: %w", o.Key, ErrPassword))
	case strings.Contains(err.Error(), "unsupported pem type"):
		return nil, badInput(fmt.Errorf("the key %s is not encrypted: `cosign import-key-pair --key %s` makes an encrypted copy of it", o.Key, o.Key))
	}
	return nil, badInput(fmt.Errorf("opening the key %s: %w", o.Key, err))
}

// readKey reads the key file, and warns if others can read it.
func readKey(o Options) ([]byte, error) {
	info, err := os.Stat(o.Key)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, badInput(fmt.Errorf("there is no key file %s: `kairos-build key %s` makes one", o.Key, strings.TrimSuffix(o.Key, ".key")))
	case err != nil:
		return nil, err
	case info.Size() > maxKeyFile:
		return nil, badInput(fmt.Errorf("%s has %d bytes: is it a key?", o.Key, info.Size()))
	}
	if mode := info.Mode().Perm(); info.Mode().IsRegular() && mode&0o077 != 0 {
		o.Warn(fmt.Sprintf("other users can read the key %s (mode %#o): chmod 600 %s", o.Key, mode, o.Key))
	}
	return os.ReadFile(o.Key)
}

// NewKey makes a key pair in the files NAME.key and NAME.pub, which must not exist. The
// private key is encrypted with the password, which may be empty.
func NewKey(name string, password []byte) (private, public string, err error) {
	private, public = name+".key", name+".pub"
	for _, path := range []string{private, public} {
		if _, err := os.Lstat(path); err == nil {
			return "", "", badInput(fmt.Errorf("%s exists already: what it signed is worth nothing without it, so it is not replaced", path))
		}
	}
	keys, err := cosign.GenerateKeyPair(func(bool) ([]byte, error) { return password, nil })
	if err != nil {
		return "", "", fmt.Errorf("making a key: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return "", "", err
	}
	if err := create(private, keys.PrivateBytes, 0o600); err != nil {
		return "", "", err
	}
	return private, public, create(public, keys.PublicBytes, 0o644)
}

// create writes a file that must be new.
func create(path string, data []byte, mode fs.FileMode) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Sync()
}

// A keypair is a key as sigstore-go uses one.
type keypair struct {
	signer  signature.Signer
	public  crypto.PublicKey
	hint    []byte // as cosign names a key: the hash of its PKIX form, in base64
	details signature.AlgorithmDetails
}

func newKeypair(signer signature.Signer, public crypto.PublicKey) (*keypair, error) {
	id, err := verify.Fingerprint(public)
	if err != nil {
		return nil, err
	}
	sum, err := hex.DecodeString(strings.TrimPrefix(id, "sha256:"))
	if err != nil {
		return nil, err
	}
	details, err := signature.GetDefaultAlgorithmDetails(public)
	if err != nil {
		return nil, err
	}
	return &keypair{signer, public, []byte(base64.StdEncoding.EncodeToString(sum)), details}, nil
}

func (k *keypair) GetHashAlgorithm() protocommon.HashAlgorithm {
	if k.details.GetHashType() == 0 { // Ed25519 signs the bytes; a bundle has their hash all the same
		return protocommon.HashAlgorithm_SHA2_256
	}
	return k.details.GetProtoHashType()
}

func (k *keypair) GetSigningAlgorithm() protocommon.PublicKeyDetails {
	return k.details.GetSignatureAlgorithm()
}

func (k *keypair) GetHint() []byte { return k.hint }

func (k *keypair) GetKeyAlgorithm() string {
	switch k.details.GetKeyType() {
	case signature.ECDSA:
		return "ECDSA"
	case signature.RSA:
		return "RSA"
	case signature.ED25519:
		return "ED25519"
	}
	return ""
}

func (k *keypair) GetPublicKey() crypto.PublicKey { return k.public }

func (k *keypair) GetPublicKeyPem() (string, error) {
	text, err := cryptoutils.MarshalPublicKeyToPEM(k.public)
	return string(text), err
}

// SignData returns the signature over data, and the hash of data.
func (k *keypair) SignData(ctx context.Context, data []byte) (sig, digest []byte, err error) {
	hash := k.details.GetHashType()
	if hash == 0 {
		hash = crypto.SHA256
	}
	sum := hash.New()
	sum.Write(data)
	sig, err = k.signer.SignMessage(bytes.NewReader(data), options.WithContext(ctx))
	return sig, sum.Sum(nil), err
}
