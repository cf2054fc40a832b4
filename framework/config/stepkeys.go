// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/kairos-build/kairos-build/framework/config/template"
	"github.com/kairos-build/kairos-build/framework/internal/lazyregexp"
)

// stepKeys are the names of stepFields, which hint cannot look into.
var stepKeys = []string{
	"name", "if", "if_files", "only_os", "only_os_version", "only_arch", "only_service_manager", "node", "after",
	"commands", "files", "directories", "downloads", "ensure_entities", "delete_entities", "dns", "hostname",
	"sysctl", "authorized_keys", "users", "modules", "systemctl", "environment", "environment_file", "timesyncd",
	"packages", "package_pins", "unpack_images", "layout", "systemd_firstboot", "git", "datasource",
}

var stepFields = []field[Step]{
	{name: "name", decode: func(v value, s *Step) { set(v, &s.Name, value.text) }},
	{name: "if", decode: func(v value, s *Step) { set(v, &s.If, value.given) }},
	{name: "if_files", decode: func(v value, s *Step) { decodeMap(v, ifFilesFields, &s.IfFiles) }},
	{name: "only_os", decode: func(v value, s *Step) { set(v, &s.OnlyOS, value.pattern) }},
	{name: "only_os_version", decode: func(v value, s *Step) { set(v, &s.OnlyOSVersion, value.pattern) }},
	{name: "only_arch", decode: func(v value, s *Step) { set(v, &s.OnlyArch, value.pattern) }},
	{name: "only_service_manager", decode: func(v value, s *Step) { set(v, &s.OnlyServiceManager, value.serviceManager) }},
	{name: "node", decode: func(v value, s *Step) { set(v, &s.Node, value.filled) }},
	{name: "after", decode: decodeAfter},
	{name: "commands", decode: func(v value, s *Step) { s.Commands = v.texts("commands") }},
	{name: "files", decode: decodeStepFiles},
	{name: "directories", decode: decodeDirectories},
	{name: "downloads", decode: decodeDownloads},
	{name: "ensure_entities", decode: func(v value, s *Step) { s.EnsureEntities = v.entities(true) }},
	{name: "delete_entities", decode: func(v value, s *Step) { s.DeleteEntities = v.entities(false) }},
	{name: "dns", decode: func(v value, s *Step) { decodeMap(v, dnsFields, &s.DNS) }},
	{name: "hostname", decode: func(v value, s *Step) { set(v, &s.Hostname, value.hostnameText) }},
	{name: "sysctl", decode: func(v value, s *Step) { s.Sysctl = v.settings(sysctlName, "a kernel parameter, such as vm.swappiness") }},
	{name: "authorized_keys", decode: decodeUserKeys},
	{name: "users", decode: decodeStepUsers},
	{name: "modules", decode: decodeModules},
	{name: "systemctl", decode: func(v value, s *Step) { decodeMap(v, systemctlFields, &s.Systemctl) }},
	{name: "environment", decode: func(v value, s *Step) { s.Environment = v.settings(variableName, "the name of a variable") }},
	{name: "environment_file", decode: func(v value, s *Step) { set(v, &s.EnvironmentFile, value.pathText) }},
	{name: "timesyncd", decode: func(v value, s *Step) { s.Timesyncd = v.settings(timesyncdName, "a setting of timesyncd.conf(5)") }},
	{name: "packages", decode: notHere("packages", noPackages, inFlavor)},
	{name: "package_pins", decode: notHere("package_pins", noPackages, inFlavor)},
	{name: "unpack_images", decode: decodeUnpackImages},
	{name: "layout", decode: decodeLayout},
	{name: "systemd_firstboot", decode: decodeFirstboot},
	{name: "git", decode: decodeGit},
	{name: "datasource", decode: decodeDatasource},
}

const (
	noPackages = "the root is a verified image, into which nothing can be installed"
	inFlavor   = "add the packages to the flavor and build the image again"
)

var (
	sysctlName    = lazyregexp.New(`^[A-Za-z0-9_-]+([./][A-Za-z0-9_:-]+)+$`)
	variableName  = lazyregexp.New(`^[A-Za-z_][A-Za-z0-9_]*$`)
	timesyncdName = lazyregexp.New(`^[A-Za-z]+$`)
	moduleName    = lazyregexp.New(`^[A-Za-z0-9_][A-Za-z0-9_-]*$`)
	sha256Digits  = lazyregexp.New(`^[0-9a-f]{64}$`)
)

// StepKeys are the keys that a step may have.
func StepKeys() []string { return slices.Clone(stepKeys) }

