// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"strings"
	"sync/atomic"
	_ "unsafe" // for the link

	etcdversion "go.etcd.io/etcd/api/v3/version"
)

// dynamicGitVersion is Kubernetes' variable with the version that all its programs
// report. Its setter takes no version of another minor than the program was linked with;
// here one build is several releases.
//
//go:linkname dynamicGitVersion k8s.io/component-base/version.dynamicGitVersion
var dynamicGitVersion atomic.Value

// setVersions makes the programs report the versions of the release.
func setVersions() {
	if text := os.Getenv("STANDIN_VERSION"); text != "" {
		dynamicGitVersion.Store(text)
	}
	text := os.Getenv("STANDIN_ETCD_VERSION")
	if parts := strings.Split(text, "."); len(parts) == 3 {
		etcdversion.Version = text
		etcdversion.APIVersion = parts[0] + "." + parts[1]
	}
}
