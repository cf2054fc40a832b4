// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

var (
	epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	later = epoch.Add(time.Hour)
	older = epoch.Add(-time.Hour)
)

// fakeDeb describes a .deb.
type fakeDeb struct {
	name, version, arch string
	fields              string // further lines of the control file
	scripts             map[string]string
	files               []tar.Header // Size is that of body
	body                string       // of every regular file
	ext                 string       // compression: ".gz", ".xz", ".zst" or "none"; default .gz
	controlFile         string       // replaces the control file
}

func dir(name string, mode int64) tar.Header {
	return tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: mode, ModTime: older}
}

func file(name string, mode int64) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, ModTime: later}
}

func symlink(name, to string) tar.Header {
	return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: to, Mode: 0o777, ModTime: older}
}

func hardlink(name, to string) tar.Header {
	return tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: to, Mode: 0o644, ModTime: older}
}

func (d fakeDeb) control() string {
	if d.controlFile != "" {
		return d.controlFile
	}
	return fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: %s\n%sDescription: short \n long\n .\n", d.name, d.version, d.arch, d.fields)
}

// bytes returns the .deb.
func (d fakeDeb) bytes(t testing.TB) []byte {
	t.Helper()
	ctl := []tar.Header{dir("./", 0o755), {Typeflag: tar.TypeReg, Name: "./control", Mode: 0o644}}
	bodies := map[string]string{"./control": d.control()}
	for _, name := range []string{"conffiles", "md5sums", "postinst", "preinst", "triggers"} {
		if body, ok := d.scripts[name]; ok {
			mode := int64(0o644)
			if name == "postinst" || name == "preinst" {
				mode = 0o755
			}
			ctl = append(ctl, tar.Header{Typeflag: tar.TypeReg, Name: "./" + name, Mode: mode})
			bodies["./"+name] = body
		}
	}
	ext := strings.TrimPrefix(cmp.Or(d.ext, ".gz"), "none")
	data := tarOf(t, d.files, func(string) string { return d.body })
	return arOf(
		member{"debian-binary", []byte("2.0\n")},
		member{"control.tar" + ext, packed(t, ext, tarOf(t, ctl, func(n string) string { return bodies[n] }))},
		member{"data.tar" + ext, packed(t, ext, data)},
	)
}

// write puts the .deb into a folder and returns the Package for Write.
func (d fakeDeb) write(t testing.TB, folder string) Package {
	t.Helper()
	raw := d.bytes(t)
	sum := sha256.Sum256(raw)
	p := Package{filepath.Join(folder, d.name+".deb"), d.name, d.version, d.arch, hex.EncodeToString(sum[:])}
	if err := os.WriteFile(p.Path, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	return p
}

func arOf(members ...member) []byte {
	var out bytes.Buffer
	out.WriteString(arMagic)
	for _, m := range members {
		fmt.Fprintf(&out, "%-16s%-12d%-6d%-6d%-8o%-10d%s", m.name, 0, 0, 0, 0o100644, len(m.body), arEnd)
		out.Write(m.body)
		if len(m.body)%2 == 1 {
			out.WriteByte('\n')
		}
	}
	return out.Bytes()
}

func tarOf(t testing.TB, headers []tar.Header, body func(name string) string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, h := range headers {
		text := ""
		if h.Typeflag == tar.TypeReg {
			text = body(h.Name)
			h.Size = int64(len(text))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func packed(t testing.TB, ext string, raw []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser
	var err error
	switch ext {
	case ".gz":
		w = gzip.NewWriter(&out)
	case ".xz":
		w, err = xz.NewWriter(&out)
	case ".zst":
		w, err = zstd.NewWriter(&out)
	default:
		return raw
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(raw); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func sumHex(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}
