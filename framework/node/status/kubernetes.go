// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/framework/machine/kubernetes/datastore"
)

// Kubernetes is the node's part in a cluster.
type Kubernetes struct {
	Distribution string `json:"distribution,omitempty"` // of the image: k3s, k0s, or none
	Version      string `json:"version,omitempty"`      // of the image, such as v1.34.1+k3s1
	Role         string `json:"role,omitempty"`         // the key of the config that is enabled
	// Ready: the node is Ready in this boot, with this version. NotReady says why not; both
	// are empty if it is not known, which needs root rights.
	Ready    bool   `json:"ready"`
	NotReady string `json:"notReady,omitempty"`
	// Hidden: the role is not known, since only root can read the config.
	Hidden bool `json:"-"`
	// Copies are those of the datastore, the newest first. Restored is the last restore.
	Copies   []datastore.Copy    `json:"copies,omitempty"`
	Restored *datastore.Restored `json:"restored,omitempty"`
}

// line is what a person looks for first.
func (k Kubernetes) line() string {
	words := []string{strings.TrimSpace(k.Distribution + " " + k.Version)}
	if k.Version == "" {
		words[0] = "not in this image"
	}
	switch {
	case k.Hidden:
		return words[0]
	case k.Role == "" && k.NotReady != "":
		return words[0] + ", not Ready: " + k.NotReady
	case k.Role == "":
		return words[0] + ", no role is enabled"
	case k.Ready:
		return strings.Join(append(words, "role "+k.Role, "Ready"), ", ")
	case k.NotReady != "":
		return strings.Join(append(words, "role "+k.Role, "not Ready: "+k.NotReady), ", ")
	}
	return strings.Join(append(words, "role "+k.Role), ", ")
}

// datastore prints the copies and the last restore.
func (k Kubernetes) datastore(row func(...string)) {
	for i, c := range k.Copies {
		label := ""
		if i == 0 {
			label = "copies"
		}
		row(label, fmt.Sprintf("datastore of %s, from %s, %s, in %s", c.Release, c.Time.UTC().Format(time.RFC3339), Size(c.Bytes), c.Path))
	}
	if k.Restored != nil {
		row("restored", k.Restored.String())
	}
}
