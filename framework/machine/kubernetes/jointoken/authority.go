// SPDX-License-Identifier: Apache-2.0

package jointoken

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"strings"
	"time"
	"unicode"
)

// An Authority is the certificate of the cluster's authority, with which a node checks
// the server that it joins.
type Authority struct {
	Subject  string    `json:"subject"`
	NotAfter time.Time `json:"notAfter"`
	// SHA256 is of the DER form, 64 lower-case hex digits, as
	// `openssl x509 -fingerprint -sha256` prints them.
	SHA256 string `json:"sha256"`
}

// parseAuthority reads the first certificate of certificate-authority-data.
func parseAuthority(data string) (Authority, error) {
	text, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		return Authority{}, fmt.Errorf("%w: its certificate-authority-data is not base64", ErrNotToken)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return Authority{}, fmt.Errorf("%w: it has no certificate of the cluster's authority (certificate-authority-data)", ErrNotToken)
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return Authority{}, fmt.Errorf("%w: the certificate of the cluster's authority: %w", ErrNotToken, err)
	}
	subject := strings.Map(shownRune, certificate.Subject.String())
	return Authority{
		Subject: subject, NotAfter: certificate.NotAfter.UTC(),
		SHA256: fmt.Sprintf("%x", sha256.Sum256(block.Bytes)),
	}, nil
}

// shownRune replaces what would confuse a terminal.
func shownRune(r rune) rune {
	if unicode.IsControl(r) {
		return unicode.ReplacementChar
	}
	return r
}
