// SPDX-License-Identifier: Apache-2.0

package datasource

import (
	"fmt"
	"io/fs"
	"strings"
)

// Keys of the kernel command line.
const (
	// ArgConfigURL is the URL of a config; Kairos has both names.
	ArgConfigURL    = "kairos.config_url"
	argConfigURLOld = "config_url"
	// ArgDatasource is a comma-separated list of the sources to ask, in place of
	// the detected ones. NAME@URL sets the address of a service.
	ArgDatasource = "kairos.datasource"
	// argSeed is cloud-init's: nocloud;s=URL;h=HOSTNAME;i=INSTANCE.
	argSeed = "ds"
)

// Facts are the properties of a machine that tell which sources it has.
type Facts struct {
	// DMI holds the files of /sys/class/dmi/id by name, such as sys_vendor.
	DMI        map[string]string
	Hypervisor string // /sys/hypervisor/uuid, of Xen
	ConfigURL  string
	Asked      []string // from ArgDatasource
	// Seed comes from "ds=nocloud;…" on the kernel command line or in the
	// serial number of the machine; nil: there is none.
	Seed *Seed
}

// Seed says where NoCloud's files are, and has defaults for their meta-data.
type Seed struct {
	URL                  string // http, https, file or a directory; empty: search by label
	Hostname, InstanceID string
}

var dmiFiles = []string{
	"bios_vendor", "board_asset_tag", "board_vendor", "chassis_asset_tag", "chassis_vendor",
	"product_name", "product_serial", "product_uuid", "product_version", "sys_vendor",
}

// ReadFacts reads sys and proc below fsys. Unreadable values are empty.
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

// arguments parses a kernel command line. The last argument of a name wins. Double
// quotes may enclose an argument or its value.
func arguments(line string) map[string]string {
	out := map[string]string{}
	for _, arg := range splitQuoted(line) {
		key, value, _ := strings.Cut(strings.ReplaceAll(arg, `"`, ""), "=")
		out[key] = value
	}
	return out
}

// splitQuoted splits at blanks outside double quotes.
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

// Detect chooses from All, in order, the sources to ask on this machine: local
// sources, and those that need a network. The error names an unknown source on the
// kernel command line.
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

// asked parses the value of ArgDatasource, without its commas.
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

// SetBase sets the address of a service: scheme and host, without a path.
func (m *Access) SetBase(source, url string) {
	if m.base == nil {
		m.base = map[string]string{}
	}
	m.base[source] = strings.TrimSuffix(url, "/")
}

// baseOf returns the address of a service.
func (m *Access) baseOf(source, usual string) string {
	if url, ok := m.base[source]; ok {
		return url
	}
	return usual
}
