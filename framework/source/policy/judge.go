// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kairos-build/kairos-build/framework/source"
	"github.com/kairos-build/kairos-build/signing/verify"
)

// maxReasons is how many reasons against an image are told.
const maxReasons = 8

// A Judge decides about images by a policy. It implements upgrade.Verifier.
type Judge struct {
	Policy *Policy // nil: there is none, and no image is trusted
	// Now is the clock of the node. Built is when the running image was made: a clock
	// before it is wrong; zero: not known.
	Now   func() time.Time
	Built time.Time
}

// Verify returns why an image is trusted, as sentences, or why it is not.
func (j Judge) Verify(ctx context.Context, image *source.Image) (reasons []string, err error) {
	return j.hear(ctx, image, (*hearing).signature, (*hearing).age, (*hearing).attestations)
}

// Signed is Verify without ages and attestations: they are about images that a node boots.
func (j Judge) Signed(ctx context.Context, image *source.Image) (reasons []string, err error) {
	return j.hear(ctx, image, (*hearing).signature)
}

func (j Judge) hear(ctx context.Context, image *source.Image, steps ...func(*hearing) error) (reasons []string, err error) {
	if !j.Policy.trusts() {
		return nil, none(j.Policy)
	}
	c := &hearing{Judge: j, image: image}
	c.trust, c.names = j.Policy.trust(image.Name)
	if len(c.trust.Keys)+len(c.trust.Identities) == 0 {
		return nil, fmt.Errorf("%w: %s is in no list of repositories of the policy", ErrElsewhere, cmp.Or(image.Name, "a file"))
	}
	for _, step := range steps {
		if err := cmp.Or(context.Cause(ctx), step(c)); err != nil {
			return nil, err
		}
	}
	return c.reasons, nil
}

// A hearing is the judgement of one image.
type hearing struct {
	Judge
	image   *source.Image
	trust   verify.Trust
	names   map[string]string // of keys by their fingerprints
	reasons []string
}

// signature finds one signature of somebody who is trusted, of any digest of the image.
func (c *hearing) signature() error {
	var against []error
	signed := false
	for _, digest := range c.image.Chain {
		for e, err := range c.image.Evidence(digest) {
			if err != nil {
				against = append(against, err)
				continue
			}
			signer, err := c.trust.Signature(digest, evidence(e))
			if err == nil {
				c.reasons = append(c.reasons, fmt.Sprintf("signed by %s", c.who(signer)))
				return nil
			}
			signed = signed || !errors.Is(err, verify.ErrOtherType)
			against = append(against, fmt.Errorf("%s: %w", e.From, err))
		}
	}
	if !signed {
		return refusal(ErrUnsigned, "sign it with `kairos-build sign IMAGE`", against)
	}
	return refusal(ErrUntrusted, "", against)
}

