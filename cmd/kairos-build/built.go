// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/factory"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/framework/commandline"
)

// builtBy is the output folder of the flavor that ref names: the path of a flavor of one's
// own, or the name of a built-in one if nothing else has the name. Any other ref is returned
// as it is.
func builtBy(ref string) (string, error) {
	_, err := os.Stat(ref)
	named := errors.Is(err, fs.ErrNotExist) && slices.Contains(flavors.Names(), ref)
	if !named && !flavors.IsFlavor(ref) {
		return ref, nil
	}
	if !named {
		ref = asArgument(ref)
	}
	f, err := flavors.Open(ref)
	if err != nil {
		return "", commandline.UsageError{Err: err}
	}
	dir := factory.Folder(f.Name, f.Arches()[0])
	if _, err := os.Stat(filepath.Join(dir, "build.json")); err != nil {
		return "", commandline.UsageError{Err: fmt.Errorf("%s was not built here: there is no %s; `kairos-build flavor %s` builds it", f.Name, filepath.Join(dir, "build.json"), ref)}
	}
	return dir, nil
}
