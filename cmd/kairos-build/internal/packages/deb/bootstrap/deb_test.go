// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseDeb(t *testing.T) {
	raw := arOf(member{"debian-binary/", []byte("2.0\n")}, member{"_gpgorigin", []byte("odd")}, member{"control.tar.xz", []byte("c")}, member{"data.tar", []byte("d")})
	d, err := parseDeb(raw)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{d.control.name, string(d.control.body), d.data.name, string(d.data.body)}
	if diff := cmp.Diff([]string{"control.tar.xz", "c", "data.tar", "d"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseDebErrors(t *testing.T) {
	version, control := member{"debian-binary", []byte("2.0\n")}, member{"control.tar", []byte("cc")}
	for _, tt := range []struct {
		name string
		in   []byte
		want string
	}{
		{"empty", nil, `is no .deb: it begins with "", want "!<arch>\n"`},
		{"web page", []byte("<html></html>"), `is no .deb: it begins with "<html></", want "!<arch>\n"`},
		{"nothing in it", arOf(), `is truncated: 0 bytes where a member's header of 60 is due`},
		{"other archive", arOf(control), `is no .deb of format 2: its first member is "control.tar" with "cc", want debian-binary with "2.0\n"`},
		{"format 3", arOf(member{"debian-binary", []byte("3.0\n")}), `is no .deb of format 2: its first member is "debian-binary" with "3.0\n", want debian-binary with "2.0\n"`},
		{"no data", arOf(version, control), `looking for member data.tar: is truncated: 0 bytes where a member's header of 60 is due`},
		{"wrong order", arOf(version, member{"data.tar", nil}, control), `member "data.tar" stands where control.tar is due`},
		{"truncated", arOf(version, control, member{"data.tar", []byte("0123456789")})[:8+60+4+60+2+60+4],
			`looking for member data.tar: is truncated: member data.tar has 4 bytes, its header says 10`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parseDeb(tt.in)
			if err == nil || err.Error() != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestReadControlErrors(t *testing.T) {
	entry := func(h tar.Header) []byte { return tarOf(t, []tar.Header{h}, func(string) string { return "x" }) }
	for _, tt := range []struct {
		name, member string
		body         []byte
		want         string
	}{
		{"compression", "control.tar.lzma", nil, `member control.tar.lzma: compression ".lzma" is not supported: want .gz, .xz, .zst or none`},
		{"no gzip", "control.tar.gz", []byte("nonsense.."), `member control.tar.gz: gzip: invalid header`},
		{"folder", "control.tar", entry(dir("./x/", 0o755)), `member control.tar: entry "./x/" (type '5') does not belong into a control archive`},
		{"path", "control.tar", entry(file("./../x", 0o644)), `member control.tar: entry "./../x" (type '0') does not belong into a control archive`},
		{"link", "control.tar", entry(symlink("./control", "/etc/shadow")), `member control.tar: entry "./control" (type '2') does not belong into a control archive`},
		{"bomb", "control.tar.zst", packed(t, ".zst", tarOf(t, []tar.Header{file("./x", 0o644)}, func(string) string { return strings.Repeat("x", maxControl+1) })),
			`member control.tar.zst: unpacks to more than 67108864 bytes`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := deb{control: member{tt.member, tt.body}}.readControl()
			if err == nil || err.Error() != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

// FuzzWrite feeds whole .debs: all that it unpacks must stay inside the root.
func FuzzWrite(f *testing.F) {
	for _, d := range fakeBase() {
		d.ext = "none" // a fuzzer gets nowhere with compressed bytes
		f.Add(d.bytes(f))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, err := parseDeb(raw)
		if err != nil {
			return
		}
		control, err := d.readControl()
		if err != nil {
			return
		}
		stanza, err := controlStanza(control)
		if err != nil {
			return
		}
		p := Package{Name: stanza.Get("Package"), Version: stanza.Get("Version"), Arch: stanza.Get("Architecture")}
		data, err := d.data.open()
		if err != nil {
			return
		}
		var out bytes.Buffer
		r := newRoot(tar.NewWriter(&out), Options{Epoch: epoch, UsrMerge: true}, "amd64")
		if err := r.skeleton(); err != nil {
			t.Fatal(err)
		}
		if err := r.unpack(p, opened{control, io.LimitReader(data, 1<<20)}); err != nil {
			return
		}
		if err := errors.Join(r.seed(), r.writeDatabase(), r.tw.Close()); err != nil {
			return
		}
		checkInside(t, out.Bytes())
	})
}

// checkInside checks the entries of a layer: every name is clean, and every parent of
// an entry is a directory.
func checkInside(t *testing.T, raw []byte) {
	t.Helper()
	kinds := map[string]byte{}
	for in := tar.NewReader(bytes.NewReader(raw)); ; {
		h, err := in.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(h.Name, "/")
		if clean, err := cleanName(name); err != nil || clean != name {
			t.Errorf("entry %q is not clean", h.Name)
		}
		for i, c := range name {
			if c == '/' && kinds[name[:i]] != tar.TypeDir {
				t.Errorf("entry %q: %q is no directory before it", h.Name, name[:i])
			}
		}
		if _, ok := kinds[name]; ok {
			t.Errorf("entry %q stands twice", h.Name)
		}
		kinds[name] = h.Typeflag
	}
}

// FuzzControl feeds control, conffiles and triggers files.
func FuzzControl(f *testing.F) {
	f.Add("Package: a\nVersion: 1\nArchitecture: all\n", "/etc/x\n", "interest y\n")
	f.Fuzz(func(t *testing.T, control, conffiles, triggers string) {
		files := []controlFile{{"control", 0o644, []byte(control)}, {"conffiles", 0o644, []byte(conffiles)}, {"triggers", 0o644, []byte(triggers)}}
		stanza, err := controlStanza(files)
		if err != nil {
			return
		}
		rec, err := newRecord(Package{Name: stanza.Get("Package"), Version: stanza.Get("Version"), Arch: stanza.Get("Architecture")}, files)
		if err != nil {
			return
		}
		var out bytes.Buffer
		rec.writeStatus(&out)
		if _, err := interests(triggers); err != nil {
			return
		}
	})
}

// TestReadControl reads what a package says about itself.
func TestReadControl(t *testing.T) {
	p := fakeDeb{name: "curl", version: "1.0", arch: "amd64", fields: "Depends: libc6\n"}.write(t, t.TempDir())
	if text, err := ReadControl(p.Path); err != nil || !strings.Contains(text, "Package: curl\n") || !strings.Contains(text, "Depends: libc6\n") {
		t.Errorf("got %q, %v", text, err)
	}
	if err := os.WriteFile(p.Path, []byte("no package"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadControl(p.Path); err == nil || !strings.Contains(err.Error(), p.Path+": is no .deb") {
		t.Errorf("got %v", err)
	}
	if _, err := ReadControl(p.Path + ".none"); !os.IsNotExist(err) {
		t.Errorf("got %v", err)
	}
}
