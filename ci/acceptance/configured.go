// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/ci/testimage"
	"github.com/kairos-build/kairos-build/framework/layout"
)

// machineConfig is the machine that is told everything by its config.
const machineConfig = "config"

// nocloud is the CD-ROM of that machine, and the broken files of its oem
// partition.
//
//go:embed nocloud
var nocloud embed.FS

// userDataPath is where a node keeps what its datasource gave.
const userDataPath = "/oem/95_userdata.yaml"

// brokenPrefix begins the names of the broken files in /oem.
const brokenPrefix = "40_broken_"

// configured is the tale of that machine.
func configured() tale {
	return tale{Machine: machineConfig, Short: true, Title: "a node with every key in its config", Proves: "does what each key of its config says", Independent: true, Chapters: []chapter{
		{"ready", "comes up with user-data of a CD-ROM, ten broken files and a step that fails", (*story).beginConfigured},
		{"datasource", "the user-data is kept, private to root", (*story).datasource},
		{"steps", "every key of a step does what it says", (*story).stepsDone},
		{"order", "steps run in their order, those that must not run do not", (*story).stepsOrder},
		{"network", "network-config of the CD-ROM sets the addresses", (*story).networkConfig},
		{"broken", "ten broken files are told with line and column, and what is wrong in them is not used", (*story).brokenFiles},
		{"failed", "a step that fails stands above the login prompt and in the report", (*story).failedStep},
		{"forge", "keys of the forge let their owner in", (*story).forgeKeys},
		{"user", "status tells a user who is not root what it leaves out", (*story).statusOfUser},
		{"twice", "a stage that runs again changes nothing", (*story).stageAgain},
		{"offline", "after a reboot without a network the keys of the forge are there", (*story).offline},
	}}
}

func (t *story) beginConfigured(ctx context.Context) (string, error) {
	dir, err := os.MkdirTemp("", "kairos-build-config-")
	if err != nil {
		return "", err
	}
	t.atEnd(func() error { return os.RemoveAll(dir) })
	if err := t.serveConfigured(dir); err != nil {
		return "", err
	}
	if t.setup, err = t.configuredSetup(dir); err != nil {
		return "", err
	}
	if err := t.start(ctx); err != nil {
		return "", err
	}
	return fmt.Sprintf("%.1f s from the start of the kernel", t.boots[0].ReadySeconds), nil
}

// serveConfigured starts what the config names on the network: a forge, files, a
// repository and a registry with an image.
func (t *story) serveConfigured(dir string) (err error) {
	if t.site, err = startSite(); err != nil {
		return err
	}
	t.atEnd(t.site.close)
	if t.forgeKey, err = qemu.NewKey(); err != nil {
		return err
	}
	t.site.put("/acceptance.keys", t.r.key.Authorized()+"\n")
	t.site.put("/gitlab-of/operator.keys", t.forgeKey.Authorized()+"\n")
	t.site.put("/tool", "#!/bin/sh\necho a tool\n")
	t.site.put("/proxied", "by the proxy\n")
	repository, err := newRepository("README", "a site\n")
	if err != nil {
		return err
	}
	repository.register(t.site.mux, "/site.git")
	if t.registry, err = startRegistry(filepath.Join(dir, "registry")); err != nil {
		return err
	}
	t.atEnd(t.registry.close)
	image, err := toolImage()
	if err != nil {
		return err
	}
	return t.registry.push("tool", "v1", image)
}

// toolImage is an image with one file.
func toolImage() (v1.Image, error) {
	image, err := testimage.Image([]testimage.Entry{testimage.File("share/image", "an image\n")})
	if err != nil {
		return nil, err
	}
	return testimage.For(image, "amd64")
}

// configuredSetup makes the CD-ROM, an empty disk and the oem partition.
func (t *story) configuredSetup(dir string) (setup, error) {
	given, err := t.cidata()
	if err != nil {
		return setup{}, err
	}
	cd, empty := filepath.Join(dir, "cidata.iso"), filepath.Join(dir, "empty.raw")
	if err := qemu.WriteCIData(cd, given); err != nil {
		return setup{}, err
	}
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		return setup{}, err
	}
	if err := os.Truncate(empty, 64*layout.MiB); err != nil {
		return setup{}, err
	}
	files, err := brokenFiles()
	if err != nil {
		return setup{}, err
	}
	if files["41_compat.yaml"], err = nocloud.ReadFile("nocloud/compat.yaml"); err != nil {
		return setup{}, err
	}
	oem, err := t.r.oemWith(files)
	return setup{oem: &oem, cdrom: cd, disks: []string{empty}, faults: t.r.survivable()}, err
}

