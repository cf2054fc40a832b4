// SPDX-License-Identifier: Apache-2.0

// Package images makes the images for tests: one static program, two names.
package images

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Names of the images, as the nodes ask for them.
const (
	K3sPause = "rancher/mirrored-pause:3.6"
	K0sPause = "k0sproject/pause:3.10.2-0"
	Server   = "kairos-build/server:1"
)

// Write writes an archive, as `docker save` does, with a pause image of the given name
// and the server. The same program gives the same bytes.
func Write(file, program, pause string) error {
	binary, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	archive := map[name.Reference]v1.Image{}
	for reference, path := range map[string]string{pause: "pause", Server: "server"} {
		tag, err := name.NewTag(reference)
		if err != nil {
			return err
		}
		if archive[tag], err = image(binary, path); err != nil {
			return err
		}
	}
	var b bytes.Buffer
	if err := tarball.MultiRefWrite(archive, &b); err != nil {
		return err
	}
	sorted, err := inOrder(&b)
	if err != nil {
		return err
	}
	return os.WriteFile(file, sorted, 0o644)
}

// inOrder sorts the files of an archive and the entries of its manifest, which come in
// the order of a map.
func inOrder(archive io.Reader) ([]byte, error) {
	files := map[string][]byte{}
	for r := tar.NewReader(archive); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if files[header.Name], err = io.ReadAll(r); err != nil {
			return nil, err
		}
	}
	var manifest tarball.Manifest
	if err := json.Unmarshal(files["manifest.json"], &manifest); err != nil {
		return nil, err
	}
	slices.SortFunc(manifest, func(a, b tarball.Descriptor) int { return slices.Compare(a.RepoTags, b.RepoTags) })
	var err error
	if files["manifest.json"], err = json.Marshal(manifest); err != nil {
		return nil, err
	}
	return pack(files)
}

func pack(files map[string][]byte) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name]))}); err != nil {
			return nil, err
		}
		if _, err := w.Write(files[name]); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return b.Bytes(), err
}

func image(binary []byte, path string) (v1.Image, error) {
	layer, err := layer(binary, path)
	if err != nil {
		return nil, err
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.Architecture, config.OS = "amd64", "linux"
	config.Config.Entrypoint = []string{"/" + path}
	config.Config.User = "65535:65535"
	return mutate.ConfigFile(img, config)
}

func layer(binary []byte, path string) (v1.Layer, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: path, Mode: 0o755, Size: int64(len(binary))}); err != nil {
		return nil, err
	}
	if _, err := w.Write(binary); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
}
