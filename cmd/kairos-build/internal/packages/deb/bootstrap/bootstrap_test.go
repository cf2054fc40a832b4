// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/ci/golden"
)

const libc6Preinst = `#!/bin/sh
rtlddir=/lib64
    dpkg-divert --quiet --add --no-rename --package base-files --divert "/.${rtlddir#/}.usr-is-merged" "$rtlddir"
    dpkg-divert --quiet --add --no-rename --divert "/lib64/ld-linux-x86-64.so.2.usr-is-merged" "/lib64/ld-linux-x86-64.so.2"
`

const baseFilesPreinst = `#!/bin/sh
  for d in lib32 libo32 libx32; do
    dpkg-divert --quiet --package base-files --add --no-rename --divert "/.$d.usr-is-merged" "/$d"
  done
`

// fakeBase is a base set with the oddities of the real ones.
func fakeBase() []fakeDeb {
	shadow := file("./usr/bin/chage", 0o2755)
	shadow.Gid, shadow.Gname = 42, "shadow"
	return []fakeDeb{
		{name: "libc6", version: "2.41-12", arch: "amd64", fields: "Multi-Arch: same\n", ext: ".xz", body: "elf", files: []tar.Header{
			dir("./", 0o755), dir("./lib64/", 0o755), file("./lib64/ld-linux-x86-64.so.2", 0o755),
			dir("./lib/", 0o755), dir("./lib/x86_64-linux-gnu/", 0o755), file("./lib/x86_64-linux-gnu/libc.so.6", 0o755),
		}, scripts: map[string]string{"preinst": libc6Preinst, "triggers": "activate-noawait ldconfig\n"}},
		{name: "dash", version: "0.5", arch: "amd64", fields: "Essential: yes\nPriority: required\nX-Own: 1\nSource: dash (0.5-1)\n", ext: ".zst", body: "#!", files: []tar.Header{
			dir("./", 0o755), dir("./bin/", 0o755), file("./bin/dash", 0o755), symlink("./bin/sh", "dash"), hardlink("./bin/dash2", "./bin/dash"),
		}, scripts: map[string]string{"postinst": "#!/bin/sh\n", "md5sums": "x  bin/dash\n"}},
		{name: "base-passwd", version: "3.6", arch: "amd64", body: "root:*:0:0:root:/root:/bin/bash\n", files: []tar.Header{
			file("./usr/share/base-passwd/passwd.master", 0o644), file("./usr/share/base-passwd/group.master", 0o644), shadow,
		}},
		{name: "base-files", version: "13.8", arch: "amd64", body: "data\n", files: []tar.Header{
			dir("./", 0o755), dir("./root/", 0o700), dir("./tmp/", 0o1777), dir("./usr/", 0o755), dir("./etc/", 0o755), dir("./etc/empty/", 0o755),
			file("./etc/issue", 0o644), symlink("./bin", "usr/bin"), symlink("./etc/os-release", "../usr/lib/os-release"),
		}, scripts: map[string]string{"preinst": baseFilesPreinst, "conffiles": "/etc/issue\nremove-on-upgrade /etc/gone\n", "triggers": "# note\ninterest-noawait /usr/lib32\n"}},
		{name: "libc-bin", version: "2.41-12", arch: "amd64", ext: "none", body: "x", files: []tar.Header{dir("./tmp/", 0o755), file("./sbin/ldconfig", 0o755)},
			scripts: map[string]string{"triggers": "interest-await ldconfig\n"}},
	}
}

func writeAll(t testing.TB, debs []fakeDeb, o Options) ([]byte, error) {
	t.Helper()
	folder := t.TempDir()
	var packages []Package
	for _, d := range debs {
		packages = append(packages, d.write(t, folder))
	}
	var out bytes.Buffer
	err := Write(context.Background(), &out, packages, o)
	if err != nil {
		err = errors.New(strings.ReplaceAll(err.Error(), folder, "DIR"))
	}
	return out.Bytes(), err
}

func TestWrite(t *testing.T) {
	raw, err := writeAll(t, fakeBase(), Options{Epoch: epoch, UsrMerge: true})
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/layer.txt", listing(t, raw))
}

