// SPDX-License-Identifier: Apache-2.0

package stages

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/machine/report"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// systemctl writes drop-ins and changes the units that are not in the wanted state.
// The states of units persist across boots, in /etc/systemd.
func (w *work) systemctl(ctx context.Context) {
	s := w.step.Systemctl
	w.overrides(ctx)
	for _, verb := range []struct {
		name  string
		units []string
		ask   string
		good  []string
	}{
		{"mask", s.Mask, "is-enabled", []string{"masked"}},
		{"disable", s.Disable, "is-enabled", []string{"disabled", "masked"}},
		{"enable", s.Enable, "is-enabled", []string{"enabled", "static", "alias", "generated"}},
		{"start", s.Start, "is-active", []string{"active", "activating"}},
	} {
		for _, unit := range verb.units {
			good := slices.Contains(verb.good, w.state(ctx, verb.ask, unit))
			var err error
			switch {
			case good:
			case verb.name == "start":
				err = w.start(ctx, unit)
			default:
				err = w.run(ctx, w.words(verb.name, unit)...)
			}
			w.item("systemctl", verb.name+" "+unit, !good, err, w.step.Origin)
			if last := &w.report.Items[len(w.report.Items)-1]; verb.name == "start" && w.Early && last.Outcome == report.Changed {
				last.Outcome = report.Asked
			}
		}
	}
}

// start starts a unit, unless it is known that the start would fail.
func (w *work) start(ctx context.Context, unit string) error {
	if w.Offline {
		return errors.New("systemd does not run yet in this stage; start the unit in the stage boot, or enable it")
	}
	if err := w.mountable(unit); err != nil {
		return err
	}
	return w.run(ctx, w.words("start", unit)...)
}

// state returns the first line that systemctl prints about a unit. The exit status
// has no further information.
func (w *work) state(ctx context.Context, ask, unit string) string {
	if w.Dry() {
		if w.UnitState == nil {
			return ""
		}
		return w.UnitState(ask, unit)
	}
	output, _ := w.System.Run(ctx, "systemctl", ask, "--", unit)
	word, _, _ := strings.Cut(strings.TrimSpace(output), "\n")
	return word
}

// words returns a command line. While the node starts, the command does not wait
// for the unit, because the unit may wait for this stage.
func (w *work) words(verb, unit string) []string {
	if verb == "start" && w.Early {
		return []string{"systemctl", "--no-block", verb, "--", unit}
	}
	return []string{"systemctl", verb, "--", unit}
}

// overrides writes drop-ins below /run, where they vanish together with the config.
func (w *work) overrides(ctx context.Context) {
	reload := false
	for _, o := range w.step.Systemctl.Overrides {
		name := path.Join("/run/systemd/system", o.Unit+".d", o.Name)
		var changed bool
		var err error
		w.alone(func() {
			changed, err = w.Root.Replace(name, tree.File{Data: []byte(strings.TrimSuffix(o.Content.Text, "\n") + "\n"), Mode: 0o644})
		})
		w.item("override", name, changed, err, o.Origin)
		reload = reload || changed
	}
	if !reload || w.Offline {
		return
	}
	if err := w.run(ctx, "systemctl", "daemon-reload"); err != nil {
		w.item("systemctl", "daemon-reload", false, err, w.step.Origin)
	}
}
