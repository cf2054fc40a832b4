// SPDX-License-Identifier: Apache-2.0

package stages

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kairos-build/kairos-build/ci/testimage"
	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/internal/blockdev"
	"github.com/kairos-build/kairos-build/framework/machine/partitions"
)

// oneKey has a step for each key, with the other keys that it needs. DIR stands for
// the host path of the root.
var oneKey = map[string]string{
	"name":                 "{name: x, commands: [a]}",
	"if":                   "{if: a, commands: [b]}",
	"if_files":             "{if_files: {any: [/etc/passwd]}, commands: [a]}",
	"only_os":              "{only_os: debian, commands: [a]}",
	"only_os_version":      "{only_os_version: '13', commands: [a]}",
	"only_arch":            "{only_arch: amd64, commands: [a]}",
	"only_service_manager": "{only_service_manager: systemd, commands: [a]}",
	"node":                 "{node: edge, commands: [a]}",
	"after":                "{name: y, after: [], commands: [a]}",
	"commands":             "{commands: [a, b]}",
	"files":                "{files: [{path: /etc/a/b, content: x, permissions: '0640'}, {path: /etc/hosts, content: \"192.0.2.1 a\\n\", append: true}]}",
	"directories":          "{directories: [{path: /srv/a/b, permissions: '0700'}]}",
	"downloads":            "{downloads: [{path: /opt/tool, url: 'https://example.org/tool', permissions: '0755'}]}",
	"ensure_entities":      "{ensure_entities: [{entity: {kind: group, group_name: site, gid: 900}}]}",
	"delete_entities":      "{delete_entities: [{entity: {kind: group, group_name: games}}]}",
	"dns":                  "{dns: {nameservers: [192.0.2.1], search: [example.org]}}",
	"hostname":             "{hostname: other}",
	"sysctl":               "{sysctl: {vm.max_map_count: 1}}",
	"authorized_keys":      "{users: {ada: {}}, authorized_keys: {ada: [" + oneSSHKey + "]}}",
	"users":                "{users: {ada: {groups: [adm], passwd: '*', ssh_authorized_keys: [" + oneSSHKey + "]}}}",
	"modules":              "{modules: [br_netfilter]}",
	"systemctl":            "{systemctl: {enable: [a], disable: [b], start: [c], mask: [d], overrides: [{service: a, content: '[Service]'}]}}",
	"environment":          "{environment: {A: 'b c'}}",
	"environment_file":     "{environment: {A: b}, environment_file: /etc/default/a}",
	"timesyncd":            "{timesyncd: {NTP: time.example.org}}",
	"packages":             "{packages: {install: [a]}}",
	"package_pins":         "{package_pins: {a: '1'}}",
	"unpack_images":        "{unpack_images: [{source: 'registry.example.org/tool:v1', target: /opt/image}]}",
	"layout":               "{layout: {device: {path: DIR/disk, init_disk: true}, add_partitions: [{fsLabel: DATA, size: 8}, {pLabel: rest}]}}",
	"systemd_firstboot":    "{systemd_firstboot: {locale: C.UTF-8}}",
	"git":                  "{git: {url: 'file://DIR/repository', path: /opt/site}}",
	"datasource":           "{datasource: {providers: [cdrom]}}",
}

const oneSSHKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMSlWb3M0/pM+S7uUS61LuhNOu2SoVZ6iI48XgbtWiOl one"

