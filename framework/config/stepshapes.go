// SPDX-License-Identifier: Apache-2.0

package config

import (
	"maps"
	"slices"
	"strings"
)

// doc is the description and the shape of a key whose table has none.
type doc struct {
	about string
	shape *shape
}

// described is the shape of a mapping whose table is described elsewhere.
func described[T any](table []field[T], docs map[string]doc, needs ...string) *shape {
	s := mapping(table, needs...)
	for i, e := range s.keys {
		if d, ok := docs[e.name]; ok && e.about == "" {
			s.keys[i].about, s.keys[i].shape = d.about, d.shape
		}
	}
	return s
}

// firstbootShape has the settings with - and with _.
func firstbootShape() *shape {
	s := &shape{types: anyMapping.types}
	for _, name := range firstboot {
		e := entry{name: name, about: "The option --" + name + ".", shape: givenShape}
		s.keys = append(s.keys, e)
		if under := strings.ReplaceAll(name, "-", "_"); under != name {
			e.name = under
			s.keys = append(s.keys, e)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(withoutEffect)) {
		s.keys = append(s.keys, entry{name: name, about: "Accepted, and without effect.", shape: anyShape})
	}
	return s
}

var (
	patternShape  = givenShape
	commandsDoc   = listOf(givenShape)
	unitsShape    = listOf(givenShape)
	pathsShape    = listOf(pathShape)
	settingsShape = mapOf(scalarShape)
	fileKeys      = map[string]doc{
		"path":         {"Where it is.", pathTextShape},
		"content":      {"What it holds; a template.", textShape},
		"encoding":     {"How content is written here. With one it is no template.", encodingShape},
		"permissions":  {"Its mode, as chmod(1) has it.", modeShape},
		"owner":        {"Its owner, a name or a number. The default is root.", ownerShape},
		"group":        {"Its group. The default is root.", ownerShape},
		"owner_string": {"Owner and group as \"user:group\".", givenShape},
		"append":       {"Whether content is added to the end of the file, unless the file has it.", boolShape},
		"url":          {"Where it is fetched from.", orTemplate(urlShape)},
		"timeout":      {"Seconds that one attempt has, or a duration.", secondsShape},
		"sha256":       {"Its checksum: with it nothing is fetched when the file is there.", matching(`^(sha256:)?[0-9A-Fa-f]{64}$`)},
	}
	entityKeys = map[string]doc{
		"path":   {"The account file; by default that of the kind.", pathShape},
		"entity": {"The line: a text with YAML as in Kairos, or a mapping. Its kind is user, shadow, group or gshadow.", either(givenShape, anyMapping)},
	}
)

// stepShape is a step of a stage.
var stepShape = described(stepFields, map[string]doc{
	"name":                 {"A name, for reports and for after.", textShape},
	"if":                   {"A command of /bin/sh; the step is skipped when it does not exit with 0.", givenShape},
	"if_files":             {"Files that must be there, or not.", described(ifFilesFields, map[string]doc{"any": {"One of these exists.", pathsShape}, "all": {"All of these exist.", pathsShape}, "none": {"None of these exists.", pathsShape}})},
	"only_os":              {"A regular expression for ID of os-release(5).", patternShape},
	"only_os_version":      {"A regular expression for VERSION_ID of os-release(5).", patternShape},
	"only_arch":            {"A regular expression for the architecture, such as amd64.", patternShape},
	"only_service_manager": {"The service manager that the step is for.", wordsOf("systemd", "openrc")},
	"node":                 {"A host name, or a regular expression for it.", givenShape},
	"after":                {"Names of steps that come before this one.", listOf(either(givenShape, described(afterFields, map[string]doc{"name": {"The name of the step.", givenShape}})))},
	"commands":             {"Commands of /bin/sh.", commandsDoc},
	"files":                {"Files that are written.", listOf(described(stepFileFields, fileKeys, "path"))},
	"directories":          {"Directories that are made.", listOf(described(directoryFields, fileKeys, "path"))},
	"downloads":            {"Files that are fetched.", listOf(described(downloadFields, fileKeys, "path", "url"))},
	"ensure_entities":      {"Lines that account files are to have.", listOf(described(entityFields, entityKeys, "entity"))},
	"delete_entities":      {"Lines that account files are not to have.", listOf(described(entityFields, entityKeys, "entity"))},
	"dns": {"The content of resolv.conf(5).", described(dnsFields, map[string]doc{
		"nameservers": {"Addresses of name servers.", listOf(givenShape)},
		"search":      {"Domains that are searched.", listOf(givenShape)},
		"options":     {"Options.", listOf(givenShape)},
		"path":        {"The file. The default is /etc/resolv.conf.", pathShape},
	})},
	"hostname":        {"The name of the node.", hostnameShape},
	"sysctl":          {"Kernel parameters.", settingsShape},
	"authorized_keys": {"SSH public keys by user, added to those that the user has.", mapOf(listOf(givenShape))},
	"users":           {"Accounts by name; their keys are those of users at the top.", mapOf(userShape)},
	"modules":         {"Kernel modules that are loaded.", listOf(matching(moduleName.String()))},
	"systemctl": {"What systemd is asked for.", described(systemctlFields, map[string]doc{
		"enable":  {"Units that start at boot.", unitsShape},
		"disable": {"Units that do not start at boot.", unitsShape},
		"start":   {"Units that are started.", unitsShape},
		"mask":    {"Units that nothing can start.", unitsShape},
		"overrides": {"Drop-ins of units.", listOf(described(overrideFields, map[string]doc{
			"service": {"The unit.", givenShape},
			"name":    {"The name of the file. The default is override-kairos.conf.", givenShape},
			"content": {"What it holds.", givenShape},
		}, "service", "content"))},
	})},
	"environment":      {"Variables in a file.", settingsShape},
	"environment_file": {"The file. The default is /etc/environment.", pathTextShape},
	"timesyncd":        {"Settings of timesyncd.conf(5).", settingsShape},
	"packages":         {"Packages. The root of a node is read-only: they belong into the image.", anyShape},
	"package_pins":     {"Versions of packages. They belong into the image.", anyShape},
	"datasource":       {"Where user data is looked for.", anyShape},
	"unpack_images": {"Images whose files are put into a directory.", listOf(described(unpackFields, map[string]doc{
		"source":               {"oci:REF, dir:PATH, ocifile:FILE, file:PATH, or a reference.", givenShape},
		"target":               {"The directory.", pathTextShape},
		"platform":             {"Such as linux/amd64. The default is that of the node.", matching(platform.String())},
		"insecure_skip_verify": {"Whether the image is unpacked although nobody vouches for it. DANGEROUS.", boolShape},
	}, "source", "target"))},
	"layout": {"Partitions that are to be on a disk. What is there is never removed, moved or made smaller.", described(layoutFields, map[string]doc{
		"device": {"The disk, by a label or by a path.", described(layoutDeviceFields, map[string]doc{
			"label":     {"The label of a file system on it. It comes before path.", givenShape},
			"path":      {"Its device, or that of one of its partitions; or script:// and a program that prints it.", either(pathTextShape, matching(`^script:///`))},
			"init_disk": {"Whether an empty disk gets a partition table.", boolShape},
			"disk_name": {"What the GUID of a new partition table is made from.", givenShape},
		})},
		"expand_partition": {"Makes the last partition larger.", described(expandFields, map[string]doc{"size": {"MiB; 0 is to the end of the disk.", between(0, 1<<30)}})},
		"add_partitions": {"Partitions that are added, unless they are there.", listOf(described(newPartitionFields, map[string]doc{
			"fsLabel":    {"The label of the file system.", matching(fsLabel.String())},
			"pLabel":     {"The name of the partition. The default is fsLabel.", matching(partitionName.String())},
			"size":       {"MiB; 0 is all that is left.", between(0, 1<<30)},
			"filesystem": {"The default is ext4.", wordsOf(append(slices.Clone(fileSystems), "fat", "fat32")...)},
			"bootable":   {"Whether it is an EFI system partition.", boolShape},
		}))},
	}, "device")},
	"systemd_firstboot": {"Settings of systemd-firstboot(1).", firstbootShape()},
	"git": {"A repository that is checked out.", described(gitFields, map[string]doc{
		"url":         {"Where it is: https://…, ssh://…, git@HOST:PATH, file://… or a path.", givenShape},
		"path":        {"The directory.", pathTextShape},
		"branch":      {"The branch. The default is the one that the repository names.", givenShape},
		"branch_only": {"Whether other branches are left alone.", boolShape},
		"auth": {"How the server knows the node.", described(gitAuthFields, map[string]doc{
			"username":    {"The name of the user.", givenShape},
			"password":    {"The password, or a token.", givenShape},
			"private_key": {"An SSH key without a passphrase.", givenShape},
			"public_key":  {"The key of the SSH server.", givenShape},
			"insecure":    {"Whether any server is taken for the right one.", boolShape},
		})},
	}, "url", "path")},
}).named("step")
