// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// Limits of a config that is fetched.
const (
	FetchTime    = 30 * time.Second // for all of it
	FetchSize    = 1 << 20          // bytes
	FetchForward = 5                // redirections
)

func (c Checker) fetch(ctx context.Context, address string) (_ []byte, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, FetchTime, fmt.Errorf("no whole answer in %v", FetchTime))
	defer cancel()
	name := withoutSecrets(address)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("reading %s: it is not a URL", name)
	}
	answer, err := c.client().Do(request)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, reason(ctx, err))
	}
	defer func() { err = errors.Join(err, answer.Body.Close()) }()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("reading %s: the server says %s", name, answer.Status)
	}
	data, err := io.ReadAll(io.LimitReader(answer.Body, FetchSize+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading %s: %w", name, reason(ctx, err))
	case len(data) > FetchSize:
		return nil, fmt.Errorf("reading %s: it has more than %d MiB; is this a cloud-config?", name, FetchSize>>20)
	}
	return data, nil
}

func (c Checker) client() *http.Client {
	if c.Client != nil {
		return c.Client
	}
	return &http.Client{CheckRedirect: limitRedirects}
}

// limitRedirects never goes from https to http.
func limitRedirects(request *http.Request, via []*http.Request) error {
	switch {
	case len(via) > FetchForward:
		return fmt.Errorf("more than %d redirections", FetchForward)
	case via[len(via)-1].URL.Scheme == "https" && request.URL.Scheme != "https":
		return errors.New("redirected from https to http")
	}
	return nil
}

// reason is an error without the URL, which may hold a secret.
func reason(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if urlErr, ok := errors.AsType[*url.Error](err); ok {
		return urlErr.Err
	}
	return err
}

// withoutSecrets is the name of a config without what may be a secret of a URL.
func withoutSecrets(name string) string {
	u, err := url.Parse(name)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return name
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}
