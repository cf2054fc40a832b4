// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"golang.org/x/crypto/ssh"

	"github.com/kairos-build/kairos-build/framework/internal/lazyregexp"
	"github.com/kairos-build/kairos-build/framework/strict"
)

// accountName is a name that useradd(8) accepts on every distribution, and that
// needs no quoting in passwd(5) and sudoers(5).
var accountName = lazyregexp.New(`^[a-z_][a-z0-9_.-]{0,31}$`)

// userDone checks the keys of a user against each other, and that it has a name.
func (v value) userDone(u *User, pairs []pair) {
	if v.Node.Kind != yaml.MappingNode {
		return
	}
	v.lacks(pairs, "name", "the user has no name", "add \"name:\"")
	v.userChecked(u, pairs)
}

// userChecked is userDone for a user whose name is a key.
func (v value) userChecked(u *User, pairs []pair) {
	var passwords []string
	for _, p := range pairs {
		if slices.Contains([]string{"passwd", "hashed_passwd", "plain_text_passwd"}, p.name) {
			passwords = append(passwords, p.name)
		}
	}
	if len(passwords) > 1 {
		v.FailAt("more than one password: "+strings.Join(passwords, ", "), "keep one of them", passwords...)
	}
	if u.HomeDir == "/" {
		v.FailAt("the home directory of a user cannot be /", "", "homedir")
	}
}

// has tells whether a mapping has a key with a value.
func has(pairs []pair, name string) bool {
	return slices.ContainsFunc(pairs, func(p pair) bool { return p.name == name && !p.value.IsEmpty() })
}

// account is the name of a user or group.
func (v value) account() (string, bool) {
	s, ok := v.Node.Value, v.Node.Kind == yaml.ScalarNode && v.Node.ShortTag() == "!!int"
	if !ok {
		s, ok = v.NonEmpty()
	}
	if ok && !accountName.MatchString(s) {
		suggestion := "use a-z, 0-9, _ and -, at most 32 characters, and begin with a letter or _"
		if lower := strings.ToLower(s); accountName.MatchString(lower) {
			suggestion = fmt.Sprintf("did you mean %q?", lower)
		}
		v.Fail(fmt.Sprintf("%q cannot be the name of a user or group", strict.Printable(s)), suggestion)
		return "", false
	}
	return s, ok
}

func decodeUserName(v value, u *User) { set(v, &u.Name, value.account) }

// decodeGecos refuses characters that would break the line of passwd(5).
func decodeGecos(v value, u *User) {
	s, ok := v.Text()
	if ok && strings.ContainsAny(s, ":\n\r") {
		v.Fail("a colon or a line break cannot stand in gecos", "")
		return
	}
	u.Gecos = s
}

func decodeUID(v value, u *User) {
	if v.IsText() && strict.PlainNumber(v.Node.Value) { // as in Kairos
		v.Node = v.as(v.Node.Value).Node
		v.Node.Tag = "!!int"
	}
	n, ok := v.Integer()
	switch {
	case !ok:
	case n < 0 || n > 0xffff_fffd || n == 65535:
		v.Fail(fmt.Sprintf("%d cannot be a user id", n), "use a number from 1000 to 59999")
	default:
		u.UID = &n
	}
}

// decodeGroups takes a list, or names with commas between, as cloud-init does.
func decodeGroups(v value, u *User) {
	if v.Node.Kind != yaml.ScalarNode || v.Node.ShortTag() != "!!str" || v.IsEmpty() {
		for _, item := range v.list("groups, or names with commas between") {
			if name, ok := item.account(); ok {
				u.Groups = append(u.Groups, name)
			}
		}
		return
	}
	for name := range strings.SplitSeq(v.Node.Value, ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		if !accountName.MatchString(name) {
			v.Fail(fmt.Sprintf("%q cannot be the name of a user or group", strict.Printable(name)), "")
			continue
		}
		u.Groups = append(u.Groups, name)
	}
}

// sudoRule is a rough form of a user specification of sudoers(5) without the
// user: hosts = (runas) tags: commands. visudo checks the rest on the node.
var sudoRule = lazyregexp.New(`^[A-Za-z0-9_!.,+%-]+\s*=\s*\S[^\r\n]*$`)

// decodeSudo takes a rule, a list of rules, or false for none.
func decodeSudo(v value, u *User) {
	b, isBool := falseOrNothing(v.Node)
	if !isBool {
		b, isBool = v.QuotedBool()
	}
	if isBool {
		if b {
			v.Fail("true is no rule", `write a rule such as "ALL=(ALL) NOPASSWD:ALL"`)
		}
		u.Sudo = []string{}
		return
	}
	if v.Node.Kind == yaml.ScalarNode {
		v.sudoRule(u)
		return
	}
	u.Sudo = []string{}
	for _, item := range v.list("sudo rules") {
		item.sudoRule(u)
	}
}

func falseOrNothing(n *yaml.Node) (value, ok bool) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" {
		return false, false
	}
	return n.Value == "true" || n.Value == "True" || n.Value == "TRUE", true
}

func (v value) sudoRule(u *User) {
	rule, ok := v.Text()
	if !ok {
		return
	}
	if !sudoRule.MatchString(rule) {
		v.Fail(fmt.Sprintf("%q is not a sudo rule", strict.Printable(rule)), `write it without the user's name, such as "ALL=(ALL) NOPASSWD:ALL"`)
		return
	}
	u.Sudo = append(u.Sudo, rule)
}

// keys is a list of SSH public keys, each as in an authorized_keys file, and of
// key sources (see keySource).
func (v value) keys() []string {
	var out []string
	for _, item := range v.list("SSH public keys") {
		if key, ok := item.sshKey(); ok {
			out = append(out, key)
		}
	}
	return out
}

func (v value) sshKey() (string, bool) {
	s, ok := v.NonEmpty()
	if !ok {
		return "", false
	}
	s = strings.TrimSpace(s)
	if source, found, ok := v.keySource(s); found {
		return source, ok
	}
	switch {
	case strings.Contains(s, "PRIVATE KEY"):
		v.d.Secret(v.Node)
		v.Fail("this is a private key", "put the public key here, the content of the file that ends in .pub, and make a new pair: this one is no secret any more")
		return "", false
	case strings.ContainsAny(s, "\r\n"):
		v.Fail("more than one line", "make every key an item of the list")
		return "", false
	}
	if _, _, _, _, err := ssh.ParseAuthorizedKey([]byte(s)); err != nil {
		v.Fail("not an SSH public key", "give the whole line of a .pub file, such as \"ssh-ed25519 AAAA… name\"")
		return "", false
	}
	return s, true
}
