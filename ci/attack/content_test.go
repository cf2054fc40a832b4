// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kairos-build/kairos-build/ci/testimage"
)

// endless answers with zeros until the other side hangs up.
func endless(w http.ResponseWriter, r *http.Request) {
	zeros := make([]byte, 1<<20)
	for r.Context().Err() == nil {
		if _, err := w.Write(zeros); err != nil {
			return
		}
	}
}

// pushIndex pushes an index of images under the tag.
func (k *kit) pushIndex(images ...v1.Image) v1.ImageIndex {
	k.t.Helper()
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, i := range images {
		config := must(i.ConfigFile())
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: i, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: config.OS, Architecture: config.Architecture}}})
	}
	if err := remote.WriteIndex(k.ref(k.tag), index); err != nil {
		k.t.Fatal(err)
	}
	return index
}

// trustIndex is pushIndex, signed with the trusted key.
func (k *kit) trustIndex(images ...v1.Image) {
	k.t.Helper()
	hash := k.digest(k.pushIndex(images...))
	if err := remote.Write(k.ref(testimage.SignatureTag(hash)), must(k.trusted.Legacy(hash))); err != nil {
		k.t.Fatal(err)
	}
}

// blobs are a registry that gives other bytes for a signed image.
func blobs() []scenario {
	lies := func(change func([]byte) []byte, at int) func(k *kit) {
		return func(k *kit) {
			image := k.trust(image(release()))
			k.changed(change, k.layerOf(image, at))
		}
	}
	return []scenario{
		{name: "another byte in a layer", says: "content is altered", setup: lies(flip, 0)},
		{name: "another byte in the layer with the release", says: "content is altered", setup: lies(flip, -1)},
		{name: "a layer longer than its descriptor", says: "has more than its", setup: lies(func(b []byte) []byte { return append(b, 'x') }, -1)},
		{name: "a layer shorter than its descriptor", says: "content is altered", setup: lies(func(b []byte) []byte { return b[:len(b)-1] }, -1)},
		{name: "an empty layer", says: "content is altered", setup: lies(func([]byte) []byte { return nil }, -1)},
		{name: "a layer without end", says: "content is altered", setup: func(k *kit) {
			image := k.trust(image(release()))
			k.on(endless, k.layerOf(image, -1))
		}},
		{name: "a configuration without end", says: "has more than its", setup: func(k *kit) {
			image := k.trust(image(release()))
			k.on(endless, must(image.Manifest()).Config.Digest.String())
		}},
		{name: "another configuration", says: "content is altered", setup: func(k *kit) {
			image := k.trust(image(release()))
			k.changed(flip, must(image.Manifest()).Config.Digest.String())
		}},
		{name: "a layer that is not there", says: "the image is not complete", setup: func(k *kit) {
			gone := k.layerOf(k.trust(image(release())), 0)
			k.lie = func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
				if strings.HasSuffix(r.URL.Path, gone) {
					http.NotFound(w, r)
					return true
				}
				return false
			}
		}},
		{name: "a manifest of the signed index is another one", says: "content is altered", setup: func(k *kit) {
			good := image(release())
			k.trustIndex(good)
			k.changed(flip, "/manifests/"+k.digest(good).String())
		}},
		{name: "a manifest of the signed index is another signed one", says: "content is altered", setup: func(k *kit) {
			good, other := image(release()), image(release("KAIROS_VERSION", "v1.0.1"))
			k.trustIndex(good)
			data := must(other.RawManifest())
			k.changed(func([]byte) []byte { return data }, "/manifests/"+k.digest(good).String())
		}},
		{name: "the digest that was asked for names other bytes", says: "content is altered", setup: func(k *kit) {
			good := k.trust(image(release()))
			k.source = "oci:" + k.ref(k.tag).Context().Digest(k.digest(good).String()).Name()
			k.changed(flip, "/manifests/"+k.digest(good).String())
		}},
		{name: "the tag moves between two requests", says: "the image is not signed", setup: func(k *kit) {
			evil := image(release("KAIROS_VERSION", "v9.9.9"))
			k.push(evil)
			k.trust(image(release()))
			data, first := must(evil.RawManifest()), true
			k.changed(func(good []byte) []byte {
				if first {
					first = false
					return data
				}
				return good
			}, "/manifests/"+k.tag)
		}},
		{name: "each request is answered differently", says: "content is altered", setup: func(k *kit) {
			k.trustIndex(image(release()))
			var count atomic.Int32
			k.lie = func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
				if r.Method != http.MethodGet || r.URL.Path == "/v2/" || strings.Contains(r.URL.Path, "/manifests/"+k.tag) {
					return false
				}
				_, _ = fmt.Fprintf(w, "answer %d", count.Add(1))
				return true
			}
		}},
		{name: "a layer changes after the image was measured", says: "content is altered", spoils: true, setup: func(k *kit) {
			image := k.trust(image(release()))
			var count atomic.Int32
			k.changed(func(b []byte) []byte {
				if count.Add(1) > 1 { // the rehearsal was the first
					return flip(b)
				}
				return b
			}, k.layerOf(image, 0))
		}},
		{name: "a layer of an image with a record", says: "content is altered", spoils: true, setup: func(k *kit) {
			image := k.trust(recorded(k.t, image(release())))
			k.changed(flip, k.layerOf(image, 0))
		}},
	}
}

