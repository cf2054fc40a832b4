// SPDX-License-Identifier: Apache-2.0

package config

import "slices"

// rootFields are the keys at the top of a file: ours, those of Kairos and
// those of cloud-init.
var rootFields = slices.Concat([]field[Config]{
	keep("name", "A title of the file, for people. Other files can name its steps with it.", aText, func(c *Config) *string { return &c.Name }),
	{name: "users", about: "Accounts that are to exist. Those of several files are joined by name. The word default is the default user of the image.", shape: usersShape, decode: decodeUsers},
	{name: "write_files", about: "Files that are written at every boot, in this order.", shape: listOf(mapping(writeFileFields, "path")).joined(appended), decode: decodeWriteFiles},
	{name: "ssh_authorized_keys", about: "SSH public keys of user, or of the first of users in this file. In a file without users they are for root, or, when other files have users, for the default user of the image.", shape: sshKeysShape, decode: func(v value, _ *Config) { v.d.cloud.keys = union(v.d.cloud.keys, v.keys()) }},
	{name: "ssh_import_id", about: "Accounts of a forge whose SSH keys are taken, such as gh:NAME. They are as ssh_authorized_keys.", shape: either(givenShape, listOf(givenShape)).joined(united), decode: decodeImportIDs},
	{name: "ssh_forges", about: "Addresses that take the place of the forges' own, for keys such as github:NAME.", shape: mapping(forgeFields), decode: func(v value, c *Config) { decodeMap(v, forgeFields, &c.SSHForges) }},
	keepPointer("ssh_pwauth", "Whether SSH takes passwords of the users of this file; of everybody, when it has no users. The default is no.", aBool, func(c *Config) **bool { return &c.SSHPasswordAuth }),
	{name: "health", about: "When a new image is good: docs/health.md.", shape: mapping(healthFields), decode: decodeHealth},
	{name: "upgrade", about: "What an upgrade goes by.", shape: mapping(upgradeFields), decode: decodeUpgrade},
	keepPointer("strict", "Whether a broken config makes the health check fail, so that a new image with it is left again.", aBool, func(c *Config) **bool { return &c.Strict }),
	{name: "stages", about: "Steps for moments of the boot: docs/stages.md.", shape: stagesShape, decode: decodeStages},
}, hostFields, accountFields, sshFields, clockFields, commandFields, networkFields, storageFields, trustFields,
	kairosFields, kubernetesFields, packageFields, laterFields)

// laterFields are keys that nothing looks at yet.
var laterFields = []field[Config]{
	unused[Config]("apt", "Sources and settings of apt. The root of a node is read-only: packages belong into the image."),
	unused[Config]("disk_setup", "Partition tables of further disks."),
	unused[Config]("fs_setup", "File systems of further disks."),
	unused[Config]("network", "The network, as in network-config."),
	unused[Config]("phone_home", "A URL that is told when the node is up."),
	unused[Config]("random_seed", "A seed for the kernel's random numbers."),
	unused[Config]("rsyslog", "Settings of rsyslog."),
	unused[Config]("snap", "Snaps to install."),
	unused[Config]("ssh", "Settings of SSH."),
	unused[Config]("ssh_genkeytypes", "Kinds of SSH host keys. A node has an Ed25519 and an ECDSA key."),
	unused[Config]("vendor_data", "Whether the config of the hoster is used."),
	unused[Config]("wireguard", "Tunnels of WireGuard."),
	unused[Config]("yum_repos", "Repositories of yum."),
	unused[Config]("zypper", "Repositories of zypper."),
}

var usersShape = either(listOf(either(accountShape, userShape)), textShape, mapOf(either(userShape, boolShape, nullShape))).joined(byName)

var userShape = mapping(userFields).named("user")

