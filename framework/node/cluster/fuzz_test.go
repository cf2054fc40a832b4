// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"net/url"
	"testing"
)

// FuzzKubeconfig reads a kubeconfig that names a file: what is read leads to a server and
// has a certificate.
func FuzzKubeconfig(f *testing.F) {
	f.Add([]byte(`
current-context: a
contexts: [{name: a, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: https://127.0.0.1:6443, certificate-authority-data: AA==}}]
users: [{name: u, user: {client-certificate: x, client-key: x}}]
`), []byte("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, data, file []byte) {
		a, err := parse(data, func(string) ([]byte, error) { return file, nil })
		if err == nil && (a.server == "" || a.tls.RootCAs == nil || len(a.tls.Certificates) != 1) {
			t.Errorf("%+v", a)
		}
	})
}

// FuzzReason reads the answer of an API that refuses.
func FuzzReason(f *testing.F) {
	f.Add([]byte(`{"kind":"Status","message":"forbidden"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if text := reason(body); len(text) > len(url.QueryEscape(string(body)))+8 {
			t.Errorf("%q gives %q", body, text)
		}
	})
}
