// SPDX-License-Identifier: Apache-2.0

package config

import "slices"

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
	{name: "config_url", decode: func(v value, c *Config) { set(v, &c.ConfigURL, value.configURL) }, secret: true},
}, later[Config](
	// Kairos
	"install", "reset", "bundles", "grub_options", "env", "debug",
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
