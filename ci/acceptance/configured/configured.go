// SPDX-License-Identifier: Apache-2.0

// Package configured tests a node whose config has every key, ten broken files and a
// step that fails.
package configured

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

	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/ci/testimage"
	"github.com/kairos-build/kairos-build/framework/layout"
)

// nocloud has the files of the machine's CD-ROM and the broken files of its oem
// partition.
//
//go:embed nocloud
var nocloud embed.FS

// userDataPath is the file in which a node keeps the user-data of its datasource.
const userDataPath = "/oem/95_userdata.yaml"

// brokenPrefix begins the names of the broken files in /oem.
const brokenPrefix = "40_broken_"

// A story is the machine, with the servers that its config names.
type story struct {
	*lab.Machine
	registry *lab.Registry
	site     *lab.Site
	forgeKey qemu.Key // only the site's forge knows it
	userData string
}

// Tell runs the chapters: the effects of the config.
func Tell(ctx context.Context, m *lab.Machine) {
	t := &story{Machine: m}
	m.Tell(ctx, true, []lab.Chapter{
		{Name: "ready", Title: "comes up with user-data of a CD-ROM, ten broken files and a step that fails", Do: t.begin},
		{Name: "datasource", Title: "the user-data is kept, private to root", Do: t.datasource},
		{Name: "steps", Title: "every key of a step does what it says", Do: t.stepsDone},
		{Name: "order", Title: "steps run in their order, those that must not run do not", Do: t.stepsOrder},
		{Name: "network", Title: "network-config of the CD-ROM sets the addresses", Do: t.networkConfig},
		{Name: "broken", Title: "ten broken files are told with line and column, and what is wrong in them is not used", Do: t.brokenFiles},
		{Name: "failed", Title: "a step that fails stands above the login prompt and in the report", Do: t.failedStep},
		{Name: "forge", Title: "keys of the forge let their owner in", Do: t.forgeKeys},
		{Name: "user", Title: "status tells a user who is not root what it leaves out", Do: t.statusOfUser},
		{Name: "twice", Title: "a stage that runs again changes nothing", Do: t.stageAgain},
		{Name: "offline", Title: "after a reboot without a network the keys of the forge are there", Do: t.offline},
	})
}

func (t *story) begin(ctx context.Context) (string, error) {
	dir, err := os.MkdirTemp("", "kairos-build-config-")
	if err != nil {
		return "", err
	}
	t.AtEnd(func() error { return os.RemoveAll(dir) })
	if err := t.serveConfigured(dir); err != nil {
		return "", err
	}
	if t.Setup, err = t.configuredSetup(dir); err != nil {
		return "", err
	}
	if err := t.Start(ctx); err != nil {
		return "", err
	}
	return fmt.Sprintf("%.1f s from the start of the kernel", t.Boots[0].ReadySeconds), nil
}

// serveConfigured starts the servers that the config names: a forge, files, a
// repository and a registry with an image.
func (t *story) serveConfigured(dir string) (err error) {
	if t.site, err = lab.StartSite(); err != nil {
		return err
	}
	t.AtEnd(t.site.Close)
	if t.forgeKey, err = qemu.NewKey(); err != nil {
		return err
	}
	t.site.Put("/acceptance.keys", t.Lab.Key.Authorized()+"\n")
	t.site.Put("/gitlab-of/operator.keys", t.forgeKey.Authorized()+"\n")
	t.site.Put("/tool", "#!/bin/sh\necho a tool\n")
	t.site.Put("/proxied", "by the proxy\n")
	repository, err := lab.NewRepository("README", "a site\n")
	if err != nil {
		return err
	}
	repository.Register(t.site.Mux, "/site.git")
	if t.registry, err = lab.StartRegistry(filepath.Join(dir, "registry"), t.Lab.Signer); err != nil {
		return err
	}
	t.AtEnd(t.registry.Close)
	image, err := toolImage(t.Lab.Host.Arch)
	if err != nil {
		return err
	}
	return t.registry.Push("tool", "v1", image)
}

// toolImage is an image with one file, for nodes of an architecture.
func toolImage(arch string) (v1.Image, error) {
	image, err := testimage.Image([]testimage.Entry{testimage.File("share/image", "an image\n")})
	if err != nil {
		return nil, err
	}
	return testimage.For(image, arch)
}

