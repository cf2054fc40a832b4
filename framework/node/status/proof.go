// SPDX-License-Identifier: Apache-2.0

package status

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/framework/machine/tree"
	"github.com/kairos-build/kairos-build/framework/node/health"
	"github.com/kairos-build/kairos-build/framework/node/history"
	"github.com/kairos-build/kairos-build/framework/node/settle"
)

// Number of entries of the boot history that are shown, without and with --all.
const (
	shown    = 3
	shownAll = 10
)

// Proof is the node's health and its boot history. The tries that a slot has left are
// in its SlotInfo.
type Proof struct {
	// Health is the result of this boot's checks; absent until they end.
	Health *health.Result `json:"health,omitempty"`
	// Failure is the content of /run/cos/upgrade_failure, which exists if this boot
	// followed a failed trial or another slot stands in for the good one.
	Failure string `json:"upgradeFailure,omitempty"`
	// LastFailure is the newest entry of the history that failed.
	LastFailure *history.Entry  `json:"lastFailure,omitempty"`
	History     []history.Entry `json:"history"` // oldest first
}

// proof collects the files that `kairos-agent settle` left.
func (s *Status) proof(root tree.Root) {
	s.Failure = strings.TrimSpace(read(root, settle.FailureFile))
	s.History = []history.Entry{}
	r, err := health.Read(root)
	switch {
	case err == nil:
		s.Health = r
		s.Problems = append(s.Problems, r.Failures()...)
	case !errors.Is(err, health.ErrNone):
		s.Problems = append(s.Problems, err.Error())
	}
	dir, err := root.Fixed(history.Dir)
	if err == nil {
		var entries []history.Entry
		if entries, err = history.Read(dir); err == nil {
			s.remember(entries)
		}
	}
	if err != nil {
		s.Problems = append(s.Problems, err.Error())
	}
}

func (p *Proof) remember(entries []history.Entry) {
	p.History = append(p.History, entries...)
	for _, e := range slices.Backward(entries) {
		if e.Outcome == history.Failed {
			p.LastFailure = &e
			return
		}
	}
}

func (p Proof) healthLine() string {
	if p.Health == nil {
		return "not known: " + health.ErrNone.Error()
	}
	return p.Health.String()
}

func (p Proof) lastFailureLine() string {
	e := p.LastFailure
	return strings.Join([]string{when(*e), string(e.Kind), what(*e), e.Message}, ", ")
}

// past shows at most the given number of newest entries, the newest last.
func (p Proof) past(row func(...string), most int) {
	if len(p.History) == 0 {
		return
	}
	row("TIME", "EVENT", "SLOT", "MESSAGE")
	for _, e := range p.History[max(0, len(p.History)-most):] {
		row(when(e), string(e.Kind), what(e), e.Message)
	}
}

func when(e history.Entry) string { return e.Time.UTC().Format(time.RFC3339) }

func what(e history.Entry) string { return strings.TrimSpace(string(e.Slot) + " " + e.Version) }
