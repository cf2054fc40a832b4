// SPDX-License-Identifier: Apache-2.0

package signing

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/sigstore/sigstore-go/pkg/sign"

	"github.com/kairos-build/kairos-build/signing/verify"
)

// checkTime is how long a service may take to answer Check.
const checkTime = 30 * time.Second

// Check finds out whether the services of keyless signing do their part, before anything is
// made that needs a signature: the authority gives a certificate, and log and timestamp
// authority answer. It writes nothing into the log. With a key, there is nothing to ask.
func (s *Signer) Check(ctx context.Context) error {
	if s.certificate == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	if _, err := s.certificate.GetCertificate(ctx, s.keys, nil); err != nil {
		return s.keyless.explain(err)
	}
	if err := s.keyless.checkLog(ctx); err != nil {
		return s.keyless.explain(err)
	}
	if s.keyless.TSA == "" {
		return nil
	}
	authority := sign.NewTimestampAuthority(&sign.TimestampAuthorityOptions{URL: s.keyless.TSA})
	if _, err := authority.GetTimestamp(ctx, []byte("does the timestamp authority answer?")); err != nil {
		return s.keyless.explain(err)
	}
	return nil
}

// checkLog asks the log how it is.
func (k *Keyless) checkLog(ctx context.Context) error {
	if k.Rekor == "" {
		return nil
	}
	name := "the transparency log " + k.Rekor
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(k.Rekor, "/")+"/api/v1/log", nil)
	if err != nil {
		return serviceError{name, err}
	}
	resp, err := k.Client.Do(req)
	if err != nil {
		return serviceError{name, reason(err)}
	}
	if err := resp.Body.Close(); err != nil {
		return serviceError{name, err}
	}
	if resp.StatusCode != http.StatusOK {
		return serviceError{name, errors.New(resp.Status)}
	}
	return nil
}

// Owner is who a keyless signer is. It is known after Check, or after the first signature.
func (s *Signer) Owner() (id verify.Identity, known bool) { return s.certificate.owner() }

// Who names the signer: the fingerprint of its key, or its identity.
func (s *Signer) Who() string {
	if s.public != nil {
		if id, err := verify.Fingerprint(s.public); err == nil {
			return "key " + id
		}
	}
	if id, known := s.Owner(); known {
		return id.String()
	}
	return fmt.Sprintf("whoever %s knows", s.keyless.Fulcio)
}
