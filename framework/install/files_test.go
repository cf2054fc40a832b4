// SPDX-License-Identifier: Apache-2.0

package install

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/kairos-build/kairos-build/framework/config"
)

// TestWithoutInstall: the key goes, and everything else stays as it is written.
func TestWithoutInstall(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"none":             {"#cloud-config\nhostname: a # x\n", "#cloud-config\nhostname: a # x\n"},
		"alone":            {"#cloud-config\ninstall: {auto: true}\n", ""},
		"first":            {"#cloud-config\ninstall:\n  auto: true\n  # of install\n  device: auto\n\n# the name\nhostname: a\n", "#cloud-config\n\n# the name\nhostname: a\n"},
		"last":             {"#cloud-config\nhostname: a\ninstall:\n  auto: true\n", "#cloud-config\nhostname: a\n"},
		"last, and a line": {"hostname: a\ninstall: {auto: yes}\n# kairos.compat\n", "hostname: a\n# kairos.compat\n"},
		"between":          {"a: |\n  install:\ninstall:\n- x\nb: {install: c}\n", "a: |\n  install:\nb: {install: c}\n"},
		"flow":             {"{install: {auto: true}, hostname: a}\n", "#cloud-config\n{hostname: a}\n"},
		"no mapping":       {"- a\n", "- a\n"},
		"no newline":       {"hostname: a\ninstall: {auto: true}", "hostname: a\n"},
	} {
		got, err := WithoutInstall([]byte(c.in))
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %v\n%s", name, err, cmp.Diff(c.want, string(got)))
		}
	}
	if _, err := WithoutInstall([]byte("install: &x {auto: true}\nother: *x\n")); err == nil {
		t.Error("an anchor that is gone is no error")
	}
}

// FuzzWithoutInstall: the result has the other keys with their values, or there is an error.
func FuzzWithoutInstall(f *testing.F) {
	f.Add([]byte("#cloud-config\ninstall:\n  auto: true\nhostname: a\n"))
	f.Add([]byte("{install: 1, b: [2]}"))
	f.Add([]byte("a: >\n x\n\ninstall: |\n y\n# z\nb: 1"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var want, got map[string]any
		if yaml.Unmarshal(data, &want) != nil || want["install"] == nil {
			return
		}
		if _, problems := config.Decode("x.yaml", data); problems.Failed() {
			return
		}
		out, err := WithoutInstall(data)
		if err != nil || out == nil {
			return
		}
		if err := yaml.Unmarshal(out, &got); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		delete(want, "install")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q\n%q\n%s", data, out, diff)
		}
	})
}

// TestFiles: names in /oem. The image's own files and the kernel's arguments stay behind.
func TestFiles(t *testing.T) {
	var from []config.File
	for _, name := range []string{"/system/oem/10.yaml", "/run/initramfs/live/config.yaml", "/run/initramfs/live/more.yaml", "/oem/91_custom.yaml", "/oem/95_userdata.yaml", "/oem/99.yaml", config.CmdlineFile} {
		from = append(from, config.File{Name: name})
	}
	got, err := Files(from, func(name string) ([]byte, error) {
		if name == "/oem/99.yaml" {
			return []byte("install: {auto: true}\n"), nil
		}
		return []byte("name: " + name + "\ninstall: {}\n"), nil
	})
	var names []string
	for _, f := range got {
		names = append(names, f.From+" "+f.Name+" "+string(f.Data))
	}
	want := []string{
		"/run/initramfs/live/config.yaml 90_custom.yaml name: /run/initramfs/live/config.yaml\n",
		"/run/initramfs/live/more.yaml 92_custom.yaml name: /run/initramfs/live/more.yaml\n",
		"/oem/91_custom.yaml 91_custom.yaml name: /oem/91_custom.yaml\n",
		"/oem/95_userdata.yaml 95_userdata.yaml name: /oem/95_userdata.yaml\n",
	}
	if diff := cmp.Diff(want, names); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
}

// TestSizes: a slot is a boot and a root partition.
func TestSizes(t *testing.T) {
	s, err := Sizes(config.InstallSizes{EFI: 64, OEM: 32, State: 8192, Recovery: 1024})
	if err != nil || s.EFI != 64<<20 || s.OEM != 32<<20 || s.Root != (4096-192)<<20 || s.Recovery != (1024-192)<<20 {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := Sizes(config.InstallSizes{State: 300}); err == nil || err.Error() != "install.partitions.state.size: 300 MiB: it has 2 boot partitions of 192 MiB, and the root images" {
		t.Errorf("got %v", err)
	}
}
