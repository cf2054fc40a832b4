// SPDX-License-Identifier: Apache-2.0

package partitions

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/internal/blockdev"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
)

// node has one disk, which is a file. It records the commands and calls in ran.
type node struct {
	KernelDisks
	path   string
	boot   string
	labels map[string][2]string // by device: label and type
	lacks  string
	fails  string
	ran    []string
}

func (n *node) Disk(context.Context, config.DiskLayout) (string, error) { return n.path, nil }
func (n *node) BootDisk() string                                        { return n.boot }
func (n *node) Device(_ string, number int) string                      { return fmt.Sprintf("/dev/x%d", number) }
func (n *node) Has(program string) bool                                 { return program != n.lacks }
func (n *node) Label(_ context.Context, device string) (label, fs string, err error) {
	return n.labels[device][0], n.labels[device][1], nil
}
func (n *node) Added(_ *os.File, p blockdev.Partition) error {
	n.ran = append(n.ran, fmt.Sprintf("add %d", p.Number))
	return nil
}
func (n *node) Resized(_ *os.File, p blockdev.Partition) error {
	n.ran = append(n.ran, fmt.Sprintf("resize %d", p.Number))
	return nil
}
func (n *node) Grow(_ context.Context, device string, size int64) (bool, error) {
	n.ran = append(n.ran, fmt.Sprintf("grow %s %d", device, size>>20))
	return false, nil
}

// Run makes a fake file system: it writes a word into the partition.
func (n *node) Run(_ context.Context, words ...string) error {
	command := strings.Join(words, " ")
	n.ran = append(n.ran, command)
	if n.fails != "" && strings.HasPrefix(command, n.fails) {
		return errors.New("exit status 1")
	}
	device := words[len(words)-1]
	table := n.table()
	for _, p := range table.Partitions {
		if n.Device("", p.Number) == device {
			return n.scribble(p.Offset() + 1024)
		}
	}
	return errors.New("no such device")
}

func (n *node) table() *gpt.Table {
	data, err := os.ReadFile(n.path)
	if err != nil {
		return &gpt.Table{}
	}
	t, err := gpt.Read(strings.NewReader(string(data)), int64(len(data)))
	if err != nil {
		return &gpt.Table{}
	}
	return t
}

func (n *node) scribble(at int64) error {
	f, err := os.OpenFile(n.path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte("data"), at)
	return errors.Join(err, f.Close())
}

