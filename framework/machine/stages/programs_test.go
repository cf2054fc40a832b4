// SPDX-License-Identifier: Apache-2.0

package stages

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestNodeRun(t *testing.T) {
	output, err := Programs{}.Run(t.Context(), "/bin/sh", "-c", "echo out; echo err >&2; exit 3")
	if output != "out\nerr\n" || err == nil || err.Error() != "exit status 3" {
		t.Errorf("got %q, %v", output, err)
	}
	if output, err := (Programs{}).Run(t.Context(), "/bin/sh", "-c", "yes | head -c 1000000; echo end"); err != nil || len(output) > 2*outputBytes || !strings.HasSuffix(output, "end\n") {
		t.Errorf("%d bytes, %v", len(output), err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := (Programs{}).Run(ctx, "/bin/sh", "-c", "sleep 30 & sleep 30"); err == nil || !strings.Contains(err.Error(), "its time is over") {
		t.Errorf("got %v", err)
	}
	if time.Since(start) > 10*time.Second {
		t.Error("it was waited for")
	}
}

func TestWeb(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers []int
		want    string
		asked   int
	}{
		{"at once", []int{200}, "", 1},
		{"after two failures", []int{500, 429, 200}, "", 3},
		{"a refusal", []int{404}, "asking URL: 404 Not Found", 1},
		{"for ever", []int{503, 503, 503, 503, 503}, "asking URL: 503 Service Unavailable; gave up after 5 attempts", 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			asked := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(c.answers[asked])
				asked++
			}))
			defer server.Close()
			err := Web{Pause: time.Microsecond}.Fetch(t.Context(), server.URL+"?token=geheim", func(content Content) error {
				_, err := io.Copy(io.Discard, content)
				return err
			})
			got := ""
			if err != nil {
				got = strings.ReplaceAll(err.Error(), server.URL, "URL")
			}
			if got != c.want || asked != c.asked {
				t.Errorf("got %q after %d requests, want %q after %d", got, asked, c.want, c.asked)
			}
		})
	}
}

func TestOutput(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"kept", "a\nb\t\n", "a\nb\t\n"},
		{"no escapes", "\x1b[31mred\x07\xff", "[31mred?"},
		{"the end", strings.Repeat("a", outputBytes) + "b", "…" + strings.Repeat("a", outputBytes-1) + "b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := tail(c.text); got != c.want {
				t.Errorf("got %q", got)
			}
		})
	}
}
