// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/ci/golden"
	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/layout"
)

// image is a small Debian image.
func image() fstest.MapFS {
	files := fstest.MapFS{}
	for name, text := range map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/bash\n", "etc/shadow": "root:*:19000:0:99999:7:::\n",
		"etc/group": "root:x:0:\nsudo:x:27:\n", "etc/gshadow": "root:*::\nsudo:*::\n",
		"etc/hosts": "127.0.0.1 localhost\n", "etc/machine-id": "", "etc/motd": "Welcome.\n",
		"usr/lib/os-release": "ID=debian\nVERSION_ID=\"13\"\nPRETTY_NAME=\"Debian\"\n",
		"usr/bin/bash":       "", "usr/bin/sh": "", "usr/bin/sed": "", "usr/bin/sudo": "", "usr/sbin/sshd": "",
		"usr/lib/systemd/system/chrony.service":            "[Unit]\n[Install]\nWantedBy=multi-user.target\n",
		"usr/lib/systemd/system/sshd.service":              "[Unit]\n[Install]\nWantedBy=multi-user.target\n",
		"usr/lib/systemd/system/tool@.service":             "[Unit]\n",
		"usr/lib/systemd/system/apt-daily.timer":           "[Unit]\n",
		"usr/lib/modules/6.12/modules.dep":                 "kernel/drivers/block/nbd.ko.xz:\nkernel/fs/fuse/fuse.ko.xz:\n",
		"usr/lib/modules/6.12/modules.builtin":             "kernel/net/ipv6/ipv6.ko\n",
		"usr/lib/modules/6.12/modules.alias":               "# Aliases\nalias fs-fuseblk fuse\nalias pci:v00001AF4d*sv*sd* virtio_pci\n",
		"usr/local/hidden":                                 "an image's own /usr/local is not seen\n",
		"etc/ssh/.keep":                                    "",
		"etc/systemd/system/multi-user.target.wants/.keep": "",
	} {
		files[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o644}
	}
	files["etc/shadow"].Mode, files["etc/gshadow"].Mode = 0o000, 0o640
	for name, target := range map[string]string{
		"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "etc/os-release": "../usr/lib/os-release",
		"etc/systemd/system/multi-user.target.wants/sshd.service": "/usr/lib/systemd/system/sshd.service",
	} {
		files[name] = &fstest.MapFile{Data: []byte(target), Mode: fs.ModeSymlink | 0o777}
	}
	for _, dir := range []string{"home", "root", "opt", "srv", "var/lib", "oem", "run", "system/oem"} {
		files[dir] = &fstest.MapFile{Mode: fs.ModeDir | 0o755}
	}
	return files
}

func source(t *testing.T, name, text string) Source {
	t.Helper()
	c, problems := config.Decode(name, []byte(text))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return Source{config.File{Name: name, Config: c, Problems: problems}, []byte(text)}
}