var userFields = []field[User]{
	{name: "name", about: "The login name.", shape: accountShape, decode: decodeUserName},
	{name: "gecos", about: "The name of the person.", shape: matching(`^[^:]*$`), decode: decodeGecos},
	field[User]{name: "passwd", about: "A password hash, as `openssl passwd -6` makes it. Plain text works and is warned about.", shape: givenShape, decode: decodePassword}.hidden(),
	field[User]{name: "hashed_passwd", about: "A password hash.", shape: matching(`^\$`), decode: decodeHash}.hidden(),
	field[User]{name: "plain_text_passwd", about: "A password in plain text; it is warned about.", shape: givenShape, decode: decodePlainPassword}.hidden(),
	keepPointer("lock_passwd", "Whether logins with the password are forbidden. The default is no, as in Kairos.", aBool, func(u *User) **bool { return &u.LockPassword }),
	{name: "uid", about: "The user id. By default a free one, the same at each boot.", shape: either(between(0, 0xffff_fffd), matching(`^[0-9]+$`)), decode: decodeUID},
	keep("primary_group", "By default a group with the name of the user.", aName, func(u *User) *string { return &u.PrimaryGroup }),
	{name: "groups", about: "More groups: a list, or names with commas between. Those that do not exist are made.", shape: either(listOf(accountShape).joined(united), textShape).joined(united), decode: decodeGroups},
	keep("homedir", "The home directory; by default /home/NAME.", aPath, func(u *User) *string { return &u.HomeDir }),
	keepPointer("no_create_home", "Whether the home directory is not made.", aBool, func(u *User) **bool { return &u.NoCreateHome }),
	keep("shell", "The login shell; by default /bin/bash when it exists.", aPath, func(u *User) *string { return &u.Shell }),
	keepPointer("system", "Whether the account has an id from the range of the system.", aBool, func(u *User) **bool { return &u.System }),
	{name: "sudo", about: "Rules of sudo without the user's name: one, a list, or false for none.", shape: either(matching(sudoRule.String()), listOf(matching(sudoRule.String())), boolShape), decode: decodeSudo},
	{name: "ssh_authorized_keys", about: "SSH public keys, each a line of a .pub file.", shape: sshKeysShape, decode: func(v value, u *User) { u.SSHAuthorizedKeys = union(u.SSHAuthorizedKeys, v.keys()) }},
	unused[User]("create_groups", "Whether groups that do not exist are made."),
	unused[User]("doas", "Rules of doas."),
	unused[User]("expiredate", "When the account expires."),
	unused[User]("inactive", "Days after which an expired password locks the account."),
	unused[User]("no_log_init", "Whether the logs of logins are left alone."),
	unused[User]("no_user_group", "Whether there is no group with the name of the user."),
	unused[User]("selinux_user", "The user of SELinux."),
	unused[User]("snapuser", "An account of the snap store."),
	{name: "ssh_import_id", about: "Accounts of a forge whose SSH keys are taken, such as gh:NAME.", shape: either(givenShape, listOf(givenShape)).joined(united), decode: decodeUserImportIDs},
	unused[User]("ssh_redirect_user", "Whether logins are refused with a hint at another user."),
}

var writeFileFields = []field[WriteFile]{
	keep("path", "Where the file is.", aPath, func(f *WriteFile) *string { return &f.Path }),
	{name: "content", about: "What it holds.", shape: textShape, decode: func(value, *WriteFile) {}}, // see fileDone: it depends on encoding
	{name: "encoding", about: "How content is written here.", shape: encodingShape, decode: func(value, *WriteFile) {}},
	{name: "permissions", about: "Its mode, as chmod(1) has it. The default is \"0644\".", shape: modeShape, decode: decodePermissions},
	{name: "owner", about: "Its owner, as \"user:group\". The default is root:root.", shape: matching(`^[a-z0-9_.-]*(:[a-z0-9_.-]+)?$`), decode: decodeOwner},
	keep("append", "Whether content is added to the end of the file, unless the file has it.", aBool, func(f *WriteFile) *bool { return &f.Append }),
	unused[WriteFile]("defer", "Whether the file is written late."),
	unused[WriteFile]("source", "A URL that the content is fetched from."),
}

var encodingShape = wordsOf("", "text/plain", "b64", "base64", "gz", "gzip", "gz+b64", "gz+base64", "gzip+b64", "gzip+base64")

// stagesShape has the known stages; others can be run by hand.
var stagesShape = func() *shape {
	steps := listOf(stepShape).joined(appended)
	s := mapOf(steps)
	for _, name := range Stages() {
		s.keys = append(s.keys, entry{name: name, about: "Steps of the stage " + name + ".", shape: steps})
	}
	return s
}()

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
