// SPDX-License-Identifier: Apache-2.0

// Package inputs keeps the inputs of a build graph. Each input is an OCI image of one
// uncompressed layer in a content store on disk, named by its digest. So the engine,
// embedded or remote, fetches only what it does not have, and the provenance names
// every input.
package inputs

import (
	"archive/tar"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/folder"
	"github.com/kairos-build/kairos-build/framework/ondisk/durable"
)

// generations is how many versions of an input are kept.
const generations = 3

// A Store holds inputs. It is safe for several processes at once. Inputs that were added stay
// until Close at least.
type Store struct {
	content.Store
	keys string
	mu   sync.Mutex
	held []*os.File // key files, see hold
}

// An Input is one image in the store.
type Input struct {
	Name   string        // base, packages, …
	Digest digest.Digest // of the manifest
	Size   int64         // bytes of the layer
	Cached bool          // it was there already
}

// A Source is an input that is not in a store yet.
type Source struct {
	Name string
	Key  []byte // with the epoch and the architecture, decides the content
	// Epoch is set where the files have a time limit of their own, and not that of an image.
	Epoch time.Time
	// Write writes the content, a tar stream, and reports how far it is.
	Write func(ctx context.Context, w io.Writer, report Report) error
}

// StoreKey is the key for Store.Add, in an image whose files have a time limit and an
// architecture.
func (s Source) StoreKey(epoch time.Time, arch string) string {
	if !s.Epoch.IsZero() {
		epoch = s.Epoch
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "1 %d %s\n", epoch.Unix(), arch)
	sum.Write(s.Key)
	return hex.EncodeToString(sum.Sum(nil))
}

// A Report is called with the number of bytes that are done, and their total.
type Report func(done, total int64)

// Ref names the input for llb.OCILayout.
func (i Input) Ref() string { return "kairos-build/" + i.Name + "@" + i.Digest.String() }

// Open opens the store in dir, whose blobs are in blobs, and makes it if needed.
func Open(dir string, blobs content.Store) (*Store, error) {
	keys := filepath.Join(dir, "keys")
	if err := os.MkdirAll(keys, 0o755); err != nil {
		return nil, fmt.Errorf("opening the store of inputs: %w", err)
	}
	return &Store{Store: blobs, keys: keys}, nil
}

var validKey = regexp.MustCompile(`^[a-zA-Z0-9._-]+$`)

// Add stores the tar stream of write as the input name, unless the store holds the
// result for key already. key identifies the content: a digest of everything that
// write depends on.
func (s *Store) Add(ctx context.Context, name, arch, key string, write func(io.Writer) error) (Input, error) {
	if !validKey.MatchString(name) || !validKey.MatchString(key) {
		return Input{}, fmt.Errorf("BUG: input %q with key %q", name, key)
	}
	if in, err := s.lookup(ctx, name, key); err == nil {
		return in, nil
	}
	r, err := s.add(ctx, name, arch, write)
	if err == nil {
		err = s.keep(ctx, name, key, r)
	}
	if err != nil {
		return Input{}, fmt.Errorf("storing input %s: %w", name, err)
	}
	return Input{Name: name, Digest: r.Manifest, Size: r.Size}, nil
}

// record is the content of a key file.
type record struct {
	Manifest digest.Digest   `json:"manifest"`
	Blobs    []digest.Digest `json:"blobs"`
	Size     int64           `json:"size"`
}

// lookup finds an input, and holds it.
func (s *Store) lookup(ctx context.Context, name, key string) (in Input, err error) {
	err = s.alone(func() error {
		path := s.keyFile(name, key)
		r, err := readRecord(path)
		if err != nil {
			return err
		}
		for _, blob := range append(r.Blobs, r.Manifest) {
			if _, err := s.Info(ctx, blob); err != nil {
				return err
			}
		}
		now := time.Now() //nolint:forbidigo // the time of use decides which generations stay
		in = Input{Name: name, Digest: r.Manifest, Size: r.Size, Cached: true}
		return errors.Join(os.Chtimes(path, now, now), s.hold(path))
	})
	return in, err
}

// keep records an input that was added, holds it, and collects old ones. The files of another
// process that added the same meanwhile have the same content.
func (s *Store) keep(ctx context.Context, name, key string, r record) error {
	return s.alone(func() error {
		if err := s.writeKey(name, key, r); err != nil {
			return err
		}
		if err := s.hold(s.keyFile(name, key)); err != nil {
			return err
		}
		return s.collect(ctx, name)
	})
}

func readRecord(path string) (record, error) {
	var r record
	data, err := os.ReadFile(path)
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(data, &r)
}

func (s *Store) keyFile(name, key string) string { return filepath.Join(s.keys, name+"@"+key) }

func (s *Store) add(ctx context.Context, name, arch string, write func(io.Writer) error) (record, error) {
	layer, err := s.stream(ctx, name, write)
	if err != nil {
		return record{}, err
	}
	config, err := s.document(ctx, ocispec.MediaTypeImageConfig, ocispec.Image{
		Platform: ocispec.Platform{OS: "linux", Architecture: arch},
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{layer.Digest}},
	})
	if err != nil {
		return record{}, err
	}
	manifest, err := s.document(ctx, ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: config, Layers: []ocispec.Descriptor{layer},
	})
	if err != nil {
		return record{}, err
	}
	return record{manifest.Digest, []digest.Digest{config.Digest, layer.Digest}, layer.Size}, nil
}

