// SPDX-License-Identifier: Apache-2.0

package userdata

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func packed(t *testing.T, data string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(data)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const message = "Content-Type: multipart/mixed; boundary=\"==X==\"\r\nMIME-Version: 1.0\r\n\r\n" +
	"--==X==\r\nContent-Type: text/cloud-config; charset=\"us-ascii\"\r\nMIME-Version: 1.0\r\n\r\n#cloud-config\nhostname: a\r\n" +
	"--==X==\r\nContent-Type: text/x-shellscript\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=\"setup.sh\"\r\n\r\nIyEvYmluL3NoCg==\r\n" +
	"--==X==\r\nContent-Type: text/plain\r\n\r\n#cloud-config\nhostname: b\n\r\n" +
	"--==X==--\r\n"

func TestParse(t *testing.T) {
	plain := "#cloud-config\nhostname: a\n"
	coded := base64.StdEncoding.EncodeToString([]byte(plain))
	for _, c := range []struct {
		name    string
		data    []byte
		encoded bool
		configs []Part
		scripts []Part
	}{
		{"cloud-config", []byte(plain), false, []Part{{Name: "u", Data: []byte(plain)}}, nil},
		{"without a header, as Kairos takes it", []byte("hostname: a\n"), false, []Part{{Name: "u", Data: []byte("hostname: a\n")}}, nil},
		{"script", []byte("#!/bin/sh\nexit\n"), false, nil, []Part{{Name: "u", Data: []byte("#!/bin/sh\nexit\n")}}},
		{"gzip", packed(t, plain), false, []Part{{Name: "u", Data: []byte(plain)}}, nil},
		{"base64", []byte(coded + "\n"), true, []Part{{Name: "u", Data: []byte(plain)}}, nil},
		{"base64 of gzip", []byte(base64.StdEncoding.EncodeToString(packed(t, plain))), true, []Part{{Name: "u", Data: []byte(plain)}}, nil},
		{"plain where base64 may be", []byte(plain), true, []Part{{Name: "u", Data: []byte(plain)}}, nil},
		{"nothing", []byte(" \n"), false, nil, nil},
		{"MIME", []byte(message), false, []Part{{Name: "u[1]", Data: []byte("#cloud-config\nhostname: a")}, {Name: "u[3]", Data: []byte("#cloud-config\nhostname: b\n")}}, []Part{{Name: "u[2,setup.sh]", Data: []byte("#!/bin/sh\n")}}},
		{"MIME in gzip", packed(t, message), false, []Part{{Name: "u[1]", Data: []byte("#cloud-config\nhostname: a")}, {Name: "u[3]", Data: []byte("#cloud-config\nhostname: b\n")}}, []Part{{Name: "u[2,setup.sh]", Data: []byte("#!/bin/sh\n")}}},
		{"one MIME part", []byte("Content-Type: text/cloud-config\n\n" + plain), false, []Part{{Name: "u", Data: []byte(plain)}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Options{Encoded: c.encoded}.Parse("u", c.data)
			if err != nil || len(got.Problems()) > 0 {
				t.Fatal(err, got)
			}
			if diff := cmp.Diff(&UserData{Configs: c.configs, Scripts: c.scripts}, got, cmpopts.EquateEmpty(), cmpopts.IgnoreUnexported(UserData{}), cmpopts.IgnoreFields(Part{}, "File")); diff != "" {
				t.Errorf("differs (-want +got):\n%s", diff)
			}
		})
	}
}

// TestParseErrors: the error names what is not accepted, and what to do.
func TestParseErrors(t *testing.T) {
	for _, c := range []struct{ name, data, want string }{
		{"include", "#include\nhttp://example.org\n", "u is of a kind that is not implemented: #include (a list of URLs); use #cloud-config, or a script with #! in its first line"},
		{"archive", "#cloud-config-archive\n- x\n", "#cloud-config-archive"},
		{"Jinja", "## template: jinja\n#cloud-config\n", "a template of Jinja"},
		{"Ignition", `{"ignition":{}}`, "JSON of Ignition"},
		{"boothook", "#cloud-boothook\n", "#cloud-boothook"},
		{"part handler", "Content-Type: text/part-handler\n\nx\n", `u has the type "text/part-handler", which is not implemented; use text/cloud-config or text/x-shellscript`},
		{"script without #!", "Content-Type: text/x-shellscript\n\necho\n", "u is to be a script and has no #! in its first line"},
		{"base64 that is none", "Content-Type: text/cloud-config\nContent-Transfer-Encoding: base64\n\n***\n", "reading u: it is not base64"},
		{"encoding", "Content-Type: text/cloud-config\nContent-Transfer-Encoding: x-uue\n\n***\n", `the encoding "x-uue" is unknown`},
		{"cut message", strings.TrimSuffix(message, "--==X==--\r\n"), "reading u[3]: unexpected EOF"},
		{"cut gzip", string(packed(t, "#cloud-config\n")[:12]), "unpacking u: unexpected EOF"},
		{"deep", strings.Repeat("Content-Type: text/plain\n\n", 8), "u is packed more than 5 times"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Options{}.Parse("u", []byte(c.data))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

// TestParseProblems: a problem has its place in its part.
func TestParseProblems(t *testing.T) {
	got, err := Options{}.Parse("nocloud/user-data", []byte(strings.Replace(message, "hostname: b", "hostnam: b", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if want := `nocloud/user-data[3]:2:1: hostnam: unknown key; did you mean "hostname"?`; len(got.Problems()) != 1 || got.Problems()[0].Error() != want {
		t.Errorf("got %v, want %s", got.Problems(), want)
	}
}

// TestGzipBomb: data that unpacks to more than the limit is refused.
func TestGzipBomb(t *testing.T) {
	_, err := Options{}.Parse("u", packed(t, strings.Repeat(" ", MaxSize+1)))
	if err == nil || err.Error() != "unpacking u: it unfolds to more than 16 MiB" {
		t.Errorf("got %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(message), false)
	f.Add([]byte("#cloud-config\nhostname: a\n"), true)
	f.Fuzz(func(t *testing.T, data []byte, encoded bool) {
		u, err := Options{Encoded: encoded}.Parse("u", data)
		if err == nil && u == nil {
			t.Error("neither a result nor an error")
		}
	})
}

// TestLeftParts: a part that cannot be used is reported, and the others are used.
func TestLeftParts(t *testing.T) {
	u, err := Options{}.Parse("u", []byte(strings.Replace(message, "text/plain", "text/jinja2", 1)))
	if err != nil || len(u.Configs) != 1 || len(u.Scripts) != 1 || !u.Usable() {
		t.Fatalf("%+v, %v", u, err)
	}
	want := `u[3]:1:1: has the type "text/jinja2", which is not implemented; use text/cloud-config or text/x-shellscript`
	if got := u.Problems(); len(got) != 1 || got[0].Error() != want || !got.Failed() {
		t.Errorf("got %v, want %s", got, want)
	}
	documents, err := u.Documents()
	if err != nil || len(documents) != 2 || documents[1].File.Note == "" {
		t.Errorf("documents %+v, %v", documents, err)
	}
	none, err := Options{}.Parse("u", []byte("users: ["))
	if err != nil || none.Usable() {
		t.Errorf("a config that is refused can be used: %+v, %v", none, err)
	}
}
