// SPDX-License-Identifier: Apache-2.0

package stages

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/config/template"
)

// A Lost key has a template that could not be filled in on this machine, or that
// gave an invalid value.
type Lost struct {
	Path   string          // of the key, such as stages.boot[0].hostname
	Origin config.Position // of the template
	Err    error
	// Condition is true if the key decides whether the step runs.
	Condition bool
}

// Error names the position, the key and the reason.
func (l Lost) Error() string { return fmt.Sprintf("%s: %s: %v", l.Origin, l.Path, l.Err) }

// templateKind is the kind of the item for a Lost key.
const templateKind = "template"

// Render fills the machine's facts into the texts of a step. It removes the keys
// that cannot be filled in from the step and returns them as Lost; the rest stays.
//
// Each filled-in text is checked by the decoder's rules for a text without a
// template. The content of commands, files, variables and drop-ins may hold
// templates of other programs, see template.Foreign.
func Render(s config.Step, facts template.Facts) (config.Step, []Lost) {
	r := &renderer{facts: facts}
	r.condition(&s.If, template.RenderContent)
	r.condition(&s.Node, template.Render)
	r.contents(&s.Commands)
	s.Environment = r.settings(s.Environment, template.RenderContent)
	r.texts(&s.DNS.Nameservers, config.CheckAddress)
	r.texts(&s.DNS.Search, config.CheckWord)
	r.texts(&s.DNS.Options, config.CheckWord)
	s.Sysctl = r.settings(s.Sysctl, template.Render)
	s.Timesyncd = r.settings(s.Timesyncd, template.Render)
	s.SystemdFirstboot = r.settings(s.SystemdFirstboot, template.Render)
	r.text(&s.Hostname, config.CheckHostname)
	if !r.path(&s.EnvironmentFile) {
		s.Environment = nil // the default file is readable by every user
	}
	s.Files = kept(s.Files, r.file)
	s.Directories = kept(s.Directories, func(d *config.Directory) bool { return r.path(&d.Path) })
	s.Downloads = kept(s.Downloads, func(d *config.Download) bool { return r.path(&d.Path) && r.text(&d.URL, config.CheckURL) })
	r.more(&s)
	s.Systemctl.Overrides = kept(s.Systemctl.Overrides, func(o *config.Override) bool { return r.content(&o.Content) })
	return s, r.lost
}

// more renders the keys that fetch content or change a disk.
func (r *renderer) more(s *config.Step) {
	if s.Layout != nil {
		l := *s.Layout
		s.Layout = &l
		if !r.text(&l.Label, config.CheckLabel) || !r.device(&l.Path) {
			s.Layout = nil
		}
	}
	if s.Git != nil {
		g := *s.Git
		s.Git = &g
		if !r.text(&g.URL, config.CheckGitURL) || !r.text(&g.Branch, config.CheckBranch) || !r.path(&g.Path) {
			s.Git = nil
		}
	}
	s.UnpackImages = kept(s.UnpackImages, func(u *config.UnpackImage) bool {
		return r.text(&u.Source, config.CheckWord) && r.path(&u.Target)
	})
}

// kept returns copies of the entries that could be filled in.
func kept[T any](list []T, fill func(*T) bool) []T {
	var out []T
	for _, one := range list {
		if fill(&one) {
			out = append(out, one)
		}
	}
	return out
}

type renderer struct {
	facts template.Facts
	lost  []Lost
}

// fill fills in a text and checks it. If that fails, it clears the text.
func (r *renderer) fill(t *config.Text, render func(string, template.Facts) (string, error), check func(string) error) bool {
	if t.Text == "" {
		return true
	}
	out, err := render(t.Text, r.facts)
	line := 1
	switch {
	case err != nil:
		line = template.Line(err)
	case out != t.Text && check != nil:
		err = check(out)
	}
	if err == nil {
		t.Text = out
		return true
	}
	at := t.Origin
	at.Line += line - 1
	r.lost = append(r.lost, Lost{Path: t.Path, Origin: at, Err: err})
	*t = config.Text{}
	return false
}

func (r *renderer) text(t *config.Text, check func(string) error) bool {
	return r.fill(t, template.Render, check)
}

func (r *renderer) content(t *config.Text) bool { return r.fill(t, template.RenderContent, nil) }

func (r *renderer) condition(t *config.Text, render func(string, template.Facts) (string, error)) {
	if !r.fill(t, render, nil) {
		r.lost[len(r.lost)-1].Condition = true
	}
}

func (r *renderer) texts(list *[]config.Text, check func(string) error) {
	*list = kept(*list, func(t *config.Text) bool { return r.text(t, check) })
}

func (r *renderer) contents(list *[]config.Text) { *list = kept(*list, r.content) }

func (r *renderer) settings(list []config.Setting, render func(string, template.Facts) (string, error)) []config.Setting {
	return kept(list, func(s *config.Setting) bool { return r.fill(&s.Value, render, oneLineOnly) })
}

func oneLineOnly(s string) error {
	if strings.ContainsAny(s, "\n\r\x00") {
		return errors.New("more than one line")
	}
	return nil
}

// path fills in a path, which must be absolute then.
func (r *renderer) path(t *config.Text) bool {
	if t.IsZero() {
		return true
	}
	if !r.text(t, absolute) {
		return false
	}
	t.Text = path.Clean(t.Text)
	return true
}

func absolute(s string) error {
	if !path.IsAbs(s) || strings.ContainsAny(s, "\x00\n\r") {
		return fmt.Errorf("%q is not an absolute path", s)
	}
	return nil
}

// device fills in a path, or a program that prints one.
func (r *renderer) device(t *config.Text) bool {
	if strings.HasPrefix(t.Text, config.ScriptDevice) {
		return r.text(t, nil)
	}
	return r.path(t)
}

func (r *renderer) file(f *config.StepFile) bool {
	if !r.path(&f.PathText) || !r.content(&f.Text) {
		return false
	}
	f.Path = f.PathText.Text
	if !f.Text.IsZero() {
		f.Content = []byte(f.Text.Text)
	}
	return true
}
