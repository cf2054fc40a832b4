// SPDX-License-Identifier: Apache-2.0

package signing

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"

	"github.com/kairos-build/kairos-build/signing/verify"
)

// audience is who an identity token is for.
const audience = "sigstore"

// maxToken is the largest answer with a token, in bytes, that is read.
const maxToken = 1 << 20

// ActionsToken gets the identity token of a run of GitHub Actions. It has the values of
// ACTIONS_ID_TOKEN_REQUEST_URL and ACTIONS_ID_TOKEN_REQUEST_TOKEN, which a job has with the
// permission id-token: write.
func ActionsToken(ctx context.Context, client *http.Client, address, secret string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", badInput(fmt.Errorf("ACTIONS_ID_TOKEN_REQUEST_URL: %w", err))
	}
	query := u.Query()
	query.Set("audience", audience)
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+secret)
	resp, err := client.Do(req)
	if err != nil {
		return "", fmt.Errorf("getting the identity token of this run: %w", reason(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("getting the identity token of this run: %s: has the job the permission id-token: write?", resp.Status)
	}
	var answer struct {
		Value string `json:"value"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxToken)).Decode(&answer); err != nil {
		return "", fmt.Errorf("getting the identity token of this run: %w", err)
	}
	return answer.Value, nil
}

// reason is an error of an HTTP client without the address, which the message has already or
// which is secret.
func reason(err error) error {
	if outer, ok := errors.AsType[*url.Error](err); ok {
		return outer.Err
	}
	return err
}

// ownerOf reads the identity in a certificate.
func ownerOf(cert *x509.Certificate) (verify.Identity, bool) {
	owner, err := certificate.SummarizeCertificate(cert)
	return verify.Identity{Issuer: owner.Issuer, Subject: owner.SubjectAlternativeName}, err == nil
}