// cidata are the files of the CD-ROM, with the addresses of this run.
func (t *story) cidata() (map[string][]byte, error) {
	addresses := strings.NewReplacer("SITE", t.site.url(), "IMAGE", t.registry.ref("tool", "v1"))
	files := map[string][]byte{}
	for _, name := range []string{"user-data", "meta-data", "network-config"} {
		data, err := nocloud.ReadFile("nocloud/" + name)
		if err != nil {
			return nil, err
		}
		files[name] = []byte(addresses.Replace(string(data)))
	}
	t.userData = string(files["user-data"])
	return files, nil
}

// brokenFiles are the files of nocloud/broken by their names in /oem.
func brokenFiles() (map[string][]byte, error) {
	entries, err := fs.ReadDir(nocloud, "nocloud/broken")
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	for _, e := range entries {
		data, err := nocloud.ReadFile("nocloud/broken/" + e.Name())
		if err != nil {
			return nil, err
		}
		out[brokenPrefix+e.Name()] = data
	}
	return out, nil
}

func (t *story) datasource(ctx context.Context) (string, error) {
	mode, err := t.guest.output(ctx, "stat", "-c", "%a %U", userDataPath)
	if err != nil {
		return "", err
	}
	if got := strings.TrimSpace(mode); got != "600 root" {
		return "", fmt.Errorf("%s has mode and owner %q, must have 600 root", userDataPath, got)
	}
	kept, err := t.guest.output(ctx, "cat", userDataPath)
	if err != nil {
		return "", err
	}
	if !strings.Contains(kept, t.userData) {
		return "", fmt.Errorf("%s is not the user-data of the CD-ROM", userDataPath)
	}
	return "", t.guest.says(ctx, `(?i)nocloud|cidata`, "kairos-agent", "status")
}

// says runs a program whose output must match.
func (g *Guest) says(ctx context.Context, words string, argv ...string) error {
	text, err := g.output(ctx, argv...)
	if err != nil {
		return err
	}
	if text = strings.TrimSpace(text); !regexp.MustCompile(words).MatchString(text) {
		return fmt.Errorf("%s must say %q, says: %s", strings.Join(argv, " "), words, text)
	}
	return nil
}

// A told is something that the config asks for, and how it is seen.
type told struct {
	key   string
	words string // of the output
	argv  []string
}

// effects are those of nocloud/user-data, by the key that makes them.
func effects() []told {
	const dir = "/etc/kairos-acceptance/"
	return []told{
		{"hostname", `^node-[0-9a-f]{4}$`, []string{"hostname"}},
		{"write_files", `^in the style of cloud-init$`, []string{"cat", dir + "cloud-init"}},
		{"write_files: permissions", `^640 root$`, []string{"stat", "-c", "%a %U", dir + "cloud-init"}},
		{"a file with the line kairos.compat", `compat`, []string{"ls", "/run/kairos-acceptance-compat"}},
		{"runcmd", `runcmd`, []string{"ls", "/run/kairos-acceptance-runcmd"}},
		{"stage rootfs", `^a$`, []string{"cat", dir + "rootfs"}},
		{"stage initramfs", `.`, []string{"cat", "/run/kairos-acceptance-initramfs"}},
		{"stage fs", `^fs$`, []string{"cat", dir + "fs"}},
		{"stage network", `network`, []string{"ls", "/run/kairos-acceptance-network"}},
		{"layout", `^ACCEPTANCE$`, []string{"blkid", "-o", "value", "-s", "LABEL", "/dev/vdb1"}},
		{"systemd_firstboot", `LANG="?C.UTF-8`, []string{"cat", "/etc/locale.conf"}},
		{"datasource", `again.yaml`, []string{"ls", "/run/kairos-acceptance-again"}},
		{"unpack_images", `^an image$`, []string{"cat", "/opt/kairos-acceptance-image/share/image"}},
		{"git", `^a site$`, []string{"cat", "/opt/kairos-acceptance-site/README"}},
		{"ensure_entities", `(?m)^site:x:4242:operator$`, []string{"cat", "/etc/group"}},
		{"users", `^worker:.*:/home/worker:/bin/bash`, []string{"getent", "passwd", "worker"}},
		{"dns", `nameserver 192\.0\.2\.53`, []string{"cat", dir + "resolv.conf"}},
		{"env: a proxy", `^by the proxy$`, []string{"cat", "/opt/kairos-acceptance-proxied"}},
		{"downloads", `^a tool$`, []string{"/opt/kairos-acceptance-tool"}},
		{"directories", `^750 worker$`, []string{"stat", "-c", "%a %U", "/srv/kairos-acceptance"}},
		{"files", `^slot=a arch=amd64 os=debian$`, []string{"cat", dir + "facts"}},
		{"files, a token", `^600$`, []string{"stat", "-c", "%a", dir + "token"}},
		{"sysctl", `^262144$`, []string{"cat", "/proc/sys/vm/max_map_count"}},
		{"authorized_keys", `(?m) worker$`, []string{"cat", "/home/worker/.ssh/authorized_keys"}},
		{"modules", `(?m)^dummy `, []string{"cat", "/proc/modules"}},
		{"timesyncd", `NTP=ntp\.example\.org`, []string{"systemd-analyze", "cat-config", "systemd/timesyncd.conf"}},
		{"systemctl: enable", `^enabled`, []string{"systemctl", "is-enabled", "fstrim.timer"}},
		{"systemctl: start", `^active`, []string{"systemctl", "is-active", "fstrim.timer"}},
		{"systemctl: mask", `^LoadState=masked$`, []string{"systemctl", "show", "-p", "LoadState", "apt-daily.timer"}},
		{"systemctl: overrides", `Nice=-1`, []string{"systemctl", "cat", "ssh.service"}},
		{"environment", `ACCEPTANCE="?yes"?`, []string{"cat", dir + "environment"}},
	}
}

