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
	"github.com/kairos-build/kairos-build/framework/slot"
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

// TestGRUBAgreesWithSlot: the script reads and writes the variables of a slot.State
// and no others, and counts as far as slot does.
func TestGRUBAgreesWithSlot(t *testing.T) {
	text := string(bootconf.GRUB())
	names := slices.Sorted(slices.Values(slot.VarNames()))
	load := regexp.MustCompile(`(?m)^load_env --file "\$env" (.*)$`).FindAllStringSubmatch(text, -1)
	if len(load) != 1 {
		t.Fatalf("%d lines with load_env, want one", len(load))
	}
	loaded := strings.Fields(load[0][1])
	slices.Sort(loaded)
	if diff := cmp.Diff(names, loaded); diff != "" {
		t.Errorf("load_env (-want +got):\n%s", diff)
	}
	for _, m := range regexp.MustCompile(`save_env --file "\$env" ([^;]*);`).FindAllStringSubmatch(text, -1) {
		for _, name := range strings.Fields(m[1]) {
			if !slices.Contains(names, name) {
				t.Errorf("save_env %s, which is no variable of a slot.State", name)
			}
		}
	}
	// The script has no arithmetic: each number is a line.
	counts := func(name, line string) (numbers []string) {
		for _, m := range regexp.MustCompile(`if \[ "\$`+name+`" = (\d) \]; then set `+line+`=(\d); fi`).FindAllStringSubmatch(text, -1) {
			numbers = append(numbers, m[1]+"→"+m[2])
		}
		slices.Sort(numbers)
		return numbers
	}
	var tries, unproven []string
	for n := 1; n <= slot.MaxTries; n++ {
		tries = append(tries, fmt.Sprintf("%d→%d", n, n-1))
	}
	state := slot.State{Good: layout.SlotA, Unproven: 1}
	for state.Unproven != 1 || unproven == nil {
		_, next := state.Boot()
		if next.Unproven != 1 { // 1 is what the script begins with
			unproven = append(unproven, fmt.Sprintf("%d→%d", state.Unproven, next.Unproven))
		}
		state = next
	}
	if diff := cmp.Diff(tries, counts("tries", "left")) + cmp.Diff(unproven, counts("unproven", "n")); diff != "" {
		t.Errorf("numbers (-want +got):\n%s", diff)
	}
	last := len(unproven) + 1
	for _, want := range []string{
		fmt.Sprintf(`if [ "$n" = %d -a "$other" != "$bad" -a "$other" != "$try" ]; then`, slot.MaxUnproven+1),
		fmt.Sprintf(`if [ "$n" = %d -o "$n" = %d ]; then set slot=recovery`, slot.MaxUnproven+1, last),
		fmt.Sprintf("did not come up in %d boots", slot.MaxUnproven),
	} {
		if !strings.Contains(text, want) {
			t.Errorf("grub.cfg has no %s", want)
		}
	}
}

// TestGRUBUsesKnownCommands: under Secure Boot no module can be loaded, so every
// command has to be in Debian's signed GRUB, and in our BIOS core image.
func TestGRUBUsesKnownCommands(t *testing.T) {
	known := strings.Fields("if then else elif fi function } set [ serial terminal_input terminal_output regexp probe load_env save_env echo source linux initrd boot sleep reboot menuentry choose once trial count start spare fallback")
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
