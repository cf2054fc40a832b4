// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// zipLayer is a layer in zstd.
type zipLayer struct{ packed }

func (zipLayer) MediaType() (types.MediaType, error) { return types.OCILayerZStd, nil }

// zipBomb is a zstd layer with one file of zeros. It is a frame of RFC 8878 whose window has
// 64 MiB, and needs four bytes for 128 KiB. An encoder would fill the memory of this process,
// and the kernel counts that for a child.
func zipBomb(size int64) v1.Layer {
	const most = 128 << 10
	head := rawHeader(tar.TypeReg, "usr/lib/bomb", size)
	frame := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, (26 - 10) << 3}
	block := func(last, kind, n int) {
		h := last | kind<<1 | n<<3
		frame = append(frame, byte(h), byte(h>>8), byte(h>>16))
	}
	const stored, repeated = 0, 1
	block(0, stored, len(head))
	frame = append(frame, head...)
	sum, zeros := sha256.New(), make([]byte, most)
	sum.Write(head)
	for range size / most {
		block(0, repeated, most)
		frame = append(frame, 0)
		sum.Write(zeros)
	}
	block(1, repeated, 1024)
	sum.Write(zeros[:1024])
	return zipLayer{packed{append(frame, 0), v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum.Sum(nil))}}}
}

// rawHeader is a tar header of GNU as bytes: the library writes none that a reader refuses.
func rawHeader(kind byte, name string, size int64) []byte {
	h := make([]byte, 512)
	copy(h, name)
	copy(h[100:], "0000644\x000000000\x000000000\x00")
	base256(h[124:136], size)
	copy(h[136:], "00000000000\x00")
	h[156] = kind
	copy(h[257:], "ustar  \x00")
	return summed(h)
}

// summed sets the checksum of a header.
func summed(h []byte) []byte {
	copy(h[148:156], "        ")
	sum := 0
	for _, b := range h {
		sum += int(b)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	return h
}

// base256 writes a number as GNU does when it is too large for octal digits.
func base256(field []byte, n int64) {
	for i := range field {
		field[len(field)-1-i] = byte(n >> min(8*i, 63))
	}
	field[0] = 0x80
}

// sparse is a tar with one sparse file, in the old format of GNU, that claims to have size
// bytes and stores none.
func sparse(name string, size int64) []byte {
	h := rawHeader('S', name, 0)
	copy(h[386:], "00000000000\x0000000000000\x00")
	base256(h[483:495], size)
	return append(summed(h), make([]byte, 1024)...)
}

// archives are layers whose compression or format is made to fill the memory or the disk.
func archives() []scenario {
	on := func(layer func() v1.Layer) func(k *kit) {
		return func(k *kit) { k.trust(image(release(), layer())) }
	}
	return []scenario{
		{name: "a zstd layer that wants a gigabyte of memory", says: "window size exceeded", setup: on(func() v1.Layer {
			// A frame of RFC 8878 whose window has 2^30 bytes, and an empty last block.
			return zipLayer{packed{[]byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, (30 - 10) << 3, 0x01, 0x00, 0x00}, must(layer().DiffID())}}
		})},
		{name: "a zstd bomb with the largest window", says: "its layers unpack to more than 448 MiB", heavy: true, setup: on(func() v1.Layer { return zipBomb(480 << 20) })},
		{name: "a sparse file of a terabyte", says: "too large for the slot", setup: on(func() v1.Layer { return bytesLayer(sparse("usr/lib/sparse", 1<<40)) })},
		{name: "a sparse file of an exabyte", says: "the limit of EROFS", setup: on(func() v1.Layer { return bytesLayer(sparse("usr/lib/sparse", 1<<60)) })},
		{name: "a sparse kernel", says: "the file is too large", setup: on(func() v1.Layer { return bytesLayer(sparse("boot/vmlinuz", 1<<40)) })},
		{name: "a layer that is listed twice", says: "it lists 3 layers, its configuration 2", setup: func(k *kit) {
			k.rewritten(image(release()), func(m *v1.Manifest) { m.Layers = append(m.Layers, m.Layers[1]) })
		}},
		{name: "a name of two megabytes", says: "header field too long", setup: on(func() v1.Layer {
			return bytesLayer(append(rawHeader(tar.TypeGNULongName, "././@LongLink", 2<<20), bytes.Repeat([]byte("d/"), 1<<20)...))
		})},
		{name: "a layer that is no tar", says: "invalid tar header", setup: on(func() v1.Layer { return bytesLayer([]byte(noise(4096, 6))) })},
	}
}

// answers are answers of a registry that are no blobs and no manifests.
func answers() []scenario {
	return []scenario{
		{name: "a token without end", says: "body exceeds 65536 byte limit", heavy: true, setup: func(k *kit) {
			k.trust(image(release()))
			k.lie = func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
				if r.URL.Path == "/token" {
					endless(w, r)
					return true
				}
				w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+k.host()+`/token",service="x"`)
				w.WriteHeader(http.StatusUnauthorized)
				return true
			}
		}},
		{name: "a greeting without end", says: "the image is not signed", setup: func(k *kit) {
			k.push(image(release()))
			k.on(endless, "/v2/")
		}},
		{name: "a refusal without end", says: "more than the 4194304 bytes that are read", setup: func(k *kit) {
			k.trust(image(release()))
			k.on(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusForbidden)
				endless(w, r)
			}, "/manifests/"+k.tag)
		}},
		{name: "headers without end", says: "response headers exceeded", heavy: true, setup: func(k *kit) {
			unsigned := k.push(image(release()))
			k.on(func(w http.ResponseWriter, _ *http.Request) {
				for i := range 200 {
					w.Header().Set(fmt.Sprint("X-", i), strings.Repeat("x", 60<<10))
				}
			}, "/referrers/"+k.digest(unsigned).String())
		}},
	}
}
