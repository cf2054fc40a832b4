// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// A Signer is the key that made a good signature.
type Signer struct {
	Name        string // its user ID, or empty
	Fingerprint string // of the primary key, upper-case hex
	// Until is when the last of the keys expires whose signatures are good; zero: never.
	// Later, the same signatures are refused.
	Until time.Time
}

// nearEnd is how long before its end a key is said to end.
const nearEnd = 90 * 24 * time.Hour

// Note says that the key ends within a quarter of a year; otherwise it is empty.
func (s Signer) Note(now time.Time) string {
	if s.Until.IsZero() || s.Until.Sub(now) > nearEnd {
		return ""
	}
	return fmt.Sprintf("the archive's key %s (%s) expires on %s, and then its packages are refused: take a kairos-build with its newer copy by then, or put one into the keyring of a flavor of your own",
		s.Fingerprint, s.Name, s.Until.Format(time.DateOnly))
}

// signedBy returns the first key with a good signature. One is enough: Debian signs with several
// keys, and an older keyring may lack some. The error has the reasons of all.
func signedBy(signed []byte, sigs []*packet.Signature, keys openpgp.EntityList, now time.Time) (Signer, error) {
	var good []Signer
	var causes []string
	for _, s := range sigs {
		e, err := checkOne(signed, s, keys, now)
		if err != nil {
			causes = append(causes, err.Error())
			continue
		}
		good = append(good, Signer{nameOf(e), fingerprint(e), lastDay(e, s)})
	}
	if len(good) == 0 {
		return Signer{}, errors.New("no signature is good: " + strings.Join(causes, "; ") + "; want one by " + keyIDs(keys) + ": the file was altered or is not this distribution's")
	}
	good[0].Until = slices.MaxFunc(good, func(a, b Signer) int { return compareEnds(a.Until, b.Until) }).Until
	return good[0], nil
}

// lastDay is when the key of a signature expires, or the primary key that it belongs to; zero:
// never.
func lastDay(e *openpgp.Entity, s *packet.Signature) (end time.Time) {
	if id := e.PrimaryIdentity(); id != nil {
		end = ended(e.PrimaryKey, id.SelfSignature)
	}
	for _, sub := range e.Subkeys {
		if s.CheckKeyIdOrFingerprint(sub.PublicKey) {
			end = slices.MinFunc([]time.Time{end, ended(sub.PublicKey, sub.Sig)}, compareEnds)
		}
	}
	return end
}

// ended is when a key expires, by the signature that says so; zero: never.
func ended(key *packet.PublicKey, s *packet.Signature) time.Time {
	if s == nil || s.KeyLifetimeSecs == nil || *s.KeyLifetimeSecs == 0 {
		return time.Time{}
	}
	return key.CreationTime.Add(time.Duration(*s.KeyLifetimeSecs) * time.Second).UTC()
}

// compareEnds puts the end that never comes behind all others.
func compareEnds(a, b time.Time) int {
	if a.IsZero() || b.IsZero() {
		return cmp.Compare(zero(a), zero(b))
	}
	return a.Compare(b)
}

func zero(t time.Time) int {
	if t.IsZero() {
		return 1
	}
	return 0
}
