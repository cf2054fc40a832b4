// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	"google.golang.org/protobuf/proto"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/evidence"
)

// check reads the graph as BuildKit does, and makes sure that the provenance is complete:
// each source of the graph is named by its digest, and is one of the inputs. hermetic tells
// whether no step has a network.
func (b *build) check(definition *llb.Definition) (hermetic bool, err error) {
	hermetic = true
	for _, data := range definition.Def {
		var op pb.Op
		if err := proto.Unmarshal(data, &op); err != nil {
			return false, fmt.Errorf("reading the graph: %w", err)
		}
		if exec := op.GetExec(); exec != nil && exec.GetNetwork() != pb.NetMode_NONE {
			hermetic = false
		}
		if source := op.GetSource(); source != nil && !b.origins.has(source.GetIdentifier()) {
			return false, fmt.Errorf("BUG: the graph takes %s, which is none of the inputs", source.GetIdentifier())
		}
	}
	return hermetic, nil
}

// has tells whether a source of the graph, such as oci-layout://NAME@sha256:<hex>, is one of
// the inputs.
func (o *origins) has(identifier string) bool {
	_, digest, pinned := strings.Cut(identifier, "@sha256:")
	known := func(r evidence.Resource) bool { return r.Digest["sha256"] == digest }
	return pinned && (slices.ContainsFunc(o.inputs, known) || o.base != nil && o.base.Digest == "sha256:"+digest)
}
