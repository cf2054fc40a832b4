// SPDX-License-Identifier: Apache-2.0

package kubernetes

import "github.com/kairos-build/kairos-build/framework/config"

// Judge adds what Check finds in the config of one node to the files that it comes from.
// image is nil if it is not known. A
// problem without a file goes to the last one.
func Judge(files []*config.File, image *Image) {
	if len(files) == 0 {
		return
	}
	var used []*config.Config
	for _, f := range files {
		if f.Used() && f.Config != nil {
			used = append(used, f.Config)
		}
	}
	for _, p := range Check(config.Merge(used...), image) {
		at := files[len(files)-1]
		for _, f := range files {
			if f.Name == p.File {
				at = f
			}
		}
		at.Problems = append(at.Problems, p).Sorted()
	}
}
