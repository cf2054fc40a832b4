// SPDX-License-Identifier: Apache-2.0

package jointoken

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// A document is the kubeconfig in a token. It is kept as YAML nodes, so that a rewritten
// token has all keys of the old one.
type document struct {
	root              *yaml.Node
	inCluster, inUser *yaml.Node // of the current context
	user              string
}

// parseDocument reads a kubeconfig. Errors of the YAML package are left out of errors:
// they quote values, and the token is one.
func parseDocument(data []byte) (document, error) {
	var root yaml.Node
	var values map[string]any // refuses duplicate keys
	if yaml.Unmarshal(data, &root) != nil || yaml.Unmarshal(data, &values) != nil || values["clusters"] == nil {
		return document{}, fmt.Errorf("%w: what it unpacks to is no kubeconfig", ErrNotToken)
	}
	top := root.Content[0]
	context := entry(top, "contexts", text(child(top, "current-context")), "context")
	if context == nil {
		return document{}, fmt.Errorf("%w: its kubeconfig has no context that current-context names", ErrNotToken)
	}
	d := document{root: &root, user: text(child(context, "user"))}
	d.inCluster = entry(top, "clusters", text(child(context, "cluster")), "cluster")
	d.inUser = entry(top, "users", d.user, "user")
	return d, nil
}

// cluster returns the value of a key of the cluster; nil if there is none.
func (d document) cluster(key string) *yaml.Node { return child(d.inCluster, key) }

// token checks the document. The error joins every mistake.
func (d document) token() (Token, error) {
	t := Token{User: d.user, Server: text(d.cluster("server"))}
	errs := []error{t.setRole(), t.setSecret(text(child(d.inUser, "token")))}
	if t.Server == "" || strings.ContainsFunc(t.Server, unicode.IsControl) {
		errs = append(errs, fmt.Errorf("%w: its kubeconfig names no server", ErrNotToken))
	}
	authority, err := parseAuthority(text(d.cluster("certificate-authority-data")))
	t.Authority = authority
	if err := errors.Join(append(errs, err)...); err != nil {
		return Token{}, err
	}
	return t, nil
}

func (t *Token) setRole() error {
	role, ok := roles[t.User]
	if !ok {
		return fmt.Errorf("%w: its user is %.60q, and join tokens have kubelet-bootstrap (of a worker) or controller-bootstrap: it is another kubeconfig", ErrNotToken, t.User)
	}
	t.Role = role
	return nil
}

func (t *Token) setSecret(text string) error {
	parts := bootstrap.FindStringSubmatch(text)
	if parts == nil {
		return fmt.Errorf("%w: its user has no bootstrap token (6 and 16 characters of a-z and 0-9 with a dot between)", ErrNotToken)
	}
	t.ID, t.secret = parts[1], parts[2]
	return nil
}

// entry returns below of the item called name in a list of the kubeconfig; nil if there
// is none.
func entry(top *yaml.Node, list, name, below string) *yaml.Node {
	items := resolve(child(top, list))
	if items == nil || items.Kind != yaml.SequenceNode || name == "" {
		return nil
	}
	for _, item := range items.Content {
		if text(child(item, "name")) == name {
			return child(item, below)
		}
	}
	return nil
}

// child returns the value of a key; nil if there is none.
func child(n *yaml.Node, key string) *yaml.Node {
	n = resolve(n)
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return resolve(n.Content[i+1])
		}
	}
	return nil
}

// resolve follows an alias.
func resolve(n *yaml.Node) *yaml.Node {
	if n != nil && n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// text returns the value of a scalar; "" for anything else.
func text(n *yaml.Node) string {
	if n == nil || n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		return ""
	}
	return n.Value
}
