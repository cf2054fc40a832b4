// SPDX-License-Identifier: Apache-2.0

package notary

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/publish"
)

// A Place is something that can be signed: images and what is attached to them.
type Place interface {
	// Attached reads what is attached to a subject.
	Attached(ctx context.Context, s publish.Subject) ([]publish.Attachment, error)
	// Attach attaches something to a subject.
	Attach(ctx context.Context, s publish.Subject, list []publish.Attachment) error
}

// A Reference is what a user named.
type Reference struct {
	Kind Kind
	// Path of a layout or a file; REGISTRY/NAME of an image in a registry, whose tag or
	// digest is Name.
	Path, Name string
}

// A Kind is a kind of place.
type Kind int

// Kinds of places.
const (
	Registry Kind = iota + 1
	Layout        // a folder or a tar
	File          // anything else
)

// Find finds out what a user named: the folder of a build, an OCI layout or a tar of one, a
// file, or else an image in a registry. It takes the prefixes of framework/source, too.
func Find(text string) (Reference, error) {
	scheme, rest, _ := strings.Cut(text, ":")
	switch scheme {
	case "oci":
		return inRegistry(rest)
	case "dir", "ocifile", "file":
		return onDisk(rest)
	}
	if _, err := os.Stat(text); err == nil || strings.HasPrefix(text, "/") || strings.HasPrefix(text, ".") {
		return onDisk(text)
	}
	return inRegistry(text)
}

func onDisk(path string) (Reference, error) {
	info, err := os.Stat(path)
	inside := filepath.Join(path, "image")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Reference{}, badInput(fmt.Errorf("%s: there is no such folder or file", path))
	case err != nil:
		return Reference{}, badInput(err)
	case publish.IsLayout(path):
		return Reference{Kind: Layout, Path: path}, nil
	case info.IsDir() && publish.IsLayout(inside):
		return Reference{Kind: Layout, Path: inside}, nil
	case info.IsDir():
		return Reference{}, badInput(fmt.Errorf("%s is a folder without an image: want the folder of a build, or an OCI layout", path))
	case !info.Mode().IsRegular():
		return Reference{}, badInput(fmt.Errorf("%s is no regular file", path))
	}
	return Reference{Kind: File, Path: path}, nil
}

// inRegistry splits REGISTRY/NAME:TAG and REGISTRY/NAME@DIGEST. publish checks the parts.
func inRegistry(text string) (Reference, error) {
	if repository, digest, ok := strings.Cut(text, "@"); ok {
		if at := strings.LastIndexByte(repository, ':'); at > strings.LastIndexByte(repository, '/') {
			repository = repository[:at] // a tag before a digest is for readers
		}
		return Reference{Registry, repository, digest}, nil
	}
	at := strings.LastIndexByte(text, ':')
	if at <= strings.LastIndexByte(text, '/') {
		return Reference{}, badInput(fmt.Errorf("%q names neither a file nor an image in a registry: want a path, REGISTRY/NAME:TAG or REGISTRY/NAME@sha256:…", text))
	}
	return Reference{Registry, text[:at], text[at+1:]}, nil
}

// Open opens a registry or a layout, and returns the subjects in it. o says how the registry
// is reached; its Target is set here.
func (r Reference) Open(ctx context.Context, o publish.Options) (Place, []publish.Subject, error) {
	switch r.Kind {
	case Layout:
		l, all, err := publish.OpenLayout(r.Path)
		return layoutPlace{l}, all, err
	case Registry:
		o.Target, o.Unsigned = r.Path, true
		p, err := publish.Open(ctx, o)
		if err != nil {
			return nil, nil, err
		}
		all, err := p.Find(ctx, r.Name)
		return registryPlace{p}, all, err
	}
	return nil, nil, badInput(fmt.Errorf("%s is no image: want the folder of a build, an OCI layout, or an image in a registry", r.Path))
}

type layoutPlace struct{ *publish.Layout }

func (p layoutPlace) Attached(_ context.Context, s publish.Subject) ([]publish.Attachment, error) {
	return p.Layout.Attached(s)
}

func (p layoutPlace) Attach(_ context.Context, s publish.Subject, list []publish.Attachment) error {
	return p.Layout.Attach(s, list)
}

type registryPlace struct{ *publish.Publisher }

func (p registryPlace) Attach(ctx context.Context, s publish.Subject, list []publish.Attachment) error {
	_, err := p.Publisher.Attach(ctx, s, list)
	return err
}