func (t *story) stepsDone(ctx context.Context) (string, error) {
	if err := t.until(ctx, func() error {
		return t.guest.says(ctx, "network", "ls", "/run/kairos-acceptance-network")
	}); err != nil {
		return "", fmt.Errorf("the stage network: %w", err)
	}
	var all error
	for _, e := range effects() {
		if err := t.guest.says(ctx, e.words, e.argv...); err != nil {
			all = errors.Join(all, fmt.Errorf("%s: %w", e.key, err))
		}
	}
	return fmt.Sprintf("%d effects", len(effects())), all
}

// until tries again.
func (t *story) until(ctx context.Context, do func() error) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	for {
		err := do()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(2 * time.Second):
		}
	}
}

func (t *story) stepsOrder(ctx context.Context) (string, error) {
	const want = "before\nfirst\nsecond\nafter\n"
	got, err := t.guest.output(ctx, "cat", "/run/kairos-acceptance-order")
	if err == nil && got != want {
		err = fmt.Errorf("the steps ran as %q, must run as %q", got, want)
	}
	return "", errors.Join(err, t.guest.refuses(ctx, "", "grep", "^games:", "/etc/group"))
}

func (t *story) networkConfig(ctx context.Context) (string, error) {
	return "", t.guest.says(ctx, `192\.0\.2\.7/24`, "ip", "-4", "-o", "address")
}

// brokenFiles looks whether each file is told by the report of the boot and in
// the same words by validate, and whether nothing of them was done.
func (t *story) brokenFiles(ctx context.Context) (string, error) {
	files, err := brokenFiles()
	if err != nil {
		return "", err
	}
	report, err := t.guest.output(ctx, "kairos-agent", "report")
	if err != nil {
		return "", err
	}
	status, err := t.guest.output(ctx, "kairos-agent", "status")
	if err != nil {
		return "", err
	}
	var all error
	for name := range files {
		all = errors.Join(all, t.brokenFile(ctx, "/oem/"+name, report+status))
	}
	left, err := t.guest.existing(ctx, []string{"/etc/kairos-acceptance-broken"})
	if err == nil && len(left) > 0 {
		err = errors.New("a step of a broken file was carried out")
	}
	return fmt.Sprintf("%d files", len(files)), errors.Join(all, err)
}

