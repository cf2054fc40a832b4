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
	"github.com/kairos-build/kairos-build/framework/strict"
)

// stepKeys are the names of stepFields. hint cannot use stepFields: that is a cycle.
var stepKeys = []string{
	"name", "if", "if_files", "only_os", "only_os_version", "only_arch", "only_service_manager", "node", "after",
	"commands", "files", "directories", "downloads", "ensure_entities", "delete_entities", "dns", "hostname",
	"sysctl", "authorized_keys", "users", "modules", "systemctl", "environment", "environment_file", "timesyncd",
	"packages", "package_pins", "unpack_images", "layout", "systemd_firstboot", "git", "datasource",
}

var stepFields = []field[Step]{
	{name: "name", decode: func(v value, s *Step) { set(v, &s.Name, value.Text) }},
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
	s := Step{Origin: v.Position(), Path: v.Path}
	for _, p := range decodeMap(v, stepFields, &s) {
		i := slices.IndexFunc(stepFields, func(f field[Step]) bool { return f.name == p.name })
		if i >= 0 && stepFields[i].decode == nil {
			s.Later = append(s.Later, p.name)
		}
	}
	v.guardEnvironment(&s)
	return s
}

// given is a content that is not empty: a template in it is one that a node can fill
// in, or one of another program.
func (v value) given() (Text, bool) {
	s, ok := v.NonEmpty()
	return v.textOf(s), ok && v.isContent(s)
}

// filled is a text that is not empty, with a template that a node can fill in.
func (v value) filled() (Text, bool) {
	s, ok := v.NonEmpty()
	return v.textOf(s), ok && v.parses(s, template.Check)
}

func (v value) textOf(s string) Text { return Text{Text: s, Origin: v.inside(), Path: v.Path} }

// inside is where the text of a scalar begins.
func (v value) inside() Position {
	at := v.Position()
	if v.Node.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		at.Line++
		at.Column = v.d.indentation(at.Line) + 1
	}
	return at
}

// indentation of a line, from 1, in characters.
func (d *decoder) indentation(line int) int {
	if line < 1 || line > len(d.Lines) {
		return 0
	}
	text := d.Lines[line-1]
	return len(text) - len(strings.TrimLeft(text, " "))
}

// isContent reports a template of ours that no node can fill in.
func (v value) isContent(s string) bool {
	if template.Foreign(s) && strings.Contains(s, ".Values.") {
		v.Report(Warning, "the braces are left as they are: they name no fact of a node", "the facts are in docs/stages.md")
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
		if v.Node.Style&yaml.LiteralStyle != 0 {
			line += e.Line - 1
		}
		v.d.Add(line, at.Column, Error, v.Path, "template: "+strict.Printable(e.Message), e.Suggestion)
	}
	return false
}

// checked is a text that get accepts, or a template, whose result is checked when it
// is filled in.
func (v value) checked(get func(value) (string, bool)) (Text, bool) {
	if v.Node.Kind == yaml.ScalarNode && template.Is(v.Node.Value) {
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
	if v.Node.Kind == yaml.ScalarNode && slices.Contains([]string{"!!int", "!!float", "!!bool"}, v.Node.ShortTag()) {
		return v.textOf(v.Node.Value), true
	}
	s, ok := v.Text()
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
			p.key.Fail(fmt.Sprintf("%q is not %s", strict.Printable(p.name), what), "")
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
		v.Fail("more than one line", "write it on one line")
		return false
	}
	return true
}

// pattern is a regular expression.
func (v value) pattern() (string, bool) {
	s, ok := v.NonEmpty()
	if !ok {
		return "", false
	}
	if _, err := regexp.Compile(s); err != nil {
		v.Fail("not a regular expression: "+strict.Printable(err.Error()), "")
		return "", false
	}
	return s, true
}