// listing shows a layer: its entries, then the text files of dpkg's database.
func listing(t *testing.T, raw []byte) string {
	t.Helper()
	var entries, texts strings.Builder
	for in := tar.NewReader(bytes.NewReader(raw)); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return entries.String() + texts.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&entries, "%c %05o %d:%d %s %3d %s", h.Typeflag, h.Mode, h.Uid, h.Gid, h.ModTime.UTC().Format("15:04:05"), h.Size, h.Name)
		if h.Linkname != "" {
			entries.WriteString(" -> " + h.Linkname)
		}
		entries.WriteString("\n")
		if strings.HasPrefix(h.Name, dpkgDir) && h.Size > 0 {
			fmt.Fprintf(&texts, "\n== %s\n%s", h.Name, body)
		}
	}
}

func TestWriteIsDeterministic(t *testing.T) {
	var first []byte
	debs := fakeBase()
	for i, workers := range []int{1, 2, 8} {
		slices.Reverse(debs)
		raw, err := writeAll(t, debs, Options{Epoch: epoch, UsrMerge: true, Workers: workers})
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = raw
		}
		if !bytes.Equal(first, raw) {
			t.Errorf("the layer differs with %d workers and another order", workers)
		}
	}
}

func TestWithoutUsrMerge(t *testing.T) {
	debs := slices.DeleteFunc(fakeBase(), func(d fakeDeb) bool { return d.name == "base-files" })
	raw, err := writeAll(t, debs, Options{Epoch: epoch})
	if err != nil {
		t.Fatal(err)
	}
	if got := listing(t, raw); !strings.Contains(got, " bin/dash\n") || strings.Contains(got, "usr/bin/dash") {
		t.Errorf("bin/dash was moved: %s", got)
	}
}