// stepOf decodes a step.
func stepOf(v value) Step {
	s := Step{Origin: v.position(), Path: v.path}
	for _, p := range decodeMap(v, stepFields, &s) {
		i := slices.IndexFunc(stepFields, func(f field[Step]) bool { return f.name == p.name })
		if i >= 0 && stepFields[i].decode == nil {
			s.Later = append(s.Later, p.name)
		}
	}
	v.guardEnvironment(&s)
	return s
}

// given is a text that is not empty, and a content: a template in it is one that
// a node can fill in, or another program's.
func (v value) given() (Text, bool) {
	s, ok := v.nonEmpty()
	return v.textOf(s), ok && v.isContent(s)
}

// filled is a text that is not empty, with a template that a node can fill in.
func (v value) filled() (Text, bool) {
	s, ok := v.nonEmpty()
	return v.textOf(s), ok && v.parses(s, template.Check)
}

func (v value) textOf(s string) Text { return Text{Text: s, Origin: v.inside(), Path: v.path} }

// inside is where the text of a scalar begins.
func (v value) inside() Position {
	at := v.position()
	if v.node.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		at.Line++
		at.Column = v.d.indentation(at.Line) + 1
	}
	return at
}

// indentation of a line, from 1, in characters.
func (d *decoder) indentation(line int) int {
	if line < 1 || line > len(d.lines) {
		return 0
	}
	text := d.lines[line-1]
	return len(text) - len(strings.TrimLeft(text, " "))
}

// isContent reports a template of ours that no node can fill in.
func (v value) isContent(s string) bool {
	if template.Foreign(s) && strings.Contains(s, ".Values.") {
		v.report(Warning, "the braces are left as they are: they name no fact of a node", "the facts are in docs/stages.md")
	}
	return v.parses(s, template.CheckContent)
}

// parses reports a template that no node can fill in.
func (v value) parses(s string, check func(string) error) bool {
	err := check(s)
	if err == nil {
		return true
	}
	at, e := v.inside(), new(template.Error)
	if errors.As(err, &e) {
		line := at.Line
		if v.node.Style&yaml.LiteralStyle != 0 {
			line += e.Line - 1
		}
		v.d.add(line, at.Column, Error, v.path, "template: "+printable(e.Message), e.Suggestion)
	}
	return false
}

// checked is a text that get takes, or a template, which is looked at when it
// is filled in.
func (v value) checked(get func(value) (string, bool)) (Text, bool) {
	if v.node.Kind == yaml.ScalarNode && template.Is(v.node.Value) {
		return v.filled()
	}
	s, ok := get(v)
	return v.textOf(s), ok
}

func (v value) pathText() (Text, bool) { return v.checked(value.absolute) }

func (v value) hostnameText() (Text, bool) {
	return v.checked(func(v value) (string, bool) {
		var c Config
		decodeHostname(v, &c)
		return c.Hostname, c.Hostname != ""
	})
}

// scalar is a string, or a number or boolean as it is written.
func (v value) scalar() (Text, bool) {
	if v.node.Kind == yaml.ScalarNode && slices.Contains([]string{"!!int", "!!float", "!!bool"}, v.node.ShortTag()) {
		return v.textOf(v.node.Value), true
	}
	s, ok := v.text()
	return v.textOf(s), ok && v.isContent(s)
}

func (v value) texts(of string) []Text {
	var out []Text
	for _, item := range v.list(of) {
		if t, ok := item.given(); ok {
			out = append(out, t)
		}
	}
	return out
}

// settings are the entries of a mapping, in the order of the file.
func (v value) settings(name *lazyregexp.Regexp, what string) []Setting {
	var out []Setting
	for _, p := range v.pairs() {
		if !name.MatchString(p.name) {
			p.key.fail(fmt.Sprintf("%q is not %s", printable(p.name), what), "")
			continue
		}
		t, ok := p.value.scalar()
		if ok && name != variableName { // variables are for other programs
			ok = p.value.parses(t.Text, template.Check)
		}
		if ok && p.value.oneLine(t.Text) {
			out = append(out, Setting{p.name, t})
		}
	}
	return out
}

func (v value) oneLine(s string) bool {
	if strings.ContainsAny(s, "\n\r\x00") {
		v.fail("more than one line", "write it on one line")
		return false
	}
	return true
}

// pattern is a regular expression.
func (v value) pattern() (string, bool) {
	s, ok := v.nonEmpty()
	if !ok {
		return "", false
	}
	if _, err := regexp.Compile(s); err != nil {
		v.fail("not a regular expression: "+printable(err.Error()), "")
		return "", false
	}
	return s, true
}

func (v value) serviceManager() (string, bool) {
	s, ok := v.nonEmpty()
	if ok && s != "systemd" && s != "openrc" {
		v.fail(fmt.Sprintf("unknown service manager %q", printable(s)), "use systemd or openrc")
		return "", false
	}
	return s, ok
}