// documents are manifests and indexes that are made to be misread. They are signed by the
// trusted key, as if its owner had been deceived.
func documents() []scenario {
	manifest := func(change func(*v1.Manifest)) func(k *kit) {
		return func(k *kit) { k.rewritten(image(release()), change) }
	}
	return []scenario{
		{name: "a wrong media type of a layer", says: "layer 0: text/plain", setup: manifest(func(m *v1.Manifest) { m.Layers[0].MediaType = "text/plain" })},
		{name: "a layer of a terabyte", says: "its layers have 1048576 MiB", setup: manifest(func(m *v1.Manifest) { m.Layers[0].Size = 1 << 40 })},
		{name: "a layer with a negative size", says: "bytes", setup: manifest(func(m *v1.Manifest) { m.Layers[0].Size = -5 })},
		{name: "one layer in the place of another", says: "content is altered", setup: manifest(func(m *v1.Manifest) { m.Layers[0] = m.Layers[1] })},
		{name: "more layers than any image has", says: "lists 602 layers, more than the 512", setup: manifest(func(m *v1.Manifest) {
			for range 600 {
				m.Layers = append(m.Layers, m.Layers[0])
			}
		})},
		{name: "fewer layers than the configuration", says: "it lists 1 layers, its configuration 2", setup: manifest(func(m *v1.Manifest) { m.Layers = m.Layers[:1] })},
		{name: "a record that is no number", says: "want a size in bytes", setup: manifest(func(m *v1.Manifest) { m.Annotations = map[string]string{"io.kairos.verity.size": "1e9"} })},
		{name: "an image that claims to be larger than the slot", says: "the image is too large for the slot", setup: manifest(func(m *v1.Manifest) { m.Annotations = map[string]string{"io.kairos.verity.size": "999999999999"} })},
		{name: "an image and an index at once", says: "is an image and an index at once", setup: func(k *kit) {
			data := must(k.push(image(release())).RawManifest())
			k.trustRaw(types.OCIManifestSchema1, bytes.Replace(data, []byte(`"layers"`), []byte(`"manifests":[],"layers"`), 1))
		}},
		{name: "an image and an index at once, in other letters", says: "is an image and an index at once", setup: func(k *kit) {
			data := must(k.push(image(release())).RawManifest())
			k.trustRaw(types.OCIManifestSchema1, bytes.Replace(data, []byte(`"layers"`), []byte(`"ManifeſtS":[],"layers"`), 1))
		}},
		{name: "layers twice", says: "has the key \"Layers\" twice", setup: func(k *kit) {
			data := must(k.push(image(release())).RawManifest())
			k.trustRaw(types.OCIManifestSchema1, bytes.Replace(data, []byte(`"layers"`), []byte(`"layers":[],"Layers"`), 1))
		}},
		{name: "an index in an index in an index in an index", says: "lies 4 indexes deep", setup: func(k *kit) {
			index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: image(release())})
			for range 5 {
				index = mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: index})
			}
			if err := remote.WriteIndex(k.ref(k.tag), index); err != nil {
				k.t.Fatal(err)
			}
		}},
		{name: "a manifest of 5 MiB", says: "more than the 4194304 bytes that are read", setup: func(k *kit) {
			data := must(k.push(image(release())).RawManifest())
			k.trustRaw(types.OCIManifestSchema1, append(data, bytes.Repeat([]byte(" "), 5<<20)...))
		}},
		{name: "a manifest without end", says: "more than the 4194304", setup: func(k *kit) {
			k.trust(image(release()))
			k.on(endless, "/manifests/"+k.tag)
		}},
		{name: "a manifest that is no JSON", says: "not an OCI image", setup: func(k *kit) {
			k.trust(image(release()))
			k.changed(func([]byte) []byte { return []byte("<html>sign in</html>") }, "/manifests/"+k.tag)
		}},
		{name: "JSON that is nested a million times", says: "not an OCI image", setup: func(k *kit) {
			k.trust(image(release()))
			k.changed(func([]byte) []byte { return bytes.Repeat([]byte("["), 1<<20) }, "/manifests/"+k.tag)
		}},
	}
}

