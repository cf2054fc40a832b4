// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"strings"

	"github.com/kairos-build/kairos-build/framework/internal/lazyregexp"
)

// hashMethod is a kind of hash that crypt(5) knows.
type hashMethod struct {
	prefix, name string
	shape        *lazyregexp.Regexp // of the whole hash
	weak         bool
}

// hashMethods: see crypt(5) of libxcrypt.
var hashMethods = []hashMethod{
	{"$y$", "yescrypt", lazyregexp.New(`^\$y\$[./A-Za-z0-9]+\$[./A-Za-z0-9]{0,86}\$[./A-Za-z0-9]{43}$`), false},
	{"$gy$", "gost-yescrypt", lazyregexp.New(`^\$gy\$[./A-Za-z0-9]+\$[./A-Za-z0-9]{0,86}\$[./A-Za-z0-9]{43}$`), false},
	{"$7$", "scrypt", lazyregexp.New(`^\$7\$[./A-Za-z0-9]{11,97}\$[./A-Za-z0-9]{43}$`), false},
	{"$2", "bcrypt", lazyregexp.New(`^\$2[abxy]\$[0-9]{2}\$[./A-Za-z0-9]{53}$`), false},
	{"$6$", "sha512crypt", lazyregexp.New(`^\$6\$(rounds=[1-9][0-9]+\$)?[^$:\n]{1,16}\$[./0-9A-Za-z]{86}$`), false},
	{"$5$", "sha256crypt", lazyregexp.New(`^\$5\$(rounds=[1-9][0-9]+\$)?[^$:\n]{1,16}\$[./0-9A-Za-z]{43}$`), false},
	{"$1$", "md5crypt", lazyregexp.New(`^\$1\$[^$:\n]{1,8}\$[./0-9A-Za-z]{22}$`), true},
}

const makeHash = "make one with `openssl passwd -6`"

// decodePassword takes a hash, or plain text as Kairos does. Whatever begins
// with $ must be a hash: a damaged hash is never taken for plain text.
func decodePassword(v value, u *User) {
	s, ok := v.password()
	switch {
	case !ok, v.closed(s, u):
	case strings.HasPrefix(s, "$"):
		v.hash(s, u)
	default:
		v.plain(s, u)
	}
}

func decodeHash(v value, u *User) {
	s, ok := v.password()
	switch {
	case !ok, v.closed(s, u):
	case strings.HasPrefix(s, "$"):
		v.hash(s, u)
	default:
		v.Fail("not a password hash: it does not begin with $", makeHash)
	}
}

// closed takes the passwords of shadow(5) that nothing matches: "*", "!" and the like,
// and a hash with ! before it, which means a locked account.
func (v value) closed(s string, u *User) bool {
	rest := strings.TrimLeft(s, "*!")
	switch {
	case rest == "":
		u.Password = s
	case rest != s && strings.HasPrefix(rest, "$"):
		if v.hash(rest, u); u.Password != "" {
			u.LockPassword = new(true)
		}
	default:
		return false
	}
	return true
}

func decodePlainPassword(v value, u *User) {
	if s, ok := v.password(); ok {
		v.plain(s, u)
	}
}

// password is a text that fits into a line of shadow(5).
func (v value) password() (string, bool) {
	s, ok := v.Text()
	switch {
	case ok && s == "":
		v.Fail("the password is empty: everybody could log in", "remove the key, or write \"*\" for an account without a password")
		return "", false
	case ok && strings.ContainsAny(s, "\r\n\x00"):
		v.Fail("a password has one line", "")
		return "", false
	}
	return s, ok
}

func (v value) plain(s string, u *User) {
	u.Password, u.PlainPassword = s, true
	v.Report(Warning, "the password is plain text: everybody who reads this file can log in", "use a hash; "+makeHash)
}

func (v value) hash(s string, u *User) {
	for _, m := range hashMethods {
		if !strings.HasPrefix(s, m.prefix) {
			continue
		}
		if !m.shape.MatchString(s) {
			v.Fail("a damaged "+m.name+" hash", "was a part lost to the shell, which replaces $words in double quotes? "+makeHash)
			return
		}
		if m.weak {
			v.Report(Warning, fmt.Sprintf("%s is a weak hash", m.name), makeHash)
		}
		u.Password = s
		return
	}
	v.Fail("begins with $ and is none of the known hashes", makeHash+", or use plain_text_passwd for a password that begins with $")
}
