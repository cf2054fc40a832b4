// SPDX-License-Identifier: Apache-2.0

// Package versions makes the programs of Kubernetes and etcd report the versions of a
// release, which come from the environment.
//
// Kubernetes computes what it is compatible with from its version while its packages are
// initialised. So the version is set when this package is: after component-base/version,
// which it imports, and before the others, whose paths come later in the order that the
// language gives to packages that are ready.
package versions

import (
	"os"
	"strings"
	"sync/atomic"
	_ "unsafe" // for the link

	etcd "go.etcd.io/etcd/api/v3/version"
	_ "k8s.io/component-base/version" // is initialised before this package
)

// dynamicGitVersion is Kubernetes' variable with the version that all its programs
// report. Its setter takes no version of another minor than the program was linked with;
// here one build is several releases.
//
//go:linkname dynamicGitVersion k8s.io/component-base/version.dynamicGitVersion
var dynamicGitVersion atomic.Value

var _ = setKubernetes(os.Getenv("STANDIN_VERSION"))

func setKubernetes(text string) bool {
	if text != "" {
		dynamicGitVersion.Store(text)
	}
	return text != ""
}

// SetEtcd makes etcd report a version. It is called before etcd starts.
func SetEtcd() {
	text := os.Getenv("STANDIN_ETCD_VERSION")
	if parts := strings.Split(text, "."); len(parts) == 3 {
		etcd.Version, etcd.APIVersion = text, parts[0]+"."+parts[1]
	}
}
