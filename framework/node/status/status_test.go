// SPDX-License-Identifier: Apache-2.0

package status

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/ci/golden"
	"github.com/kairos-build/kairos-build/framework/install/reset"
	"github.com/kairos-build/kairos-build/framework/internal/persist"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/machine/report"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
	"github.com/kairos-build/kairos-build/framework/slot/thisboot"
)

const mountinfo = `22 1 254:0 / / ro,relatime shared:1 - erofs /dev/dm-0 ro
23 22 0:21 / /etc rw,relatime - overlay overlay rw,lowerdir=/etc
24 22 253:9 / /oem rw,relatime - ext4 /dev/vda9 rw
25 22 253:10 / /usr/local rw,relatime shared:3 - ext4 /dev/vda10 rw
26 25 253:10 /.state/home.bind /home rw,relatime - ext4 /dev/vda10 rw
malformed
27 22 0:30 / /a\040b rw - tmpfs tmpfs rw
`

// node makes a system in a directory, as the initramfs leaves it.
func node(t *testing.T) tree.Root {
	t.Helper()
	root := tree.Root{Dir: t.TempDir(), KeepOwner: true}
	hash := strings.Repeat("ab", 32)
	state := &thisboot.Boot{
		Slot: layout.SlotA, Mode: layout.ModeActive, RootHash: hash, ModulesLoaded: 12, FirstBoot: true,
		Disk: thisboot.Disk{Device: "/dev/vda", GUID: "guid", Size: 8 << 30},
		Partitions: []thisboot.Partition{
			{Number: 4, Name: "root-a", Device: "/dev/vda4", Size: 2 << 30},
			{Number: 9, Name: "oem", Device: "/dev/vda9", Size: 64 << 20},
		},
		Mounts: []thisboot.Mount{
			{Path: "/", Kind: thisboot.MountRoot, Source: "/dev/dm-0", FS: "erofs", ReadOnly: true},
			{Path: "/etc", Kind: thisboot.MountEphemeral, Source: "tmpfs", FS: "overlay"},
			{Path: "/oem", Kind: thisboot.MountData, Source: "/dev/vda9", FS: "ext4"},
			{Path: "/home", Kind: thisboot.MountBind, Source: "/usr/local/.state/home.bind"},
		},
		Steps: []thisboot.Step{{Name: "verity", Milliseconds: 10, At: 1500}},
	}
	data, err := state.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{
		"/proc/self/mountinfo":      mountinfo,
		"/proc/cmdline":             "quiet kairos.slot=a kairos.mode=active kairos.roothash=" + hash,
		"/proc/sys/kernel/hostname": "node1\n",
		"/sys/block/dm-0/dev":       "254:0\n",
		"/sys/block/dm-0/dm/name":   "root\n",
		"/sys/block/dm-0/dm/uuid":   "CRYPT-VERITY-0123-root\n",
		"/sys/block/dm-1/dev":       "254:1\n",
		"/sys/block/vda/dev":        "253:0\n",
		layout.ImageRelease:         "# release\nKAIROS_VERSION=\"v1.2.3\"\nKAIROS_FLAVOR=debian\nKAIROS_NAME='a b'\n",
		layout.StateFile:            string(data),
	} {
		if _, err := root.Replace(path, tree.File{Data: []byte(text), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
	}
	kept := []persist.Kept{{Path: "/etc/ssh/sshd_config", Why: "changed here, and in the image"}}
	data, err = json.Marshal(persist.Report{RootHash: hash, Changed: 2, Added: 1, Kept: kept, Local: []string{"/root/.bashrc"}, Milliseconds: 3})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := root.Replace(persist.ReportPath, tree.File{Data: data, Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	r := &report.Report{OK: true, Milliseconds: 12, Files: []report.File{{Name: "/oem/90.yaml", Used: true}}}
	if err := r.Write(root); err != nil {
		t.Fatal(err)
	}
	return root
}

func TestCollect(t *testing.T) {
	s := Collect(node(t))
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/status.json", string(data)+"\n")
	var table bytes.Buffer
	if err := s.WriteTable(&table, View{}); err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/status.txt", table.String())
	table.Reset()
	if err := s.WriteTable(&table, View{All: true}); err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/all.txt", table.String())
}

func TestProblems(t *testing.T) {
	for _, c := range []struct{ name, path, data, want string }{
		{"not ours", layout.StateFile, "-", "not started by the kairos initramfs"},
		{"state damaged", layout.StateFile, "{", "decoding the boot state"},
		{"reset interrupted", reset.MarkPath, "{}", "a reset was interrupted"},
		{"persistent paths unknown", persist.ReportPath, "{", "decoding the report on persistent paths"},
		{"no report", report.Path, "-", "kairos-boot.service did not run"},
		{"no verity", "/sys/block/dm-0/dm/uuid", "LVM-x\n", "the root file system is not verified"},
		{"other device", "/sys/block/dm-0/dev", "254:7\n", "the root file system is not verified"},
		{"writable", "/proc/self/mountinfo", strings.ReplaceAll(mountinfo, "ro,relatime shared:1 - erofs /dev/dm-0 ro", "rw - erofs /dev/dm-0 rw"), "the root file system is writable"},
		{"not mounted", "/proc/self/mountinfo", strings.ReplaceAll(mountinfo, " /oem ", " /mnt "), "/oem was mounted by the initramfs and is not mounted now"},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := node(t)
			var err error
			if c.data == "-" {
				_, err = root.Remove(c.path)
			} else {
				_, err = root.Replace(c.path, tree.File{Data: []byte(c.data), Mode: 0o644})
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(Collect(root).Problems, "\n"); !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// TestHidden: the table names the parts that only root may read.
func TestHidden(t *testing.T) {
	s := Collect(node(t))
	s.Hidden = append(s.Hidden, "slots", "stages")
	var table bytes.Buffer
	if err := s.WriteTable(&table, View{}); err != nil || !strings.Contains(table.String(), "slots, stages: only root can read that, with `sudo kairos-agent status`\n") {
		t.Errorf("%v, the table says\n%s", err, table.String())
	}
}

func TestEmptySystem(t *testing.T) {
	s := Collect(tree.Root{Dir: t.TempDir(), KeepOwner: true})
	if s.Slot != "" || s.Root.Verity.State != Unmapped || len(s.Problems) != 2 {
		t.Errorf("got %+v", s)
	}
	if err := s.WriteTable(&bytes.Buffer{}, View{All: true}); err != nil {
		t.Error(err)
	}
}

func TestSlotFromCommandLine(t *testing.T) {
	root := node(t)
	if _, err := root.Remove(layout.StateFile); err != nil {
		t.Fatal(err)
	}
	if s := Collect(root); s.Slot != "a" || s.Mode != "active" {
		t.Errorf("slot %q mode %q", s.Slot, s.Mode)
	}
}

func TestStatusReply(t *testing.T) {
	reply := func(count, start uint32, target, status string) []byte {
		b := make([]byte, 600)
		binary.LittleEndian.PutUint32(b[16:], start)
		binary.LittleEndian.PutUint32(b[20:], count)
		copy(b[dmHeader+24:], target)
		copy(b[dmHeader+dmSpec:], status)
		return b
	}
	target, word, err := statusReply(reply(1, dmHeader, "verity", "V"))
	if err != nil || target != "verity" || word != "V" {
		t.Errorf("got %q %q %v", target, word, err)
	}
	for _, b := range [][]byte{reply(0, dmHeader, "", ""), reply(1, 1<<31, "", ""), reply(1, 599, "", "")} {
		if _, _, err := statusReply(b); err == nil {
			t.Error("no error for a malformed reply")
		}
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 64 << 20: "64.0 MiB", 5 << 29: "2.5 GiB"} {
		if got := Size(n); got != want {
			t.Errorf("Size(%d) = %q, want %q", n, got, want)
		}
	}
}

func FuzzParseMountInfo(f *testing.F) {
	f.Add(mountinfo)
	f.Fuzz(func(_ *testing.T, text string) { parseMountInfo(text) })
}
