// SPDX-License-Identifier: Apache-2.0

package k0s

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/kairos-build/kairos-build/ci/kubernetes/cluster"
)

// users are the names in a join token, by role.
var users = map[string]string{"worker": "kubelet-bootstrap", "controller": "controller-bootstrap"}

// EncodeToken makes a join token: base64 of gzip of a kubeconfig.
func EncodeToken(role, server, secret string, ca []byte) (string, error) {
	k := cluster.NewKubeconfig("k0s", users[role], server, ca)
	k.SetToken(secret)
	data, err := k.Bytes()
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err = w.Write(data)
	if err := errors.Join(err, w.Close()); err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(b.Bytes()), nil
}

// decodeToken gives the kubeconfig of a join token.
func decodeToken(token string) (*cluster.Kubeconfig, error) {
	packed, err := base64.StdEncoding.DecodeString(strings.TrimSpace(token))
	if err != nil {
		return nil, fmt.Errorf("decoding join token: %w", err)
	}
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("decoding join token: %w", err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	var k cluster.Kubeconfig
	return &k, yaml.Unmarshal(data, &k)
}

// token is `k0s token create`.
func (p Program) token(ctx context.Context, f *flags) error {
	if len(f.rest) != 1 || f.rest[0] != "create" {
		return errors.New("k0s token: this stand-in has `k0s token create`")
	}
	if users[f.role] == "" {
		return fmt.Errorf("unsupported role %q; supported roles are [controller worker]", f.role)
	}
	status, err := askStatus(ctx, f.statusSocket())
	if err != nil {
		return err
	}
	secret, err := createSecret(ctx, filepath.Join(f.dataDir, "pki", "admin.conf"), f.role, f.expiry)
	if err != nil {
		return err
	}
	token, err := p.joinToken(f, status, secret)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.Out, token)
	return err
}

func (p Program) joinToken(f *flags, status *Status, secret string) (string, error) {
	ca, err := os.ReadFile(filepath.Join(f.dataDir, "pki", "server-ca.crt"))
	if err != nil {
		return "", err
	}
	api := status.ClusterConfig.Spec.API
	port := map[string]int{"worker": api.Port, "controller": api.JoinPort}[f.role]
	address := api.ExternalAddress
	if address == "" {
		c := controller{Program: p, flags: f, config: status.ClusterConfig}
		options, err := c.newOptions()
		if err != nil {
			return "", err
		}
		address = options.IP
	}
	return EncodeToken(f.role, fmt.Sprintf("https://%s:%d", address, port), secret, ca)
}

// createSecret makes the bootstrap token in the cluster.
func createSecret(ctx context.Context, admin, role, expiry string) (string, error) {
	random := make([]byte, 11)
	if _, err := rand.Read(random); err != nil {
		return "", err
	}
	text := hex.EncodeToString(random)
	id, secret := text[:6], text[6:]
	data := map[string]string{"token-id": id, "token-secret": secret, "usage-bootstrap-authentication": "true"}
	if role == "controller" {
		data = map[string]string{"token-id": id, "token-secret": secret, "usage-controller-join": "true"}
	}
	if d, err := time.ParseDuration(expiry); err != nil {
		return "", err
	} else if d > 0 {
		data["expiration"] = time.Now().Add(d).UTC().Format(time.RFC3339)
	}
	object := map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token", "stringData": data,
		"metadata": map[string]string{"name": "bootstrap-token-" + id, "namespace": "kube-system"},
	}
	return id + "." + secret, post(ctx, admin, "/api/v1/namespaces/kube-system/secrets", object)
}

func post(ctx context.Context, admin, path string, object any) error {
	client, server, err := cluster.Client(admin)
	if err != nil {
		return err
	}
	body, err := json.Marshal(object)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, server+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusCreated {
		err = fmt.Errorf("creating the token: the API server answers %s", response.Status)
	}
	return errors.Join(err, response.Body.Close())
}

// worker is `k0s worker`: it checks the token. The joining is not in the stand-in.
func (p Program) worker(_ context.Context, f *flags) error {
	token, err := f.token()
	if err != nil {
		return err
	}
	k, err := decodeToken(token)
	if err != nil {
		return err
	}
	if len(k.Users) != 1 || k.Users[0].Name != users["worker"] {
		return errors.New("wrong token type: expected type: " + users["worker"])
	}
	return errors.New("this stand-in for k0s has one node: a worker does not join")
}

// token finds the one join token.
func (f *flags) token() (string, error) {
	var tokens []string
	if text := os.Getenv("K0S_TOKEN"); text != "" {
		tokens = append(tokens, text)
	}
	if f.tokenFile != "" {
		data, err := os.ReadFile(f.tokenFile)
		if err != nil {
			return "", err
		}
		tokens = append(tokens, string(data))
	}
	tokens = append(tokens, f.rest...)
	switch len(tokens) {
	case 0:
		return "", errors.New("a join token is needed: in K0S_TOKEN, in the file of --token-file, or as an argument")
	case 1:
		return tokens[0], nil
	}
	return "", errors.New("you can only pass one token source: either as a CLI argument, via '--token-file [path]', or via the K0S_TOKEN environment variable")
}