// stream writes the layer blob.
func (s *Store) stream(ctx context.Context, name string, write func(io.Writer) error) (ocispec.Descriptor, error) {
	ref := fmt.Sprintf("%s-%d-%s", name, os.Getpid(), rand.Text())
	w, err := s.Writer(ctx, content.WithRef(ref))
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	if err := write(w); err != nil {
		return ocispec.Descriptor{}, errors.Join(err, w.Close(), s.Abort(context.WithoutCancel(ctx), ref))
	}
	status, err := w.Status()
	if err != nil {
		return ocispec.Descriptor{}, errors.Join(err, w.Close())
	}
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: w.Digest(), Size: status.Offset}
	if err := w.Commit(ctx, desc.Size, desc.Digest); err != nil && !errdefs.IsAlreadyExists(err) {
		return ocispec.Descriptor{}, errors.Join(err, w.Close())
	}
	return desc, w.Close()
}

func (s *Store) document(ctx context.Context, mediaType string, v any) (ocispec.Descriptor, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	ref := fmt.Sprintf("%s-%d", desc.Digest.Encoded(), os.Getpid())
	return desc, content.WriteBlob(ctx, s, ref, strings.NewReader(string(data)), desc)
}

// writeKey writes a key file by rename, unless it is there: another Store may hold it.
func (s *Store) writeKey(name, key string, r record) error {
	if had, err := readRecord(s.keyFile(name, key)); err == nil && had.Manifest == r.Manifest {
		return nil
	}
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return durable.WriteCache(s.keyFile(name, key), data, 0o644)
}

// collect removes all generations of an input but those that were used last and those that a
// build holds, with the blobs that no other key file names.
func (s *Store) collect(ctx context.Context, name string) error {
	old, err := s.oldest(name)
	if err != nil || len(old) == 0 {
		return err
	}
	doomed := map[digest.Digest]bool{}
	for _, path := range old {
		if r, err := readRecord(path); err == nil {
			for _, blob := range append(r.Blobs, r.Manifest) {
				doomed[blob] = true
			}
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	kept, err := folder.Glob(s.keys, "*@*")
	if err != nil {
		return err
	}
	for _, path := range kept {
		if r, err := readRecord(path); err == nil {
			for _, blob := range append(r.Blobs, r.Manifest) {
				delete(doomed, blob)
			}
		}
	}
	for blob := range doomed {
		if err := s.Delete(ctx, blob); err != nil && !errdefs.IsNotFound(err) {
			return err
		}
	}
	return nil
}

// oldest lists the key files of name, except the generations that were used last.
func (s *Store) oldest(name string) ([]string, error) {
	paths, err := folder.Glob(s.keys, name+"@*")
	if err != nil || len(paths) <= generations {
		return nil, err
	}
	used := map[string]time.Time{}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			continue // another process collected it
		}
		used[path] = info.ModTime()
	}
	slices.SortFunc(paths, func(a, b string) int { return used[b].Compare(used[a]) })
	var old []string
	for _, path := range paths[generations:] {
		held, err := isHeld(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if !held {
			old = append(old, path)
		}
	}
	return old, nil
}

// A File is one regular file, symbolic link or directory of a tree.
type File struct {
	Path string // relative, slash-separated
	Mode fs.FileMode
	Data []byte // content of a regular file, if From is empty
	From string // the file to read the content from
	Link string // target, for a symbolic link
	Dir  bool   // a directory, mode 0755
	// Time is the time of change; zero: that of the tree.
	Time time.Time
}

// Tree writes files as a tar stream: sorted, with their directories, owned by root,
// with the time at, unless they have one of their own.
func Tree(w io.Writer, files []File, at time.Time) error {
	files = slices.Clone(files)
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	t := tar.NewWriter(w)
	made := map[string]bool{".": true}
	for _, f := range files {
		dir := filepath.Dir(f.Path)
		if f.Dir {
			dir = f.Path
		}
		if err := parents(t, dir, made, at); err != nil {
			return err
		}
		if f.Dir {
			continue
		}
		if err := f.write(t, at); err != nil {
			return fmt.Errorf("adding %s: %w", f.Path, err)
		}
	}
	return t.Close()
}

func parents(t *tar.Writer, dir string, made map[string]bool, at time.Time) error {
	if made[dir] {
		return nil
	}
	if err := parents(t, filepath.Dir(dir), made, at); err != nil {
		return err
	}
	made[dir] = true
	return t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755, ModTime: at})
}

func (f File) write(t *tar.Writer, at time.Time) error {
	if !f.Time.IsZero() {
		at = f.Time
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Name: f.Path, Mode: int64(Bits(f.Mode)), Size: int64(len(f.Data)), ModTime: at}
	if f.Link != "" {
		h.Typeflag, h.Linkname, h.Size, h.Mode = tar.TypeSymlink, f.Link, 0, 0o777
		return t.WriteHeader(h)
	}
	if f.From != "" {
		return f.copy(t, h)
	}
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	_, err := t.Write(f.Data)
	return err
}

// specialBits are the bits of chmod(2) that fs.FileMode has in other places.
func specialBits() map[fs.FileMode]uint32 {
	return map[fs.FileMode]uint32{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000}
}

// Bits are the bits of chmod(2) of a mode.
func Bits(m fs.FileMode) uint32 {
	bits := uint32(m.Perm())
	for flag, bit := range specialBits() {
		if m&flag != 0 {
			bits |= bit
		}
	}
	return bits
}

// ModeOf is the mode with the bits of chmod(2).
func ModeOf(bits uint32) fs.FileMode {
	m := fs.FileMode(bits & 0o777)
	for flag, bit := range specialBits() {
		if bits&bit != 0 {
			m |= flag
		}
	}
	return m
}

func (f File) copy(t *tar.Writer, h *tar.Header) error {
	from, err := os.Open(f.From)
	if err != nil {
		return err
	}
	defer from.Close()
	info, err := from.Stat()
	if err != nil {
		return err
	}
	h.Size = info.Size()
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.Copy(t, from)
	return err
}
