// SPDX-License-Identifier: Apache-2.0

package config

// doc is the description and the shape of a key whose table has none.
type doc struct {
	about string
	shape shape
}

// described is the shape of a mapping whose table is described elsewhere.
func described[T any](table []field[T], docs map[string]doc, needs ...string) shape {
	s := mapping(table, needs...)
	for i, e := range s.keys {
		if d, ok := docs[e.name]; ok && e.about == "" {
			s.keys[i].about, s.keys[i].shape = d.about, d.shape
		}
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
	"environment":       {"Variables in a file.", settingsShape},
	"environment_file":  {"The file. The default is /etc/environment.", pathTextShape},
	"timesyncd":         {"Settings of timesyncd.conf(5).", settingsShape},
	"packages":          {"Packages. The root of a node is read-only: they belong into the image.", shape{}},
	"package_pins":      {"Versions of packages. They belong into the image.", shape{}},
	"unpack_images":     {"Images whose files are unpacked.", shape{}},
	"datasource":        {"Where user data is looked for.", shape{}},
	"layout":            {"Partitions that are added to a disk.", shape{}},
	"systemd_firstboot": {"Options of systemd-firstboot(1).", shape{}},
	"git":               {"A repository that is fetched.", shape{}},
}).named("step")
