// SPDX-License-Identifier: Apache-2.0

// Package crypt makes password hashes that the crypt(3) of every distribution
// reads: sha512crypt, as specified in
// https://www.akkadia.org/drepper/SHA-crypt.txt. go-crypt computes the hash; this
// package sets the limits, because the author of a config chooses the rounds.
package crypt

import (
	"crypto/sha512"
	"crypto/subtle"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/go-crypt/x/crypt"
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

// Matches tells whether hash is a sha512crypt hash of password. A hash of more
// than 50,000 rounds never matches.
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

// sha512crypt computes the hash within the limits of the specification.
func sha512crypt(password, salt string, rounds int, explicit bool) string {
	rounds = min(max(rounds, minRounds), maxRounds)
	salt = salt[:min(len(salt), 16)]
	out := prefix
	if explicit {
		out += fmt.Sprintf("rounds=%d$", rounds)
	}
	return out + salt + "$" + string(crypt.KeySHACrypt(sha512.New, []byte(password), []byte(salt), rounds))
}