func simulated(t *testing.T, image fs.FS, texts ...string) *Result {
	t.Helper()
	var configs []Source
	for _, text := range texts {
		configs = append(configs, source(t, "site.yaml", "#cloud-config\n"+text))
	}
	r, err := Run(t.Context(), Options{Image: image, Configs: configs, Arch: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestGolden compares the output for people and for programs with golden files.
func TestGolden(t *testing.T) {
	text, err := os.ReadFile("testdata/site.yaml")
	if err != nil {
		t.Fatal(err)
	}
	r := simulated(t, image(), strings.TrimPrefix(string(text), "#cloud-config\n"))
	r.Image = Image{Reference: "out/debian-13", OS: "Debian", Version: "v1.2.3"}
	for name, style := range map[string]Style{"plain": {}, "diff": {Diff: true}, "colour": {Colour: true, Diff: true}} {
		var out bytes.Buffer
		if err := r.Write(&out, style); err != nil {
			t.Fatal(err)
		}
		golden.Check(t, filepath.Join("testdata", name+".txt"), out.String())
	}
	doc, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/result.json", string(doc)+"\n")
}

// TestLeavesNothing: no temporary folder stays, and the configs are only read.
func TestLeavesNothing(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	simulated(t, image(), "write_files: [{path: /etc/x, content: x}]")
	left, err := os.ReadDir(os.Getenv("TMPDIR"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestFindings: names that the image lacks, and paths that a reboot loses.
func TestFindings(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string // severity and message
		ok         bool
	}{
		{"nothing", "hostname: edge", nil, true},
		{"unit", "stages: {boot: [{systemctl: {enable: [chrny.service]}}]}",
			[]string{`failure: systemctl.enable: there is no unit chrny.service in the image; did you mean "chrony.service"?`}, false},
		{"short unit", "stages: {boot: [{systemctl: {start: [k3s]}}]}",
			[]string{"failure: systemctl.start: there is no unit k3s.service in the image"}, false},
		{"near unit", "stages: {boot: [{systemctl: {start: [chronyd]}}]}",
			[]string{`failure: systemctl.start: there is no unit chronyd.service in the image; did you mean "chrony.service"?`}, false},
		{"unit after a command", "stages: {boot: [{commands: [sed], systemctl: {start: [x.service]}}]}",
			[]string{"warning: systemctl.start: there is no unit x.service in the image; the node reports a failure unless something before makes it"}, true},
		{"unit of a file", "stages: {boot: [{files: [{path: /etc/systemd/system/x.service, content: x}], systemctl: {start: [x]}}]}", nil, true},
		{"unit of the top", "write_files: [{path: /etc/systemd/system/x.service, content: x}]\nstages: {boot: [{systemctl: {start: [x]}}]}", nil, true},
		{"instance", "stages: {boot: [{systemctl: {start: [tool@1.service, dev-vdb.device]}}]}", nil, true},
		{"mask", "stages: {boot: [{systemctl: {mask: [nosuch.service]}}]}",
			[]string{"warning: systemctl.mask: there is no unit nosuch.service in the image"}, true},
		{"drop-in", "stages: {boot: [{systemctl: {overrides: [{service: nosuch.service, content: \"[Unit]\"}]}}]}",
			[]string{"warning: systemctl.overrides: there is no unit nosuch.service in the image, so the drop-in has no effect"}, true},
		{"module", "stages: {boot: [{modules: [nbd, ipv6, fs-fuseblk, nbdd]}]}",
			[]string{`failure: modules: the kernel of the image has no module nbdd; did you mean "nbd"?`}, false},
		{"program", "stages: {boot: [{commands: [\"if true; then nosuch x; fi; A=1 /opt/x; f() { :; }; f; $VAR\"]}]}",
			[]string{"warning: stages.boot[0].commands[0]: the program /opt/x is not in the image", "warning: stages.boot[0].commands[0]: the program nosuch is not in the image"}, true},
		{"a program and nothing else", "stages: {boot: [{commands: [\"nosuch -x\", \"nosuch || true\"]}, {commands: [nosuch]}]}",
			[]string{"failure: stages.boot[0].commands[0]: the program nosuch is not in the image", "warning: stages.boot[0].commands[1]: the program nosuch is not in the image",
				"warning: stages.boot[1].commands[0]: the program nosuch is not in the image; the node reports a failure unless something before makes it"}, false},
		{"program of a download", "stages: {boot: [{downloads: [{path: /opt/x, url: \"https://example.org/x\"}], commands: [/opt/x]}]}", nil, true},
		{"lost", "stages: {boot: [{downloads: [{path: /etc/x, url: \"https://example.org/x\"}]}]}",
			[]string{"warning: /etc/x is lost at every reboot and fetched again; choose a place below /usr/local or /opt"}, true},
		{"lost home", "users: [{name: a, homedir: /srv/a}]",
			[]string{"warning: the home directory /srv/a is lost at every reboot; choose one below /home"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := simulated(t, image(), c.text)
			var got []string
			for _, f := range r.Findings {
				got = append(got, string(f.Severity)+": "+f.Message)
				if !strings.HasPrefix(f.Origin, "site.yaml:") {
					t.Errorf("%q has no place: %q", f.Message, f.Origin)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			if r.OK != c.ok {
				t.Errorf("ok %v, want %v", r.OK, c.ok)
			}
		})
	}
}

// TestKubernetes: what the node would write for k3s, and what it would refuse.
func TestKubernetes(t *testing.T) {
	with := image()
	for name, text := range map[string]string{
		layout.ImageKubernetes: "v1.34.1+k3s1\n", layout.ImageKubernetesArguments: "server --cluster-init switch\nserver --token value\n",
		layout.ImageKubernetesImages + "/images.tar": "", "/usr/lib/systemd/system/k3s.service": "[Unit]\n",
	} {
		with[name[1:]] = &fstest.MapFile{Data: []byte(text), Mode: 0o644}
	}
	r := simulated(t, with, "k3s: {enabled: true, args: [--cluster-init], env: {K3S_TOKEN: geheim}}\nstages: {boot: [{files: [{path: /etc/rancher/k3s/config.yaml, content: 'token: a'}]}]}")
	var out bytes.Buffer
	if err := r.Write(&out, Style{Diff: true}); err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/kubernetes.txt", out.String())
	if !r.OK || strings.Contains(out.String(), "geheim") {
		t.Errorf("ok %v", r.OK)
	}
	for _, c := range []struct {
		name, text, want string
		image            fs.FS
	}{
		{"unknown argument", "k3s: {enabled: true, args: [--cluster-int]}", "k3s.args[0]: k3s server v1.34.1+k3s1 takes no argument --cluster-int; did you mean --cluster-init?", with},
		{"unknown key of a file of a stage", "k3s: {enabled: true}\nstages: {boot: [{files: [{path: /etc/rancher/k3s/config.yaml, content: 'tokn: a'}]}]}", "k3s: k3s server v1.34.1+k3s1 takes no argument --tokn, and would skip it; did you mean --token?", with},
		{"no Kubernetes", "k3s: {enabled: true}", "this image has no Kubernetes: build it with --k3s VERSION", image()},
		{"the other distribution", "k0s: {enabled: true}", "this image has k3s v1.34.1+k3s1 and not k0s", with},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := simulated(t, c.image, c.text)
			last := r.Stages[len(r.Stages)-1]
			if r.OK || last.Stage != "kubernetes" || !strings.Contains(last.Steps[0].Items[0].Message, c.want) {
				t.Errorf("ok %v: %+v", r.OK, last)
			}
		})
	}
	doubts := simulated(t, with, "k3s-agent: {enabled: true}").Findings
	if len(doubts) != 1 || !strings.Contains(doubts[0].Message, "there is no server to join") {
		t.Errorf("got %+v", doubts)
	}
}

// TestFails: failures that the node itself would report.
func TestFails(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"shell":              {"users: [{name: a, shell: /bin/nosuch}]", "the shell /bin/nosuch is not in this image"},
		"read-only":          {"write_files: [{path: /usr/bin/x, content: x}]", "read-only file system (this path is part of the image"},
		"through a link":     {"write_files: [{path: /bin/x, content: x}]", "read-only file system"},
		"read-only download": {"stages: {boot: [{downloads: [{path: /usr/bin/x, url: \"https://example.org/x\"}]}]}", "read-only file system"},
		"read-only folder":   {"stages: {boot: [{directories: [{path: /usr/x}]}]}", "read-only file system"},
		"not in the image":   {"write_files: [{path: /usr/libexec/x, content: x}]", "read-only file system"},
		"owner":              {"write_files: [{path: /etc/x, owner: nobody}]", `there is no user "nobody"`},
		"template":           {"stages: {boot: [{commands: ['{{ fail .OS }}']}]}", "error calling fail: debian"},
	} {
		t.Run(name, func(t *testing.T) {
			r := simulated(t, image(), c.text)
			var out bytes.Buffer
			if err := r.Write(&out, Style{}); err != nil {
				t.Fatal(err)
			}
			if r.OK || !strings.Contains(out.String(), c.want) {
				t.Errorf("ok %v, want %q in\n%s", r.OK, c.want, out.String())
			}
		})
	}
}

// TestOrder: the image's configs come first, then the user's in the order in which they
// are given. A broken config of the image is reported.
func TestOrder(t *testing.T) {
	files := image()
	files["system/oem/00.yaml"] = &fstest.MapFile{Data: []byte("hostname: image\nssh_pwauth: true\n"), Mode: 0o644}
	r := simulated(t, files, "hostname: one", "hostname: two")
	if r.Assumed.Hostname != "two" || len(r.Files) != 3 || r.Files[0].Name != "/system/oem/00.yaml" || !r.OK {
		t.Errorf("host name %s, files %v, ok %v", r.Assumed.Hostname, r.Files, r.OK)
	}
	files["system/oem/01.yaml"] = &fstest.MapFile{Data: []byte("hostnam: image\n"), Mode: 0o644}
	if r := simulated(t, files); r.OK || !r.Files[1].Used || len(r.Files[1].Problems) != 1 {
		t.Errorf("a broken file of the image: ok %v, %v", r.OK, r.Files)
	}
}

// TestConditions: the result names facts that only a node knows, with assumed values.
func TestConditions(t *testing.T) {
	r := simulated(t, image(), `hostname: edge
stages:
  boot:
    - {name: none, commands: ["true"]}
    - {name: if, if: "test {{ .Slot }} = a", commands: ["true"]}
    - {name: files, if_files: {any: [/dev/vda, /usr/bin/bash], none: [/etc/nosuch]}, commands: ["true"]}
    - {name: missing, if_files: {all: [/dev/vda]}, commands: ["true"]}
    - {name: node, node: "edge", commands: ["true"]}
    - {name: facts, commands: ["echo {{ .MachineID }} {{ .Values.node.hostname }} {{ .OS }}"]}
`)
	want := map[string][]string{
		"none": nil, "if": {`if: "test a = a" exits with 0`, "template: .Slot is a"},
		"files": {"if_files: /dev/vda, /etc/nosuch: as in the image and after the steps before"}, "missing": {"if_files: /dev/vda: as in the image and after the steps before"},
		"node": {"node: the host name is edge"}, "facts": {"template: .MachineID is " + DefaultMachineID, "template: .Hostname is edge"},
	}
	got, outcomes := map[string][]string{}, map[string]string{}
	for _, s := range r.Stages[0].Steps {
		got[s.Name], outcomes[s.Name] = s.Assumed, string(s.Outcome)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("assumed (-want +got):\n%s", diff)
	}
	wantOutcomes := map[string]string{"none": "ran", "if": "ran", "files": "ran", "missing": "skipped", "node": "ran", "facts": "ran"}
	if diff := cmp.Diff(wantOutcomes, outcomes); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
}

// TestSecrets: the result holds no content of files that not everybody may read.
func TestSecrets(t *testing.T) {
	r := simulated(t, image(), "users: [{name: a, passwd: $6$salt$qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq}]\nwrite_files: [{path: /etc/token, permissions: \"0600\", content: qqqqqq}]")
	doc, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(doc), "qqqqqq") {
		t.Errorf("a secret is in %s", doc)
	}
}

// owned is an image with files that do not belong to root.
type owned struct {
	fs.FS
	uid map[string]uint32
}

type ownedInfo struct {
	fs.FileInfo
	id uint32
}

func (o ownedInfo) UID() uint32 { return o.id }
func (o ownedInfo) GID() uint32 { return o.id }

func (o owned) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(o.FS, name)
	for i, e := range entries {
		info, infoErr := e.Info()
		if infoErr != nil {
			return nil, infoErr
		}
		entries[i] = fs.FileInfoToDirEntry(ownedInfo{info, o.uid[strings.TrimPrefix(name+"/"+e.Name(), "./")]})
	}
	return entries, err
}

func (o owned) ReadLink(name string) (string, error)   { return fs.ReadLink(o.FS, name) }
func (o owned) Lstat(name string) (fs.FileInfo, error) { return fs.Lstat(o.FS, name) }

// TestOwners: the owner in the image counts, not that of the copy.
func TestOwners(t *testing.T) {
	r := simulated(t, owned{image(), map[string]uint32{"etc/motd": 7, "etc/shadow": 0}}, "write_files: [{path: /etc/motd, content: \"Welcome.\\n\"}, {path: /etc/hosts, content: \"127.0.0.1 localhost\\n\"}]\nhostname: edge")
	got := map[string]string{}
	for _, c := range r.Changes {
		got[c.Path] = c.Action + " " + c.Owner + " " + c.OldOwner
	}
	if got["/etc/motd"] != "changed root:root 7:7" {
		t.Errorf("changes %v", got)
	}
	delete(got, "/etc/motd")
	if _, ok := got["/etc/hosts"]; ok { // written, and then written back
		t.Errorf("a file that stays as it is: %v", got)
	}
}

// TestLink: the result tells that a symbolic link is replaced.
func TestLink(t *testing.T) {
	r := simulated(t, image(), "write_files: [{path: /etc/os-release, content: x}]\nhostname: a")
	for _, c := range r.Changes {
		if c.Path == "/etc/os-release" && (c.Action != "changed" || c.OldKind != "link" || c.OldMode != "") {
			t.Errorf("%+v", c)
		}
	}
}

// TestPlaces: the Place of a change is that of the layout.
func TestPlaces(t *testing.T) {
	r := simulated(t, image(), "write_files: [{path: /etc/x, content: x}, {path: /opt/x, content: x}, {path: /usr/local/x, content: x}]\nhostname: a")
	got := map[string]layout.Place{}
	for _, c := range r.Changes {
		got[c.Path] = c.Place
	}
	maps.DeleteFunc(got, func(p string, _ layout.Place) bool { return !strings.HasSuffix(p, "/x") })
	want := map[string]layout.Place{"/etc/x": layout.PlaceBoot, "/opt/x": layout.PlaceKept, "/usr/local/x": layout.PlaceKept}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("places (-want +got):\n%s", diff)
	}
}

// TestWhole: the simulation has every name of the image, even one that no config names.
func TestWhole(t *testing.T) {
	files := image()
	files["usr/share/zoneinfo/Europe/Berlin"] = &fstest.MapFile{Mode: 0o644}
	files["usr/bin/systemd-firstboot"] = &fstest.MapFile{Mode: 0o755}
	for text, want := range map[string]string{
		"timezone: Europe/Berlin": "", "timezone: Europe/Berlim": "this image has no such time zone",
		"stages: {boot: [{systemd_firstboot: {timezone: Europe/Berlin}}]}": "",
		"stages: {boot: [{systemd_firstboot: {timezone: Europe/Berlim}}]}": "this image has no such time zone",
	} {
		r := simulated(t, files, text)
		var out bytes.Buffer
		if err := r.Write(&out, Style{}); err != nil {
			t.Fatal(err)
		}
		if r.OK != (want == "") || !strings.Contains(out.String(), want) {
			t.Errorf("%s: ok %v\n%s", text, r.OK, out.String())
		}
	}
}

// TestDisks: a program or mount point that the image lacks for a disk is a failure. The
// changes to a disk are always shown.
func TestDisks(t *testing.T) {
	const layout = "stages: {fs: [{layout: {device: {path: /dev/vdb, init_disk: true}, add_partitions: [{fsLabel: CACHE, filesystem: %s}]}}]}"
	files := image()
	files["usr/sbin/mkfs.ext4"] = &fstest.MapFile{Mode: 0o755}
	for kind, want := range map[string]string{
		"ext4": "    changed   layout /dev/vdb", "xfs": `    failed    layout /dev/vdb`,
	} {
		r := simulated(t, files, strings.ReplaceAll(layout, "%s", kind))
		var out bytes.Buffer
		if err := r.Write(&out, Style{}); err != nil {
			t.Fatal(err)
		}
		if r.OK != (kind == "ext4") || !strings.Contains(out.String(), want) || kind == "xfs" && !strings.Contains(out.String(), "needs the program mkfs.xfs, which this image does not have") {
			t.Errorf("%s: ok %v\n%s", kind, r.OK, out.String())
		}
	}
	r := simulated(t, files, "mounts: [[/dev/vdb, /data]]")
	if r.OK {
		t.Error("a mount on the read-only root would be")
	}
	files["data"] = &fstest.MapFile{Mode: fs.ModeDir | 0o755}
	if r := simulated(t, files, "mounts: [[/dev/vdb, /data]]"); !r.OK {
		t.Errorf("with the place in the image: %+v", r.Stages)
	}
}

func TestPrograms(t *testing.T) {
	for command, want := range map[string][]string{
		"true": {}, "a && b | c; d &": {"a", "b", "c", "d"}, "x=1 y z": {"y"}, "$(q) r": {"q"}, "for i in a b; do e $i; done": {"e"},
		"cat <<E\nrm\nE\n": {"cat"}, "[ -e /x ] || /usr/bin/f": {"/usr/bin/f"},
	} {
		got, err := programs(command)
		if err != nil {
			t.Errorf("%q: %v", command, err)
		}
		if diff := cmp.Diff(want, append([]string{}, got...)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", command, diff)
		}
	}
	if _, err := programs("if"); err == nil {
		t.Error("an if without end was taken")
	}
}