var ifFilesFields = []field[IfFiles]{
	{name: "any", decode: func(v value, f *IfFiles) { f.Any = v.paths() }},
	{name: "all", decode: func(v value, f *IfFiles) { f.All = v.paths() }},
	{name: "none", decode: func(v value, f *IfFiles) { f.None = v.paths() }},
}

func (v value) paths() []string {
	var out []string
	for _, item := range v.list("paths") {
		if s, ok := item.absolute(); ok {
			out = append(out, s)
		}
	}
	return out
}

var afterFields = []field[Text]{{name: "name", decode: func(v value, t *Text) { set(v, t, value.given) }}}

// decodeAfter takes names, or, as Kairos has it, mappings with a name.
func decodeAfter(v value, s *Step) {
	s.After = []Text{}
	for _, item := range v.list("names of steps") {
		if item.node.Kind == yaml.ScalarNode {
			if t, ok := item.given(); ok {
				s.After = append(s.After, t)
			}
			continue
		}
		var t Text
		if decodeMap(item, afterFields, &t); !t.IsZero() {
			s.After = append(s.After, t)
		}
	}
}

var dnsFields = []field[DNS]{
	{name: "nameservers", decode: func(v value, d *DNS) { d.Nameservers = v.nameservers() }},
	{name: "search", decode: func(v value, d *DNS) { d.Search = v.words("domains") }},
	{name: "options", decode: func(v value, d *DNS) { d.Options = v.words("options") }},
	{name: "path", decode: func(v value, d *DNS) { set(v, &d.Path, value.absolute) }},
}

func (v value) nameservers() []Text {
	var out []Text
	for _, item := range v.list("addresses") {
		if t, ok := item.checked(value.address); ok {
			out = append(out, t)
		}
	}
	return out
}

func (v value) address() (string, bool) {
	s, ok := v.nonEmpty()
	if !ok {
		return "", false
	}
	if _, err := netip.ParseAddr(s); err != nil {
		v.fail(fmt.Sprintf("%q is not an IP address", printable(s)), "write it such as 192.0.2.1 or 2001:db8::1")
		return "", false
	}
	return s, true
}

// words are texts without blanks.
func (v value) words(of string) []Text {
	var out []Text
	for _, item := range v.list(of) {
		if t, ok := item.checked(value.word); ok {
			out = append(out, t)
		}
	}
	return out
}

func (v value) word() (string, bool) {
	s, ok := v.nonEmpty()
	if ok && strings.ContainsAny(s, " \t\n\r") {
		v.fail(fmt.Sprintf("%q holds a blank", printable(s)), "make every word an item of the list")
		return "", false
	}
	return s, ok
}

// decodeUserKeys is a mapping from users to lists of keys.
func decodeUserKeys(v value, s *Step) {
	for _, p := range v.pairs() {
		name, ok := p.key.account()
		if keys := p.value.keys(); ok && len(keys) > 0 {
			s.AuthorizedKeys = append(s.AuthorizedKeys, UserKeys{name, p.key.position(), keys})
		}
	}
}

// decodeStepUsers is a mapping from names to users, unlike users at the top.
func decodeStepUsers(v value, s *Step) {
	for _, p := range v.pairs() {
		name, ok := p.key.account()
		u := User{Name: name, Origin: p.key.position()}
		if !p.value.isNull() {
			pairs := decodeMap(p.value, userFields, &u)
			p.value.userChecked(&u, pairs)
		}
		if ok && u.Name != name {
			p.value.fail(fmt.Sprintf("the user %q has the name %q", name, u.Name), "remove the key \"name\"")
			continue
		}
		if ok {
			s.Users = append(s.Users, u)
		}
	}
}

func decodeModules(v value, s *Step) {
	for _, item := range v.list("kernel modules") {
		name, ok := item.nonEmpty()
		if ok && !moduleName.MatchString(name) {
			item.fail(fmt.Sprintf("%q is not the name of a kernel module", printable(name)), "its options belong into a file below /etc/modprobe.d")
			continue
		}
		if ok {
			s.Modules = append(s.Modules, name)
		}
	}
}

var systemctlFields = []field[Systemctl]{
	{name: "enable", decode: func(v value, s *Systemctl) { s.Enable = v.units() }},
	{name: "disable", decode: func(v value, s *Systemctl) { s.Disable = v.units() }},
	{name: "start", decode: func(v value, s *Systemctl) { s.Start = v.units() }},
	{name: "mask", decode: func(v value, s *Systemctl) { s.Mask = v.units() }},
	{name: "overrides", decode: decodeOverrides},
}