// entries are layers that are made to leave the image, to give rights, or to fill memory.
// They are signed by the trusted key, as if its owner had been deceived.
func entries() []scenario {
	with := func(entries ...testimage.Entry) func(k *kit) {
		return func(k *kit) { k.trust(image(release(), layer(entries...))) }
	}
	filled := func(fill func(w *tar.Writer) error) func(k *kit) {
		return func(k *kit) { k.trust(image(release(), stream(fill))) }
	}
	link := func(kind byte, name, to string) testimage.Entry {
		return entry(kind, name, func(h *tar.Header) { h.Linkname = to })
	}
	setID := func(h *tar.Header) { h.Mode = 0o4755 }
	onTop := func(e testimage.Entry) func(k *kit) {
		return func(k *kit) { k.trust(added(recorded(k.t, image(release())), layer(e))) }
	}
	return []scenario{
		{name: "a name with ..", says: `the name has a ".."`, setup: with(testimage.File("../../etc/shadow", "x"))},
		{name: "an absolute name with ..", says: `the name has a ".."`, setup: with(testimage.File("/etc/../../shadow", "x"))},
		{name: "a file through a symbolic link", says: "no directory at one of its parents", setup: with(link(tar.TypeSymlink, "srv/out", "/oem"), testimage.File("srv/out/90.yaml", "x"))},
		{name: "a hard link out of the image", says: `the name has a ".."`, setup: with(link(tar.TypeLink, "etc/mine", "../../../etc/shadow"))},
		{name: "a hard link to a file of the node", says: "does not exist", setup: with(link(tar.TypeLink, "etc/mine", "/etc/shadow"))},
		{name: "a kernel that is a link out of the image", says: "is this a kairos-build image?", setup: with(link(tar.TypeSymlink, "boot/vmlinuz", "../../etc/shadow"))},
		{name: "a whiteout of ..", says: "a whiteout of", setup: with(testimage.File("etc/.wh...", ""))},
		{name: "a whiteout of the release", says: "the image has no release file", setup: with(testimage.File("etc/.wh.kairos-release", ""))},
		{name: "an opaque /boot", says: "the image has no kernel", setup: with(testimage.File("boot/.wh..wh..opq", ""))},
		{name: "a whiteout of overlayfs", says: "a device outside of /dev", setup: with(entry(tar.TypeChar, "etc/shadow", nil))},
		{name: "a disk as a device", says: "a device outside of /dev", setup: with(entry(tar.TypeBlock, "srv/disk", func(h *tar.Header) { h.Devmajor = 8 }))},
		{name: "a redirection of overlayfs", says: "which overlayfs acts on", setup: with(entry(tar.TypeDir, "etc/ssh", xattr("trusted.overlay.redirect", "/oem")))},
		{name: "set-uid in a layer that is not the builder's", says: "set-uid or set-gid, in a layer that was added", setup: onTop(entry(tar.TypeReg, "usr/bin/root", setID))},
		{name: "capabilities in a layer that is not the builder's", says: "file capabilities, in a layer that was added", setup: onTop(entry(tar.TypeReg, "usr/bin/root", xattr("security.capability", "x")))},
		{name: "a device in a layer that is not the builder's", says: "a device, in a layer that was added", setup: onTop(entry(tar.TypeBlock, "dev/disk", nil))},
		{name: "a file at a mount point", says: "it is a mount point of the node", setup: with(testimage.File("oem", "x"))},
		{name: "kernel arguments with another root", says: "is set at boot", setup: with(testimage.File("usr/lib/kairos/cmdline", "quiet kairos.roothash=00"))},
		{name: "a zip bomb", says: "its layers unpack to more than 448 MiB", heavy: true, setup: filled(func(w *tar.Writer) error {
			return zeros(w, "usr/lib/bomb", 1<<30)
		})},
		{name: "a boot folder that fills the memory", says: "the file is too large", heavy: true, setup: filled(func(w *tar.Writer) error {
			for i := range 3 {
				if err := zeros(w, fmt.Sprintf("boot/a%d", i), 60<<20); err != nil {
					return err
				}
			}
			return zeros(w, "boot/vmlinuz", 60<<20)
		})},
		{name: "a file larger than the slot", says: "too large for the slot", setup: filled(func(w *tar.Writer) error { return zeros(w, "usr/lib/zeros", rootSize) })},
		{name: "too many tiny files", says: "the image has too many entries", heavy: true, setup: filled(func(w *tar.Writer) error {
			return many(w, 210_000, func(i int) *tar.Header {
				return &tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprintf("usr/lib/tiny/%d", i), Mode: 0o644}
			})
		})},
		{name: "too many whiteouts", says: "the image has too many entries", heavy: true, setup: filled(func(w *tar.Writer) error {
			return many(w, 210_000, func(i int) *tar.Header {
				return &tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprintf("usr/lib/.wh.%d", i), Mode: 0o644}
			})
		})},
		{name: "folders in folders without end", says: "the image has too many entries", heavy: true, setup: filled(func(w *tar.Writer) error {
			return many(w, 300, func(i int) *tar.Header {
				return &tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprint("usr/", i, strings.Repeat("/d", 1900)), Mode: 0o644}
			})
		})},
		{name: "extended attributes that fill the memory", says: "take more than 32 MiB", heavy: true, setup: filled(func(w *tar.Writer) error {
			return many(w, 600, func(i int) *tar.Header {
				return &tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprint("usr/lib/x", i), Mode: 0o644, PAXRecords: map[string]string{"SCHILY.xattr.user.x": strings.Repeat("y", 60<<10)}}
			})
		})},
		{name: "a tar that ends in the middle", says: "unexpected EOF", setup: func(k *kit) {
			k.trust(image(release(), cut(layer(testimage.File("usr/lib/x", noise(4096, 5))))))
		}},
	}
}

// cut is a layer whose tar ends in the middle; its digests are right.
func cut(whole v1.Layer) v1.Layer {
	r := must(whole.Uncompressed())
	data := must(io.ReadAll(r))
	return bytesLayer(data[:len(data)/2])
}

func many(w *tar.Writer, n int, header func(i int) *tar.Header) error {
	for i := range n {
		if err := w.WriteHeader(header(i)); err != nil {
			return err
		}
	}
	return nil
}

// zeros writes a file of zeros.
func zeros(w *tar.Writer, name string, size int64) error {
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: size}); err != nil {
		return err
	}
	block := make([]byte, 1<<20)
	for ; size > 0; size -= int64(len(block)) {
		if _, err := w.Write(block[:min(size, int64(len(block)))]); err != nil {
			return err
		}
	}
	return nil
}
