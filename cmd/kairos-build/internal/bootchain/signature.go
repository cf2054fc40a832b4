// SPDX-License-Identifier: Apache-2.0

package bootchain

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
)

// The structures of PKCS #7 (RFC 2315) and of Authenticode, as far as they are needed.
type (
	contentInfo struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue `asn1:"optional,tag:0"` // the content is in its Bytes
	}
	signedData struct {
		Version      int
		Algorithms   asn1.RawValue
		Content      contentInfo
		Certificates asn1.RawValue `asn1:"optional,tag:0"`
		CRLs         asn1.RawValue `asn1:"optional,tag:1"`
		Signers      []signerInfo  `asn1:"set"`
	}
	signerInfo struct {
		Version     int
		Certificate issuerAndSerial
		Digest      algorithm
		Attributes  asn1.RawValue `asn1:"optional,tag:0"`
		Algorithm   algorithm
		Signature   []byte
		Unsigned    asn1.RawValue `asn1:"optional,tag:1"`
	}
	issuerAndSerial struct {
		Issuer asn1.RawValue
		Serial *big.Int
	}
	algorithm struct {
		Type       asn1.ObjectIdentifier
		Parameters asn1.RawValue `asn1:"optional"`
	}
	indirectData struct {
		Data   asn1.RawValue
		Digest struct {
			Algorithm algorithm
			Digest    []byte
		}
	}
	attribute struct {
		Type   asn1.ObjectIdentifier
		Values asn1.RawValue `asn1:"set"`
	}
)

func oidMessageDigest() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
}
func oidSHA256() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1} }

// A signature is one signature of a program, which was checked.
type signature struct {
	certificate *x509.Certificate // of the signer
	others      []*x509.Certificate
}

var errOtherContent = errors.New("the signature is about other content: the file was changed after it was signed")

// checkSignature reads a PKCS #7 message and checks that it signs this digest. It does not
// decide whether the certificate can be trusted.
func checkSignature(message, digest []byte) (*signature, error) {
	var outer contentInfo
	var signed signedData
	if _, err := asn1.Unmarshal(message, &outer); err != nil {
		return nil, fmt.Errorf("reading the signature: %w", err)
	}
	if _, err := asn1.Unmarshal(outer.Content.Bytes, &signed); err != nil {
		return nil, fmt.Errorf("reading the signature: %w", err)
	}
	content := signed.Content.Content.Bytes
	var about indirectData
	if _, err := asn1.Unmarshal(content, &about); err != nil {
		return nil, fmt.Errorf("reading what is signed: %w", err)
	}
	if !about.Digest.Algorithm.Type.Equal(oidSHA256()) {
		return nil, fmt.Errorf("the signature is about a digest of the kind %v, not SHA-256", about.Digest.Algorithm.Type)
	}
	if !bytes.Equal(about.Digest.Digest, digest) {
		return nil, errOtherContent
	}
	certificates, err := x509.ParseCertificates(signed.Certificates.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading the certificates: %w", err)
	}
	if len(signed.Signers) != 1 {
		return nil, fmt.Errorf("the signature has %d signers, want one", len(signed.Signers))
	}
	return signed.Signers[0].check(content, certificates)
}

// check checks the signature over the attributes, and that they have the digest of content.
func (s signerInfo) check(content []byte, certificates []*x509.Certificate) (*signature, error) {
	var inner asn1.RawValue
	if _, err := asn1.Unmarshal(content, &inner); err != nil {
		return nil, fmt.Errorf("reading what is signed: %w", err)
	}
	message := inner.Bytes
	if len(s.Attributes.FullBytes) > 0 {
		sum := sha256.Sum256(inner.Bytes)
		if !bytes.Equal(s.messageDigest(), sum[:]) {
			return nil, errOtherContent
		}
		message = bytes.Clone(s.Attributes.FullBytes)
		message[0] = asn1.TagSet | 0x20 // the signature is over the attributes as a set
	}
	for _, c := range certificates {
		if !bytes.Equal(c.RawIssuer, s.Certificate.Issuer.FullBytes) || s.Certificate.Serial == nil || c.SerialNumber.Cmp(s.Certificate.Serial) != 0 {
			continue
		}
		if err := c.CheckSignature(x509.SHA256WithRSA, message, s.Signature); err != nil {
			return nil, fmt.Errorf("checking the signature of %s: %w", c.Subject, err)
		}
		return &signature{c, certificates}, nil
	}
	return nil, errors.New("the signature does not have the certificate of its signer")
}

// messageDigest is the digest in the attributes, or nil.
func (s signerInfo) messageDigest() []byte {
	for rest := s.Attributes.Bytes; len(rest) > 0; {
		var a attribute
		var err error
		if rest, err = asn1.Unmarshal(rest, &a); err != nil {
			return nil
		}
		var digest []byte
		if !a.Type.Equal(oidMessageDigest()) {
			continue
		}
		if _, err := asn1.Unmarshal(a.Values.Bytes, &digest); err != nil {
			return nil
		}
		return digest
	}
	return nil
}

// isIssuedBy tells whether ca issued the signer's certificate, or is it. Between them may be
// certificates of the signature.
func (s *signature) isIssuedBy(ca *x509.Certificate) bool {
	const longest = 5
	at := s.certificate
	for range longest {
		if bytes.Equal(at.Raw, ca.Raw) || signs(ca, at) {
			return true
		}
		next := at
		for _, c := range s.others {
			if !bytes.Equal(c.Raw, at.Raw) && signs(c, at) {
				next = c
			}
		}
		at = next
	}
	return false
}

func signs(ca, c *x509.Certificate) bool {
	return bytes.Equal(ca.RawSubject, c.RawIssuer) && ca.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}
