// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/machine/kubernetes/arguments"
	"github.com/kairos-build/kairos-build/framework/source/release"
)

// An Image is what an image has of Kubernetes.
type Image struct {
	Version   release.Version // the zero Version: there is none
	Arguments arguments.List  // empty: not known
	Images    []string        // absolute paths of archives with the publisher's container images
}

// ReadImage reads the files of an image. root is its root file system, or that of a
// node.
func ReadImage(root fs.FS) (Image, error) {
	var image Image
	line, err := read(root, layout.ImageKubernetes)
	if err != nil || line == nil {
		return image, err
	}
	if image.Version, err = release.Parse(strings.TrimSpace(string(line))); err != nil {
		return image, fmt.Errorf("%s of the image: %w", layout.ImageKubernetes, err)
	}
	list, err := read(root, layout.ImageKubernetesArguments)
	if err != nil {
		return image, err
	}
	if image.Arguments, err = arguments.Parse(list); err != nil {
		return image, fmt.Errorf("%s of the image: %w", layout.ImageKubernetesArguments, err)
	}
	image.Images, err = archives(root)
	return image, err
}

// read returns nil for a file that is not there.
func read(root fs.FS, name string) ([]byte, error) {
	data, err := fs.ReadFile(root, strings.TrimPrefix(name, "/"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

func archives(root fs.FS) ([]string, error) {
	entries, err := fs.ReadDir(root, strings.TrimPrefix(layout.ImageKubernetesImages, "/"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var out []string
	for _, e := range entries {
		if e.Type().IsRegular() {
			out = append(out, path.Join(layout.ImageKubernetesImages, e.Name()))
		}
	}
	return out, err
}