// TestEveryKeyTwice: the second run of a step changes nothing.
func TestEveryKeyTwice(t *testing.T) {
	for _, key := range config.StepKeys() {
		t.Run(key, func(t *testing.T) {
			step, ok := oneKey[key]
			if !ok {
				t.Fatal("this test has no step with the key")
			}
			e, f := newEngine(t)
			prepare(t, key, e)
			text := "stages: {boot: [" + strings.ReplaceAll(step, "DIR", e.Root.Dir) + "]}"
			first := anyRun(t, e, text)
			if !first.OK() {
				t.Fatalf("first run:\n%s", strings.Join(summary(first), "\n"))
			}
			before, ran := snapshot(t, e.Root.Dir), len(f.ran)
			second := anyRun(t, e, text)
			if !second.OK() || second.Changed() {
				t.Errorf("second run:\n%s", strings.Join(summary(second), "\n"))
			}
			if diff := cmp.Diff(before, snapshot(t, e.Root.Dir)); diff != "" {
				t.Errorf("the second run changed files (-before +after):\n%s", diff)
			}
			if again := f.ran[ran:]; !strings.Contains(step, "commands:") && len(again) > 0 {
				t.Errorf("the second run ran %q", again)
			}
			inert := slices.Contains([]string{"packages", "package_pins"}, key) || strings.Contains(step, "commands:")
			if !inert && !first.Changed() {
				t.Errorf("the first run changed nothing:\n%s", strings.Join(summary(first), "\n"))
			}
		})
	}
}

// anyRun is run for configs with keys that do nothing here and so give warnings.
func anyRun(t *testing.T, e *Engine, text string) StageReport {
	t.Helper()
	c, problems := config.Decode("c.yaml", []byte(text))
	if problems.Failed() {
		t.Fatal(problems.Error())
	}
	return e.Run(t.Context(), NewPlan("boot", c.Stages["boot"]))
}

// prepare sets up the image, disk or repository that a key needs.
func prepare(t *testing.T, key string, e *Engine) {
	t.Helper()
	switch key {
	case "unpack_images":
		e.Image = func(context.Context, config.UnpackImage) (v1.Image, string, error) { return oneFile(t), "", nil }
	case "datasource":
		stored := false
		e.Datasource = func(context.Context, config.Datasource) (string, bool, error) {
			changed := !stored
			stored = true
			return "/oem/95_userdata.yaml", changed, nil
		}
	case "layout":
		e.Disks = fileDisk{dir: e.Root.Dir}
		put(t, filepath.Join(e.Root.Dir, "disk"), strings.Repeat("\x00", 32<<20))
	case "git":
		if _, err := exec.LookPath("git"); err != nil {
			t.Skip("SKIPPED: a repository in a folder is read by git, which is not installed")
		}
		repository(t, filepath.Join(e.Root.Dir, "repository"))
	}
}

// oneFile is an image with one file.
func oneFile(t *testing.T) v1.Image {
	t.Helper()
	tool := testimage.File("bin/tool", "hello")
	tool.Header.Mode = 0o755
	image, err := testimage.Image([]testimage.Entry{tool})
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// repository makes a repository with one commit.
func repository(t *testing.T, dir string) {
	t.Helper()
	for _, words := range [][]string{
		{"init", "-q", "-b", "main", dir},
		{"-C", dir, "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-q", "--allow-empty", "-m", "first"},
	} {
		cmd := exec.Command("git", words...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", words, err, out)
		}
	}
}

// fileDisk is a node whose disk is a file with the file systems.
type fileDisk struct {
	partitions.KernelDisks
	dir string
}

func (d fileDisk) Disk(_ context.Context, l config.DiskLayout) (string, error) {
	return l.Path.Text, nil
}
func (d fileDisk) Label(context.Context, string) (label, fs string, err error) { return "", "", nil }
func (d fileDisk) Has(string) bool                                             { return true }
func (d fileDisk) Added(*os.File, blockdev.Partition) error                    { return nil }

// Run writes a word near the beginning of the partition, as mkfs would.
func (d fileDisk) Run(_ context.Context, words ...string) error {
	f, err := os.OpenFile(filepath.Join(d.dir, "disk"), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	at := map[string]int64{"1": 1 << 20, "2": 9 << 20}[words[len(words)-1][len(words[len(words)-1])-1:]]
	if _, err := f.WriteAt([]byte("a file system"), at+1024); err != nil {
		return err
	}
	return f.Close()
}
