// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/kairos-build/kairos-build/ci/kubernetes/bundle"
	"github.com/kairos-build/kairos-build/ci/kubernetes/images"
)

// A mirror is a folder that is made.
type mirror struct {
	folder, shell, programs, container string
	versions                           []string // in order of the arguments
}

func (m *mirror) add(r bundle.Release) error {
	programs, links, err := programsIn(m.programs)
	if err != nil {
		return err
	}
	r.Links = links
	folder := filepath.Join(m.folder, r.Version)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	files := namesOf(r.Version)
	if err := bundle.Write(filepath.Join(folder, files.program), r, bundle.Contents{Launcher: m.shell, Programs: programs}); err != nil {
		return err
	}
	if err := m.images(filepath.Join(folder, files.images), files.pause); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, files.list), []byte(files.pause+"\n"+images.Server+"\n"), 0o644); err != nil {
		return err
	}
	m.versions = append(m.versions, r.Version)
	return files.writeSums(folder)
}

// names are those of a release's files for amd64.
type names struct {
	program, images, list, sums string
	separator                   string // between a checksum and a name
	pause                       string
}

func namesOf(version string) names {
	if distribution(version) == "k0s" {
		return names{
			"k0s-" + version + "-amd64", "k0s-airgap-bundle-" + version + "-linux-amd64.tar", "airgap-images-linux-amd64.txt",
			"sha256sums.txt", " *", images.K0sPause,
		}
	}
	return names{"k3s", "k3s-airgap-images-amd64.tar.zst", "k3s-images.txt", "sha256sum-amd64.txt", "  ", images.K3sPause}
}

// images writes the archive of images. k0s' is a docker archive here and an OCI layout
// from the publisher; k0s reads both.
func (m *mirror) images(file, pause string) error {
	if filepath.Ext(file) != ".zst" {
		return images.Write(file, m.container, pause)
	}
	plain := strings.TrimSuffix(file, ".zst")
	if err := images.Write(plain, m.container, pause); err != nil {
		return err
	}
	return errors.Join(compress(plain, file), os.Remove(plain))
}

func compress(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	return os.WriteFile(to, encoder.EncodeAll(data, nil), 0o644)
}

func (n names) writeSums(folder string) error {
	var text strings.Builder
	for _, name := range []string{n.program, n.images} {
		sum, err := sumOf(filepath.Join(folder, name))
		if err != nil {
			return err
		}
		fmt.Fprintf(&text, "%s%s%s\n", sum, n.separator, name)
	}
	return os.WriteFile(filepath.Join(folder, n.sums), []byte(text.String()), 0o644)
}

func sumOf(name string) (string, error) {
	file, err := os.Open(name)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	_, err = io.Copy(sum, file)
	return hex.EncodeToString(sum.Sum(nil)), errors.Join(err, file.Close())
}

// writeChannels writes the files about channels of each distribution that has a version.
func (m *mirror) writeChannels() error {
	var k3s, k0s []string
	for _, version := range m.versions {
		if distribution(version) == "k0s" {
			k0s = append(k0s, version)
		} else {
			k3s = append(k3s, version)
		}
	}
	return errors.Join(m.writeK3sChannels(k3s), m.writeK0sChannels(k0s))
}

// writeK3sChannels writes the JSON of k3s' channel server.
func (m *mirror) writeK3sChannels(versions []string) error {
	type channel struct {
		ID     string `json:"id"`
		Name   string `json:"name"`
		Latest string `json:"latest"`
	}
	latest := map[string]string{} // channel -> version
	for _, version := range versions {
		parts := strings.SplitN(version, ".", 3)
		for _, name := range []string{"stable", "latest", parts[0] + "." + parts[1]} {
			latest[name] = version
		}
	}
	var list []channel
	for _, name := range sortedKeys(latest) {
		list = append(list, channel{name, name, latest[name]})
	}
	if len(list) == 0 {
		return nil
	}
	return m.writeJSON("channels", map[string]any{"type": "collection", "data": list})
}

// writeK0sChannels writes the stable version of k0s and the list of its versions.
func (m *mirror) writeK0sChannels(versions []string) error {
	type release struct {
		Version string `json:"version"`
	}
	var list []release
	for _, version := range versions {
		list = append(list, release{version})
	}
	if len(list) == 0 {
		return nil
	}
	stable := versions[len(versions)-1] + "\n"
	return errors.Join(os.WriteFile(filepath.Join(m.folder, "stable.txt"), []byte(stable), 0o644), m.writeJSON("versions.json", list))
}

func (m *mirror) writeJSON(name string, value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(m.folder, name), data, 0o644)
}