// refusal is an error with the reasons against an image, each once.
func refusal(kind error, remedy string, against []error) error {
	var texts []string
	for _, err := range against {
		if text := err.Error(); !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	if more := len(texts) - maxReasons; more > 0 {
		texts = append(texts[:maxReasons], fmt.Sprintf("and %d more", more))
	}
	for _, text := range []string{strings.Join(texts, "; "), remedy} {
		if text != "" {
			kind = fmt.Errorf("%w: %s", kind, text)
		}
	}
	return kind
}

// who names a signer: the policy has names for keys.
func (c *hearing) who(s verify.Signer) string {
	if name := c.names[s.Key]; s.Key != "" && name != "" {
		return fmt.Sprintf("key %q (%s)", name, s.Key)
	}
	return s.String()
}

// age checks the date of creation, which the signed digest covers.
func (c *hearing) age() error {
	if c.Policy.MaxAge == 0 {
		return nil
	}
	config, err := c.image.ConfigFile()
	if err != nil {
		return err
	}
	if config.Created.IsZero() || config.Created.Unix() <= 0 {
		return fmt.Errorf("%w: the image does not say when it was made, and the policy wants it to be at most %s old", ErrTooOld, days(c.Policy.MaxAge))
	}
	return c.fresh("the image", config.Created.Time, c.Policy.MaxAge)
}

// fresh compares a date with the clock of the node.
func (c *hearing) fresh(what string, made time.Time, limit time.Duration) error {
	now := c.Now()
	switch {
	case now.Before(c.Built.Add(-day)):
		return fmt.Errorf("%w: it says %s, and the system that runs was made on %s; set the clock, so that ages can be checked", ErrClock, date(now), date(c.Built))
	case made.After(now.Add(2 * day)):
		return fmt.Errorf("%w, or a date is: it says %s, and %s is of %s; set the clock", ErrClock, date(now), what, date(made))
	case now.Sub(made) > limit:
		return fmt.Errorf("%w: %s is of %s, more than %s old", ErrTooOld, what, date(made), days(limit))
	}
	return nil
}

func date(t time.Time) string { return t.UTC().Format(time.DateOnly) }

func days(d time.Duration) string { return fmt.Sprintf("%d days", int(d/day)) }

// attestations checks that the image has what the policy requires.
func (c *hearing) attestations() error {
	var all []error
	for _, r := range c.Policy.Require {
		all = append(all, c.attested(r))
	}
	return errors.Join(all...)
}

// attested finds one attestation that meets a requirement.
func (c *hearing) attested(r Requirement) error {
	var against []error
	kind := ErrUnattested
	for _, digest := range c.image.Chain {
		for e, err := range c.image.Evidence(digest, r.Type) {
			if err != nil {
				against = append(against, err)
				continue
			}
			reason, err := c.meets(r, digest, e)
			switch {
			case err == nil:
				c.reasons = append(c.reasons, reason)
				return nil
			case errors.Is(err, verify.ErrOtherType):
				continue
			case errors.Is(err, ErrTooOld) || errors.Is(err, ErrClock):
				kind = fmt.Errorf("%w: %w", ErrUnattested, err)
			}
			against = append(against, fmt.Errorf("%s: %w", e.From, err))
		}
	}
	return refusal(fmt.Errorf("%w: no attestation %q of somebody who is trusted", kind, r.Name), "", against)
}

func (c *hearing) meets(r Requirement, digest v1.Hash, e source.Evidence) (string, error) {
	statement, signer, err := c.trust.Attestation(digest, r.Type, evidence(e))
	if err != nil {
		return "", err
	}
	if r.Type == TypeTested {
		if err := c.passed(r, statement.Predicate); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%s, by %s", r.Name, c.who(signer)), nil
}

// passed reads the predicate of a test result, version 0.1, as kairos-build writes it.
func (c *hearing) passed(r Requirement, predicate []byte) error {
	var p struct {
		Result        string `json:"result"`
		Configuration []struct {
			Annotations struct {
				Date string `json:"date"`
			} `json:"annotations"`
		} `json:"configuration"`
	}
	if err := json.Unmarshal(predicate, &p); err != nil {
		return fmt.Errorf("%w: its test result cannot be read: %w", ErrUnattested, err)
	}
	if p.Result != "PASSED" && p.Result != "WARNED" {
		return fmt.Errorf("%w: its tests ended with %.20q", ErrUnattested, p.Result)
	}
	if r.MaxAge == 0 {
		return nil
	}
	if len(p.Configuration) == 0 {
		return fmt.Errorf("%w: its test result has no date", ErrTooOld)
	}
	made, err := time.Parse(time.DateOnly, p.Configuration[0].Annotations.Date)
	if err != nil {
		return fmt.Errorf("%w: its test result has no date", ErrTooOld)
	}
	return c.fresh("its test result", made, r.MaxAge)
}

func evidence(e source.Evidence) verify.Evidence {
	return verify.Evidence{MediaType: e.MediaType, Annotations: e.Annotations, Data: e.Content}
}
