// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"fmt"
	"regexp"

	"github.com/kairos-build/kairos-build/framework/source/release"
)

// wanted is what a user asked for. One of release and kubernetes is set, or neither:
// then text is a channel.
type wanted struct {
	text       string
	release    release.Version // v1.34.1+k3s1
	kubernetes string          // v1.34.1
}

var (
	digitFirst = regexp.MustCompile(`^[0-9]`)
	// kubernetesVersion is a version without the number of the release.
	kubernetesVersion = regexp.MustCompile(`^v\d+\.\d+\.\d+(-(alpha|beta|rc)\.?\d+)?$`)
	channelName       = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]*$`)
)

func parseWanted(d release.Distribution, text string) (wanted, error) {
	if digitFirst.MatchString(text) {
		text = "v" + text
	}
	w := wanted{text: text}
	v, err := release.Parse(text)
	switch {
	case err == nil && v.Distribution() != d:
		return w, fmt.Errorf("--%s %s: this is a version of %s: use --%s", d, text, v.Distribution(), v.Distribution())
	case err == nil:
		w.release = v
	case kubernetesVersion.MatchString(text) && rebuild(d, text, 0) != release.Version{}:
		w.kubernetes = text
	case !channelName.MatchString(text):
		return w, fmt.Errorf("--%s %q: want a channel (v1.34, stable, latest), a version of Kubernetes (v1.34.1) or a release (%s)", d, text, rebuild(d, "v1.34.1", 1))
	}
	return w, nil
}

// rebuild is the release with a number and a version of Kubernetes, or the zero
// Version if the version is wrong.
func rebuild(d release.Distribution, kubernetes string, number int) release.Version {
	form := "%s+k3s%d"
	if d == release.K0s {
		form = "%s+k0s.%d"
	}
	v, err := release.Parse(fmt.Sprintf(form, kubernetes, number))
	if err != nil {
		return release.Version{}
	}
	return v
}
