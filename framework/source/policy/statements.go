// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"context"
	"errors"
	"fmt"

	"github.com/kairos-build/kairos-build/framework/source"
	"github.com/kairos-build/kairos-build/signing/verify"
)

// A Said is a statement about an image, and who made it.
type Said struct {
	Predicate []byte
	By        string // for people
}

// Statements returns what those who are trusted say about the digest that the image's name
// stands for, in attestations of a type. If there is none, the error says why.
func (j Judge) Statements(ctx context.Context, image *source.Image, predicateType string) (found []Said, err error) {
	_, err = j.hear(ctx, image, func(c *hearing) error {
		found, err = c.statements(predicateType)
		return err
	})
	return found, err
}

func (c *hearing) statements(predicateType string) (found []Said, _ error) {
	var against []error
	subject := c.image.Chain[0]
	for e, err := range c.image.Evidence(subject, predicateType) {
		if err != nil {
			against = append(against, err)
			continue
		}
		statement, signer, err := c.trust.Attestation(subject, predicateType, evidence(e))
		switch {
		case err == nil:
			found = append(found, Said{statement.Predicate, c.who(signer)})
		case !errors.Is(err, verify.ErrOtherType):
			against = append(against, fmt.Errorf("%s: %w", e.From, err))
		}
	}
	if len(found) > 0 {
		return found, nil
	}
	return nil, refusal(fmt.Errorf("%w: no statement %s of somebody who is trusted", ErrUnattested, predicateType), "", against)
}
