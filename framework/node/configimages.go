// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/stages"
	"github.com/kairos-build/kairos-build/framework/node/status"
	"github.com/kairos-build/kairos-build/framework/source"
	"github.com/kairos-build/kairos-build/framework/source/policy"
)

// Remarks on images that a config unpacks. The status has the first as a problem.
const (
	remarkUnverified = "NOT VERIFIED, with insecure_skip_verify: nobody vouches for this image"
	remarkNoPolicy   = "not verified: this node has no policy"
	remarkPinned     = "named by its digest"
)

// configImage opens an image that a config unpacks, if it may be: a digest in the config
// names the bytes; everything else must be signed by somebody whom the policy trusts. A node
// without a policy unpacks what its config says, as Kairos does: no upgrade is possible
// there, and a config is as mighty as an image.
func (n *Node) configImage(ctx context.Context, u config.UnpackImage) (v1.Image, string, error) {
	image, err := source.Resolve(ctx, u.Source.Text, source.Options{Arch: stages.Arch(u)})
	if err != nil {
		return nil, "", err
	}
	remark, err := n.judgeConfigImage(ctx, u, image)
	if err != nil {
		return nil, "", fmt.Errorf("%w; name the image by its digest, or see insecure_skip_verify in docs/stages.md", err)
	}
	return image, remark, nil
}

func (n *Node) judgeConfigImage(ctx context.Context, u config.UnpackImage, image *source.Image) (remark string, err error) {
	switch current, mistake := n.Policy(); {
	case u.SkipVerify:
		return remarkUnverified, nil
	case image.Name != "" && image.Tag == "":
		return remarkPinned, nil
	case current == nil && mistake == nil:
		return remarkNoPolicy, nil
	case current == nil:
		return "", fmt.Errorf("%w: %w", policy.ErrNone, mistake)
	default:
		reasons, err := policy.Judge{Policy: current}.Signed(ctx, image)
		return strings.Join(reasons, "; "), err
	}
}

// addConfigImages adds the images that the config of this boot unpacked without verification.
func addConfigImages(s *status.Status) {
	if s.Stages == nil {
		return
	}
	for _, i := range s.Stages.Items() {
		if i.Message == remarkUnverified {
			s.Problems = append(s.Problems, fmt.Sprintf("%s: unpack_images: %s", i.Origin, i.Message))
		}
	}
}