// newNode returns a node with a disk of 64 MiB and partitions of 1 MiB with names.
func newNode(t *testing.T, names ...string) *node {
	t.Helper()
	n := &node{path: filepath.Join(t.TempDir(), "disk"), labels: map[string][2]string{}}
	f, err := os.Create(n.path)
	if err != nil {
		t.Fatal(err)
	}
	err = f.Truncate(64 << 20)
	if len(names) > 0 {
		kind, parseErr := gpt.ParseGUID(layout.TypeLinux)
		table := &gpt.Table{DiskGUID: gpt.GUID{1}, Sectors: 64 << 11}
		for i, name := range names {
			first := int64(i+1) << 11
			table.Partitions = append(table.Partitions, gpt.Partition{Number: i + 1, Type: kind, ID: gpt.GUID{byte(i + 2)}, First: first, Last: first + 2047, Name: name})
		}
		err = errors.Join(err, parseErr, table.Write(f))
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return n
}

// partitionsOf returns "NUMBER NAME FIRST+SIZE" of each partition, in MiB.
func partitionsOf(n *node) []string {
	var out []string
	for _, p := range n.table().Partitions {
		out = append(out, fmt.Sprintf("%d %s %d+%d", p.Number, p.Name, p.Offset()>>20, p.Size()>>20))
	}
	return out
}

// TestPlanOfLargeSectors: a data disk with sectors of 4096 bytes keeps its form of table, and
// has less room at its end.
func TestPlanOfLargeSectors(t *testing.T) {
	n := newNode(t, "data")
	table := n.table()
	table.Large = true
	p, err := newPlan(table, 64<<11, config.DiskLayout{}, []config.NewPartition{{Name: "rest"}})
	if err != nil {
		t.Fatal(err)
	}
	if last := p.table.Partitions[1]; !p.table.Large || (last.Last+1)%8 != 0 || last.Last >= p.table.UsableEnd() {
		t.Errorf("large: %t, partition %+v", p.table.Large, last)
	}
}

func TestApply(t *testing.T) {
	expand := func(n int) *int { return &n }
	data := config.NewPartition{Name: "data", Label: "DATA", Size: 8, FileSystem: "ext4"}
	rest := config.NewPartition{Name: "rest", FileSystem: "xfs"}
	for _, c := range []struct {
		name   string
		there  []string
		layout config.DiskLayout
		change func(*node)
		want   []string // the partitions
		ran    []string
		err    string
	}{
		{"an empty disk", nil, config.DiskLayout{Init: true, Add: []config.NewPartition{data, rest}}, nil, []string{"1 data 1+8", "2 rest 9+54"},
			[]string{"add 1", "add 2", "mkfs.ext4 -q -L DATA /dev/x1", "mkfs.xfs -q /dev/x2"}, ""},
		{"an empty disk is not asked for", nil, config.DiskLayout{Add: []config.NewPartition{data}}, nil, nil, nil, "set device.init_disk to make one; nothing was written"},
		{"a disk with something else", nil, config.DiskLayout{Init: true, Add: []config.NewPartition{data}}, func(n *node) { must(n.scribble(512)) }, nil, nil, "it is not empty"},
		{"something else at its end", nil, config.DiskLayout{Init: true, Add: []config.NewPartition{data}}, func(n *node) { must(n.scribble(64<<20 - 600)) }, nil, nil, "it is not empty"},
		{"behind others", []string{"a", "b"}, config.DiskLayout{Add: []config.NewPartition{data}}, nil, []string{"1 a 1+1", "2 b 2+1", "3 data 3+8"},
			[]string{"add 3", "mkfs.ext4 -q -L DATA /dev/x3"}, ""},
		{"it is there", []string{"a", "data"}, config.DiskLayout{Add: []config.NewPartition{data}}, func(n *node) { must(n.scribble(2<<20 + 1024)) }, []string{"1 a 1+1", "2 data 2+1"}, nil, ""},
		{"its label is there", []string{"a", "b"}, config.DiskLayout{Add: []config.NewPartition{data}}, func(n *node) { n.labels["/dev/x2"] = [2]string{"DATA", "ext4"} }, []string{"1 a 1+1", "2 b 2+1"}, nil, ""},
		{"it is there and empty", []string{"a", "data"}, config.DiskLayout{Add: []config.NewPartition{data}}, nil, []string{"1 a 1+1", "2 data 2+1"}, []string{"mkfs.ext4 -q -L DATA /dev/x2"}, ""},
		{"no room", []string{"a"}, config.DiskLayout{Add: []config.NewPartition{{Name: "big", Size: 63, FileSystem: "ext4"}}}, nil, []string{"1 a 1+1"}, nil, `no room for partition "big" of 63 MiB: 61 MiB are free at the end of the disk; nothing was written`},
		{"no program", []string{"a"}, config.DiskLayout{Add: []config.NewPartition{data, rest}}, func(n *node) { n.lacks = "mkfs.xfs" }, []string{"1 a 1+1"}, nil, `partition "rest" needs the program mkfs.xfs`},
		{"remains are cleared", []string{"a"}, config.DiskLayout{Add: []config.NewPartition{data}}, func(n *node) { must(n.scribble(2<<20 + 1024)) }, []string{"1 a 1+1", "2 data 2+8"}, []string{"add 2", "mkfs.ext4 -q -L DATA /dev/x2"}, ""},
		{"the program fails", []string{"a"}, config.DiskLayout{Add: []config.NewPartition{data}}, func(n *node) { n.fails = "mkfs" }, []string{"1 a 1+1", "2 data 2+8"}, []string{"add 2", "mkfs.ext4 -q -L DATA /dev/x2"}, "making the file system of partition \"data\": exit status 1"},
		{"expand to the end", []string{"a", "b"}, config.DiskLayout{Expand: expand(0)}, func(n *node) { n.labels["/dev/x2"] = [2]string{"", "ext4"} }, []string{"1 a 1+1", "2 b 2+61"}, []string{"resize 2", "grow /dev/x2 61"}, ""},
		{"expand and add", []string{"a"}, config.DiskLayout{Expand: expand(4), Add: []config.NewPartition{data}}, nil, []string{"1 a 1+4", "2 data 5+8"}, []string{"resize 1", "add 2", "mkfs.ext4 -q -L DATA /dev/x2"}, ""},
		{"never smaller", []string{"a"}, config.DiskLayout{Expand: expand(1)}, nil, []string{"1 a 1+1"}, nil, ""},
		{"no room to expand", []string{"a"}, config.DiskLayout{Expand: expand(100)}, nil, []string{"1 a 1+1"}, nil, `partition 1 ("a") cannot have 100 MiB: there is room for 62`},
		{"what grows only when it is mounted", []string{"a"}, config.DiskLayout{Expand: expand(0)}, func(n *node) { n.labels["/dev/x1"] = [2]string{"", "xfs"} }, []string{"1 a 1+1"}, nil, "has xfs, which grows while it is mounted only"},
		{"the disk that was booted", []string{"a"}, config.DiskLayout{Add: []config.NewPartition{data}}, func(n *node) { n.boot = n.path }, []string{"1 a 1+1"}, nil, "the node was booted from it"},
		{"ours, as Kairos has them", []string{"a"}, config.DiskLayout{Expand: expand(0), Add: []config.NewPartition{{Name: "x", Label: "COS_PERSISTENT"}}}, func(n *node) { n.boot = n.path }, []string{"1 a 1+1"}, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newNode(t, c.there...)
			if c.change != nil {
				c.change(n)
			}
			_, err := Apply(t.Context(), n, c.layout)
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
			if diff := cmp.Diff(c.want, partitionsOf(n)); diff != "" {
				t.Errorf("partitions (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.ran, n.ran); diff != "" {
				t.Errorf("commands (-want +got):\n%s", diff)
			}
			if err != nil {
				return
			}
			n.ran = nil
			done, err := Apply(t.Context(), n, c.layout)
			if len(done) > 0 || err != nil {
				t.Errorf("again: %v, %v", done, err)
			}
		})
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func TestDevice(t *testing.T) {
	for disk, want := range map[string]string{"/dev/vda": "/dev/vda3", "/dev/nvme0n1": "/dev/nvme0n1p3"} {
		if got := (KernelDisks{}).Device(disk, 3); got != want {
			t.Errorf("%s: %s, want %s", disk, got, want)
		}
	}
}
