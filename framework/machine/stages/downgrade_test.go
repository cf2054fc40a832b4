// SPDX-License-Identifier: Apache-2.0

package stages

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/kairos-build/kairos-build/framework/fetch"
)

// TestDowngrade: a redirect of a download from HTTPS to HTTP is refused, without a
// retry.
func TestDowngrade(t *testing.T) {
	asked := 0
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		http.Redirect(w, r, "http://192.0.2.1/tool?token=geheim", http.StatusFound)
	}))
	defer server.Close()
	web := Web{Client: fetch.Client(server.Client().Transport), Pause: time.Microsecond}
	err := web.Fetch(t.Context(), server.URL+"/ghp_geheim/tool?token=geheim#geheim", func(Content) error { return nil })
	want := "asking " + server.URL + "/.../tool: redirected from https to http: this is not followed"
	if err == nil || err.Error() != want || asked != 1 || strings.Contains(err.Error(), "geheim") {
		t.Errorf("%d requests, %v, want %s", asked, err, want)
	}
	if (Web{}).client().CheckRedirect == nil {
		t.Error("the client of a node follows every redirection")
	}
}
