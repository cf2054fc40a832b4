// SPDX-License-Identifier: Apache-2.0

package kmod

import (
	"errors"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func testIndex(t *testing.T) *Index {
	t.Helper()
	x, err := Read(fstest.MapFS{
		"m/modules.dep": {Data: []byte(`kernel/fs/ext4/ext4.ko.xz: kernel/fs/jbd2/jbd2.ko.xz kernel/fs/mbcache.ko.xz kernel/lib/crc16.ko.xz
kernel/fs/jbd2/jbd2.ko.xz: kernel/lib/crc16.ko.xz
kernel/fs/mbcache.ko.xz:
kernel/lib/crc16.ko.xz:
kernel/arch/x86/crypto/crc32c-intel.ko.xz:
kernel/crypto/crc32c_generic.ko.xz:
kernel/drivers/block/virtio_blk.ko.xz:
kernel/drivers/acpi/button.ko.xz:
kernel/drivers/char/ipmi/ipmi_msghandler.ko:
kernel/drivers/char/ipmi/ipmi_devintf.ko: kernel/drivers/char/ipmi/ipmi_msghandler.ko
`)},
		"m/modules.alias": {Data: []byte(`# Aliases extracted from modules themselves.
alias crypto-crc32c crc32c_intel
alias crypto-crc32c crc32c_generic
alias cpu:type:x86,ven*fam*mod*:feature:*0094* crc32c_intel
alias virtio:d00000002v* virtio_blk
alias acpi*:PNP0C0C:* button
alias fs-ext4 ext4
`)},
		"m/modules.softdep": {Data: []byte("# c\nsoftdep ext4 pre: crypto-crc32c nothing\nsoftdep jbd2 odd\nsoftdep ipmi_msghandler post: ipmi_devintf\n")},
		"m/modules.builtin": {Data: []byte("kernel/drivers/virtio/virtio-pci.ko\n")},
	}, "m")
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestRead(t *testing.T) {
	tests := []struct{ name, dep, want string }{
		{"no index", "", "modules.dep: file does not exist"},
		{"no colon", "kernel/a.ko\n", `modules.dep: line 1: "kernel/a.ko" has no colon`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			fsys := fstest.MapFS{}
			if test.dep != "" {
				fsys["modules.dep"] = &fstest.MapFile{Data: []byte(test.dep)}
			}
			if _, err := Read(fsys, "."); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want %q in it", err, test.want)
			}
		})
	}
}

func TestResolve(t *testing.T) {
	x := testIndex(t)
	tests := []struct {
		name string
		want []string
	}{
		{"ext4", []string{"ext4"}},
		{"crc32c-intel", []string{"crc32c_intel"}},
		{"fs-ext4", []string{"ext4"}},
		{"crypto-crc32c", []string{"crc32c_intel", "crc32c_generic"}},
		{"virtio:d00000002v00001AF4", []string{"virtio_blk"}},
		{"virtio:d00000003v00001AF4", nil},
		{"cpu:type:x86,ven0000fam0006mod0006:feature:,0000,0094,0100,", []string{"crc32c_intel"}},
		{"acpi:PNP0C0C:", []string{"button"}},
		{"", nil},
	}
	for _, test := range tests {
		if diff := cmp.Diff(test.want, x.Resolve(test.name)); diff != "" {
			t.Errorf("Resolve(%q) (-want +got):\n%s", test.name, diff)
		}
	}
	if !x.Builtin("virtio_pci") || !x.Builtin("virtio-pci") || x.Builtin("ext4") {
		t.Error("Builtin is wrong about virtio_pci or ext4")
	}
}

func names(modules []Module) (list []string) {
	for _, m := range modules {
		list = append(list, m.Name)
	}
	return list
}