func TestWriteErrors(t *testing.T) {
	one := func(files ...tar.Header) []fakeDeb {
		return []fakeDeb{{name: "a", version: "1", arch: "amd64", files: files, body: "x"}}
	}
	in := func(text string) string { return "unpacking a 1 (DIR/a.deb): " + text }
	b := fakeDeb{name: "b", version: "1", arch: "all", files: []tar.Header{file("etc/x/y", 0o644)}}
	for _, tt := range []struct {
		name string
		debs []fakeDeb
		want string
	}{
		{"parent folder", one(file("./../x", 0o644)), in(`data archive: entry "./../x" does not stay inside the root`)},
		{"hidden parent folder", one(file("./a/../../x", 0o644)), in(`data archive: entry "./a/../../x" does not stay inside the root`)},
		{"absolute", one(file("/etc/x", 0o644)), in(`data archive: entry "/etc/x" does not stay inside the root`)},
		{"newline", one(file("./a\nb", 0o644)), in(`data archive: entry "./a\nb" does not stay inside the root`)},
		{"absolute hard link", one(file("./x", 0o644), hardlink("./y", "/etc/passwd")), in(`data archive: hard link "y": entry "/etc/passwd" does not stay inside the root`)},
		{"hard link to nothing", one(hardlink("./y", "./etc/passwd")), in(`data archive: hard link "y": its target "etc/passwd" is no file of this package that stands before it`)},
		{"through a symlink", append(one(symlink("./etc/x", "/tmp")), b),
			`unpacking b 1 (DIR/b.deb): data archive: /etc/x is no directory: package a ships it as type '2'`},
		{"over a merged directory", one(symlink("./bin", "/tmp")), in(`data archive: entry "./bin" (type '2', link "/tmp"): want a directory or a link to usr/bin`)},
		{"device", one(tar.Header{Typeflag: tar.TypeChar, Name: "./dev/mem"}), in(`data archive: entry "./dev/mem" has type '3': only files, directories and links belong into a base system`)},
		{"same file twice", append(one(file("./bin/x", 0o755)), fakeDeb{name: "b", version: "1", arch: "all", files: []tar.Header{file("./usr/bin/x", 0o755)}}),
			`unpacking b 1 (DIR/b.deb): data archive: /usr/bin/x is in package a too, there as type '0', here as '0': want every file in one package only`},
		{"over the database", one(file("./var/lib/dpkg/status", 0o644)), `/var/lib/dpkg/status is in package a too, there as type '0', here as '0': want every file in one package only`},
		{"too large", []fakeDeb{{name: "a", version: "1", arch: "all", files: []tar.Header{file("./x", 0o644)}, body: strings.Repeat("x", 3<<20)}},
			in(`data archive: writing "x": unpacks to more than the limit of 1048576 bytes`)},
		{"another version", []fakeDeb{{name: "a", version: "1", arch: "all", controlFile: "Package: a\nVersion: 2\nArchitecture: all\n"}}, in(`the control file says a 2 all, want a 1 all`)},
		{"no fields", []fakeDeb{{name: "a", version: "1", arch: "all", controlFile: "nonsense\n"}}, in(`control file: line 1: "nonsense" is no field: want "Name: value"`)},
		{"two stanzas", []fakeDeb{{name: "a", version: "1", arch: "all", controlFile: "Package: a\n\nPackage: b\n"}}, in(`control file: 2 stanzas, want 1`)},
		{"conffile not shipped", []fakeDeb{{name: "a", version: "1", arch: "all", scripts: map[string]string{"conffiles": "/etc/no\n"}}}, in(`lists /etc/no as a conffile but ships no such file`)},
		{"bad trigger", []fakeDeb{{name: "a", version: "1", arch: "all", scripts: map[string]string{"triggers": "interest ../x\n"}}}, `package a: triggers file: "../x" is no trigger`},
		{"unknown directive", []fakeDeb{{name: "a", version: "1", arch: "all", scripts: map[string]string{"triggers": "listen x\n"}}}, `package a: triggers file: unknown directive "listen"`},
		{"twice in the set", append(one(), one()...), `package a is in the base set twice (1 and 1)`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := writeAll(t, tt.debs, Options{Epoch: epoch, UsrMerge: true, MaxSize: 1 << 20})
			if err == nil || err.Error() != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestWriteBadFiles(t *testing.T) {
	good := fakeDeb{name: "a", version: "1", arch: "all", files: []tar.Header{file("./x", 0o644)}, body: strings.Repeat("some text ", 9000), ext: ".xz"}
	for _, tt := range []struct {
		name   string
		change func(p *Package, raw []byte) []byte
		want   string
	}{
		{"other bytes", func(p *Package, raw []byte) []byte { p.SHA256 = strings.Repeat("0", 64); return raw },
			`sha256 is HASH, want ` + strings.Repeat("0", 64) + `: the file changed since it was downloaded; remove it and run again`},
		{"flipped byte in the data", func(_ *Package, raw []byte) []byte { raw[len(raw)-60] ^= 1; return raw },
			`data archive: decompressing: xz: data is corrupt`},
		{"missing file", func(_ *Package, raw []byte) []byte { return nil }, `open DIR/a.deb: no such file or directory`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			folder := t.TempDir()
			p := good.write(t, folder)
			raw := tt.change(&p, good.bytes(t))
			want := rewrite(t, &p, raw, tt.name == "other bytes")
			err := Write(t.Context(), io.Discard, []Package{p}, Options{Epoch: epoch})
			text := fmt.Sprint(err)
			text = strings.NewReplacer(folder, "DIR", want, "HASH").Replace(text)
			if text != "unpacking a 1 (DIR/a.deb): "+tt.want {
				t.Errorf("got  %s\nwant …%s", text, tt.want)
			}
		})
	}
}

// rewrite replaces the bytes of a .deb, and its expected hash unless keep is true.
func rewrite(t *testing.T, p *Package, raw []byte, keep bool) (sum string) {
	t.Helper()
	if raw == nil {
		if err := os.Remove(p.Path); err != nil {
			t.Fatal(err)
		}
		return "-"
	}
	if err := os.WriteFile(p.Path, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	sum = sumHex(raw)
	if !keep {
		p.SHA256 = sum
	}
	return sum
}

func TestWriteCancelled(t *testing.T) {
	folder := t.TempDir()
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stopped by the user")
	cancel(stop)
	err := Write(ctx, io.Discard, []Package{fakeBase()[0].write(t, folder)}, Options{Epoch: epoch})
	if !errors.Is(err, stop) {
		t.Errorf("got %v, want %v", err, stop)
	}
}

func TestWriteFullDisk(t *testing.T) {
	folder := t.TempDir()
	full := errors.New("no space left on device")
	err := Write(t.Context(), failingWriter{full}, []Package{fakeBase()[0].write(t, folder)}, Options{Epoch: epoch})
	if !errors.Is(err, full) {
		t.Errorf("got %v, want %v", err, full)
	}
}

type failingWriter struct{ err error }

func (f failingWriter) Write([]byte) (int, error) { return 0, f.err }
