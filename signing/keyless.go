// SPDX-License-Identifier: Apache-2.0

package signing

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	"github.com/sigstore/sigstore-go/pkg/sign"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/kairos-build/kairos-build/signing/verify"
)

// The public services of sigstore.
const (
	PublicFulcio = "https://fulcio.sigstore.dev"
	PublicRekor  = "https://rekor.sigstore.dev"
)

// Keyless says who vouches for a signer without a key of his own: an authority gives a
// certificate for a few minutes to the owner of an identity token, and a log or a
// timestamp authority says that the signature was made within these minutes.
type Keyless struct {
	Fulcio string // URL of the certificate authority
	Rekor  string // URL of the transparency log; may be empty if TSA is not
	TSA    string // URL of the timestamp authority, with its path; may be empty
	// Token returns a token that says who signs, for the audience "sigstore".
	Token func(context.Context) (string, error)
	// Client asks the log how it is, before anything is signed.
	Client *http.Client
	// Root, if there is one, is the trusted root with which new signatures are checked.
	Root []byte
}

// skew is how far the clock may be from the authority's before the user is told.
const skew = 5 * time.Minute

func openKeyless(ctx context.Context, o Options) (*Signer, error) {
	if err := o.Keyless.check(); err != nil {
		return nil, badInput(err)
	}
	token, err := o.Keyless.Token(ctx)
	if err != nil {
		return nil, err
	}
	if err := checkToken(token, o.Now()); err != nil {
		return nil, badInput(err)
	}
	keys, err := newEphemeral()
	if err != nil {
		return nil, err
	}
	return &Signer{keys: keys, keyless: *o.Keyless, certificate: &certificates{
		authority: o.Keyless.Fulcio, token: o.Keyless.Token, first: token, warn: o.Warn, now: o.Now,
	}}, nil
}

// newEphemeral makes a key that is never stored.
func newEphemeral() (*keypair, error) {
	signer, private, err := signature.NewDefaultECDSASignerVerifier()
	if err != nil {
		return nil, err
	}
	return newKeypair(signer, private.Public())
}

// authorityName is what the certificate authority is called in messages: it is the one
// service that is always needed.
const authorityName = "certificate authority"

func (k *Keyless) check() error {
	if k.Token == nil || k.Client == nil {
		return errors.New("BUG: keyless signing without a source of tokens or a client")
	}
	if k.Rekor == "" && k.TSA == "" {
		return errors.New("keyless signing needs a transparency log or a timestamp authority: without one, the signature is worth nothing when the certificate ends in a few minutes")
	}
	for name, text := range map[string]string{authorityName: k.Fulcio, "transparency log": k.Rekor, "timestamp authority": k.TSA} {
		if text == "" && name != authorityName {
			continue
		}
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			return fmt.Errorf("the address of the %s, %q: want https://HOST", name, text)
		}
		if u.Scheme == "http" && !isLoopback(u.Hostname()) {
			return fmt.Errorf("the address of the %s, %q: want https: over http, anybody on the way can read the token", name, text)
		}
	}
	return nil
}

func isLoopback(host string) bool { return host == "localhost" || host == "127.0.0.1" || host == "::1" }

