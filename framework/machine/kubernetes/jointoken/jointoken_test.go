// SPDX-License-Identifier: Apache-2.0

package jointoken

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const secret = "0123456789abcdef"

// kubeconfig is what k0s packs into a token, with words to be replaced.
const kubeconfig = `apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: AUTHORITY
    server: SERVER
  name: k0s
contexts:
- context:
    cluster: k0s
    user: USER
  name: k0s
current-context: k0s
kind: Config
users:
- name: USER
  user:
    token: abcdef.` + secret + `
`

// authority returns a certificate in its DER form, the same each time.
func authority(t testing.TB) []byte {
	t.Helper()
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kubernetes-ca"}, NotAfter: time.Date(2036, 1, 2, 3, 4, 5, 0, time.UTC)}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// certificate returns the authority as a kubeconfig has it.
func certificate(t testing.TB) string {
	t.Helper()
	return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority(t)}))
}

// config returns a kubeconfig. changes are pairs of an old and a new text.
func config(t testing.TB, user, server string, changes ...string) string {
	t.Helper()
	return strings.NewReplacer(append(changes, "AUTHORITY", certificate(t), "SERVER", server, "USER", user)...).Replace(kubeconfig)
}

// pack makes a token of a text.
func pack(t testing.TB, text string) string {
	t.Helper()
	token, err := encode([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func worker(t testing.TB, changes ...string) string {
	return pack(t, config(t, "kubelet-bootstrap", "https://10.0.0.1:6443", changes...))
}

func controller(t testing.TB) string {
	return pack(t, config(t, "controller-bootstrap", "https://10.0.0.1:9443"))
}

func parse(t testing.TB, text string) Token {
	t.Helper()
	token, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestParse(t *testing.T) {
	got := parse(t, "\n  "+worker(t)+"\r\n")
	want := Summary{
		Distribution: "k0s", Role: Worker, Server: "https://10.0.0.1:6443", User: "kubelet-bootstrap", ID: "abcdef", Doubts: []string{},
		Authority: Authority{Subject: "CN=kubernetes-ca", NotAfter: time.Date(2036, 1, 2, 3, 4, 5, 0, time.UTC), SHA256: fmt.Sprintf("%x", sha256.Sum256(authority(t)))},
	}
	if diff := cmp.Diff(want, got.Summary(false)); diff != "" {
		t.Error(diff)
	}
	want.Secret = secret
	if diff := cmp.Diff(want, got.Summary(true)); diff != "" {
		t.Error(diff)
	}
	if got := parse(t, controller(t)); got.Role != Controller {
		t.Errorf("got %+v", got)
	}
}

// TestLinesOfAToken: mail and terminals break long lines.
func TestLinesOfAToken(t *testing.T) {
	text := worker(t)
	if got := parse(t, text[:76]+"\n"+text[76:]); got.Role != Worker {
		t.Errorf("got %+v", got)
	}
}

// TestPrintedToken: no way of printing shows the secret.
func TestPrintedToken(t *testing.T) {
	token := parse(t, worker(t))
	var log, table strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("joining", "token", token)
	if err := token.Summary(false).WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	for _, got := range []string{log.String(), table.String(), fmt.Sprint(token), fmt.Sprintf("%v %+v %#v %s", token, token, token, token), fmt.Sprintf("%v", []Token{token})} {
		if strings.Contains(got, secret) || strings.Contains(got, token.text) || !strings.Contains(got, "abcdef") {
			t.Errorf("got %s", got)
		}
	}
}

func TestTable(t *testing.T) {
	var got strings.Builder
	summary := parse(t, pack(t, config(t, "controller-bootstrap", "https://127.0.0.1:6443"))).Summary(false)
	summary.Authority.SHA256 = "01"
	if err := summary.WriteTable(&got); err != nil {
		t.Fatal(err)
	}
	const want = `distribution  k0s
role          controller
server        https://127.0.0.1:6443
user          controller-bootstrap
authority     CN=kubernetes-ca, until 2036-01-02
              sha256 01
id            abcdef
secret        not shown; --secret shows it
doubt         the address https://127.0.0.1:6443 is that of the machine itself: no other node reaches the cluster there
doubt         the address https://127.0.0.1:6443 has port 6443, where a worker joins; a controller joins at port 9443, unless a load balancer maps it
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Error(diff)
	}
}

func TestBadTokens(t *testing.T) {
	good := worker(t)
	const hash = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for _, tt := range []struct {
		name, text string
		is         error
		want       []string
	}{
		{"empty", " \n", ErrNotToken, []string{"it is empty"}},
		{"k3s, full", "K10" + hash + "::server:" + secret, ErrForeign, []string{"this is a token of k3s (or RKE2)", "`server:`"}},
		{"k3s, bootstrap", "K10" + hash + "::abcdef." + secret, ErrForeign, []string{"this is a token of k3s (or RKE2)"}},
		{"k3s, short", "abcdef." + secret, ErrForeign, []string{"a bootstrap token alone, as k3s and kubeadm take it"}},
		{"a kubeconfig", config(t, "kubelet-bootstrap", "https://10.0.0.1:6443"), ErrNotToken, []string{"a kubeconfig as text"}},
		{"a password", "correct horse", ErrNotToken, []string{"it is not base64 at character 8 of 13"}},
		{"base64 of a text", base64.StdEncoding.EncodeToString([]byte("a text " + secret)), ErrNotToken, []string{"not of gzip", "`k0s token create`"}},
		{"cut short", good[:len(good)-40], ErrNotToken, []string{"its end is missing"}},
		{"cut inside a group", good[:len(good)-41], ErrNotToken, []string{"is not base64"}},
		{"another text in gzip", pack(t, "hello: "+secret), ErrNotToken, []string{"is no kubeconfig"}},
		{"a list", pack(t, "- "+secret), ErrNotToken, []string{"is no kubeconfig"}},
		{"a key twice", worker(t, "kind: Config", "kind: Config\nkind: Config"), ErrNotToken, []string{"is no kubeconfig"}},
		{"no context", worker(t, "current-context: k0s", "current-context: other"), ErrNotToken, []string{"no context that current-context names"}},
		{"an admin's kubeconfig", pack(t, config(t, "admin", "https://10.0.0.1:6443")), ErrNotToken, []string{`its user is "admin"`}},
		{"a password in place of the token", worker(t, "abcdef."+secret, "S3cret"), ErrNotToken, []string{"has no bootstrap token"}},
		{"no token", worker(t, "    token: abcdef."+secret+"\n", "    {}\n"), ErrNotToken, []string{"has no bootstrap token"}},
		{"no authority", worker(t, "certificate-authority-data: AUTHORITY", "insecure-skip-tls-verify: true"), ErrNotToken, []string{"no certificate of the cluster's authority"}},
		{"a broken authority", worker(t, "AUTHORITY", "no base64"), ErrNotToken, []string{"certificate-authority-data is not base64"}},
		{"a key as authority", worker(t, "AUTHORITY", base64.StdEncoding.EncodeToString([]byte("-----BEGIN X-----\nAAAA\n-----END X-----\n"))), ErrNotToken, []string{"no certificate of the cluster's authority"}},
		{"a damaged authority", worker(t, "AUTHORITY", base64.StdEncoding.EncodeToString([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))), ErrNotToken, []string{"the certificate of the cluster's authority: x509:"}},
		{"no server", worker(t, "    server: SERVER\n", ""), ErrNotToken, []string{"names no server"}},
		{"every mistake at once", worker(t, "    server: SERVER\n", "", "AUTHORITY", "no base64", "abcdef.", "abc.", "USER", "admin"), ErrNotToken,
			[]string{"its user is", "no bootstrap token", "names no server", "not base64"}},
		{"a bomb", pack(t, strings.Repeat("a", maxKubeconfig+1)), ErrNotToken, []string{"unpacks to more than 1048576 bytes"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse(tt.text)
			if !errors.Is(err, tt.is) {
				t.Fatalf("got %v, want %v", err, tt.is)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q", err, want)
				}
			}
			if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "S3cret") {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}

func TestAltered(t *testing.T) {
	packed, err := base64.StdEncoding.DecodeString(worker(t))
	if err != nil {
		t.Fatal(err)
	}
	packed[len(packed)-8] ^= 1 // the checksum
	if _, err := Parse(base64.StdEncoding.EncodeToString(packed)); !errors.Is(err, ErrNotToken) || !strings.Contains(err.Error(), "it is damaged: gzip: invalid checksum: copy it again") {
		t.Errorf("got %v", err)
	}
}

func TestOtherRole(t *testing.T) {
	for _, role := range Roles() {
		token := parse(t, map[Role]string{Worker: worker(t), Controller: controller(t)}[role])
		for _, wanted := range Roles() {
			err := token.For(wanted)
			if errors.Is(err, ErrRole) != (role != wanted) {
				t.Errorf("a token for a %s and a %s: %v", role, wanted, err)
			}
		}
	}
	const want = "a token of another role: this token is for a controller (its user is controller-bootstrap), and a worker is to join: make one with `k0s token create --role=worker` on a controller"
	if err := parse(t, controller(t)).For(Worker); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestCheckK3s(t *testing.T) {
	const hash = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for _, tt := range []struct{ name, text, want string }{
		{"full", "K10" + hash + "::server:" + secret, ""},
		{"bootstrap", "abcdef." + secret, ""},
		{"a password", "correct horse", ""},
		{"a password that begins so", "K10correct", ""},
		{"empty", "\n", "the token of k3s is empty"},
		{"k0s", worker(t), "a token of another distribution: this is a token of k0s for a worker at https://10.0.0.1:6443"},
		{"a short hash", "K10" + hash[1:] + "::server:" + secret, "has 63 characters before the colons, where k3s wants the 64 hex digits"},
	} {
		err := CheckK3s(tt.text)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) || err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}