func (v value) serviceManager() (string, bool) {
	s, ok := v.NonEmpty()
	if ok && s != "systemd" && s != "openrc" {
		v.Fail(fmt.Sprintf("unknown service manager %q", strict.Printable(s)), "use systemd or openrc")
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

// decodeAfter takes names, or, as in Kairos, mappings with a name.
func decodeAfter(v value, s *Step) {
	s.After = []Text{}
	for _, item := range v.list("names of steps") {
		if item.Node.Kind == yaml.ScalarNode {
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
	s, ok := v.NonEmpty()
	if !ok {
		return "", false
	}
	if _, err := netip.ParseAddr(s); err != nil {
		v.Fail(fmt.Sprintf("%q is not an IP address", strict.Printable(s)), "write it such as 192.0.2.1 or 2001:db8::1")
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
	s, ok := v.NonEmpty()
	if ok && strings.ContainsAny(s, " \t\n\r") {
		v.Fail(fmt.Sprintf("%q holds a blank", strict.Printable(s)), "make every word an item of the list")
		return "", false
	}
	return s, ok
}

// decodeUserKeys is a mapping from users to lists of keys.
func decodeUserKeys(v value, s *Step) {
	for _, p := range v.pairs() {
		name, ok := p.key.account()
		if keys := p.value.keys(); ok && len(keys) > 0 {
			s.AuthorizedKeys = append(s.AuthorizedKeys, UserKeys{name, p.key.Position(), keys})
		}
	}
}

// decodeStepUsers takes users as a mapping from names only, unlike users at the top.
func decodeStepUsers(v value, s *Step) {
	for _, p := range v.pairs() {
		name, ok := p.key.account()
		u := User{Name: name, Origin: p.key.Position()}
		if !p.value.IsNull() {
			pairs := decodeMap(p.value, userFields, &u)
			p.value.userChecked(&u, pairs)
		}
		if ok && u.Name != name {
			p.value.Fail(fmt.Sprintf("the user %q has the name %q", name, u.Name), "remove the key \"name\"")
			continue
		}
		if ok {
			s.Users = append(s.Users, u)
		}
	}
}

func decodeModules(v value, s *Step) {
	for _, item := range v.list("kernel modules") {
		name, ok := item.NonEmpty()
		if ok && !moduleName.MatchString(name) {
			item.Fail(fmt.Sprintf("%q is not the name of a kernel module", strict.Printable(name)), "its options belong into a file below /etc/modprobe.d")
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

// anyUnit is a unit, or a service without its ".service", as systemctl takes it.
func (v value) anyUnit() (string, bool) {
	s, ok := v.NonEmpty()
	if !ok {
		return "", false
	}
	if !unitName.MatchString(s) && unitName.MatchString(s+".service") {
		return s + ".service", true
	}
	return v.unit()
}

func (v value) fileName() (string, bool) {
	s, ok := v.NonEmpty()
	if ok && (strings.ContainsAny(s, "/\x00\n") || s[0] == '.') {
		v.Fail(fmt.Sprintf("%q is not the name of a file", strict.Printable(s)), "write it such as override.conf")
		return "", false
	}
	return s, ok
}

func decodeOverrides(v value, s *Systemctl) {
	for _, item := range v.list("overrides") {
		o := Override{Origin: item.Position(), Name: "override-kairos.conf"}
		pairs := decodeMap(item, overrideFields, &o)
		if item.requires(pairs, "service", "content") && o.Unit != "" && !o.Content.IsZero() {
			s.Overrides = append(s.Overrides, withSuffix(o))
		}
	}
}

// withSuffix adds .conf: systemd reads no other drop-ins.
func withSuffix(o Override) Override {
	if !strings.HasSuffix(o.Name, ".conf") {
		o.Name += ".conf"
	}
	return o
}

// requires reports which of names a mapping lacks.
func (v value) requires(pairs []pair, names ...string) bool {
	if v.Node.Kind != yaml.MappingNode {
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
		d := Download{Origin: item.Position(), Mode: 0o644, Owner: "root", Group: "root"}
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
	if v.Node.Kind != yaml.ScalarNode || v.Node.ShortTag() != "!!int" {
		if v.IsEmpty() {
			v.Empty()
			return 0, false
		}
		if s := v.Node.Value; !strict.PlainNumber(s) {
			return durationUpTo(time.Hour)(v)
		}
	}
	n, ok := v.Integer()
	switch {
	case ok && n == 0: // as in Kairos: no timeout is asked for
		return 0, false
	case ok && (n < 0 || n > 3600):
		v.Fail(fmt.Sprintf("%d seconds are out of range", n), "use 1 to 3600, or 0 for the default")
		return 0, false
	}
	return time.Duration(n) * time.Second, ok
}

func (v value) digest() (string, bool) {
	s, ok := v.NonEmpty()
	s = strings.ToLower(strings.TrimPrefix(s, "sha256:"))
	if ok && !sha256Digits.MatchString(s) {
		v.Fail("not a SHA-256 sum", "write 64 hex digits, as sha256sum prints them")
		return "", false
	}
	return s, ok
}
