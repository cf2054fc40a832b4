// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/kairos-build/kairos-build/framework/internal/console"
	"github.com/kairos-build/kairos-build/framework/ondisk/luks2"
)

// A question asks people for a passphrase.
type question struct {
	text     string // what is locked, and why
	patience time.Duration
	outcome  string // what happens when nobody answers

	ask   func(question string, wait time.Duration) ([]byte, error)
	say   func(text string)
	now   func() time.Duration
	alive func() // the boot does not hang
}

// untilRight asks until try takes an answer, or patience ends.
func (q question) untilRight(try func(passphrase []byte) error) error {
	begin := q.now()
	for tries := 0; ; {
		left := q.patience - (q.now() - begin)
		if q.patience > 0 && left <= 0 {
			q.say("\nkairos: " + q.outcome + ".\n")
			return fmt.Errorf("nobody gave the passphrase within %v (%d wrong ones)", q.patience, tries)
		}
		q.alive()
		answer, err := q.ask(q.words(left), q.wait(left))
		switch {
		case errors.Is(err, console.ErrNoAnswer), err == nil && len(answer) == 0:
			continue
		case err != nil:
			return err
		}
		q.say("kairos: trying it, this takes some seconds\n")
		if err := try(answer); !errors.Is(err, luks2.ErrPassphrase) {
			return err
		}
		tries++
		q.say("kairos: this is not the passphrase. Try again.\n")
	}
}

func (q question) wait(left time.Duration) time.Duration {
	if q.patience == 0 {
		return askAgain
	}
	return min(left, askAgain)
}

// words are the question.
func (q question) words(left time.Duration) string {
	limit := ""
	if q.patience > 0 {
		limit = fmt.Sprintf("\nkairos: In %v %s.", left.Round(time.Second), q.outcome)
	}
	return fmt.Sprintf("\n%s%s\nkairos: Type the passphrase (it is not shown) and Enter: ", q.text, limit)
}