// configuredSetup makes the CD-ROM, an empty disk and the oem partition.
func (t *story) configuredSetup(dir string) (lab.Setup, error) {
	given, err := t.cidata()
	if err != nil {
		return lab.Setup{}, err
	}
	cd, empty := filepath.Join(dir, "cidata.iso"), filepath.Join(dir, "empty.raw")
	if err := qemu.WriteCIData(cd, given); err != nil {
		return lab.Setup{}, err
	}
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		return lab.Setup{}, err
	}
	if err := os.Truncate(empty, 64*layout.MiB); err != nil {
		return lab.Setup{}, err
	}
	files, err := brokenFiles()
	if err != nil {
		return lab.Setup{}, err
	}
	if files["41_compat.yaml"], err = nocloud.ReadFile("nocloud/compat.yaml"); err != nil {
		return lab.Setup{}, err
	}
	oem, err := t.Lab.OEM(files)
	return lab.Setup{OEM: &oem, CDROMs: []string{cd}, Disks: []string{empty}, Faults: t.Lab.Survivable()}, err
}

// cidata returns the files of the CD-ROM, with the addresses of this run.
func (t *story) cidata() (map[string][]byte, error) {
	addresses := strings.NewReplacer("SITE", t.site.URL(), "IMAGE", t.registry.Ref("tool", "v1"))
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

// brokenFiles returns the files of nocloud/broken by their names in /oem.
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
	mode, err := t.Guest.Output(ctx, "stat", "-c", "%a %U", userDataPath)
	if err != nil {
		return "", err
	}
	if got := strings.TrimSpace(mode); got != "600 root" {
		return "", fmt.Errorf("%s has mode and owner %q, must have 600 root", userDataPath, got)
	}
	kept, err := t.Guest.Output(ctx, "cat", userDataPath)
	if err != nil {
		return "", err
	}
	if !strings.Contains(kept, t.userData) {
		return "", fmt.Errorf("%s is not the user-data of the CD-ROM", userDataPath)
	}
	return "", t.Guest.Says(ctx, `(?i)nocloud|cidata`, "kairos-agent", "status")
}

// A told is an effect that the config asks for, and the command that shows it.
type told struct {
	key   string
	words string // of the output
	argv  []string
}

// effects returns the effects of nocloud/user-data and compat.yaml, by their keys.
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
		{"files", `^slot=a arch=(amd64|arm64) os=debian$`, []string{"cat", dir + "facts"}},
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
	if err := lab.Until(ctx, func(ctx context.Context) error {
		return t.Guest.Says(ctx, "network", "ls", "/run/kairos-acceptance-network")
	}); err != nil {
		return "", fmt.Errorf("the stage network: %w", err)
	}
	var all error
	for _, e := range effects() {
		if err := t.Guest.Says(ctx, e.words, e.argv...); err != nil {
			all = errors.Join(all, fmt.Errorf("%s: %w", e.key, err))
		}
	}
	return fmt.Sprintf("%d effects", len(effects())), all
}

func (t *story) stepsOrder(ctx context.Context) (string, error) {
	const want = "before\nfirst\nsecond\nafter\n"
	got, err := t.Guest.Output(ctx, "cat", "/run/kairos-acceptance-order")
	if err == nil && got != want {
		err = fmt.Errorf("the steps ran as %q, must run as %q", got, want)
	}
	return "", errors.Join(err, t.Guest.Refuses(ctx, "", "grep", "^games:", "/etc/group"))
}

func (t *story) networkConfig(ctx context.Context) (string, error) {
	return "", t.Guest.Says(ctx, `192\.0\.2\.7/24`, "ip", "-4", "-o", "address")
}

// brokenFiles checks that report or status names the problem of each broken file in the
// words of validate, and that no step of these files ran.
func (t *story) brokenFiles(ctx context.Context) (string, error) {
	files, err := brokenFiles()
	if err != nil {
		return "", err
	}
	report, err := t.Guest.Output(ctx, "kairos-agent", "report")
	if err != nil {
		return "", err
	}
	status, err := t.Guest.Output(ctx, "kairos-agent", "status")
	if err != nil {
		return "", err
	}
	var all error
	for name := range files {
		all = errors.Join(all, t.brokenFile(ctx, "/oem/"+name, report+status))
	}
	left, err := t.Guest.Existing(ctx, []string{"/etc/kairos-acceptance-broken"})
	if err == nil && len(left) > 0 {
		err = errors.New("a step of a broken file was carried out")
	}
	return fmt.Sprintf("%d files", len(files)), errors.Join(all, err)
}

func (t *story) brokenFile(ctx context.Context, path, told string) error {
	out, err := t.Guest.RunInput(ctx, "", "kairos-agent", "validate", path)
	if err != nil {
		return err
	}
	if out.Exit == 0 {
		return fmt.Errorf("%s is accepted by validate", path)
	}
	place := regexp.MustCompile(regexp.QuoteMeta(path) + `:\d+:\d+: [^\n]*`).FindString(out.Stdout + out.Stderr)
	if place == "" {
		return fmt.Errorf("validate gives no line and column for %s: %s", path, lab.FirstOf(out.Stderr, out.Stdout))
	}
	if !strings.Contains(told, place) {
		return fmt.Errorf("the node does not say %q", place)
	}
	return nil
}

