// SPDX-License-Identifier: Apache-2.0

package k3s

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/kairos-build/kairos-build/ci/kubernetes/k3s/arguments"
)

// errOtherToken is in k3s' words.
var errOtherToken = errors.New("bootstrap data already found and encrypted with different token")

// ensureToken keeps the cluster's token: the given one, that of the file, or a new one.
// A token that differs from the first start's stops the server.
func (s *server) ensureToken() error {
	file := filepath.Join(s.dir, "server", "token")
	password, err := s.password(file)
	if err != nil {
		return err
	}
	if err := s.checkToken(password); err != nil {
		return err
	}
	full, err := fullToken(filepath.Join(s.dir, "server", "tls", "server-ca.crt"), "server", password)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, []byte(full+"\n"), 0o600); err != nil {
		return err
	}
	if err := relink(file, filepath.Join(s.dir, "server", "node-token")); err != nil {
		return err
	}
	return s.agentToken(password)
}

func (s *server) agentToken(password string) error {
	if given := s.values.String("agent-token"); given != "" {
		password = given
	}
	full, err := fullToken(filepath.Join(s.dir, "server", "tls", "server-ca.crt"), "node", password)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.dir, "server", "agent-token"), []byte(full+"\n"), 0o600)
}

func (s *server) password(file string) (string, error) {
	given, err := givenToken(s.values)
	if err != nil {
		return "", err
	}
	if given == "" {
		data, err := os.ReadFile(file)
		if err == nil {
			return passwordOf(strings.TrimSpace(string(data))), nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		return randomHex(16)
	}
	return passwordOf(given), nil
}

// givenToken is the token of the arguments, of a variable or of a file.
func givenToken(values *arguments.Values) (string, error) {
	if token := values.String("token"); token != "" {
		return token, nil
	}
	file := values.String("token-file")
	if file == "" {
		return "", nil
	}
	data, err := os.ReadFile(file)
	return strings.TrimSpace(string(data)), err
}

// checkToken compares with the hash of the first start.
func (s *server) checkToken(password string) error {
	file := filepath.Join(s.dir, "server", "cred", "token-hash")
	sum := sha256.Sum256([]byte(password))
	want := hex.EncodeToString(sum[:])
	data, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return os.WriteFile(file, []byte(want), 0o600)
	case err != nil:
		return err
	case string(data) != want:
		return errOtherToken
	}
	return nil
}

// fullToken is K10<hash of the authority>::<user>:<password>.
func fullToken(ca, user, password string) (string, error) {
	data, err := os.ReadFile(ca)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return "K10" + hex.EncodeToString(sum[:]) + "::" + user + ":" + password, nil
}

// passwordOf takes the password out of a token of any form.
func passwordOf(token string) string {
	if _, rest, ok := strings.Cut(token, "::"); ok && strings.HasPrefix(token, "K10") {
		if _, password, ok := strings.Cut(rest, ":"); ok {
			return password
		}
		return rest
	}
	return token
}

// authorityOf takes the hash of the authority out of a token; a short one has none.
func authorityOf(token string) string {
	hash, _, ok := strings.Cut(strings.TrimPrefix(token, "K10"), "::")
	if !ok || !strings.HasPrefix(token, "K10") {
		return ""
	}
	return hash
}

func randomHex(bytes int) (string, error) {
	data := make([]byte, bytes)
	_, err := rand.Read(data)
	return hex.EncodeToString(data), err
}

// ensurePassword makes a node's password once.
func ensurePassword(file string) error {
	if exists(file) {
		return nil
	}
	password, err := randomHex(16)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(password+"\n"), 0o600)
}

// token is `k3s token create|list|generate`.
func (p Program) token(_ context.Context, verb string, values *arguments.Values) error {
	switch verb {
	case "generate":
		return p.generateToken("")
	case "create":
		full, err := os.ReadFile(filepath.Join(values.String("data-dir"), "server", "token"))
		if err != nil {
			return fmt.Errorf("a token is created on a server that runs: %w", err)
		}
		hash, _, _ := strings.Cut(string(full), "::")
		return p.generateToken(hash + "::")
	}
	return fmt.Errorf("k3s token %s is not in this stand-in: it has create and generate", verb)
}

func (p Program) generateToken(prefix string) error {
	secret, err := randomHex(11)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.Out, prefix+secret[:6]+"."+secret[6:])
	return err
}

func relink(target, link string) error {
	if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Symlink(target, link)
}
