// SPDX-License-Identifier: Apache-2.0

// Package folder finds files in folders that a person named. filepath.Glob takes
// brackets and stars in such a name for a pattern, and then finds nothing or too
// much; ci/rules keeps it out of this program.
package folder

import (
	"io/fs"
	"os"
	"path/filepath"
)

// Glob lists the paths below dir that match the pattern, sorted. Only pattern is
// a pattern (path.Match); a folder that is not there has nothing.
func Glob(dir, pattern string) ([]string, error) {
	names, err := fs.Glob(os.DirFS(dir), pattern)
	for i, name := range names {
		names[i] = filepath.Join(dir, filepath.FromSlash(name))
	}
	return names, err
}
