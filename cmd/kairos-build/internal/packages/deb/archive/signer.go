// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// A Signer is the key that made a good signature.
type Signer struct {
	Name        string // its user ID, or empty
	Fingerprint string // of the primary key, upper-case hex
	// Until is when the last key with a good signature expires, this one or another; zero:
	// never. Later, the same signatures are refused.
	Until time.Time
	last  string // that key, for people
}

// nearEnd is how long before it expires a key is said to.
const nearEnd = 90 * 24 * time.Hour

// Note says that the last key expires within 90 days; otherwise it is empty.
func (s Signer) Note(now time.Time) string {
	if s.Until.IsZero() || s.Until.Sub(now) > nearEnd {
		return ""
	}
	return fmt.Sprintf("the archive's key %s expires on %s, and then its packages are refused: take a kairos-build with its newer copy by then, or put one into the keyring of a flavor of your own",
		s.last, s.Until.Format(time.DateOnly))
}

// signedBy returns the first key with a good signature. One is enough: Debian signs with several
// keys, and an older keyring may lack some. The error has the reasons of all.
func signedBy(signed []byte, sigs []*packet.Signature, keys openpgp.EntityList, now time.Time) (first Signer, err error) {
	var causes []string
	for _, s := range sigs {
		e, err := checkOne(signed, s, keys, now)
		if err != nil {
			causes = append(causes, err.Error())
			continue
		}
		end := expiry(e, s)
		if first.Fingerprint == "" {
			first = Signer{Name: nameOf(e), Fingerprint: fingerprint(e)}
		} else if !later(end, first.Until) {
			continue
		}
		first.Until, first.last = end, fmt.Sprintf("%s (%s)", fingerprint(e), nameOf(e))
	}
	if first.Fingerprint == "" {
		return first, errors.New("no signature is good: " + strings.Join(causes, "; ") + "; want one by " + keyIDs(keys) + ": the file was altered or is not this distribution's")
	}
	return first, nil
}

// expiry is when the key of a signature expires, or before it the primary key that it belongs
// to; zero: never.
func expiry(e *openpgp.Entity, s *packet.Signature) (end time.Time) {
	if id := e.PrimaryIdentity(); id != nil {
		end = keyExpiry(e.PrimaryKey, id.SelfSignature)
	}
	for _, sub := range e.Subkeys {
		if own := keyExpiry(sub.PublicKey, sub.Sig); s.CheckKeyIdOrFingerprint(sub.PublicKey) && later(end, own) {
			end = own
		}
	}
	return end
}

// keyExpiry is when a key expires, by the signature that says so; zero: never.
func keyExpiry(key *packet.PublicKey, s *packet.Signature) time.Time {
	if s == nil || s.KeyLifetimeSecs == nil || *s.KeyLifetimeSecs == 0 {
		return time.Time{}
	}
	return key.CreationTime.Add(time.Duration(*s.KeyLifetimeSecs) * time.Second).UTC()
}

// later tells whether a key that expires at a is good for longer than one that does at b.
func later(a, b time.Time) bool { return !b.IsZero() && (a.IsZero() || a.After(b)) }
