// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"errors"
	"io/fs"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/kubernetes"
	"github.com/kairos-build/kairos-build/framework/source/release"
)

// checkRelease is checkKubernetes before there is an image: v is what it will have, or the
// zero Version.
func checkRelease(configs []cloudConfig, v release.Version) error {
	return checkKubernetes(configs, kubernetes.Image{Version: v})
}

// checkKubernetes finds out whether an image has the Kubernetes that the cloud-configs of
// a disk enable.
func checkKubernetes(configs []cloudConfig, image kubernetes.Image) error {
	var files []*config.File
	for i := range configs {
		files = append(files, &configs[i].file)
	}
	var errs []error
	for _, p := range kubernetes.CheckFiles(files, &image) {
		if p.Severity == config.Error {
			errs = append(errs, errors.New(p.Detail()))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return badInput(err)
	}
	return nil
}

// checkKubernetesOf is checkKubernetes with all that a finished image says.
func checkKubernetesOf(configs []cloudConfig, root *rootImage) error {
	if len(configs) == 0 {
		return nil
	}
	return root.read(func(files fs.FS) error {
		image, err := kubernetes.ReadImage(files)
		if err != nil {
			return err
		}
		return checkKubernetes(configs, image)
	})
}
