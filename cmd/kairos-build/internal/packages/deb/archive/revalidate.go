// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"github.com/kairos-build/kairos-build/framework/ondisk/durable"
)

// maxRelease bounds an InRelease file, in bytes (Debian's is 140 KB).
const maxRelease = 16 << 20

// remembered is a file from an earlier run, with the headers by which the mirror can
// answer "unchanged". It is stored as JSON. It is trusted no more than the network:
// the signature is checked on every run.
type remembered struct {
	URL          string `json:"url"`
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"lastModified,omitempty"`
	Body         []byte `json:"body"`
}

// revalidate returns a small file: the copy in dir if the mirror says that it is
// current, else the mirror's.
func (c *client) revalidate(ctx context.Context, dir, url string) (body []byte, err error) {
	sum := sha256.Sum256([]byte(url))
	file := filepath.Join(dir, hex.EncodeToString(sum[:])+".json")
	old := recall(file, url)
	err = c.retry(ctx, func() error {
		now, err := c.fetchIfNewer(ctx, url, old)
		if err != nil || now == nil {
			body = old.Body
			return err
		}
		body = now.Body
		return remember(file, now)
	})
	return body, err
}

// recall returns the stored copy, or the zero value if it is missing or damaged.
func recall(file, url string) remembered {
	var r remembered
	raw, err := os.ReadFile(file)
	if err != nil || json.Unmarshal(raw, &r) != nil || r.URL != url {
		return remembered{}
	}
	return r
}

func remember(file string, r *remembered) error {
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return durable.WriteCache(file, raw, 0o644)
}

// fetchIfNewer returns nil if the old copy is current.
func (c *client) fetchIfNewer(ctx context.Context, url string, old remembered) (*remembered, error) {
	h := http.Header{}
	if old.ETag != "" {
		h.Set("If-None-Match", old.ETag)
	}
	if old.LastModified != "" {
		h.Set("If-Modified-Since", old.LastModified)
	}
	resp, err := c.get(ctx, url, h, http.StatusOK, http.StatusNotModified)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusNotModified && len(h) > 0 {
		return nil, resp.Body.Close()
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxRelease+1))
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return nil, err
	}
	if len(body) > maxRelease {
		return nil, problemf(ErrMismatch, "%s: is larger than %d bytes: this is no InRelease file; %s", url, maxRelease, otherMirror)
	}
	return &remembered{URL: url, ETag: resp.Header.Get("ETag"), LastModified: resp.Header.Get("Last-Modified"), Body: body}, nil
}