func (t *story) failedStep(ctx context.Context) (string, error) {
	said, err := toldBeforeReady(t.VM.Console())
	if err != nil {
		return "", err
	}
	return said, t.Guest.Says(ctx, `the words of a command that fails`, "kairos-agent", "report")
}

// toldBeforeReady checks that the console names the failed step before the login
// prompt.
func toldBeforeReady(console lab.Console) (string, error) {
	said, ok := console.Find(regexp.MustCompile(`kairos: .*fails`))
	if !ok {
		return "", errors.New("the console does not name the step that failed")
	}
	ready, ok := console.Find(lab.ReadyLine)
	if !ok || said.At.After(ready.At) {
		return "", errors.New("the console names the step that failed after the login prompt")
	}
	return strings.TrimSpace(said.Text), nil
}

// forgeKeys logs in with the key that only the forge serves.
func (t *story) forgeKeys(ctx context.Context) (string, error) {
	err := lab.Until(ctx, func(ctx context.Context) error { return t.forgeLogin(ctx) })
	if n := t.site.Times("/gitlab-of/operator.keys"); err == nil && n == 0 {
		err = errors.New("the forge was not asked")
	}
	return "", err
}

func (t *story) forgeLogin(ctx context.Context) error {
	return t.asOperator(ctx, func(context.Context, *qemu.Client) error { return nil })
}

// asOperator logs in as operator, a user of the config who is not root.
func (t *story) asOperator(ctx context.Context, do func(context.Context, *qemu.Client) error) error {
	ctx, cancel := qemu.WithTimeout(ctx, lab.CheckTimeout)
	defer cancel()
	client, err := t.VM.SSH(ctx, qemu.Login{User: "operator", Signer: t.forgeKey.Signer()})
	if err != nil {
		return err
	}
	return errors.Join(do(ctx, client), client.Close())
}

// statusOfUser finds the row of the status that names what only root may read.
func (t *story) statusOfUser(ctx context.Context) (string, error) {
	row := ""
	err := t.asOperator(ctx, func(ctx context.Context, client *qemu.Client) error {
		text, err := lab.Output(ctx, client, "", "kairos-agent", "status")
		if err == nil {
			row, err = notShown(text)
		}
		return err
	})
	return row, err
}

// notShown checks the status of a user who is not root.
func notShown(status string) (string, error) {
	row := strings.TrimSpace(regexp.MustCompile(`(?m)^not shown .*$`).FindString(status))
	if !strings.Contains(row, "slots") {
		return row, fmt.Errorf("status must name the slots as not shown, says: %s", status)
	}
	return row, nil
}

func (t *story) stageAgain(ctx context.Context) (string, error) {
	if _, err := t.Guest.Output(ctx, "touch", "/run/kairos-acceptance-mark"); err != nil {
		return "", err
	}
	out, err := t.Guest.RunInput(ctx, "", "kairos-agent", "run-stage", "boot")
	if err != nil {
		return "", err
	}
	if out.Exit == 0 {
		return "", errors.New("run-stage must report the step that fails")
	}
	changed, err := t.Guest.Output(ctx, "find", "/etc", "/opt", "/srv", "-newer", "/run/kairos-acceptance-mark", "-type", "f", "!", "-name", ".pwd.lock")
	if err == nil && strings.TrimSpace(changed) != "" {
		err = fmt.Errorf("the second time it wrote %s", strings.Fields(changed))
	}
	return "", err
}

// offline restarts the node with its network cable pulled out and the site gone. The
// cable is back when the node is ready.
func (t *story) offline(ctx context.Context) (string, error) {
	if err := t.site.Close(); err != nil {
		return "", err
	}
	begin := time.Now()
	t.VM.Console().Skip()
	if err := t.VM.Restart(ctx); err != nil {
		return "", err
	}
	if err := t.cable(ctx, false); err != nil {
		return "", err
	}
	short, cancel := qemu.WithTimeout(ctx, t.Lab.BootTimeout)
	defer cancel()
	if _, err := t.VM.WaitLine(short, lab.ReadyLine); err != nil {
		return "", err
	}
	took := time.Since(begin)
	if err := t.cable(ctx, true); err != nil {
		return "", err
	}
	err := lab.Until(ctx, func(ctx context.Context) error { return t.forgeLogin(ctx) })
	return fmt.Sprintf("ready %.1f s after the restart", took.Seconds()), err
}

// cable plugs the network cable in or pulls it out.
func (t *story) cable(ctx context.Context, up bool) error {
	return t.VM.QMP().Do(ctx, "set_link", map[string]any{"name": "net0", "up": up}, nil)
}
