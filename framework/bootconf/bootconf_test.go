// SPDX-License-Identifier: Apache-2.0

package bootconf_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/bootconf"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/grubenv"
)

// TestGRUBAgreesWithLayout: grub.cfg is a plain file, so the numbers and names
// in it are checked here.
func TestGRUBAgreesWithLayout(t *testing.T) {
	text := string(bootconf.GRUB())
	for _, p := range layout.Table(layout.Sizes{}) {
		if p.Slot == "" || p.Name != p.Slot.Boot() {
			continue
		}
		want := fmt.Sprintf(`if [ "$1" = %s ]; then set part=gpt%d; fi`, p.Slot, p.Number)
		if !strings.Contains(text, want) {
			t.Errorf("grub.cfg has no line %s", want)
		}
	}
	for _, want := range []string{
		layout.ArgSlot + "=$1", layout.ArgMode + "=$2", layout.ArgDisk + "=$esp", " $" + layout.GRUBCmdlineVar + " ",
		"/" + layout.BootKernel + `"`, "/" + layout.BootInitrd + `"`, "/" + layout.BootConfig + `"`, "/" + bootconf.GRUBEnv,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("grub.cfg has no %s", want)
		}
	}
}

// TestGRUBUsesKnownCommands: under Secure Boot no module can be loaded, so every
// command has to be in Debian's signed GRUB, and in our BIOS core image.
func TestGRUBUsesKnownCommands(t *testing.T) {
	known := strings.Fields("if then else elif fi function } set [ serial terminal_input terminal_output regexp probe load_env save_env echo source linux initrd boot sleep reboot menuentry choose once trial start fallback")
	separators := regexp.MustCompile(`; *| then | else `)
	for line := range strings.SplitSeq(string(bootconf.GRUB()), "\n") {
		if strings.HasPrefix(line, "#") || line == "" {
			continue
		}
		for _, command := range separators.Split(quoted.ReplaceAllString(line, "x"), -1) {
			words := strings.Fields(command)
			for len(words) > 1 && strings.Contains("if elif then else", words[0]) {
				words = words[1:]
			}
			if len(words) > 0 && !slices.Contains(known, words[0]) {
				t.Errorf("command %q in line %q", words[0], line)
			}
		}
	}
}

var quoted = regexp.MustCompile(`"[^"]*"|'[^']*'`)

func TestBootCFG(t *testing.T) {
	hash := [32]byte{0xab, 31: 0x01}
	hex := "ab" + strings.Repeat("00", 30) + "01"
	got, err := bootconf.BootCFG(bootconf.Slot{Cmdline: "console=tty1 console=ttyS0,115200n8 panic=10\n", RootHash: hash, HashOffset: 4096})
	want := "set kairos_cmdline=\"console=tty1 console=ttyS0,115200n8 panic=10 kairos.roothash=" + hex + " kairos.hashoffset=4096\"\n"
	if err != nil || string(got) != want {
		t.Errorf("error %v, got\n%s\nwant\n%s", err, got, want)
	}
	got, err = bootconf.BootCFG(bootconf.Slot{})
	want = "set kairos_cmdline=\"kairos.roothash=" + strings.Repeat("00", 32) + " kairos.hashoffset=0\"\n"
	if err != nil || string(got) != want {
		t.Errorf("error %v, got\n%s\nwant\n%s", err, got, want)
	}
}