var overrideFields = []field[Override]{
	{name: "service", decode: func(v value, o *Override) { set(v, &o.Unit, value.anyUnit) }},
	{name: "name", decode: func(v value, o *Override) { set(v, &o.Name, value.fileName) }},
	{name: "content", decode: func(v value, o *Override) { set(v, &o.Content, value.given) }},
}

func (v value) units() []string {
	var out []string
	for _, item := range v.list("units") {
		if name, ok := item.anyUnit(); ok {
			out = append(out, name)
		}
	}
	return out
}

// anyUnit is a unit, or a service without its ".service", as systemctl has it.
func (v value) anyUnit() (string, bool) {
	s, ok := v.nonEmpty()
	if !ok {
		return "", false
	}
	if !unitName.MatchString(s) && unitName.MatchString(s+".service") {
		return s + ".service", true
	}
	return v.unit()
}

func (v value) fileName() (string, bool) {
	s, ok := v.nonEmpty()
	if ok && (strings.ContainsAny(s, "/\x00\n") || s[0] == '.') {
		v.fail(fmt.Sprintf("%q is not the name of a file", printable(s)), "write it such as override.conf")
		return "", false
	}
	return s, ok
}

func decodeOverrides(v value, s *Systemctl) {
	for _, item := range v.list("overrides") {
		o := Override{Origin: item.position(), Name: "override-kairos.conf"}
		pairs := decodeMap(item, overrideFields, &o)
		if item.requires(pairs, "service", "content") && o.Unit != "" && !o.Content.IsZero() {
			s.Overrides = append(s.Overrides, withSuffix(o))
		}
	}
}

// withSuffix: systemd reads files that end in .conf only.
func withSuffix(o Override) Override {
	if !strings.HasSuffix(o.Name, ".conf") {
		o.Name += ".conf"
	}
	return o
}

// requires reports which of names a mapping lacks.
func (v value) requires(pairs []pair, names ...string) bool {
	if v.node.Kind != yaml.MappingNode {
		return false
	}
	all := true
	for _, name := range names {
		if v.lacks(pairs, name, "there is no "+name, fmt.Sprintf("add \"%s:\"", name)) {
			all = false
		}
	}
	return all
}

var downloadFields = []field[Download]{
	{name: "path", decode: func(v value, d *Download) { set(v, &d.Path, value.pathText) }},
	{name: "url", decode: func(v value, d *Download) {
		set(v, &d.URL, func(v value) (Text, bool) { return v.checked(value.httpURL) })
	}},
	{name: "permissions", decode: func(v value, d *Download) { set(v, &d.Mode, value.mode) }},
	{name: "owner", decode: func(v value, d *Download) { set(v, &d.Owner, value.principal) }},
	{name: "group", decode: func(v value, d *Download) { set(v, &d.Group, value.principal) }},
	{name: "owner_string", decode: func(v value, d *Download) { v.ownerString(&d.Owner, &d.Group) }},
	{name: "timeout", decode: func(v value, d *Download) { set(v, &d.Timeout, value.seconds) }},
	{name: "sha256", decode: func(v value, d *Download) { set(v, &d.SHA256, value.digest) }},
}

func decodeDownloads(v value, s *Step) {
	for _, item := range v.list("downloads") {
		d := Download{Origin: item.position(), Mode: 0o644, Owner: "root", Group: "root"}
		pairs := decodeMap(item, downloadFields, &d)
		item.guardSecret(&d.Mode, d.Path.Text, "", pairs)
		if item.requires(pairs, "path", "url") && !d.Path.IsZero() && !d.URL.IsZero() {
			item.writable(d.Path.Text)
			s.Downloads = append(s.Downloads, d)
		}
	}
}

// seconds is a number of seconds, as in Kairos, or a duration.
func (v value) seconds() (time.Duration, bool) {
	if v.node.Kind != yaml.ScalarNode || v.node.ShortTag() != "!!int" {
		if v.isEmpty() {
			v.empty()
			return 0, false
		}
		if s := v.node.Value; !plainNumber.MatchString(s) {
			return durationUpTo(time.Hour)(v)
		}
	}
	n, ok := v.integer()
	switch {
	case ok && n == 0: // as in Kairos: none is asked for
		return 0, false
	case ok && (n < 0 || n > 3600):
		v.fail(fmt.Sprintf("%d seconds are out of range", n), "use 1 to 3600, or 0 for the default")
		return 0, false
	}
	return time.Duration(n) * time.Second, ok
}

func (v value) digest() (string, bool) {
	s, ok := v.nonEmpty()
	s = strings.ToLower(strings.TrimPrefix(s, "sha256:"))
	if ok && !sha256Digits.MatchString(s) {
		v.fail("not a SHA-256 sum", "write 64 hex digits, as sha256sum prints them")
		return "", false
	}
	return s, ok
}
