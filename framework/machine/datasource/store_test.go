// SPDX-License-Identifier: Apache-2.0

package datasource

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

func newStore(t *testing.T) (Store, string) {
	t.Helper()
	dir := t.TempDir()
	return Store{tree.Root{Dir: dir, KeepOwner: true}}, dir
}

func mustPut(t *testing.T, s Store, d Data) *Record {
	t.Helper()
	r, err := s.Put(&d)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func content(t *testing.T, dir, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return "none"
	}
	return string(data)
}

const sshKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti you@example.org"

const (
	good    = "#cloud-config\nhostname: a\n"
	bad     = "#cloud-config\npassword: [geheim\n"
	partly  = "#cloud-config\nhostname: p\nusers: [{name: ada, shell: geheim}]\n"
	partly2 = "#cloud-config\nhostname: q\nusers: [{name: ada, shell: geheim}]\n"
)

// TestPut goes through the life of a node: which user data is stored, kept and
// replaced.
func TestPut(t *testing.T) {
	s, dir := newStore(t)
	for _, c := range []struct {
		name     string
		data     Data
		want     Outcome
		stored   string
		rejected string
	}{
		{"nothing yet", Data{Source: "nocloud", InstanceID: "1"}, None, "none", "none"},
		{"broken, and nothing before", Data{Source: "nocloud", InstanceID: "1", UserData: []byte(bad)}, Refused, "none", bad},
		{"partly right, and nothing before", Data{Source: "nocloud", InstanceID: "1", UserData: []byte(partly)}, Stored, partly, "none"},
		{"the same, partly right", Data{Source: "nocloud", InstanceID: "1", UserData: []byte(partly)}, Unchanged, partly, "none"},
		{"another that is partly right", Data{Source: "nocloud", InstanceID: "1", UserData: []byte(partly2)}, Stored, partly2, "none"},
		{"broken, after one that is partly right", Data{Source: "nocloud", InstanceID: "1", UserData: []byte(bad)}, Refused, partly2, bad},
		{"good", Data{Source: "nocloud", InstanceID: "1", UserData: []byte(good)}, Stored, good, "none"},
		{"partly right, after a good one", Data{Source: "nocloud", InstanceID: "1", UserData: []byte(partly)}, Refused, good, partly},
		{"the same", Data{Source: "nocloud", InstanceID: "1", UserData: []byte(good)}, Unchanged, good, "none"},
		{"broken", Data{Source: "nocloud", InstanceID: "1", UserData: []byte(bad)}, Refused, good, bad},
		{"another kind", Data{Source: "nocloud", InstanceID: "1", UserData: []byte("#include\n")}, Refused, good, "#include\n"},
		{"none", Data{Source: "nocloud", InstanceID: "1"}, Kept, good, "none"},
		{"changed", Data{Source: "nocloud", InstanceID: "1", UserData: []byte("hostname: b\n")}, Stored, "hostname: b\n", "none"},
		{"another instance, broken", Data{Source: "nocloud", InstanceID: "2", UserData: []byte(bad)}, Refused, "hostname: b\n", bad},
		{"another instance", Data{Source: "nocloud", InstanceID: "3", UserData: []byte(good)}, Stored, good, "none"},
		{"another instance without user data", Data{Source: "nocloud", InstanceID: "4"}, None, "none", "none"},
	} {
		r := mustPut(t, s, c.data)
		if r.UserData != c.want {
			t.Errorf("%s: got %s, want %s", c.name, r.UserData, c.want)
		}
		if got := content(t, dir, UserDataFile); got != c.stored {
			t.Errorf("%s: %q is stored, want %q", c.name, got, c.stored)
		}
		if got := content(t, dir, RejectedFile); got != c.rejected {
			t.Errorf("%s: %q is kept aside, want %q", c.name, got, c.rejected)
		}
	}
}

