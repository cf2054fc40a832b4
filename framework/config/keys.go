// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/nearest"
)

// rootFields are the keys at the top of a file: those of Kairos and those of
// cloud-init. A key without a function is known and not implemented yet.
var rootFields = slices.Concat([]field[Config]{
	{name: "name", decode: func(v value, c *Config) { set(v, &c.Name, value.text) }},
	{name: "hostname", decode: decodeHostname},
	{name: "users", decode: decodeUsers},
	{name: "write_files", decode: decodeWriteFiles},
	{name: "ssh_authorized_keys", decode: func(v value, c *Config) { c.SSHAuthorizedKeys = v.keys() }},
	{name: "ssh_pwauth", decode: func(v value, c *Config) { setPointer(v, &c.SSHPasswordAuth, value.boolean) }},
	{name: "health", decode: decodeHealth},
	{name: "upgrade", decode: decodeUpgrade},
	{name: "strict", decode: func(v value, c *Config) { setPointer(v, &c.Strict, value.boolean) }},
	{name: "stages", decode: decodeStages},
}, later[Config](
	// Kairos
	"install", "reset", "config_url", "bundles", "grub_options", "env", "debug",
	"cloud-init-paths", "eject-cd", "cosign", "cosign-key", "verify", "arch", "bind-pcrs", "bind-public-pcrs",
	"uki-max-entries", "logs", "p2p", "auto", "k3s", "k3s-agent", "k0s", "k0s-worker", "kubevip", "kcrypt", "tpm_device",
	// cloud-init
	"apt", "bootcmd", "ca_certs", "chpasswd", "disable_root", "disk_setup", "final_message", "fqdn", "fs_setup",
	"groups", "growpart", "keyboard", "locale", "manage_etc_hosts", "manage_resolv_conf", "mounts", "network", "ntp",
	"package_reboot_if_required", "package_update", "package_upgrade", "packages", "password", "phone_home",
	"power_state", "prefer_fqdn_over_hostname", "preserve_hostname", "random_seed", "resize_rootfs", "resolv_conf",
	"rsyslog", "runcmd", "snap", "ssh", "ssh_deletekeys", "ssh_genkeytypes", "ssh_import_id", "ssh_keys",
	"swap", "timezone", "user", "vendor_data", "wireguard", "yum_repos", "zypper",
))

var userFields = slices.Concat([]field[User]{
	{name: "name", decode: decodeUserName},
	{name: "gecos", decode: decodeGecos},
	{name: "passwd", decode: decodePassword, secret: true},
	{name: "hashed_passwd", decode: decodeHash, secret: true},
	{name: "plain_text_passwd", decode: decodePlainPassword, secret: true},
	{name: "lock_passwd", decode: func(v value, u *User) { setPointer(v, &u.LockPassword, value.boolean) }},
	{name: "uid", decode: decodeUID},
	{name: "primary_group", decode: func(v value, u *User) { set(v, &u.PrimaryGroup, value.account) }},
	{name: "groups", decode: decodeGroups},
	{name: "homedir", decode: func(v value, u *User) { set(v, &u.HomeDir, value.absolute) }},
	{name: "no_create_home", decode: func(v value, u *User) { setPointer(v, &u.NoCreateHome, value.boolean) }},
	{name: "shell", decode: func(v value, u *User) { set(v, &u.Shell, value.absolute) }},
	{name: "system", decode: func(v value, u *User) { setPointer(v, &u.System, value.boolean) }},
	{name: "sudo", decode: decodeSudo},
	{name: "ssh_authorized_keys", decode: func(v value, u *User) { u.SSHAuthorizedKeys = v.keys() }},
}, later[User](
	"create_groups", "doas", "expiredate", "inactive", "no_log_init", "no_user_group", "selinux_user", "snapuser",
	"ssh_import_id", "ssh_redirect_user",
))

var writeFileFields = slices.Concat([]field[WriteFile]{
	{name: "path", decode: func(v value, f *WriteFile) { set(v, &f.Path, value.absolute) }},
	{name: "content", decode: func(v value, f *WriteFile) {}}, // see decodeContent: it depends on encoding
	{name: "encoding", decode: func(v value, f *WriteFile) {}},
	{name: "permissions", decode: decodePermissions},
	{name: "owner", decode: decodeOwner},
	{name: "append", decode: func(v value, f *WriteFile) { set(v, &f.Append, value.boolean) }},
}, later[WriteFile]("defer", "source"))

// stepKeys are the keys of a step of a stage.
var stepKeys = []string{
	"name", "if", "if_files", "only_os", "only_os_version", "only_arch", "only_service_manager", "after",
	"commands", "files", "downloads", "directories", "ensure_entities", "delete_entities", "dns", "hostname",
	"sysctl", "authorized_keys", "node", "users", "modules", "systemctl", "environment", "environment_file",
	"packages", "package_pins", "unpack_images", "datasource", "layout", "systemd_firstboot", "timesyncd", "git",
}

var stepFields = slices.Concat([]field[struct{}]{
	{name: "name", decode: func(v value, _ *struct{}) { v.text() }},
}, later[struct{}](stepKeys[1:]...))

// stages are those that have .before and .after too; hooks stand alone.
var (
	stages = []string{"rootfs", "initramfs", "fs", "boot", "network", "reconcile"}
	hooks  = []string{
		"kairos-install.pre", "kairos-install.after", "before-install", "after-install", "after-install-chroot",
		"before-upgrade", "after-upgrade", "after-upgrade-chroot", "before-reset", "after-reset", "after-reset-chroot",
		"kairos-uki-install.pre", "kairos-uki-install.after", "kairos-uki-upgrade.pre", "kairos-uki-upgrade.after",
		"kairos-uki-reset.pre", "kairos-uki-reset.after", "kairos-agent.bootstrap",
	}
)

// Stages lists the name of every stage that something runs.
func Stages() []string {
	var out []string
	for _, s := range stages {
		out = append(out, s+".before", s, s+".after")
	}
	return append(out, hooks...)
}

// IsStage tells whether something runs the stage called name.
func IsStage(name string) bool {
	return slices.Contains(Stages(), name) || strings.HasPrefix(name, "provider-kairos.bootstrap.")
}

// decodeStages checks the shape of stages; their steps are not run yet.
func decodeStages(v value, _ *Config) {
	for _, p := range v.pairs() {
		if !IsStage(p.name) {
			unknownStage(p)
		}
		for _, step := range p.value.list("steps") {
			decodeMap(step, stepFields, new(struct{}))
		}
	}
}

func unknownStage(p pair) {
	if near := nearest.Word(p.name, Stages()); near != "" {
		p.key.fail("unknown stage", fmt.Sprintf("did you mean %q?", near))
		return
	}
	p.key.report(Warning, "unknown stage: nothing runs it by itself", "")
}

func later[T any](names ...string) []field[T] {
	out := make([]field[T], len(names))
	for i, n := range names {
		out[i].name = n
	}
	return out
}

// set stores what get reads from v.
func set[T any](v value, into *T, get func(value) (T, bool)) {
	if x, ok := get(v); ok {
		*into = x
	}
}

func setPointer[T any](v value, into **T, get func(value) (T, bool)) {
	if x, ok := get(v); ok {
		*into = &x
	}
}
