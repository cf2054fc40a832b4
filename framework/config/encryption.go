// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/kairos-build/kairos-build/framework/layout"
)

// Encryption says how the partitions that Install.Encrypted names are encrypted.
type Encryption struct {
	Key string // KeyTPM, the default, or KeyPassphrase
	// Passphrase is asked for at each boot or, with KeyTPM, where the TPM does not give the
	// key.
	Passphrase string
}

// The kinds of keys.
const (
	KeyTPM        = "tpm"
	KeyPassphrase = "passphrase"
)

// maxPassphrase is the longest passphrase of LUKS, in bytes.
const maxPassphrase = 512

// maxRegister is the last register of a TPM.
const maxRegister = 23

var encryptionFields = []field[Encryption]{
	keep("key", "What has the key: tpm, the default, or passphrase.", oneOf(KeyTPM, KeyPassphrase), func(e *Encryption) *string { return &e.Key }),
	keep("passphrase", "What a person types at each boot or, where the TPM has the key, when the TPM does not give it.", aPassphrase, func(e *Encryption) *string { return &e.Passphrase }).hidden(),
}

// systemLabel begins the labels of the system's own partitions.
const systemLabel = "COS_"

// encryptable is the label of a partition that can be encrypted: one of the system's with
// data, or an extra one. Which there are may be in another file: the installer knows.
var encryptable = kind[string]{matching(fsLabel.String()), func(v value) (string, bool) {
	s, ok := v.fsLabel()
	if ok && strings.HasPrefix(s, systemLabel) {
		return oneOf(layout.LabelPersistent, layout.LabelOEM).get(v)
	}
	return s, ok
}}

// aPassphrase can be typed on a console, as one line.
var aPassphrase = kind[string]{givenShape, func(v value) (string, bool) {
	s, ok := v.NonEmpty()
	switch {
	case !ok:
		return "", false
	case len(s) > maxPassphrase:
		v.Fail(fmt.Sprintf("the passphrase has %d bytes", len(s)), fmt.Sprintf("use at most %d", maxPassphrase))
	case strings.ContainsFunc(s, unicode.IsControl):
		v.Fail("the passphrase has a character that nobody can type", "use one line of letters, digits, signs and spaces")
	default:
		return s, true
	}
	return "", false
}}

// aRegister is the number of a register of a TPM. Kairos has it as a text, too.
var aRegister = kind[int]{scalarShape, func(v value) (int, bool) {
	t, ok := v.scalar()
	var n int
	if _, err := fmt.Sscanf(t.Text, "%d", &n); ok && (err != nil || n < 0 || n > maxRegister || fmt.Sprint(n) != t.Text) {
		v.Fail(fmt.Sprintf("%q is no register of a TPM", t.Text), fmt.Sprintf("use numbers from 0 to %d", maxRegister))
		return 0, false
	}
	return n, ok
}}
