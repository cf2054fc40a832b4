// SPDX-License-Identifier: Apache-2.0

// Package cluster has the files that the programs of a cluster need: certificates,
// keys, kubeconfigs, and the arguments and configuration of each program. It is the
// same for k3s and k0s, which differ in where the files are (Place).
package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// A Pair are the files of a certificate and its key.
type Pair struct{ Cert, Key string }

func pair(dir, name string) Pair {
	return Pair{filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")}
}

// An Authority signs certificates.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Authority reads a certificate authority, or makes it if there is none.
func (p Pair) Authority(name string) (*Authority, error) {
	a, err := p.readAuthority()
	if !errors.Is(err, fs.ErrNotExist) {
		return a, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := validity(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
	})
	a = &Authority{cert: template, key: key}
	if err := a.sign(p, template, key); err != nil {
		return nil, err
	}
	return p.readAuthority()
}

func (p Pair) readAuthority() (*Authority, error) {
	certDER, err := readPEM(p.Cert)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(certDER)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", p.Cert, err)
	}
	keyDER, err := readPEM(p.Key)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParseECPrivateKey(keyDER)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", p.Key, err)
	}
	return &Authority{cert: cert, key: key}, nil
}

// A Subject is what a certificate is for.
type Subject struct {
	Name   string
	Groups []string
	Hosts  []string // of a server; a certificate without hosts is a client's
}

// Issue writes a certificate and, if there is none, its key.
func (a *Authority) Issue(p Pair, s Subject) error {
	key, err := p.key()
	if err != nil {
		return err
	}
	return a.sign(p, s.template(), key)
}

func (s Subject) template() *x509.Certificate {
	t := validity(&x509.Certificate{
		Subject:     pkix.Name{CommonName: s.Name, Organization: s.Groups},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	for _, host := range s.Hosts {
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
		if ip := net.ParseIP(host); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, host)
		}
	}
	return t
}

// key reads a private key, or makes it.
func (p Pair) key() (*ecdsa.PrivateKey, error) {
	der, err := readPEM(p.Key)
	if errors.Is(err, fs.ErrNotExist) {
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		return nil, err
	}
	return x509.ParseECPrivateKey(der)
}

func (a *Authority) sign(p Pair, template *x509.Certificate, key *ecdsa.PrivateKey) error {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		return err
	}
	template.SerialNumber = serial
	cert, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	if err := WritePEM(p.Key, "EC PRIVATE KEY", keyDER, 0o600); err != nil {
		return err
	}
	return WritePEM(p.Cert, "CERTIFICATE", cert, 0o644)
}

// EnsureKey makes a private key for tokens of service accounts if there is none.
func EnsureKey(file string) error {
	key, err := Pair{Key: file}.key()
	if err != nil {
		return err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return WritePEM(file, "EC PRIVATE KEY", der, 0o600)
}

func validity(c *x509.Certificate) *x509.Certificate {
	now := time.Now()
	c.NotBefore, c.NotAfter = now.Add(-time.Hour), now.AddDate(10, 0, 0)
	return c
}

// WritePEM writes one block.
func WritePEM(file, kind string, der []byte, perm os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), perm)
}

func readPEM(file string) ([]byte, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("reading %s: there is no PEM block in it", file)
	}
	return block.Bytes, nil
}
