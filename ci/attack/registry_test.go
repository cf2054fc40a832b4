// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kairos-build/kairos-build/ci/testimage"
	"github.com/kairos-build/kairos-build/framework/grub/bootconf"
	"github.com/kairos-build/kairos-build/framework/slot/slotimage"
	"github.com/kairos-build/kairos-build/framework/source"
)

const repository = "edge/node"

// A lie answers a request in the place of the registry, if it returns true. next is the
// honest registry.
type lie func(w http.ResponseWriter, r *http.Request, next http.Handler) bool

// A kit is what a scenario has: a registry that can lie, a node, and two signers.
type kit struct {
	t                 *testing.T
	server            *httptest.Server
	trusted, stranger *testimage.Signer
	lie               lie
	tag               string
	policy            string            // of the node; "-" for none
	floor             string            // what the node remembers
	files             map[string]string // more files of the node, by path
	env               []string
	args              []string
	source            string // default: the tag in the registry
	check             func() // after the upgrade

	mu    sync.Mutex
	asked map[string]int // requests by path
}

func newKit(t *testing.T, trusted, stranger *testimage.Signer) *kit {
	t.Helper()
	k := &kit{t: t, trusted: trusted, stranger: stranger, tag: "v1", asked: map[string]int{}}
	k.server = httptest.NewServer(k.serve())
	t.Cleanup(k.server.Close)
	return k
}

func (k *kit) serve() http.Handler {
	honest := registry.New(registry.Logger(slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)), registry.WithReferrersSupport(true))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.mu.Lock()
		k.asked[r.Method+" "+r.URL.Path]++
		lie := k.lie
		k.mu.Unlock()
		if lie == nil || !lie(w, r, honest) {
			honest.ServeHTTP(w, r)
		}
	})
}

func (k *kit) host() string { return k.server.Listener.Addr().String() }

func (k *kit) ref(tag string) name.Reference {
	k.t.Helper()
	ref, err := name.ParseReference(k.host() + "/" + repository + ":" + tag)
	if err != nil {
		k.t.Fatal(err)
	}
	return ref
}

func (k *kit) digest(of interface{ Digest() (v1.Hash, error) }) v1.Hash {
	k.t.Helper()
	h, err := of.Digest()
	if err != nil {
		k.t.Fatal(err)
	}
	return h
}

// push puts an image under the tag that the node asks for.
func (k *kit) push(image v1.Image) v1.Image {
	k.t.Helper()
	if err := remote.Write(k.ref(k.tag), image); err != nil {
		k.t.Fatal(err)
	}
	return image
}

// sign signs in the old format.
func (k *kit) sign(s *testimage.Signer, image v1.Image) {
	k.t.Helper()
	k.attachTag(image, must(s.Legacy(k.digest(image))))
}

// attachTag stores a signature in the old format for an image.
func (k *kit) attachTag(image, signature v1.Image) {
	k.t.Helper()
	if err := remote.Write(k.ref(testimage.SignatureTag(k.digest(image))), signature); err != nil {
		k.t.Fatal(err)
	}
}

// trust pushes an image and signs it with the trusted key.
func (k *kit) trust(image v1.Image) v1.Image {
	k.t.Helper()
	k.push(image)
	k.sign(k.trusted, image)
	return image
}

// attest signs a statement about an image, in the new format.
func (k *kit) attest(s *testimage.Signer, image v1.Image, subject v1.Hash, kind string, predicate any) {
	k.t.Helper()
	k.attach(must(s.Bundle(k.descriptor(image), subject, kind, predicate)))
}

func (k *kit) descriptor(image v1.Image) v1.Descriptor {
	k.t.Helper()
	return *must(partial.Descriptor(image))
}

// attach stores something that refers to an image.
func (k *kit) attach(referrer v1.Image) {
	k.t.Helper()
	ref := k.ref("x").Context().Digest(k.digest(referrer).String())
	if err := remote.Write(ref, referrer); err != nil {
		k.t.Fatal(err)
	}
}

// on lies about requests whose path ends in one of these.
func (k *kit) on(answer func(w http.ResponseWriter, r *http.Request), ends ...string) {
	k.lie = func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if r.Method != http.MethodGet || !slices.ContainsFunc(ends, func(end string) bool { return strings.HasSuffix(r.URL.Path, end) }) {
			return false
		}
		answer(w, r)
		return true
	}
}

// changed answers with what the honest registry has after change.
func (k *kit) changed(change func([]byte) []byte, ends ...string) {
	k.lie = func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
		if r.Method != http.MethodGet || !slices.ContainsFunc(ends, func(end string) bool { return strings.HasSuffix(r.URL.Path, end) }) {
			return false
		}
		rec := httptest.NewRecorder()
		next.ServeHTTP(rec, r)
		body := change(rec.Body.Bytes())
		maps.Copy(w.Header(), rec.Header())
		w.Header().Del("Docker-Content-Digest")
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		w.WriteHeader(rec.Code)
		_, _ = w.Write(body)
		return true
	}
}

// layerOf is the end of the path of a layer.
func (k *kit) layerOf(image v1.Image, i int) string {
	k.t.Helper()
	m := must(image.Manifest())
	return "/blobs/" + m.Layers[(i+len(m.Layers))%len(m.Layers)].Digest.String()
}

func flip(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)/2] ^= 1
	return b
}

// must is for values that a test makes. A test that cannot make them ends with the reason.
func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("BUG: the test's own material: %v", err))
	}
	return v
}

// release is the release file of the honest image with changes: see testimage.Release.
func release(changes ...string) map[string]string { return testimage.Release(changes...) }

func text(release map[string]string) string { return testimage.ReleaseText(release) }