func (t *story) brokenFile(ctx context.Context, path, told string) error {
	out, err := t.guest.RunInput(ctx, "", "kairos-agent", "validate", path)
	if err != nil {
		return err
	}
	if out.Exit == 0 {
		return fmt.Errorf("%s is accepted by validate", path)
	}
	place := regexp.MustCompile(regexp.QuoteMeta(path) + `:\d+:\d+: [^\n]*`).FindString(out.Stdout + out.Stderr)
	if place == "" {
		return fmt.Errorf("validate gives no line and column for %s: %s", path, firstOf(out.Stderr, out.Stdout))
	}
	if !strings.Contains(told, place) {
		return fmt.Errorf("the node does not say %q", place)
	}
	return nil
}

func (t *story) failedStep(ctx context.Context) (string, error) {
	said, ok := t.vm.Console().Find(regexp.MustCompile(`kairos: .*fails`))
	if !ok {
		return "", errors.New("the console does not name the step that failed")
	}
	ready, ok := t.vm.Console().Find(readyLine)
	if !ok || said.At.After(ready.At) {
		return "", errors.New("the console names the step that failed after the login prompt")
	}
	return strings.TrimSpace(said.Text), t.guest.says(ctx, `the words of a command that fails`, "kairos-agent", "report")
}

// forgeKeys logs in with the key that only the forge knew.
func (t *story) forgeKeys(ctx context.Context) (string, error) {
	err := t.until(ctx, func() error { return t.forgeLogin(ctx) })
	if n := t.site.times("/gitlab-of/operator.keys"); err == nil && n == 0 {
		err = errors.New("the forge was not asked")
	}
	return "", err
}

func (t *story) forgeLogin(ctx context.Context) error {
	return t.asOperator(ctx, func(context.Context, *qemu.Client) error { return nil })
}

// asOperator logs in as the user of the config who is not root.
func (t *story) asOperator(ctx context.Context, do func(context.Context, *qemu.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	client, err := t.vm.SSH(ctx, qemu.Login{User: "operator", Signer: t.forgeKey.Signer()})
	if err != nil {
		return err
	}
	return errors.Join(do(ctx, client), client.Close())
}

// statusOfUser looks for the table's row about what only root may read.
func (t *story) statusOfUser(ctx context.Context) (string, error) {
	row := ""
	err := t.asOperator(ctx, func(ctx context.Context, client *qemu.Client) error {
		text, err := output(ctx, client, "", "kairos-agent", "status")
		row = strings.TrimSpace(regexp.MustCompile(`(?m)^not shown .*$`).FindString(text))
		if err == nil && !strings.Contains(row, "slots") {
			err = fmt.Errorf("status must name the slots as not shown, says: %s", text)
		}
		return err
	})
	return row, err
}

func (t *story) stageAgain(ctx context.Context) (string, error) {
	if _, err := t.guest.output(ctx, "touch", "/run/kairos-acceptance-mark"); err != nil {
		return "", err
	}
	out, err := t.client.Run(ctx, "kairos-agent", "run-stage", "boot")
	if err != nil {
		return "", err
	}
	if out.Exit == 0 {
		return "", errors.New("run-stage must report the step that fails")
	}
	changed, err := t.guest.output(ctx, "find", "/etc", "/opt", "/srv", "-newer", "/run/kairos-acceptance-mark", "-type", "f", "!", "-name", ".pwd.lock")
	if err == nil && strings.TrimSpace(changed) != "" {
		err = fmt.Errorf("the second time it wrote %s", strings.Fields(changed))
	}
	return "", err
}

// offline restarts the node with its cable pulled out and the site gone; the
// cable comes back when the node is ready.
func (t *story) offline(ctx context.Context) (string, error) {
	if err := t.site.close(); err != nil {
		return "", err
	}
	begin := time.Now()
	t.vm.Console().Skip()
	if err := t.vm.Restart(ctx); err != nil {
		return "", err
	}
	if err := t.cable(ctx, false); err != nil {
		return "", err
	}
	short, cancel := context.WithTimeout(ctx, t.r.BootTimeout)
	defer cancel()
	if _, err := t.vm.WaitLine(short, readyLine); err != nil {
		return "", err
	}
	took := time.Since(begin)
	if err := t.cable(ctx, true); err != nil {
		return "", err
	}
	err := t.until(ctx, func() error { return t.forgeLogin(ctx) })
	return fmt.Sprintf("ready %.1f s after the restart", took.Seconds()), err
}

// cable puts the network cable in or pulls it out.
func (t *story) cable(ctx context.Context, up bool) error {
	return t.vm.QMP().Do(ctx, "set_link", map[string]any{"name": "net0", "up": up}, nil)
}
