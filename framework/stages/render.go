// SPDX-License-Identifier: Apache-2.0

package stages

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/template"
)

// Render fills the machine's facts into the texts of a step. The error names
// the place of every template that failed; then nothing of the step is to be
// done.
func Render(s config.Step, facts template.Facts) (config.Step, error) {
	r := &renderer{facts: facts}
	for _, t := range []*config.Text{&s.If, &s.Node} {
		r.text(t)
	}
	r.texts(&s.Commands, &s.DNS.Nameservers, &s.DNS.Search, &s.DNS.Options)
	r.settings(&s.Sysctl, &s.Timesyncd, &s.Environment, &s.SystemdFirstboot)
	r.hostname(&s.Hostname)
	r.path(&s.EnvironmentFile)
	s.Files = slices.Clone(s.Files)
	for i := range s.Files {
		r.file(&s.Files[i])
	}
	s.Directories = slices.Clone(s.Directories)
	for i := range s.Directories {
		r.path(&s.Directories[i].Path)
	}
	s.Downloads = slices.Clone(s.Downloads)
	for i := range s.Downloads {
		r.path(&s.Downloads[i].Path)
		r.text(&s.Downloads[i].URL)
	}
	r.more(&s)
	s.Systemctl.Overrides = slices.Clone(s.Systemctl.Overrides)
	for i := range s.Systemctl.Overrides {
		r.text(&s.Systemctl.Overrides[i].Content)
	}
	return s, errors.Join(r.errs...)
}

// more are the keys that take something from elsewhere or change a disk.
func (r *renderer) more(s *config.Step) {
	if s.Layout != nil {
		l := *s.Layout
		r.text(&l.Label)
		r.path(&l.Path)
		s.Layout = &l
	}
	if s.Git != nil {
		g := *s.Git
		r.text(&g.URL)
		r.text(&g.Branch)
		r.path(&g.Path)
		s.Git = &g
	}
	s.UnpackImages = slices.Clone(s.UnpackImages)
	for i := range s.UnpackImages {
		r.text(&s.UnpackImages[i].Source)
		r.path(&s.UnpackImages[i].Target)
	}
}

type renderer struct {
	facts template.Facts
	errs  []error
}

func (r *renderer) fail(t config.Text, line int, err error) {
	at := t.Origin
	at.Line += line - 1
	r.errs = append(r.errs, fmt.Errorf("%s: %s: %w", at, t.Path, err))
}

func (r *renderer) text(t *config.Text) {
	out, err := template.Render(t.Text, r.facts)
	if err != nil {
		r.fail(*t, template.Line(err), err)
		return
	}
	t.Text = out
}

func (r *renderer) texts(lists ...*[]config.Text) {
	for _, list := range lists {
		*list = slices.Clone(*list)
		for i := range *list {
			r.text(&(*list)[i])
		}
	}
}

func (r *renderer) settings(lists ...*[]config.Setting) {
	for _, list := range lists {
		*list = slices.Clone(*list)
		for i := range *list {
			t := &(*list)[i].Value
			if r.text(t); strings.ContainsAny(t.Text, "\n\r\x00") {
				r.fail(*t, 1, errors.New("more than one line"))
			}
		}
	}
}

func (r *renderer) hostname(t *config.Text) {
	if t.IsZero() {
		return
	}
	before := len(r.errs)
	if r.text(t); len(r.errs) > before {
		return
	}
	if err := config.CheckHostname(t.Text); err != nil {
		r.fail(*t, 1, err)
	}
}

// path must be absolute when it is filled in.
func (r *renderer) path(t *config.Text) {
	if t.IsZero() {
		return
	}
	before := len(r.errs)
	if r.text(t); len(r.errs) > before {
		return
	}
	if !path.IsAbs(t.Text) || strings.ContainsAny(t.Text, "\x00\n\r") {
		r.fail(*t, 1, fmt.Errorf("%q is not an absolute path", t.Text))
		return
	}
	t.Text = path.Clean(t.Text)
}

func (r *renderer) file(f *config.StepFile) {
	r.path(&f.PathText)
	f.Path = f.PathText.Text
	if !f.Text.IsZero() {
		r.text(&f.Text)
		f.Content = []byte(f.Text.Text)
	}
}
