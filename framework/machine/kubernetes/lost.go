// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/config"
)

// lost are the errors in files that may hide what the files say of the node's role: a file
// that is not used at all, a key of Kubernetes that is left out, and an unknown key that is
// nearly one of them. The rest of the config is then no reason to start another role, or
// to stop a service.
func lost(files []config.File) (found config.Problems) {
	for _, f := range files {
		for _, p := range f.Problems.Only(config.Error) {
			if hides(p) {
				found = append(found, p)
			}
		}
	}
	return found
}

func hides(p config.Problem) bool {
	if len(p.Costs) == 0 {
		return true
	}
	return slices.ContainsFunc(keys(), func(key string) bool {
		return slices.Contains(p.Costs, key) || strings.Contains(p.Suggestion, fmt.Sprintf("did you mean %q", key))
	})
}

// keys are those of the config that make the plan. A mistake below one costs all of it.
func keys() []string {
	out := []string{"kubevip"}
	for _, r := range roles() {
		out = append(out, r.key)
	}
	return out
}

// ErrLost says that a mistake hides what the config says of the node's role.
var ErrLost = errors.New("so it is not known which role this node is to have, and nothing is started or stopped; correct the file, then `systemctl restart kairos-kubernetes`")

// lostError is the error of a problem.
func lostError(p config.Problem) error { return fmt.Errorf("%s: %s: %w", p.Position, said(p), ErrLost) }

// said is a problem without its position.
func said(p config.Problem) string {
	text := p.Message
	if p.Path != "" {
		text = p.Path + ": " + text
	}
	if p.Suggestion != "" {
		text += "; " + p.Suggestion
	}
	return text
}
