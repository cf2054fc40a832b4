// SPDX-License-Identifier: Apache-2.0

// Package source opens an OCI image wherever it is, for the builder and for the
// node: in a registry, in an OCI layout folder, in a tar of such a folder, or
// in a folder with a root file system, which becomes an image of one layer. It
// only reads, keeps no more than a few megabytes in memory, and trusts only
// digests.
//
// # What is checked
//
// Every blob must have the digest and the size of its descriptor. Indexes,
// manifests and configurations are checked before they are used, layers while they
// are read. A layer that was read to its end without an error is the one that the
// manifest and the configuration name. So the digest of an image vouches for all
// of it. Two documents have no descriptor and are taken as they are: the index.json
// of a layout, and the document that a registry gives for a tag.
//
// # Registries
//
// A request that breaks off or stalls is sent again, with a Range for the rest of
// a blob. Mirrors are asked before the registry itself. Credentials come from a
// docker-style config.json, proxies from the environment. Options has the details.
//
// The name of an image is resolved once: what follows is asked for by digest. So nothing
// that a registry says later about a tag changes what is read. Image.Chain has the digests
// that lead from the name to the image's manifest.
//
// # Signatures
//
// Image.Evidence returns what is stored beside an image: signatures and attestations. The
// package does not judge them, and writes nothing anywhere.
package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Open returns the linux image that ref names, for the architecture in o:
//
//	oci:REF       an image in a registry
//	dir:PATH      a folder with an OCI layout, or with a root file system that
//	              has /etc/kairos-release and /boot/vmlinuz
//	ocifile:FILE  a tar of an OCI layout, not compressed
//	file:PATH     the same, or a folder with an OCI layout
//	anything else a folder or file as above, if there is one, or a REF
//
// The context bounds all reading from the image, also after Open has returned.
func Open(ctx context.Context, ref string, o Options) (v1.Image, error) {
	image, err := Resolve(ctx, ref, o)
	if err != nil {
		return nil, err
	}
	return image.Image, nil
}

// An Image is an image and the place where it is.
type Image struct {
	v1.Image
	// Name and Tag are what was asked for in a registry: registry.example.org/edge/node
	// and v2. Both are empty for an image that is not in a registry, and Tag for one that
	// was asked for by digest.
	Name, Tag string
	// Chain has the digests from the document that the name stood for down to the image's
	// manifest, such as those of an index and of a manifest in it. A signature of any of
	// them is a signature of the image.
	Chain []v1.Hash

	shelves []shelf // where to look for evidence, in order
}

// Resolve is Open, with what is known about the place.
func Resolve(ctx context.Context, ref string, o Options) (*Image, error) {
	o = o.withDefaults()
	scheme, rest, _ := strings.Cut(ref, ":")
	switch scheme {
	case "oci":
		return pull(ctx, rest, o)
	case "dir":
		return folder(ctx, rest, o)
	case "ocifile", "file":
		return local(rest, o, scheme == "file")
	}
	_, err := os.Stat(ref)
	switch {
	case err == nil:
		return local(ref, o, true)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	case looksLikePath(ref):
		return nil, fmt.Errorf("%s: %w: there is no such folder or file", ref, ErrNotFound)
	}
	return pull(ctx, ref, o)
}

// local opens a tar of a layout or, if folders is true, a layout folder.
func local(path string, o Options, folders bool) (*Image, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: %w: there is no such folder or file", path, ErrNotFound)
	case err != nil:
		return nil, err
	case info.Mode()&fs.ModeNamedPipe != 0:
		return nil, fmt.Errorf("%s: %w: it is a pipe, and is read more than once", path, ErrNotImage)
	case !info.IsDir():
		return archive(path, o.platform())
	case folders:
		return layoutImage(path, o.platform())
	}
	return nil, fmt.Errorf("%s: %w: it is a folder; open it as dir:%s", path, ErrNotImage, path)
}

// folder opens a layout or a root file system.
func folder(ctx context.Context, dir string, o Options) (*Image, error) {
	has := func(name string) bool {
		_, err := os.Lstat(filepath.Join(dir, name))
		return err == nil
	}
	switch {
	case !has("."):
		return nil, fmt.Errorf("%s: %w: there is no such folder", dir, ErrNotFound)
	case has("index.json"):
		return layoutImage(dir, o.platform())
	case has("etc/kairos-release") && has("boot/vmlinuz"):
		return plain(root(ctx, dir, o.platform()))
	}
	return nil, fmt.Errorf("%s: %w: want an OCI layout (index.json) or a root file system (etc/kairos-release and boot/vmlinuz)", dir, ErrNotImage)
}

// looksLikePath tells a path from a registry reference, which never begins
// with a slash or a dot and has no ".tar" at the end.
func looksLikePath(ref string) bool {
	return strings.HasPrefix(ref, "/") || strings.HasPrefix(ref, ".") || strings.HasSuffix(ref, ".tar")
}

// plain is an image that nothing is stored beside.
func plain(image v1.Image, err error) (*Image, error) {
	if err != nil {
		return nil, err
	}
	digest, err := image.Digest()
	if err != nil {
		return nil, err
	}
	return &Image{Image: image, Chain: []v1.Hash{digest}}, nil
}
