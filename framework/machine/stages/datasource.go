// SPDX-License-Identifier: Apache-2.0

package stages

import (
	"context"
	"errors"
	"strings"

	"github.com/kairos-build/kairos-build/framework/machine/report"
)

const datasourceKind = "datasource"

// datasource fetches user data. Other steps go on meanwhile: a service may take
// minutes to answer.
func (w *work) datasource(ctx context.Context) {
	d := w.step.Datasource
	if len(d.Providers) == 0 {
		return
	}
	name := strings.Join(d.Providers, ", ")
	switch {
	case w.Dry():
		w.report.Items = append(w.report.Items, report.Item{Kind: datasourceKind, Name: name, Outcome: report.Ran, Message: "not in a dry run", Origin: w.step.Origin.String()})
	case w.Engine.Datasource == nil:
		w.item(datasourceKind, name, false, errors.New("datasources are asked on a node only"), w.step.Origin)
	default:
		stored, changed, err := w.Engine.Datasource(ctx, d)
		w.item(datasourceKind, name, changed, err, w.step.Origin)
		if err == nil && changed {
			w.report.Items[len(w.report.Items)-1].Message = "stored as " + stored + "; users, files and the like in it are applied at the next boot"
		}
	}
}
