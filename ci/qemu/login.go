// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// ErrLogin says that the guest refused a login.
var ErrLogin = errors.New("the guest refused the login")

var (
	loginPrompt    = regexp.MustCompile(`login: *$`)
	passwordPrompt = regexp.MustCompile(`[Pp]assword: *$`)
	loginAnswer    = regexp.MustCompile(`(Login incorrect|[#$] *$)`)
)

// Login answers the prompts of a getty and waits for a shell. It expects a prompt
// that ends in "#" or "$".
func (c *Console) Login(ctx context.Context, user, password string) error {
	steps := []struct {
		prompt *regexp.Regexp
		answer string
	}{{loginPrompt, user}, {passwordPrompt, password}}
	for _, s := range steps {
		if _, err := c.WaitFor(ctx, s.prompt); err != nil {
			return err
		}
		if err := c.Send(s.answer + "\n"); err != nil {
			return err
		}
	}
	m, err := c.WaitFor(ctx, loginAnswer)
	if err != nil {
		return err
	}
	if strings.Contains(m.Text, "incorrect") {
		return fmt.Errorf("%w of %s on the console", ErrLogin, user)
	}
	return nil
}
