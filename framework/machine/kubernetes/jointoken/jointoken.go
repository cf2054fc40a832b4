// SPDX-License-Identifier: Apache-2.0

// Package jointoken reads and rewrites the join tokens of k0s, and tells tokens of k0s
// and k3s apart. It reads no file and asks no network.
//
// # Format
//
// A join token of k0s is the standard base64 of the gzip of a kubeconfig:
//
//	clusters:
//	- cluster: {server: https://HOST:PORT, certificate-authority-data: BASE64 OF PEM}
//	  name: k0s
//	contexts:
//	- context: {cluster: k0s, user: USER}
//	  name: k0s
//	current-context: k0s
//	users:
//	- name: USER
//	  user: {token: ID.SECRET}
//
// USER is kubelet-bootstrap for a worker, which joins at the Kubernetes API (port 6443),
// and controller-bootstrap for a controller, which joins at k0s's own API (port 9443).
// ID has 6 and SECRET 16 characters of a-z and 0-9: a bootstrap token of Kubernetes,
// whose ID is public. Nothing in a join token says when it expires.
//
// No error of this package, and no printed Token, contains a secret.
package jointoken

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/kairos-build/kairos-build/framework/internal/lazyregexp"
)

// A Role is what a token lets a node become.
type Role string

// The roles.
const (
	Worker     Role = "worker"
	Controller Role = "controller"
)

// Roles returns the roles.
func Roles() []Role { return []Role{Worker, Controller} }

// roles maps the user in a token to its role.
var roles = map[string]Role{"kubelet-bootstrap": Worker, "controller-bootstrap": Controller}

// port is where nodes of a role join.
func (r Role) port() string {
	if r == Controller {
		return "9443"
	}
	return "6443"
}

// A Token is a join token of k0s that was read and checked.
type Token struct {
	Role      Role
	Server    string    // https://HOST:PORT, as the token has it
	User      string    // of the kubeconfig
	ID        string    // the public part of the bootstrap token
	Authority Authority // of the server's certificate
	secret    string
	text      string
}

// String names the token without its secret.
func (t Token) String() string {
	return fmt.Sprintf("join token %s of k0s for a %s at %s", t.ID, t.Role, t.Server)
}

// GoString is String, so that no way of printing shows the secret.
func (t Token) GoString() string { return t.String() }

// Text is the token itself, as k0s takes it. It is a secret.
func (t Token) Text() string { return t.text }

// Parse reads a join token of k0s. Blanks and newlines around it do not count.
func Parse(text string) (Token, error) {
	text = strings.TrimSpace(text)
	doc, err := open(text)
	if err != nil {
		return Token{}, err
	}
	t, err := doc.token()
	t.text = text
	return t, err
}

// open unpacks the kubeconfig of a token.
func open(text string) (document, error) {
	if err := foreign(text); err != nil {
		return document{}, err
	}
	data, err := decode(text)
	if err != nil {
		return document{}, err
	}
	return parseDocument(data)
}

// Rewrite returns the token with another address of the API: https://HOST or
// https://HOST:PORT. Without a port, the port of the old address stays. All other keys
// and values of the token stay. The same input gives the same bytes.
func (t Token) Rewrite(server string) (Token, error) {
	address, err := t.address(server)
	if err != nil {
		return Token{}, err
	}
	doc, err := open(t.text)
	if err != nil {
		return Token{}, err
	}
	doc.cluster("server").SetString(address)
	changed, err := yaml.Marshal(doc.root)
	if err != nil {
		return Token{}, fmt.Errorf("encoding the kubeconfig of the token: %w", err)
	}
	text, err := encode(changed)
	if err != nil {
		return Token{}, err
	}
	return Parse(text)
}

// For returns an error if the token is for another role.
func (t Token) For(role Role) error {
	if t.Role == role {
		return nil
	}
	return fmt.Errorf("%w: this token is for a %s (its user is %s), and a %s is to join: make one with `k0s token create --role=%s` on a controller",
		ErrRole, t.Role, t.User, role, role)
}

// bootstrap is a bootstrap token of Kubernetes.
var bootstrap = lazyregexp.New(`^([a-z0-9]{6})\.([a-z0-9]{16})$`)
