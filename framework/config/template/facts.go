// SPDX-License-Identifier: Apache-2.0

package template

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
)

// Facts are what a template knows about the machine. The method data gives them
// their names.
type Facts struct {
	MachineID string // /etc/machine-id, 32 hex digits
	Hostname  string
	OS        string // ID of os-release(5)
	OSVersion string // VERSION_ID of os-release(5)
	OSName    string // PRETTY_NAME of os-release(5)
	Arch      string // as Go and OCI have it: amd64, arm64
	Slot      string // a, b or recovery
	Mode      string // active, passive, recovery or live
	// Hardware reads the other facts, by group and name as in groups. Facts that it
	// does not give are empty, and all are when it is nil. It is called when a text
	// has a template.
	Hardware func() map[string]any
}

// groups are the facts below .Values, named as in Kairos, which has them from
// github.com/zcalusic/sysinfo. numbers are those that are no text.
var groups = map[string][]string{
	"node":    {"hostname", "machineid", "timezone"},
	"os":      {"name", "vendor", "version", "architecture"},
	"kernel":  {"release", "version", "architecture"},
	"product": {"name", "vendor", "version", "serial", "uuid", "sku"},
	"board":   {"name", "vendor", "version", "serial", "assettag"},
	"chassis": {"type", "vendor", "version", "serial", "assettag"},
	"bios":    {"vendor", "version", "date"},
	"cpu":     {"vendor", "model", "threads"},
	"memory":  {"size"},
}

var numbers = []string{"chassis.type", "cpu.threads", "memory.size"}

// lists are the facts below .Values that are lists, with the keys of an entry.
var lists = map[string][]string{
	"network": {"name", "macaddress", "driver"},
	"storage": {"name", "vendor", "model", "serial", "size"},
}

// derived are made from the machine id, so they are the same at every boot of a
// node and differ from node to node. They are no secrets: the machine id is enough
// to compute them.
var derived = []string{"MachineID", "ProtectedID", "Random", "UUID"}

// Names are the facts that a template may ask for.
func Names() []string {
	return []string{".MachineID", ".Hostname", ".OS", ".OSVersion", ".Arch", ".Slot", ".Mode", ".Random", ".UUID", ".ProtectedID", ".Values"}
}

// Groups are the names below .Values, sorted.
func Groups() []string {
	return slices.Sorted(maps.Keys(merged(groups, lists)))
}

func merged(a, b map[string][]string) map[string][]string {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

// data is the data of a template. Every fact is in it, so that a template can test
// for one that this node lacks.
func (f Facts) data() map[string]any {
	values := f.values()
	out := map[string]any{
		"Hostname": f.Hostname, "OS": f.OS, "OSVersion": f.OSVersion, "Arch": f.Arch, "Slot": f.Slot, "Mode": f.Mode,
		"Values": values,
	}
	for _, name := range derived {
		out[name] = f.derive(name)
		values[name] = out[name]
	}
	return out
}

func (f Facts) values() map[string]any {
	var hardware map[string]any
	if f.Hardware != nil {
		hardware = f.Hardware()
	}
	out := map[string]any{}
	for group, names := range groups {
		have, _ := hardware[group].(map[string]any)
		all := map[string]any{}
		for _, name := range names {
			all[name] = ""
			if slices.Contains(numbers, group+"."+name) {
				all[name] = 0.0 // as Kairos has them
			}
			if value, ok := have[name]; ok {
				all[name] = value
			}
		}
		out[group] = all
	}
	for name := range lists {
		list, _ := hardware[name].([]any)
		out[name] = list
	}
	maps.Copy(out["node"].(map[string]any), map[string]any{"hostname": f.Hostname, "machineid": f.MachineID})
	maps.Copy(out["os"].(map[string]any), map[string]any{"vendor": f.OS, "version": f.OSVersion, "architecture": f.Arch, "name": f.OSName})
	return out
}

// derive makes a fact from the machine id; without one it is empty, like the id.
func (f Facts) derive(name string) string {
	switch {
	case f.MachineID == "" || name == "MachineID":
		return f.MachineID
	case name == "ProtectedID": // the very value that it has in Kairos
		return hex.EncodeToString(f.mac("yip"))
	case name == "UUID":
		return uuid(f.mac("kairos uuid"))
	}
	return letters(f.mac("kairos random"))
}

func (f Facts) mac(what string) []byte {
	m := hmac.New(sha256.New, []byte(f.MachineID))
	m.Write([]byte(what)) // never fails
	return m.Sum(nil)
}

// uuid is made of the first 16 bytes, in the form of a random UUID (version 4).
func uuid(b []byte) string {
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// letters are one lower-case letter or digit for each byte.
func letters(b []byte) string {
	const alphabet = "0123456789abcdefghijklmnopqrstuvwxyz"
	for i := range b {
		b[i] = alphabet[int(b[i])%len(alphabet)]
	}
	return string(b)
}