// checkToken checks what can be seen of an identity token. The authority checks it.
func checkToken(token string, now time.Time) error {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return errors.New("the identity token is no JSON web token (three parts with dots between them)")
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return fmt.Errorf("the identity token is no JSON web token: %w", err)
	}
	var claims struct {
		Expires int64 `json:"exp"`
	}
	if err := json.Unmarshal(text, &claims); err != nil {
		return fmt.Errorf("the identity token is no JSON web token: %w", err)
	}
	if end := time.Unix(claims.Expires, 0).UTC(); claims.Expires != 0 && now.After(end) {
		return fmt.Errorf("the identity token ended at %s, and the clock of this machine says %s: get a new token, or set the clock",
			end.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return nil
}

// addTo adds what a keyless signature needs.
func (k *Keyless) addTo(o *sign.BundleOptions, c *certificates) {
	o.CertificateProvider, o.CertificateProviderOptions = c, &sign.CertificateProviderOptions{}
	if k.TSA != "" {
		o.TimestampAuthorities = []*sign.TimestampAuthority{sign.NewTimestampAuthority(&sign.TimestampAuthorityOptions{URL: k.TSA})}
	}
	if k.Rekor != "" {
		o.TransparencyLogs = []sign.Transparency{transparency{k.Rekor, sign.NewRekor(&sign.RekorOptions{BaseURL: k.Rekor})}}
	}
}

// A serviceError says which service did not do its part.
type serviceError struct {
	service string
	err     error
}

func (e serviceError) Error() string { return e.service + ": " + e.err.Error() }
func (e serviceError) Unwrap() error { return e.err }

// explain says what to do when a service does not do its part.
func (k *Keyless) explain(err error) error {
	said, ok := errors.AsType[serviceError](err)
	if !ok { // sigstore-go asks the timestamp authority itself
		said = serviceError{"the timestamp authority " + k.TSA, err}
	}
	hint := "check the network and the proxy, name another service, or sign with a key (`kairos-build key FILE` makes one)"
	if wrong, ok := errors.AsType[x509.CertificateInvalidError](err); ok && wrong.Reason == x509.Expired {
		hint = "is the clock of this machine right?"
	}
	return fmt.Errorf("%w: %w: %s", ErrService, said, hint)
}

// A transparency is a log that says its name when it fails.
type transparency struct {
	address string
	log     sign.Transparency
}

func (t transparency) GetTransparencyLogEntry(ctx context.Context, key []byte, b *protobundle.Bundle) error {
	if err := t.log.GetTransparencyLogEntry(ctx, key, b); err != nil {
		return serviceError{"the transparency log " + t.address, err}
	}
	return nil
}

// A certificates gets a certificate, and a new one when it ends.
type certificates struct {
	authority string
	token     func(context.Context) (string, error)
	first     string // a token that is there already
	warn      func(string)
	now       func() time.Time
	current   *x509.Certificate
	asked     time.Time // when current was new
}

// renewal is how long before its end a certificate is not used any more.
const renewal = 2 * time.Minute

// GetCertificate returns the certificate for keys.
func (c *certificates) GetCertificate(ctx context.Context, keys sign.Keypair, _ *sign.CertificateProviderOptions) ([]byte, error) {
	if c.current != nil && c.now().Sub(c.asked) < c.current.NotAfter.Sub(c.current.NotBefore)-renewal {
		return c.current.Raw, nil
	}
	token := c.first
	if c.first = ""; token == "" {
		var err error
		if token, err = c.token(ctx); err != nil {
			return nil, serviceError{"getting an identity token", err}
		}
	}
	fulcio := sign.NewFulcio(&sign.FulcioOptions{BaseURL: c.authority})
	raw, err := fulcio.GetCertificate(ctx, keys, &sign.CertificateProviderOptions{IDToken: token})
	if err != nil {
		return nil, serviceError{"the certificate authority " + c.authority, err}
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		return nil, serviceError{"the certificate of " + c.authority, err}
	}
	c.current, c.asked = cert, c.now()
	c.compareClock()
	return raw, nil
}

// compareClock warns if this machine's clock is far from the authority's. The signature is
// good all the same: the log's time counts.
func (c *certificates) compareClock() {
	from, to, now := c.current.NotBefore, c.current.NotAfter, c.now()
	if now.Before(from.Add(-skew)) || now.After(to.Add(skew)) {
		c.warn(fmt.Sprintf("the clock of this machine says %s, and the certificate authority made a certificate for %s to %s: set the clock",
			now.UTC().Format(time.RFC3339), from.UTC().Format(time.RFC3339), to.UTC().Format(time.RFC3339)))
	}
}

// owner is the identity in the certificate.
func (c *certificates) owner() (id verify.Identity, known bool) {
	if c == nil || c.current == nil {
		return id, false
	}
	return ownerOf(c.current)
}
