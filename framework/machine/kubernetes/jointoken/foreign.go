// SPDX-License-Identifier: Apache-2.0

package jointoken

import (
	"errors"
	"fmt"
	"strings"
)

// Forms of k3s, which RKE2 has too. A full token is K10<sha256 of the CA>::USER:PASSWORD
// or K10<sha256 of the CA>::ID.SECRET, with 64 hex digits.
const (
	k3sPrefix   = "K10"
	k3sHash     = 64
	k3sSeparate = "::"
)

// foreign returns an error if a text, without blanks around it, is clearly something
// else than a token of k0s.
func foreign(text string) error {
	switch {
	case text == "":
		return fmt.Errorf("%w: it is empty", ErrNotToken)
	case strings.HasPrefix(text, k3sPrefix) && strings.Contains(text, k3sSeparate):
		return fmt.Errorf("%w: this is a token of k3s (or RKE2). It has no address in it: give it to k3s, with the address as `server:` beside it", ErrForeign)
	case bootstrap.MatchString(text):
		return fmt.Errorf("%w: this is a bootstrap token alone, as k3s and kubeadm take it. A join token of k0s also has the address and the authority in it: want all of what `k0s token create` prints", ErrForeign)
	case strings.Contains(text, "apiVersion:") || strings.HasPrefix(text, "clusters:"):
		return fmt.Errorf("%w: this is a kubeconfig as text; a join token is the base64 of its gzip", ErrNotToken)
	}
	return nil
}

// CheckK3s returns an error if k3s cannot take a text as its token: k3s takes almost any
// text as a password, also a token of k0s, and then does not join.
func CheckK3s(text string) error {
	if strings.TrimSpace(text) == "" {
		return errors.New("the token of k3s is empty")
	}
	if t, err := Parse(text); err == nil {
		return fmt.Errorf("%w: this is a token of k0s for a %s at %s; k3s has its own in /var/lib/rancher/k3s/server/token on a server", ErrForeign, t.Role, t.Server)
	}
	hash, _, full := strings.Cut(text, k3sSeparate)
	if hash, ok := strings.CutPrefix(hash, k3sPrefix); ok && full && !isHash(hash) {
		return fmt.Errorf("the token of k3s begins with %s, and then has %d characters before the colons, where k3s wants the %d hex digits of its authority: copy it again", k3sPrefix, len(hash), k3sHash)
	}
	return nil
}

func isHash(s string) bool { return len(s) == k3sHash && strings.Trim(s, "0123456789abcdef") == "" }
