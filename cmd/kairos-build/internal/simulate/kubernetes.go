// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"context"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/kubernetes"
	"github.com/kairos-build/kairos-build/framework/machine/report"
	"github.com/kairos-build/kairos-build/framework/machine/stages"
)

// kubernetes adds what kairos-kubernetes.service would do for a config that enables a
// role, and returns the warnings about it.
func (s *simulation) kubernetes(ctx context.Context, r *Result) (doubts []Finding) {
	if !kubernetes.Wanted(s.config) {
		return nil
	}
	step := Step{Items: []report.Item{}}
	step.Name, step.Origin = kubernetes.Title(s.config)
	image, err := kubernetes.ReadImage(s.Image)
	if err != nil {
		step.Outcome, step.Message = stages.Failed, err.Error()
	} else {
		m := kubernetes.Machine{Root: s.root, System: nothing{}}
		step.Items = append(step.Items, m.Run(ctx, s.config, s.files, image)...)
		step.Outcome = stages.OutcomeOf(step.Items)
	}
	r.Stages = append(r.Stages, Stage{Stage: "kubernetes", Steps: []Step{step}})
	for _, p := range kubernetes.Check(s.config, &image).Only(config.Warning) {
		doubts = append(doubts, Finding{Warning, p.Position.String(), p.Path + ": " + p.Message})
	}
	return doubts
}