// image is an image for the node, with layers on top.
func image(release map[string]string, more ...v1.Layer) v1.Image {
	layers := append([]v1.Layer{
		layer(testimage.File("boot/vmlinuz", noise(64<<10, 1)), testimage.File("boot/initrd", noise(64<<10, 2)), testimage.File("usr/lib/large", noise(1<<20, 3))),
		layer(testimage.File("etc/kairos-release", text(release)), testimage.File("usr/lib/kairos/cmdline", "quiet\n")),
	}, more...)
	return must(testimage.For(must(mutate.AppendLayers(empty.Image, layers...)), "amd64"))
}

// recorded adds the builder's record.
func recorded(t *testing.T, image v1.Image) v1.Image {
	t.Helper()
	layers := must(source.Layers(image, nil))
	root := must(slotimage.Write(t.Context(), discard{}, layers, bootconf.Loader{}))
	return mutate.Annotations(image, root.Record(layers, bootconf.Loader{})).(v1.Image)
}

// discard is an image that nobody reads.
type discard struct{}

func (discard) WriteAt(b []byte, _ int64) (int, error) { return len(b), nil }
func (discard) ReadAt([]byte, int64) (int, error)      { return 0, io.EOF }

func layer(entries ...testimage.Entry) v1.Layer { return must(testimage.Layer(entries...)) }

// entry is an entry of a layer.
func entry(kind byte, name string, edit func(*tar.Header)) testimage.Entry {
	h := tar.Header{Typeflag: kind, Name: name, Mode: 0o755, Format: tar.FormatPAX}
	if edit != nil {
		edit(&h)
	}
	return testimage.Entry{Header: h}
}

// stream is a layer of a tar that fill writes.
func stream(fill func(w *tar.Writer) error) v1.Layer {
	var b bytes.Buffer
	z := must(gzip.NewWriterLevel(&b, gzip.BestSpeed))
	sum := sha256.New()
	w := tar.NewWriter(io.MultiWriter(z, sum))
	if err := errors.Join(fill(w), w.Close(), z.Close()); err != nil {
		panic(fmt.Sprintf("BUG: %v", err))
	}
	return packed{b.Bytes(), v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum.Sum(nil))}}
}

// bytesLayer is a layer with any bytes in the place of a tar.
func bytesLayer(data []byte) v1.Layer {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	must(z.Write(data))
	if err := z.Close(); err != nil {
		panic(err)
	}
	id, _, _ := v1.SHA256(bytes.NewReader(data))
	return packed{b.Bytes(), id}
}

// packed is a layer as it is stored.
type packed struct {
	data []byte
	id   v1.Hash
}

func (p packed) Digest() (v1.Hash, error) {
	h, _, err := v1.SHA256(bytes.NewReader(p.data))
	return h, err
}
func (p packed) DiffID() (v1.Hash, error) { return p.id, nil }
func (p packed) Compressed() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(p.data)), nil
}
func (p packed) Uncompressed() (io.ReadCloser, error) { return gzip.NewReader(bytes.NewReader(p.data)) }
func (p packed) Size() (int64, error)                 { return int64(len(p.data)), nil }
func (p packed) MediaType() (types.MediaType, error)  { return types.OCILayer, nil }

// noise is text that does not compress.
func noise(n int, seed uint32) string {
	b := make([]byte, n)
	for i := range b {
		seed = seed*1664525 + 1013904223
		b[i] = byte(seed >> 24)
	}
	return string(b)
}

// labeled adds labels, given as keys and values.
func labeled(image v1.Image, labels ...string) v1.Image {
	config := must(image.ConfigFile()).Config
	config.Labels = map[string]string{}
	for i := 0; i < len(labels); i += 2 {
		config.Labels[labels[i]] = labels[i+1]
	}
	return must(mutate.Config(image, config))
}

// added puts a layer on top and keeps the builder's record, as some programs do.
func added(image v1.Image, layer v1.Layer) v1.Image {
	annotations := must(image.Manifest()).Annotations
	return mutate.Annotations(must(mutate.AppendLayers(image, layer)), annotations).(v1.Image)
}

// xattr is the extended attribute of an entry.
func xattr(name, value string) func(*tar.Header) {
	return func(h *tar.Header) { h.PAXRecords = map[string]string{"SCHILY.xattr." + name: value} }
}

// A raw is a manifest as bytes.
type raw struct {
	media types.MediaType
	data  []byte
}

func (r raw) RawManifest() ([]byte, error)        { return r.data, nil }
func (r raw) MediaType() (types.MediaType, error) { return r.media, nil }
func (r raw) Digest() (v1.Hash, error) {
	h, _, err := v1.SHA256(bytes.NewReader(r.data))
	return h, err
}
func (r raw) Size() (int64, error) { return int64(len(r.data)), nil }

// trustRaw pushes a document as it is, under the tag, and signs it with the trusted key.
func (k *kit) trustRaw(media types.MediaType, data []byte) {
	k.t.Helper()
	doc := raw{media, data}
	if err := remote.Put(k.ref(k.tag), doc); err != nil {
		k.t.Fatal(err)
	}
	hash := k.digest(doc)
	if err := remote.Write(k.ref(testimage.SignatureTag(hash)), must(k.trusted.Legacy(hash))); err != nil {
		k.t.Fatal(err)
	}
}

// rewritten pushes an image whose manifest is changed, and signs that.
func (k *kit) rewritten(image v1.Image, change func(*v1.Manifest)) {
	k.t.Helper()
	k.push(image)
	m := must(image.Manifest()).DeepCopy()
	change(m)
	k.trustRaw(m.MediaType, must(json.Marshal(m)))
}
