// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/semver"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/osrelease"
	"github.com/kairos-build/kairos-build/framework/slot/slotimage"
	"github.com/kairos-build/kairos-build/framework/source"
)

// Keys of the release file that an image must have.
const (
	keyVersion = "KAIROS_VERSION"
	keyArch    = "KAIROS_ARCH"
	keyFamily  = "KAIROS_FAMILY"
	keyModel   = "KAIROS_MODEL"
	keyFlavor  = "KAIROS_FLAVOR"
	keyRelease = "KAIROS_FLAVOR_RELEASE"
)

// keyKubernetes is the release of k3s or k0s in an image; an image without has no such key.
const keyKubernetes = "KAIROS_SOFTWARE_VERSION"

// fits checks whether the image fits the node, before anything is written. The image's
// release file decides, because the node will have it. It is in the topmost layers if
// the builder put it there last.
func (u *run) fits(ctx context.Context) error {
	name, cmdline := strings.TrimPrefix(layout.ImageRelease, "/"), strings.TrimPrefix(layout.ImageCmdline, "/")
	layers, err := source.Layers(u.image, nil)
	if err != nil {
		return err
	}
	u.limit(layers)
	files, err := source.FilesIn(layers, name, cmdline)
	if err != nil {
		return fmt.Errorf("reading the image's release and kernel arguments: %w", err)
	}
	data, ok := files[name]
	if !ok {
		return fmt.Errorf("%s: %w: is this a kairos-build image?", layout.ImageRelease, slotimage.ErrNoRelease)
	}
	if u.release, err = osrelease.Parse(data); err != nil {
		return fmt.Errorf("%s: %w", layout.ImageRelease, err)
	}
	if err := checkComplete(u.release); err != nil {
		return err
	}
	if _, err := slotimage.ParseCmdline(files[cmdline], u.node.BootLoader); err != nil {
		return err
	}
	labels, err := u.compareLabels()
	if err != nil {
		return err
	}
	return errors.Join(u.bind(labels), u.judge(u.release), u.askNode(ctx))
}

// askNode asks for reasons that only the node knows.
func (u *run) askNode(ctx context.Context) error {
	if u.node.Against == nil {
		return nil
	}
	var all []error
	for _, reason := range u.node.Against(ctx, u.release[keyKubernetes]) {
		if u.Force {
			u.warn("%v", reason)
			continue
		}
		all = append(all, fmt.Errorf("%w; --force installs it nevertheless", reason))
	}
	return errors.Join(all...)
}

// compareLabels says which of our labels differ from the release file: people and
// registries read them. It ignores all other labels.
func (u *run) compareLabels() (wrong []string, err error) {
	config, err := u.image.ConfigFile()
	if err != nil {
		return nil, err
	}
	labels := layout.ReleaseLabels()
	labels[keyKubernetes] = layout.LabelKubernetes
	for _, key := range append(keys(), keyKubernetes) {
		if told, ok := config.Config.Labels[labels[key]]; ok && told != u.release[key] {
			wrong = append(wrong, fmt.Sprintf("the image's label %s is %q, its release file has %s=%q", labels[key], told, key, u.release[key]))
		}
	}
	return wrong, nil
}

// keys returns the keys that an image must have.
func keys() []string {
	return []string{keyVersion, keyArch, keyFamily, keyModel, keyFlavor, keyRelease}
}

// checkComplete names every key that is missing.
func checkComplete(release map[string]string) error {
	var missing []string
	for _, key := range keys() {
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
		if u.Force {
			u.warn("the distribution changes from %s to %s", a, b)
		} else {
			all = append(all, fmt.Errorf("%w; --force installs it nevertheless", u.same(image, keyFlavor, "distribution")))
		}
	}
	return errors.Join(all...)
}

// same requires the image to agree with the node on a key that the node has.
func (u *run) same(image map[string]string, key, what string) error {
	if have := u.node.Release[key]; have != "" && have != image[key] {
		return fmt.Errorf("%w: its %s is %s, the node's is %s", ErrUnfit, what, image[key], have)
	}
	return nil
}

// newer refuses an image that is older than the running system, or than the floor: the
// newest that was good on this node.
func (u *run) newer(image map[string]string) error {
	if err := u.notOlder(image, u.node.Release, "the running system has"); err != nil {
		return err
	}
	if len(u.node.Floor) == 0 {
		return nil
	}
	return u.notOlder(image, u.node.Floor, "this node had")
}

// notOlder refuses an older image, and an older release of the same distribution.
func (u *run) notOlder(image, known map[string]string, whose string) error {
	older := func(what, from, to string) error {
		return fmt.Errorf("%w: %s %s, %s %s; --force installs it nevertheless", ErrDowngrade, what, to, whose, from)
	}
	if known[keyFlavor] == image[keyFlavor] && compareNumbers(image[keyRelease], known[keyRelease]) < 0 {
		return older(image[keyFlavor], known[keyRelease], image[keyRelease])
	}
	from, to := asSemver(known[keyVersion]), asSemver(image[keyVersion])
	switch {
	case semver.IsValid(from) && !semver.IsValid(to):
		return fmt.Errorf("%w, or that is not known: its version %q cannot be compared with %s, which %s; --force installs it nevertheless", ErrDowngrade, image[keyVersion], known[keyVersion], whose)
	case !semver.IsValid(from):
		if known[keyVersion] != image[keyVersion] {
			u.warn("versions %q and %q cannot be compared: which is newer is not known", known[keyVersion], image[keyVersion])
		}
	case semver.Compare(to, from) < 0:
		return older("version", known[keyVersion], image[keyVersion])
	}
	return nil
}

func asSemver(version string) string { return "v" + strings.TrimPrefix(version, "v") }

// compareNumbers compares "12" with "13" and "24.04" with "24.10". A text with anything
// but numbers counts as equal to every other.
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

// confirm requires the release file in the slot to be the one that was judged.
func (u *run) confirm(made map[string]string) error {
	for _, key := range append(keys(), keyKubernetes) {
		if made[key] != u.release[key] {
			return fmt.Errorf("%w: BUG: %s of the slot is %q, that of the image was %q", ErrRelease, key, made[key], u.release[key])
		}
	}
	return nil
}
