// SPDX-License-Identifier: Apache-2.0

package datasource

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/kairos-build/kairos-build/framework/fetch"
)

// linkLocal is the address of most services.
const linkLocal = "http://169.254.169.254"

// errMissing is an answer without content: status 404 or 204.
var errMissing = errors.New("there is nothing")

// refused is an answer with a status other than 200, 204 and 404.
type refused struct{ status int }

func (e refused) Error() string { return fmt.Sprintf("%d %s", e.status, http.StatusText(e.status)) }

// A request is a request to a service.
type request struct {
	method string // default GET
	url    string
	header map[string]string
	answer *http.Header // receives the header of the answer; may be nil
}

// ask sends a request. For at most Patience it retries while the service gives no
// answer or a temporary error.
func (m *Access) ask(ctx context.Context, r request) (body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, m.patience())
	defer cancel()
	say := func(_ time.Duration, err error) { m.log().Debug("a datasource is asked again", "error", err) }
	err = fetch.Retry{Retries: fetch.Endless, Pause: cmp.Or(m.Pause, time.Second), Say: say}.Do(ctx, func() (again bool, err error) {
		body, again, err = m.once(ctx, r)
		return again, err
	})
	return body, err
}

func (m *Access) patience() time.Duration {
	if m.Patience == 0 {
		return 2 * time.Minute
	}
	return m.Patience
}

// once sends a request once. The error omits query and user of the URL: they may be
// secrets.
func (m *Access) once(ctx context.Context, r request) (body []byte, again bool, err error) {
	method := r.method
	if method == "" {
		method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(ctx, method, r.url, nil)
	if err != nil {
		return nil, false, errors.New("not a URL that can be asked: " + fetch.Shown(r.url))
	}
	for key, value := range r.header {
		req.Header.Set(key, value)
	}
	answer, err := m.client().Do(req)
	if err != nil {
		return nil, !errors.Is(err, fetch.ErrDowngrade), fmt.Errorf("asking %s: %w", fetch.Shown(r.url), fetch.Reason(err))
	}
	defer func() { err = errors.Join(err, answer.Body.Close()) }()
	if r.answer != nil {
		*r.answer = answer.Header
	}
	body, again, err = readAnswer(answer)
	if err != nil {
		err = fmt.Errorf("asking %s: %w", fetch.Shown(r.url), err)
	}
	return body, again, err
}

func readAnswer(answer *http.Response) (body []byte, again bool, err error) {
	switch status := answer.StatusCode; status {
	case http.StatusNotFound, http.StatusNoContent:
		return nil, false, errMissing
	case http.StatusOK:
	default:
		return nil, fetch.MayPass(status), refused{status}
	}
	body, err = io.ReadAll(io.LimitReader(answer.Body, MaxSize+1))
	if err == nil && len(body) > MaxSize {
		return nil, false, fmt.Errorf("the answer has more than %d MiB", MaxSize>>20)
	}
	return body, true, err
}

// client returns a client without a proxy: a metadata service answers only its own
// node.
func (m *Access) client() *http.Client {
	if m.Client == nil {
		m.Client = fetch.Client(&http.Transport{DisableKeepAlives: true})
		m.Client.Timeout = 5 * time.Second
	}
	return m.Client
}

// optional gets a document that may be missing; then it returns nil.
func (m *Access) optional(ctx context.Context, url string, header map[string]string) ([]byte, error) {
	body, err := m.ask(ctx, request{url: url, header: header})
	if errors.Is(err, errMissing) {
		return nil, nil
	}
	return body, err
}

// document gets and decodes a JSON document.
func (m *Access) document(ctx context.Context, url string, header map[string]string, into any) error {
	body, err := m.ask(ctx, request{url: url, header: header})
	if err != nil {
		return err
	}
	return decodeJSON(fetch.Shown(url), body, into)
}

// decodeJSON keeps the data out of the error: it may hold secrets.
func decodeJSON(name string, data []byte, into any) error {
	if err := json.Unmarshal(data, into); err != nil {
		if _, ok := errors.AsType[*json.SyntaxError](err); ok {
			err = errors.New("it is not JSON")
		}
		return fmt.Errorf("reading %s: %w", name, err)
	}
	return nil
}

// textList is a JSON list of strings, or one string with one item per line.
type textList []string

// UnmarshalJSON takes both.
func (l *textList) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*l = lines(one)
		return nil
	}
	var many []string
	err := json.Unmarshal(data, &many)
	*l = many
	return err
}

// anyText is a JSON string, or a number as text.
type anyText string

// UnmarshalJSON takes both.
func (t *anyText) UnmarshalJSON(data []byte) error {
	var s string
	if json.Unmarshal(data, &s) == nil {
		*t = anyText(s)
		return nil
	}
	var n json.Number
	err := json.Unmarshal(data, &n)
	*t = anyText(n)
	return err
}
