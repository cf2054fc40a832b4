// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/config/template"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/machine/stages"
)

// assumed lists the values assumed for facts that only a node knows; asked is the host
// name in the config.
func (s *simulation) assumed(asked string) Assumed {
	f := s.facts()
	a := Assumed{MachineID: f.MachineID, Hostname: f.Hostname, Slot: f.Slot, Mode: f.Mode}
	a.Other = append(a.Other, "a new node: nothing but these configs on /oem, nothing on /usr/local", "every download and every command succeeds")
	if asked == "" && strings.HasPrefix(f.Hostname, "kairos-") || template.Is(asked) {
		a.Other = append(a.Other, fmt.Sprintf("the host name %s comes from the machine id", f.Hostname))
	}
	if len(s.parameters()) > 0 {
		a.Other = append(a.Other, "the kernel has the parameters that are set")
	}
	return a
}

// conditions are the conditions and facts of a step that only a node knows, a phrase
// each, with the assumed value.
func conditions(s config.Step, facts template.Facts) []string {
	var out []string
	if !s.If.IsZero() {
		text, err := template.RenderContent(s.If.Text, facts)
		if err != nil {
			text = s.If.Text
		}
		out = append(out, fmt.Sprintf("if: %q exits with 0", text))
	}
	if paths := elsewhere(s.IfFiles); len(paths) > 0 {
		out = append(out, fmt.Sprintf("if_files: %s: as in the image and after the steps before", strings.Join(paths, ", ")))
	}
	if !s.Node.IsZero() {
		out = append(out, fmt.Sprintf("node: the host name is %s", facts.Hostname))
	}
	for _, name := range depends(s, facts) {
		out = append(out, "template: "+name)
	}
	return out
}

// elsewhere are the paths of conditions that may exist on a node but not in the image,
// or the other way round.
func elsewhere(f config.IfFiles) []string {
	paths := slices.Concat(f.Any, f.All, f.None)
	return slices.DeleteFunc(paths, func(p string) bool { return layout.PlaceOf(p) == layout.PlaceImage })
}

// A fact is a fact that differs from node to node.
type fact struct {
	name, value string
	set         func(f *template.Facts, value string)
}

func facts(f template.Facts) []fact {
	return []fact{
		{".MachineID", f.MachineID, func(f *template.Facts, v string) { f.MachineID = v }},
		{".Hostname", f.Hostname, func(f *template.Facts, v string) { f.Hostname = v }},
		{".Slot", f.Slot, func(f *template.Facts, v string) { f.Slot = v }},
		{".Mode", f.Mode, func(f *template.Facts, v string) { f.Mode = v }},
		{"the hardware", "that of an example", func(f *template.Facts, v string) { f.Hardware = func() map[string]any { return machine(v) } }},
	}
}

// machine is an example of a node's hardware. Its texts contain word, and its numbers
// depend on word.
func machine(word string) map[string]any {
	text := func(names ...string) map[string]any {
		out := map[string]any{}
		for _, name := range names {
			out[name] = strings.ReplaceAll(word, " ", "-")
		}
		return out
	}
	size := float64(1024 * len(word))
	cpu, memory, disk, card := text("vendor", "model"), map[string]any{"size": size}, text("vendor", "model", "serial"), text("driver")
	cpu["threads"] = float64(len(word))
	disk["name"], disk["size"] = "vda", size
	card["name"], card["macaddress"] = "eth0", fmt.Sprintf("52:54:00:00:00:%02x", len(word))
	return map[string]any{
		"kernel": text("release", "version", "architecture"), "product": text("name", "vendor", "version", "serial", "uuid", "sku"),
		"board": text("name", "vendor", "version", "serial", "assettag"), "chassis": text("vendor", "version", "serial", "assettag"),
		"bios": text("vendor", "version", "date"), "cpu": cpu, "memory": memory, "storage": []any{disk}, "network": []any{card},
	}
}

// depends finds the facts that the texts of a step depend on, by trying other values.
func depends(s config.Step, have template.Facts) []string {
	s.Node = config.Text{} // has a phrase of its own
	want, wantLost := stages.Render(s, have)
	var out []string
	for _, f := range facts(have) {
		other := have
		f.set(&other, "x"+f.value+"z")
		got, lost := stages.Render(s, other)
		if len(lost) != len(wantLost) || !reflect.DeepEqual(got, want) {
			out = append(out, fmt.Sprintf("%s is %s", f.name, f.value))
		}
	}
	return out
}