// TestRefused: an error names the position of a mistake, without the secret.
func TestRefused(t *testing.T) {
	s, _ := newStore(t)
	r := mustPut(t, s, Data{Source: "nocloud", UserData: []byte(bad)})
	want := []string{
		"nocloud/user-data:2:1: not valid YAML: did not find expected ',' or ']'",
		"user data of datasource nocloud is not used; it is in /oem/.kairos/userdata.rejected",
	}
	if diff := cmp.Diff(want, r.Lines()); diff != "" {
		t.Errorf("differs (-want +got):\n%s", diff)
	}
}

// TestUnchangedIsNotWritten: equal data does not touch the file.
func TestUnchangedIsNotWritten(t *testing.T) {
	s, dir := newStore(t)
	mustPut(t, s, Data{Source: "ec2", UserData: []byte(good)})
	info := func() fs.FileInfo {
		i, err := os.Stat(filepath.Join(dir, UserDataFile))
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	before := info()
	if before.Mode() != 0o600 {
		t.Errorf("the mode is %v", before.Mode())
	}
	mustPut(t, s, Data{Source: "ec2", UserData: []byte(good)})
	if !os.SameFile(before, info()) {
		t.Error("it was written again")
	}
}

// TestSecretFiles: only root can read files that may hold secrets. All users can
// read the record, which has none.
func TestSecretFiles(t *testing.T) {
	s, dir := newStore(t)
	r := mustPut(t, s, Data{Source: "ec2", Keys: []string{"ssh-rsa geheim"}, UserData: []byte(bad), NetworkConfig: []byte("version: 2\n")})
	if err := s.Write(r); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]fs.FileMode{RejectedFile: 0o600, StateFile: 0o600, RecordFile: 0o644} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != mode {
			t.Errorf("%s has the mode %v", name, info.Mode())
		}
	}
	if text := content(t, dir, RecordFile); strings.Contains(text, "geheim") {
		t.Errorf("the record has a secret:\n%s", text)
	}
}

// TestSeveralParts: each config of a message becomes a file, scripts become steps,
// and files of an earlier message are removed.
func TestSeveralParts(t *testing.T) {
	s, dir := newStore(t)
	r := mustPut(t, s, Data{Source: "ec2", UserData: []byte(message)})
	want := []string{"/oem/95_userdata.yaml", "/oem/95_userdata_2.yaml", "/oem/95_userdata_scripts.yaml"}
	if diff := cmp.Diff(want, r.Files); diff != "" {
		t.Errorf("differs (-want +got):\n%s", diff)
	}
	loaded := config.Load(os.DirFS(dir), []string{"/oem"})
	if problems := loaded.Problems(); len(problems) > 0 {
		t.Fatal(problems)
	}
	steps := loaded.Config.Stages["boot"]
	if loaded.Config.Hostname != "b" || len(steps) != 1 || steps[0].Commands[0].Text != "/var/lib/kairos/userdata/script-1" || string(steps[0].Files[0].Content) != "#!/bin/sh\n" || steps[0].Files[0].Mode != 0o700 {
		t.Errorf("got %q, %+v", loaded.Config.Hostname, steps)
	}
	mustPut(t, s, Data{Source: "ec2", UserData: []byte("#!/bin/sh\n")})
	if entries, err := filepath.Glob(filepath.Join(dir, "oem/95*")); err != nil || len(entries) != 1 {
		t.Errorf("got %v, %v", entries, err)
	}
}

// TestMetaData: host name and keys are kept for boots without the source. A wrong
// host name is reported and not used.
func TestMetaData(t *testing.T) {
	s, _ := newStore(t)
	mustPut(t, s, Data{Source: "ec2", InstanceID: "i", Hostname: "n.example.org", Keys: []string{sshKey}})
	got, err := s.Memory()
	want := Memory{Source: "ec2", InstanceID: "i", Hostname: "n.example.org", Keys: []string{sshKey}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v, differs (-want +got):\n%s", err, diff)
	}
	if r := s.Keep(); r.Source != "ec2" || r.Keys != 1 || r.UserData != None {
		t.Errorf("got %+v", r)
	}
	if r := mustPut(t, s, Data{Source: "gce", Hostname: "n1.c." + strings.Repeat("long-project", 8) + ".internal"}); r.Hostname != "n1" {
		t.Errorf("got %+v", r)
	}
	r := mustPut(t, s, Data{Source: "ec2", InstanceID: "i", Hostname: "no_name", Keys: []string{"geheim", sshKey}})
	want2 := []string{
		`the host name of datasource ec2: "no_name" is not a host name (RFC 1123); use letters, digits and -, with dots between, at most 63 characters each`,
		"public key 1 of datasource ec2 is not an SSH public key, and not used",
	}
	if diff := cmp.Diff(want2, r.Messages); diff != "" || r.Keys != 1 || r.Hostname != "" {
		t.Errorf("%+v differs (-want +got):\n%s", r, diff)
	}
}