func TestOrder(t *testing.T) {
	x := testIndex(t)
	tests := []struct {
		name  string
		names []string
		want  []string
	}{
		{"what it needs first", []string{"ext4"}, []string{"crc16", "mbcache", "jbd2", "crc32c_intel", "crc32c_generic", "ext4"}},
		{"each once", []string{"jbd2", "jbd2", "crc16"}, []string{"crc16", "jbd2"}},
		{"behind it, in a circle", []string{"ipmi_msghandler"}, []string{"ipmi_msghandler", "ipmi_devintf"}},
		{"unknown", []string{"no_such"}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, names(x.Order(test.names...))); diff != "" {
				t.Errorf("order (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoader(t *testing.T) {
	var got []string
	l := Loader{
		Index: testIndex(t), Dir: "/m",
		Params:    map[string]string{"virtio_blk": "queue_depth=4"},
		Blacklist: map[string]bool{"button": true},
		Insert: func(file, params string) error {
			got = append(got, path.Base(file)+" "+params)
			switch path.Base(file) {
			case "crc32c-intel.ko.xz":
				return unix.ENODEV
			case "crc16.ko.xz":
				return unix.EEXIST
			}
			return nil
		},
	}
	l.ByModalias("virtio:d00000002v00001AF4")
	l.ByModalias("virtio:d00000002v00001AF4")
	l.ByModalias("acpi:PNP0C0C:")
	if err := l.ByName("jbd2"); err != nil {
		t.Error(err)
	}
	if err := l.ByName("crypto-crc32c"); !Refused(err) {
		t.Errorf("got error %v, want one that says the CPU has no use for the module", err)
	}
	want := []string{"virtio_blk.ko.xz queue_depth=4", "crc16.ko.xz ", "jbd2.ko.xz ", "crc32c-intel.ko.xz ", "crc32c_generic.ko.xz "}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("insertions (-want +got):\n%s", diff)
	}
	if l.Loaded() != 3 {
		t.Errorf("Loaded() = %d, want 3", l.Loaded())
	}
}

func TestLoaderNamesTheModule(t *testing.T) {
	l := Loader{Index: testIndex(t), Insert: func(string, string) error { return unix.EINVAL }}
	err := l.ByName("crc16")
	if err == nil || errors.Is(err, unix.ENODEV) || !strings.Contains(err.Error(), "crc16") {
		t.Errorf("got error %v, want one that names crc16", err)
	}
}

func TestModaliases(t *testing.T) {
	sys := t.TempDir()
	for file, text := range map[string]string{
		"bus/pci/devices/0000:00:01.0/modalias": "pci:v1\n",
		"bus/pci/devices/0000:00:02.0/modalias": "pci:v1\n",
		"bus/acpi/devices/PNP0:00/modalias":     "\n",
		"bus/virtio/devices/virtio0/modalias":   "virtio:d2v1\n",
		"bus/virtio/devices/virtio0/status":     "0\n",
		"bus/virtio/devices/virtio0/uevent":     "MODALIAS=virtio:unread\n",
		// As Linux 6.12 shows them; neither has a file modalias.
		"bus/mmc/devices/mmc0:4567/uevent": "DRIVER=mmcblk\nMMC_TYPE=SD\nMMC_NAME=QEMU!\nMODALIAS=mmc:block\n",
		"bus/cpu/devices/cpu0/uevent":      "OF_NAME=cpu\n",
	} {
		file = filepath.Join(sys, file)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Modaliases(sys)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"mmc:block", "pci:v1", "virtio:d2v1"}, got); diff != "" {
		t.Errorf("modaliases (-want +got):\n%s", diff)
	}
}

func TestMatch(t *testing.T) {
	tests := []struct {
		pattern, name string
		want          bool
	}{
		{"", "", true},
		{"*", "", true},
		{"a*", "a", true},
		{"a*c", "abbbc", true},
		{"a*c", "abbbcd", false},
		{"*a*b*", "xxaxxbxx", true},
		{"a?c", "abc", true},
		{"a?c", "ac", false},
		{"ic0[2-4]", "ic03", true},
		{"ic0[2-4]", "ic05", false},
		{"ic0[!2-4]", "ic05", true},
		{"[]]", "]", true},
		{"[a-]", "-", true},
		{"[open", "[open", true},
		{"of:NvirtioT*Cvirtio,mmio", "of:NvirtioT(null)Cvirtio,mmio", true},
		{"dmi*:a/b*", "dmi:a/b:c", true},
		{`a\*`, "a*", true},
		{`a\*`, "ab", false},
	}
	for _, test := range tests {
		if got := match(test.pattern, test.name); got != test.want {
			t.Errorf("match(%q, %q) = %v, want %v", test.pattern, test.name, got, test.want)
		}
	}
}

// FuzzMatch compares with path.Match where both read a pattern in the same way, and
// otherwise looks for crashes.
func FuzzMatch(f *testing.F) {
	f.Add("pci:v00008086d*sv*sd*bc01sc06i01*", "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01")
	f.Add("a[b-d]*?", "acxx")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		got := match(pattern, name)
		want, err := path.Match(pattern, name)
		ascii := strings.IndexFunc(pattern+name, func(r rune) bool { return r > 126 || r == '/' || r == '\\' || r == '[' }) < 0
		if err == nil && ascii && got != want {
			t.Errorf("match(%q, %q) = %v, path.Match says %v", pattern, name, got, want)
		}
	})
}

func FuzzRead(f *testing.F) {
	f.Add("a/b.ko: c/d.ko\nc/d.ko: a/b.ko\n", "alias x:* b\n", "softdep b pre: d post: b\n")
	f.Fuzz(func(t *testing.T, dep, alias, soft string) {
		x, err := Read(fstest.MapFS{
			FileDep: {Data: []byte(dep)}, FileAlias: {Data: []byte(alias)}, FileSoftdep: {Data: []byte(soft)},
		}, ".")
		if err != nil {
			return
		}
		for _, m := range x.Modules() {
			if order := x.Order(m.Name); len(order) == 0 {
				t.Errorf("Order(%q) is empty", m.Name)
			}
		}
	})
}
