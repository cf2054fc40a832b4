// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/mod/semver"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slotimage"
	"github.com/kairos-build/kairos-build/framework/source"
)

// maxPeek is how much of the uppermost layers, in bytes, is pulled to find the
// release file, which the builder puts into the uppermost one.
const maxPeek = 64 << 20

// Keys of the release file that decide whether an image fits.
const (
	keyVersion = "KAIROS_VERSION"
	keyArch    = "KAIROS_ARCH"
	keyFamily  = "KAIROS_FAMILY"
	keyModel   = "KAIROS_MODEL"
	keyFlavor  = "KAIROS_FLAVOR"
	keyRelease = "KAIROS_FLAVOR_RELEASE"
)

// fits checks what the image says of itself, before anything is written.
func (u *run) fits(context.Context) error {
	release, err := u.peek()
	if err != nil {
		return err
	}
	if release == nil {
		u.warn("the image's release file is below more than %d MiB of layers, and it has no labels: it is checked after writing", maxPeek>>20)
		return nil
	}
	u.release = release
	return u.judge(release)
}

// peek reads the release file, or else the labels; nil if there is neither.
func (u *run) peek() (map[string]string, error) {
	limit := int64(math.MaxInt64)
	if strings.HasPrefix(u.Source, "oci:") {
		limit = maxPeek
	}
	name := strings.TrimPrefix(layout.ImageRelease, "/")
	files, complete, err := source.Peek(u.image, limit, name)
	if err != nil {
		return nil, fmt.Errorf("reading the image's release: %w", err)
	}
	if data, ok := files[name]; ok {
		release, err := slotimage.ParseRelease(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", layout.ImageRelease, err)
		}
		return release, checkComplete(release)
	}
	if complete {
		return nil, fmt.Errorf("%s: %w: is this a kairos-build image?", layout.ImageRelease, slotimage.ErrNoRelease)
	}
	return u.labels()
}

// labels are what the builder puts into the configuration besides.
func (u *run) labels() (map[string]string, error) {
	config, err := u.image.ConfigFile()
	if err != nil {
		return nil, err
	}
	l := config.Config.Labels
	flavor, release, _ := strings.Cut(l[ocispec.AnnotationBaseImageName], ":")
	found := map[string]string{
		keyVersion: l[ocispec.AnnotationVersion], keyArch: config.Architecture, keyFamily: l["io.kairos.family"],
		keyModel: l["io.kairos.model"], keyFlavor: flavor, keyRelease: release,
	}
	if checkComplete(found) != nil {
		return nil, nil
	}
	return found, nil
}

// checkComplete names every key that is missing.
func checkComplete(release map[string]string) error {
	var missing []string
	for _, key := range []string{keyVersion, keyArch, keyFamily, keyModel, keyFlavor, keyRelease} {
		if release[key] == "" {
			missing = append(missing, key)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w: %s lacks %s", ErrRelease, layout.ImageRelease, strings.Join(missing, ", "))
	}
	return nil
}

// judge compares the image with the running system.
func (u *run) judge(image map[string]string) error {
	node := u.node.Release
	u.result.Version = image[keyVersion]
	u.result.SameVersion = image[keyVersion] == node[keyVersion]
	all := []error{u.same(image, keyFamily, "family"), u.same(image, keyArch, "architecture")}
	if err := u.same(image, keyModel, "model"); err != nil && !u.Force {
		all = append(all, fmt.Errorf("%w; --force installs it nevertheless", err))
	}
	if err := u.newer(image); err != nil && !u.Force {
		all = append(all, err)
	}
	if a, b := node[keyFlavor], image[keyFlavor]; a != "" && a != b {
		u.warn("the distribution changes from %s to %s", a, b)
	}
	return errors.Join(all...)
}

// same wants the node and the image to agree on a key that the node has.
func (u *run) same(image map[string]string, key, what string) error {
	if have := u.node.Release[key]; have != "" && have != image[key] {
		return fmt.Errorf("%w: its %s is %s, the node's is %s", ErrUnfit, what, image[key], have)
	}
	return nil
}

// newer refuses an older image, and an older release of the same distribution.
func (u *run) newer(image map[string]string) error {
	node := u.node.Release
	older := func(what, from, to string) error {
		return fmt.Errorf("%w: %s %s, the running system has %s; --force installs it nevertheless", ErrDowngrade, what, to, from)
	}
	if node[keyFlavor] == image[keyFlavor] && compareNumbers(image[keyRelease], node[keyRelease]) < 0 {
		return older(image[keyFlavor], node[keyRelease], image[keyRelease])
	}
	from, to := asSemver(node[keyVersion]), asSemver(image[keyVersion])
	if !semver.IsValid(from) || !semver.IsValid(to) {
		if !u.result.SameVersion {
			u.warn("versions %q and %q cannot be compared: which is newer is not known", node[keyVersion], image[keyVersion])
		}
		return nil
	}
	if semver.Compare(to, from) < 0 {
		return older("version", node[keyVersion], image[keyVersion])
	}
	return nil
}

func asSemver(version string) string { return "v" + strings.TrimPrefix(version, "v") }

// compareNumbers compares "12" with "13" and "24.04" with "24.10". What has
// other words than numbers is equal to everything.
func compareNumbers(a, b string) int {
	x, okX := numbers(a)
	y, okY := numbers(b)
	if !okX || !okY {
		return 0
	}
	return slices.CompareFunc(x, y, cmp.Compare[int])
}

func numbers(text string) ([]int, bool) {
	var list []int
	for word := range strings.SplitSeq(text, ".") {
		n, err := strconv.Atoi(word)
		if err != nil {
			return nil, false
		}
		list = append(list, n)
	}
	return list, true
}

// confirm judges by the release file that was written: it is the one that
// counts, whatever labels said.
func (u *run) confirm(written map[string]string) error {
	if err := checkComplete(written); err != nil {
		return err
	}
	for key, told := range u.release {
		if written[key] != told {
			return fmt.Errorf("%w: %s is %q, its labels say %q", ErrRelease, key, written[key], told)
		}
	}
	if u.release != nil {
		return nil
	}
	return u.judge(written)
}
