// SPDX-License-Identifier: Apache-2.0

// Package crypt makes password hashes that every distribution's crypt(3)
// reads: sha512crypt, as specified in
// https://www.akkadia.org/drepper/SHA-crypt.txt.
package crypt

import (
	"bytes"
	"crypto/sha512"
	"crypto/subtle"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const alphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// The cost, in rounds: the default of the specification, and its limits.
const (
	defaultRounds = 5000
	minRounds     = 1000
	maxRounds     = 999_999_999
)

const prefix = "$6$"

// Hash hashes password with a salt of 16 characters read from random.
func Hash(password string, random io.Reader) (string, error) {
	salt := make([]byte, 16)
	if _, err := io.ReadFull(random, salt); err != nil {
		return "", fmt.Errorf("making the salt of a password: %w", err)
	}
	for i, b := range salt {
		salt[i] = alphabet[b&63]
	}
	return sha512crypt(password, string(salt), defaultRounds, false), nil
}

// Matches tells whether hash is a sha512crypt hash of password.
func Matches(hash, password string) bool {
	rest, ok := strings.CutPrefix(hash, prefix)
	if !ok {
		return false
	}
	rounds, explicit := defaultRounds, false
	if after, ok := strings.CutPrefix(rest, "rounds="); ok {
		text, tail, _ := strings.Cut(after, "$")
		n, err := strconv.Atoi(text)
		if err != nil || n > 10*defaultRounds {
			return false
		}
		rounds, explicit, rest = max(n, minRounds), true, tail
	}
	salt, _, ok := strings.Cut(rest, "$")
	want := sha512crypt(password, salt, rounds, explicit)
	return ok && subtle.ConstantTimeCompare([]byte(want), []byte(hash)) == 1
}

// sha512crypt follows the numbered steps of the specification.
func sha512crypt(password, salt string, rounds int, explicit bool) string {
	rounds = min(max(rounds, minRounds), maxRounds)
	salt = salt[:min(len(salt), 16)]
	key := []byte(password)
	a := start(key, []byte(salt))                    // 1-12
	p := stretch(repeatSum(key, len(key)), len(key)) // 13-16
	s := stretch(repeatSum([]byte(salt), 16+int(a[0])), len(salt))
	for i := range rounds { // 21
		a = round(a, p, s, i)
	}
	out := prefix
	if explicit {
		out += fmt.Sprintf("rounds=%d$", rounds)
	}
	return out + salt + "$" + encode(a)
}

func start(key, salt []byte) []byte {
	b := sha512.New()
	b.Write(key)
	b.Write(salt)
	b.Write(key)
	sum := b.Sum(nil)
	a := sha512.New()
	a.Write(key)
	a.Write(salt)
	a.Write(stretch(sum, len(key)))
	for n := len(key); n > 0; n >>= 1 {
		if n&1 == 1 {
			a.Write(sum)
		} else {
			a.Write(key)
		}
	}
	return a.Sum(nil)
}

// repeatSum is the digest of data, n times.
func repeatSum(data []byte, n int) []byte {
	sum := sha512.Sum512(bytes.Repeat(data, n))
	return sum[:]
}

// stretch repeats sum up to n bytes.
func stretch(sum []byte, n int) []byte {
	return bytes.Repeat(sum, n/len(sum)+1)[:n]
}

func round(a, p, s []byte, i int) []byte {
	h := sha512.New()
	pick := func(odd bool) {
		if odd {
			h.Write(p)
		} else {
			h.Write(a)
		}
	}
	pick(i&1 == 1)
	if i%3 != 0 {
		h.Write(s)
	}
	if i%7 != 0 {
		h.Write(p)
	}
	pick(i&1 == 0)
	return h.Sum(nil)
}

// encode is step 22: groups of three bytes, 42 steps apart modulo 63, as four
// characters of six bits with the lowest first; byte 63 stands alone.
func encode(sum []byte) string {
	out := make([]byte, 0, 86)
	put := func(w uint32, n int) {
		for range n {
			out = append(out, alphabet[w&63])
			w >>= 6
		}
	}
	for i := range 21 {
		x, y, z := sum[i], sum[i+21], sum[i+42]
		switch i % 3 {
		case 1:
			x, y, z = y, z, x
		case 2:
			x, y, z = z, x, y
		}
		put(uint32(x)<<16|uint32(y)<<8|uint32(z), 4)
	}
	put(uint32(sum[63]), 2)
	return string(out)
}
