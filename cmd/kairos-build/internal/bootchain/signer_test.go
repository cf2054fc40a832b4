// SPDX-License-Identifier: Apache-2.0

package bootchain

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"math/big"
	"testing"
	"time"
)

// An authority issues the certificates of signers.
type authority struct {
	key         *rsa.PrivateKey
	certificate *x509.Certificate
}

func newAuthority(t *testing.T, name string) authority {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0), IsCA: true, BasicConstraintsValid: true}
	return authority{key, certify(t, template, template, key, key)}
}

func certify(t *testing.T, template, parent *x509.Certificate, of, by *rsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, of.Public(), by)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// signer is a certificate that the authority issued, with its key.
func (a authority) signer(t *testing.T, name string) authority {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0)}
	return authority{key, certify(t, template, a.certificate, key, a.key)}
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	der, err := asn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func wrapped(class, tag int, der []byte) asn1.RawValue {
	return asn1.RawValue{Class: class, Tag: tag, IsCompound: true, Bytes: der}
}

// message is a PKCS #7 message over a digest, as sbsign makes it.
func (a authority) message(t *testing.T, digest []byte, withAttributes bool) []byte {
	t.Helper()
	kind := algorithm{Type: oidSHA256()}
	var about indirectData
	about.Data = asn1.RawValue{Tag: asn1.TagNull}
	about.Digest.Algorithm, about.Digest.Digest = kind, digest
	content := marshal(t, about)
	var inner asn1.RawValue
	if _, err := asn1.Unmarshal(content, &inner); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(inner.Bytes)
	info := signerInfo{
		Version:     1,
		Certificate: issuerAndSerial{asn1.RawValue{FullBytes: a.certificate.RawIssuer}, a.certificate.SerialNumber},
		Digest:      kind, Algorithm: algorithm{Type: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}},
	}
	hashed := sum
	if withAttributes {
		list := marshal(t, attribute{oidMessageDigest(), wrapped(0, asn1.TagSet, marshal(t, sum[:]))})
		hashed = sha256.Sum256(marshal(t, wrapped(0, asn1.TagSet, list)))
		info.Attributes = asn1.RawValue{FullBytes: marshal(t, wrapped(2, 0, list))}
	}
	var err error
	if info.Signature, err = rsa.SignPKCS1v15(rand.Reader, a.key, crypto.SHA256, hashed[:]); err != nil {
		t.Fatal(err)
	}
	signed := signedData{
		Version:      1,
		Algorithms:   wrapped(0, asn1.TagSet, marshal(t, kind)),
		Content:      contentInfo{asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 1, 4}, wrapped(2, 0, content)},
		Certificates: asn1.RawValue{FullBytes: marshal(t, wrapped(2, 0, a.certificate.Raw))},
		Signers:      []signerInfo{info},
	}
	return marshal(t, contentInfo{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}, wrapped(2, 0, marshal(t, signed))})
}

// program is a program for UEFI with one section: that of a shim's certificate.
func program(certificate []byte) []byte {
	const header, optional, size = 64, 240, 512
	vendor := make([]byte, 16, 16+len(certificate))
	binary.LittleEndian.PutUint32(vendor, uint32(len(certificate)))
	binary.LittleEndian.PutUint32(vendor[8:], 16)
	vendor = append(vendor, certificate...)
	symbols := size + len(vendor)
	data := make([]byte, size)
	copy(data, "MZ")
	binary.LittleEndian.PutUint32(data[0x3c:], header)
	copy(data[header:], "PE\x00\x00")
	binary.LittleEndian.PutUint16(data[header+6:], 1)
	binary.LittleEndian.PutUint32(data[header+12:], uint32(symbols))
	binary.LittleEndian.PutUint16(data[header+20:], optional)
	binary.LittleEndian.PutUint16(data[header+24:], 0x20b)
	section := data[header+24+optional:]
	copy(section, "/4")
	binary.LittleEndian.PutUint32(section[8:], uint32(len(vendor)))
	binary.LittleEndian.PutUint32(section[16:], uint32(len(vendor)))
	binary.LittleEndian.PutUint32(section[20:], size)
	data = append(data, vendor...)
	data = append(data, 20, 0, 0, 0) // the table of strings begins with its size
	data = append(data, vendorSection+"\x00"...)
	for len(data)%8 != 0 {
		data = append(data, 0)
	}
	return data
}

// sign adds a signature to a program.
func (a authority) sign(t *testing.T, data []byte, withAttributes bool) []byte {
	t.Helper()
	p, err := parsePE(data)
	if err != nil {
		t.Fatal(err)
	}
	message := a.message(t, p.digest(), withAttributes)
	entry := make([]byte, 8, 16+len(message))
	binary.LittleEndian.PutUint32(entry, uint32(8+len(message)))
	binary.LittleEndian.PutUint16(entry[4:], 0x200)
	binary.LittleEndian.PutUint16(entry[6:], 2)
	entry = append(entry, message...)
	for len(entry)%8 != 0 {
		entry = append(entry, 0)
	}
	signed := append([]byte{}, data...)
	binary.LittleEndian.PutUint32(signed[p.directory:], uint32(len(data)))
	binary.LittleEndian.PutUint32(signed[p.directory+4:], uint32(len(entry)))
	return append(signed, entry...)
}
