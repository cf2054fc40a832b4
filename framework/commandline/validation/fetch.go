// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/framework/fetch"
)

// Limits of a config that is fetched.
const (
	FetchTime = 30 * time.Second // for all of it
	FetchSize = 1 << 20          // bytes
)

func (c Checker) fetch(ctx context.Context, address string) (_ []byte, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, FetchTime, fmt.Errorf("no whole answer in %v", FetchTime))
	defer cancel()
	name := shown(address)
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
	return fetch.Client(nil)
}

// reason is an error without the URL, which may hold a secret.
func reason(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fetch.Reason(err)
}

// shown is the name of a config: a file, or a URL without the parts that may be
// secret.
func shown(name string) string {
	if strings.Contains(name, "://") {
		return fetch.Shown(name)
	}
	return name
}
