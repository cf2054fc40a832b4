// SPDX-License-Identifier: Apache-2.0

package source

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestDowngrade: neither a manifest nor a layer of a registry with TLS comes from
// an address without TLS, nor does the rest of a layer. The error does not show
// the query of that address.
func TestDowngrade(t *testing.T) {
	image := largeImage(t)
	blob := layerBlob(t, image)
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(blob) }))
	defer plain.Close()
	away := func(w http.ResponseWriter, req *http.Request) bool {
		http.Redirect(w, req, plain.URL+"/?token=geheim", http.StatusTemporaryRedirect)
		return true
	}
	r := newRegistry(t, image, httptest.NewTLSServer)
	o := quick()
	o.CAFile = write(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.Certificate().Raw})))
	whole := times(1, cut(blob, len(blob)/2, hangUp))
	for name, f := range map[string]fault{
		"a layer":             r.onLayers(away),
		"the rest of a layer": r.onLayers(func(w http.ResponseWriter, req *http.Request) bool { return whole(w, req) || away(w, req) }),
		"everything": func(w http.ResponseWriter, req *http.Request) bool {
			return strings.Contains(req.URL.Path, "/manifests/") && away(w, req)
		},
	} {
		r.during(f)
		err := read(t.Context(), r.ref(), o)
		if err == nil || !strings.Contains(err.Error(), "redirected from https to http") || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
