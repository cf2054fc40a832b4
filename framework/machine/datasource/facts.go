// SPDX-License-Identifier: Apache-2.0

package datasource

import (
	"fmt"
	"io/fs"
	"strings"
)

// Keys of the kernel command line.
const (
	// ArgConfigURL has the URL of a config; Kairos has both names.
	ArgConfigURL    = "kairos.config_url"
	argConfigURLOld = "config_url"
	// ArgDatasource names sources to ask, whatever the machine says, with
	// commas between; NAME@URL gives the address of a service.
	ArgDatasource = "kairos.datasource"
	// argSeed is cloud-init's: nocloud;s=URL;h=HOSTNAME;i=INSTANCE.
	argSeed = "ds"
)

// Facts are what a machine says of itself.
type Facts struct {
	// DMI has the files of /sys/class/dmi/id, such as sys_vendor.
	DMI        map[string]string
	Hypervisor string // /sys/hypervisor/uuid, of Xen
	ConfigURL  string
	Asked      []string // by ArgDatasource
	// Seed is what "ds=nocloud;…" says, of the command line or the serial
	// number of the machine; nil: nothing.
	Seed *Seed
}

// Seed is where NoCloud's files are, and what they need not say.
type Seed struct {
	URL                  string // http, https, file or a directory; empty: labels are looked for
	Hostname, InstanceID string
}

var dmiFiles = []string{
	"bios_vendor", "board_asset_tag", "board_vendor", "chassis_asset_tag", "chassis_vendor",
	"product_name", "product_serial", "product_uuid", "product_version", "sys_vendor",
}

// ReadFacts reads sys and proc below fsys. What cannot be read is empty.
func ReadFacts(fsys fs.FS) Facts {
	f := Facts{DMI: map[string]string{}, Hypervisor: text(fsys, "sys/hypervisor/uuid")}
	for _, name := range dmiFiles {
		if value := text(fsys, "sys/class/dmi/id/"+name); value != "" {
			f.DMI[name] = value
		}
	}
	args := arguments(text(fsys, "proc/cmdline"))
	f.ConfigURL = args[argConfigURLOld]
	if url := args[ArgConfigURL]; url != "" {
		f.ConfigURL = url
	}
	if names := args[ArgDatasource]; names != "" {
		f.Asked = strings.Split(names, ",")
	}
	if f.Seed = parseSeed(args[argSeed]); f.Seed == nil {
		value, _ := strings.CutPrefix(f.DMI["product_serial"], "ds=")
		f.Seed = parseSeed(value)
	}
	return f
}

// arguments are those of a kernel command line; the last of equal ones wins.
// Quotes may stand around an argument or its value.
func arguments(line string) map[string]string {
	out := map[string]string{}
	for _, arg := range splitQuoted(line) {
		key, value, _ := strings.Cut(strings.ReplaceAll(arg, `"`, ""), "=")
		out[key] = value
	}
	return out
}

// splitQuoted splits at blanks that are not in double quotes.
func splitQuoted(line string) []string {
	quoted := false
	return strings.FieldsFunc(line, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return !quoted && (r == ' ' || r == '\t' || r == '\n')
	})
}

// parseSeed reads nocloud[-net][;key=value]… as cloud-init does.
func parseSeed(s string) *Seed {
	name, rest, _ := strings.Cut(s, ";")
	if name = strings.ToLower(name); name != "nocloud" && name != "nocloud-net" {
		return nil
	}
	out := &Seed{}
	for part := range strings.SplitSeq(rest, ";") {
		key, value, _ := strings.Cut(part, "=")
		switch key {
		case "s", "seedfrom":
			out.URL = value
		case "h", "local-hostname":
			out.Hostname = value
		case "i", "instance-id":
			out.InstanceID = value
		}
	}
	return out
}

// Detect chooses from All what is to be asked on this machine, in order: local
// sources, and those that need a network. An error names what the command line
// asks for and is not there.
func (m *Access) Detect(f Facts) (local, remote []Source, err error) {
	chosen := func(s Source) bool { return s.Here(f) }
	if len(f.Asked) > 0 {
		var wanted map[string]bool
		if wanted, err = m.asked(f.Asked); len(wanted) > 0 {
			chosen = func(s Source) bool { return wanted[s.Name()] }
		}
	}
	for _, s := range All() {
		switch {
		case !chosen(s):
		case s.Local():
			local = append(local, s)
		default:
			remote = append(remote, s)
		}
	}
	return local, remote, err
}

// asked reads the value of ArgDatasource.
func (m *Access) asked(names []string) (map[string]bool, error) {
	out := map[string]bool{}
	for _, word := range names {
		name, base, hasBase := strings.Cut(word, "@")
		sources, err := Named(name)
		if err != nil {
			return out, fmt.Errorf("the kernel argument %s: %w", ArgDatasource, err)
		}
		for _, s := range sources {
			out[s.Name()] = true
			if hasBase {
				m.SetBase(s.Name(), base)
			}
		}
	}
	return out, nil
}

// SetBase gives the address of a service, in place of the usual one: scheme and
// host, without a path.
func (m *Access) SetBase(source, url string) {
	if m.base == nil {
		m.base = map[string]string{}
	}
	m.base[source] = strings.TrimSuffix(url, "/")
}

// baseOf is the address of a service.
func (m *Access) baseOf(source, usual string) string {
	if url, ok := m.base[source]; ok {
		return url
	}
	return usual
}