func TestCheckCmdline(t *testing.T) {
	for _, good := range []string{"", "a=b c", "module.param=1,2:3 x={y} (z) a;b|c&d #e <f> 50% ~ ` ! @ ^"} {
		if err := bootconf.CheckCmdline(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{`a="b c"`, "a='b'", `a\b`, "a$b", "a*", "a?", "[a]", "a\nb", "ä", "a\tb", "x kairos.slot=a", "kairos.roothash=00"} {
		err := bootconf.CheckCmdline(bad)
		if err == nil || !strings.Contains(err.Error(), layout.ImageCmdline) {
			t.Errorf("%q: got %v, want an error that names %s", bad, err, layout.ImageCmdline)
		}
	}
}

func TestChoose(t *testing.T) {
	tests := []struct {
		name  string
		state bootconf.State
		want  bootconf.Choice
		after bootconf.State
	}{
		{"new disk", bootconf.Initial(), bootconf.Choice{Slot: "a", Mode: "active"}, bootconf.Initial()},
		{"good b", bootconf.State{Good: "b"}, bootconf.Choice{Slot: "b", Mode: "active"}, bootconf.State{Good: "b"}},
		{"first try", bootconf.State{Good: "a", Try: "b", Tries: 3}, bootconf.Choice{Slot: "b", Mode: "active"}, bootconf.State{Good: "a", Try: "b", Tries: 2}},
		{"last try", bootconf.State{Good: "a", Try: "b", Tries: 1}, bootconf.Choice{Slot: "b", Mode: "active"}, bootconf.State{Good: "a", Try: "b"}},
		{"out of tries", bootconf.State{Good: "a", Try: "b"}, bootconf.Choice{Slot: "a", Mode: "passive"}, bootconf.State{Good: "a", Try: "b"}},
		{"once passive", bootconf.State{Good: "b", Next: "passive"}, bootconf.Choice{Slot: "a", Mode: "passive"}, bootconf.State{Good: "b"}},
		{"once recovery, trial waits", bootconf.State{Good: "a", Try: "b", Tries: 2, Next: "recovery"}, bootconf.Choice{Slot: "recovery", Mode: "recovery"}, bootconf.State{Good: "a", Try: "b", Tries: 2}},
		{"once active, trial waits", bootconf.State{Good: "a", Try: "b", Tries: 2, Next: "active"}, bootconf.Choice{Slot: "a", Mode: "active"}, bootconf.State{Good: "a", Try: "b", Tries: 2}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, after := tt.state.Choose()
			if diff := cmp.Diff(tt.want, got) + cmp.Diff(tt.after, after); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestEveryStateEndsInGood: whatever the state, good is booted after few boots
// if nobody writes the environment meanwhile.
func TestEveryStateEndsInGood(t *testing.T) {
	for _, s := range states() {
		var c bootconf.Choice
		next := s
		for range bootconf.MaxTries + 2 {
			c, next = next.Choose()
		}
		if c.Slot != s.Good {
			t.Errorf("%+v is still on slot %s after %d boots", s, c.Slot, bootconf.MaxTries+2)
		}
	}
}

func TestStateRoundTrip(t *testing.T) {
	for _, s := range states() {
		block, err := grubenv.Encode(s.Vars())
		if err != nil {
			t.Fatal(err)
		}
		vars, err := grubenv.Decode(block)
		if err != nil {
			t.Fatal(err)
		}
		got, err := bootconf.ParseState(vars)
		if diff := cmp.Diff(s, got); diff != "" || err != nil {
			t.Errorf("error %v\n%s", err, diff)
		}
	}
}

func states() []bootconf.State {
	var list []bootconf.State
	for _, good := range []layout.Slot{"a", "b"} {
		for _, next := range []layout.Mode{"", "active", "passive", "recovery"} {
			list = append(list, bootconf.State{Good: good, Next: next})
			for _, try := range []layout.Slot{"a", "b"} {
				for tries := range bootconf.MaxTries + 1 {
					list = append(list, bootconf.State{Good: good, Try: try, Tries: tries, Next: next})
				}
			}
		}
	}
	return list
}

func TestParseStateForgives(t *testing.T) {
	tests := []struct {
		vars map[string]string
		want bootconf.State
		err  string
	}{
		{nil, bootconf.State{Good: "a"}, ""},
		{map[string]string{"good": "b", "try": "", "tries": "", "next": ""}, bootconf.State{Good: "b"}, ""},
		{map[string]string{"good": "recovery"}, bootconf.State{Good: "a"}, `good="recovery"`},
		{map[string]string{"good": "b", "try": "c", "tries": "2"}, bootconf.State{Good: "b"}, `try="c"`},
		{map[string]string{"try": "b", "tries": "9"}, bootconf.State{Good: "a", Try: "b"}, `tries="9"`},
		{map[string]string{"next": "live"}, bootconf.State{Good: "a"}, `next="live"`},
		{map[string]string{"tries": "2"}, bootconf.State{Good: "a"}, ""},
	}
	for _, tt := range tests {
		got, err := bootconf.ParseState(tt.vars)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%v: %s", tt.vars, diff)
		}
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%v: error %v, want %q", tt.vars, err, tt.err)
		}
	}
}

// FuzzBootCFG: what CheckCmdline lets through cannot end the string in BOOT.CFG.
func FuzzBootCFG(f *testing.F) {
	f.Add("console=tty1 panic=10")
	f.Add(`x" ; reboot "`)
	f.Fuzz(func(t *testing.T, line string) {
		b, err := bootconf.BootCFG(bootconf.Slot{Cmdline: line})
		if err != nil {
			return
		}
		if s := string(b); strings.Count(s, `"`) != 2 || strings.Count(s, "\n") != 1 || strings.ContainsAny(s, `\$'`) {
			t.Errorf("%q gives %q", line, s)
		}
	})
}
