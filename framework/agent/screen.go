// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/charmbracelet/huh"
	"github.com/charmbracelet/lipgloss"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/install/disks"
)

// A screen asks with forms that fill a terminal.
type screen struct {
	ctx context.Context // of the one installation that asks
	in  io.Reader
	out io.Writer
}

// show runs a form until it is filled in.
func (s screen) show(groups ...*huh.Group) error {
	err := huh.NewForm(groups...).WithTheme(theme()).WithInput(s.in).WithOutput(s.out).RunWithContext(s.ctx)
	if errors.Is(err, huh.ErrUserAborted) {
		return errors.New("it was ended; nothing was written")
	}
	return err
}

// theme has only characters that the font of a PC's console has, and no colour that means
// something: a serial line may have none. The button that Enter presses is in brackets.
func theme() *huh.Theme {
	t := huh.ThemeBase16()
	t.Focused.Base = t.Focused.Base.BorderStyle(lipgloss.NormalBorder())
	t.Focused.Card = t.Focused.Base
	t.Focused.FocusedButton = t.Focused.FocusedButton.Transform(func(s string) string { return "[" + s + "]" })
	return t
}

func (s screen) device(all []disks.Disk) (string, error) {
	can, cannot := suitable(all)
	if len(can) == 0 {
		return "", fmt.Errorf("%w:\n  %s", disks.ErrNone, strings.Join(cannot, "\n  "))
	}
	var options []huh.Option[string]
	for _, d := range can {
		options = append(options, huh.NewOption(fmt.Sprintf("%s: %s", d, d.Contents), d.Path))
	}
	chosen := can[0].Path
	list := huh.NewSelect[string]().Title("Which disk?").Options(options...).Value(&chosen)
	if len(cannot) > 0 {
		list.Description("Not possible: " + strings.Join(cannot, "\n"))
	}
	err := s.show(huh.NewGroup(list))
	return chosen, err
}

func (s screen) config(roles []membership) ([]byte, error) {
	a := answers{Hostname: "kairos", Users: []userAnswer{{Name: "kairos", Groups: []string{"sudo"}}}}
	var password, again, key string
	err := s.show(
		huh.NewGroup(
			huh.NewInput().Title("Name of the node").Value(&a.Hostname).Validate(config.CheckHostname),
			huh.NewInput().Title("User who may log in").Value(&a.Users[0].Name).Validate(func(v string) error { return checkUser(v, "") }),
		),
		huh.NewGroup(
			huh.NewInput().Title("Password").Description("Empty: only SSH keys").EchoMode(huh.EchoModePassword).Value(&password),
			huh.NewInput().Title("Password, once more").EchoMode(huh.EchoModePassword).Value(&again).Validate(func(v string) error { return same(v, password) }),
			huh.NewInput().Title("SSH public key, or github:NAME").Description("Empty: none").Value(&key).Validate(func(v string) error { return checkKey(a.Users[0].Name, v, password) }),
		),
	)
	if err != nil {
		return nil, err
	}
	if a.Roles, err = s.role(roles); err != nil {
		return nil, err
	}
	return a.with(password, key)
}

// role asks what the node is in Kubernetes, and how it joins.
func (s screen) role(roles []membership) (map[string]roleAnswer, error) {
	if len(roles) == 0 {
		return nil, nil
	}
	var options []huh.Option[int]
	for i, m := range roles {
		options = append(options, huh.NewOption(m.title, i))
	}
	var chosen int
	var server, token string
	role := func() membership { return roles[chosen] }
	err := s.show(
		huh.NewGroup(huh.NewSelect[int]().Title("Role in Kubernetes").Options(options...).Value(&chosen)),
		huh.NewGroup(
			huh.NewInput().Title("Address of a server").Placeholder("https://192.0.2.10:6443").Value(&server).Validate(checkServer),
		).WithHideFunc(func() bool { return !role().address }),
		huh.NewGroup(
			huh.NewInput().Title("Token of the cluster").DescriptionFunc(func() string { return role().tokenFrom }, &chosen).Value(&token).Validate(func(v string) error { return role().check(v) }),
		).WithHideFunc(func() bool { return !role().joins }),
	)
	return role().answer(server, token), err
}

func same(a, b string) error {
	if a != b {
		return errors.New("the two differ")
	}
	return nil
}

func (s screen) agree(lines []string) error {
	yes := false
	err := s.show(huh.NewGroup(
		huh.NewConfirm().Title("Everything on this disk is lost. Install?").Description(strings.Join(lines, "\n")).Affirmative("Install").Negative("No").Value(&yes),
	))
	if err == nil && !yes {
		err = errors.New("nothing was written")
	}
	if err == nil { // the form is gone from the screen
		fmt.Fprintln(s.out, strings.Join(lines, "\n"))
	}
	return err
}