// TestNetworkConfig: the last correct network-config is used.
func TestNetworkConfig(t *testing.T) {
	s, _ := newStore(t)
	one, two := "version: 2\nethernets: {a: {dhcp4: true}}\n", "version: 2\nethernets: {b: {dhcp4: true}}\n"
	for _, c := range []struct {
		name, instance, text string
		want                 Outcome
		kept                 string
	}{
		{"first", "1", one, Stored, one},
		{"again", "1", one, Unchanged, one},
		{"broken", "1", "version: 3\n", Refused, one},
		{"none", "1", "", Kept, one},
		{"another", "1", two, Stored, two},
		{"another instance", "2", "", None, ""},
	} {
		r := mustPut(t, s, Data{Source: "nocloud", InstanceID: c.instance, NetworkConfig: []byte(c.text)})
		state, err := s.Memory()
		if err != nil || r.NetworkConfig != c.want || state.NetworkConfig != c.kept {
			t.Errorf("%s: got %s, %q, %v; want %s, %q", c.name, r.NetworkConfig, state.NetworkConfig, err, c.want, c.kept)
		}
	}
}

func TestPutConfig(t *testing.T) {
	s, dir := newStore(t)
	for _, c := range []struct {
		data string
		want Outcome
	}{{good, Stored}, {good, Unchanged}, {bad, Refused}, {"", None}} {
		r, err := s.PutConfig(&Data{Source: "url", Place: "http://example.org", UserData: []byte(c.data)}, ConfigURLFile)
		if err != nil || r.UserData != c.want || content(t, dir, ConfigURLFile) != good {
			t.Errorf("%q: got %+v, %v", c.data, r, err)
		}
	}
}

func TestNamed(t *testing.T) {
	for _, c := range []struct {
		name string
		want []string
	}{
		{"cdrom", []string{"nocloud"}}, {"aws", []string{"ec2"}}, {"gcp", []string{"gce"}}, {"azure", []string{"ovf", "azure"}},
		{"hetzner", []string{"hetzner"}}, {"packet", []string{"packet"}}, {"metaldata", []string{"metaldata"}}, {"config-drive", []string{"config-drive"}},
	} {
		got, err := Named(c.name)
		if diff := cmp.Diff(c.want, names(got)); diff != "" || err != nil {
			t.Errorf("%s: %v, differs (-want +got):\n%s", c.name, err, diff)
		}
	}
}

// TestProvidersOfSteps: a step accepts exactly the names in Names, and file.
func TestProvidersOfSteps(t *testing.T) {
	for _, name := range append(Names(), "file") {
		_, problems := config.Decode("f", []byte("stages: {network: [{datasource: {providers: ["+name+"], path: /x}}]}"))
		if problems.Failed() || (len(problems) > 0) != slices.Contains(later, name) {
			t.Errorf("%s: %v", name, problems)
		}
	}
}

// message is user data of three parts.
const message = "Content-Type: multipart/mixed; boundary=\"==X==\"\r\nMIME-Version: 1.0\r\n\r\n" +
	"--==X==\r\nContent-Type: text/cloud-config; charset=\"us-ascii\"\r\nMIME-Version: 1.0\r\n\r\n#cloud-config\nhostname: a\r\n" +
	"--==X==\r\nContent-Type: text/x-shellscript\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=\"setup.sh\"\r\n\r\nIyEvYmluL3NoCg==\r\n" +
	"--==X==\r\nContent-Type: text/plain\r\n\r\n#cloud-config\nhostname: b\n\r\n" +
	"--==X==--\r\n"
