// SPDX-License-Identifier: Apache-2.0

package kubernetes

import "github.com/kairos-build/kairos-build/framework/config"

// CheckFiles is Check for the config of one node, which comes from files.
func CheckFiles(files []*config.File, image *Image) config.Problems {
	var used []*config.Config
	for _, f := range files {
		if f.Used() && f.Config != nil {
			used = append(used, f.Config)
		}
	}
	return Check(config.Merge(used...), image)
}

// Judge adds what CheckFiles finds to the files. A problem without a file goes to the
// last one.
func Judge(files []*config.File, image *Image) {
	for _, p := range CheckFiles(files, image) {
		at := files[len(files)-1]
		for _, f := range files {
			if f.Name == p.File {
				at = f
			}
		}
		at.Problems = append(at.Problems, p).Sorted()
	}
}
