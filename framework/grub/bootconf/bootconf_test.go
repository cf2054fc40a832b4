// SPDX-License-Identifier: Apache-2.0

package bootconf_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/grub/bootconf"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
	"github.com/kairos-build/kairos-build/framework/ondisk/verity"
	"github.com/kairos-build/kairos-build/framework/slot"
	"github.com/kairos-build/kairos-build/framework/slot/slotimage"
)

// TestGRUBAgreesWithLayout: grub.cfg is a plain file, so this test checks its numbers and
// names.
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
		layout.ArgSlot + "=$1", layout.ArgMode + "=$2", layout.ArgDisk + "=$esp", layout.ArgEnv + "=good=$good", " $" + bootconf.CmdlineVar + ";",
		"/" + layout.BootKernel + `"`, "/" + layout.BootInitrd + `"`, "/" + bootconf.SlotConfig + `"`, "/" + bootconf.GRUBEnv,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("grub.cfg has no %s", want)
		}
	}
}

// TestGRUBAgreesWithSlot: the script reads and writes the variables of a slot.State and
// no others, and counts as far as package slot.
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
		for name := range strings.FieldsSeq(m[1]) {
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

// TestGRUBUsesKnownCommands: under Secure Boot no module can be loaded, so every command
// must be in Debian's signed GRUB, and in our BIOS core image.
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

// TestBootFiles: what a slot's boot partition holds for GRUB.
func TestBootFiles(t *testing.T) {
	image := &slotimage.Image{Kernel: []byte("K"), Initrd: []byte("I"), Cmdline: "console=tty1 console=ttyS0,115200n8 panic=10", Tree: verity.Tree{RootHash: [32]byte{0xab, 31: 0x01}, HashOffset: 4096}}
	hash := "ab" + strings.Repeat("00", 30) + "01"
	config := "set kairos_cmdline=\"kairos.roothash=" + hash + " kairos.hashoffset=4096 console=tty1 console=ttyS0,115200n8 panic=10\"\n"
	want := []fat32.File{
		{Path: "VMLINUZ", Data: []byte("K")}, {Path: "INITRD", Data: []byte("I")}, {Path: "BOOT.CFG", Data: []byte(config)},
		{Path: "SLOT.TXT", Data: []byte("ROOTHASH=" + hash + "\n")},
	}
	if diff := cmp.Diff(want, image.BootFiles(bootconf.Loader{})); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestCheckCmdline(t *testing.T) {
	for _, good := range []string{"", strings.Repeat("a", bootconf.MaxCmdline), "a=b c", "module.param=1,2:3 x={y} (z) a;b|c&d #e <f> 50% ~ ` ! @ ^"} {
		if err := slotimage.CheckCmdline(good, bootconf.Loader{}); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{`a="b c"`, "a='b'", `a\b`, "a$b", "a*", "a?", "[a]", "a\nb", "ä", "a\tb", "x kairos.slot=a", "kairos.roothash=00", "kairos.env=", "kairos.disk", strings.Repeat("a ", bootconf.MaxCmdline/2) + "a"} {
		err := slotimage.CheckCmdline(bad, bootconf.Loader{})
		if err == nil || !strings.Contains(err.Error(), layout.ImageCmdline) {
			t.Errorf("%q: got %v, want an error that names %s", bad, err, layout.ImageCmdline)
		}
	}
}

// TestLineFits: the longest accepted arguments reach the kernel whole, together with the
// longest that grub.cfg can add. GRUB drops the end of a line that is too long.
func TestLineFits(t *testing.T) {
	const kernelTakes, byGRUBForUEFI = 2048 - 1, 1
	longest := map[string]string{
		"disk": "hd127", "part": "gpt7", "1": "recovery", "2": "recovery", "3": layout.ArgReset, "esp": strings.Repeat("f", 36),
		"good": "a", "try": "b", "tries": "3", "bad": "b", "badrec": "1", "next": "recovery", "unproven": "7",
	}
	image := strings.Repeat("x", bootconf.MaxCmdline)
	files := (&slotimage.Image{Cmdline: image, Tree: verity.Tree{RootHash: [32]byte{0xff}, HashOffset: 1 << 40}}).BootFiles(bootconf.Loader{})
	longest[bootconf.CmdlineVar] = strings.Split(string(files[2].Data), `"`)[1]
	line := "BOOT_IMAGE=" + os.Expand(linuxArgs(t), func(name string) string {
		value, ok := longest[name]
		if !ok {
			t.Errorf("grub.cfg hands $%s on: say here how long it can be", name)
		}
		return value
	})
	if free := kernelTakes - byGRUBForUEFI - len(line); free < 100 {
		t.Errorf("%d bytes are free behind the longest line, want 100 for a person's own:\n%s", free, line)
	}
	ours := strings.Fields(line[:strings.Index(line, image)])
	for _, key := range layout.BootArgs() {
		if slices.Contains([]string{layout.ArgLive, layout.ArgRAM, layout.ArgReset}, key) { // TestLive, TestReset
			continue
		}
		if !slices.ContainsFunc(ours, func(arg string) bool { return strings.HasPrefix(arg, key+"=") }) {
			t.Errorf("%s is not before the image's arguments, where nothing is cut off:\n%s", key, line)
		}
	}
}

// TestLive: the menu of a medium names the files of the live tree, and hands on what /init
// reads, before the image's arguments.
func TestLive(t *testing.T) {
	text := string(bootconf.Live())
	for _, want := range []string{
		`linux "($live)/` + layout.LiveTree + "/" + layout.BootKernel + `" ` + layout.ArgLive + "=" + layout.LiveMedium + " $1 $2 $3 $" + bootconf.CmdlineVar + ";",
		`initrd "($live)/` + layout.LiveTree + "/" + layout.BootInitrd + `"`, `source "($live)/` + layout.LiveTree + "/" + bootconf.SlotConfig + `"`,
		"--label " + layout.LabelLive, "start " + layout.ArgRAM + "\n", "start " + layout.ArgInstall + "\n", "start " + layout.ArgInteractive + "\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("live.cfg has no %s", want)
		}
	}
	if n := strings.Index(text, `if [ -n "$node" ]; then`+"\n  set default=disk\n"); n < strings.Index(text, "set default=live\n") {
		t.Error("a node on a disk of the machine is not the default")
	}
	ids := regexp.MustCompile(`--id (\w+)`).FindAllStringSubmatch(text, -1)
	if len(ids) != 6 || !strings.Contains(text, "set default="+ids[0][1]+"\n") {
		t.Errorf("menu entries %v: want 6, and the first is the default", ids)
	}
}

// TestReset: only the entry for it asks for a reset, and no fallback from it does.
func TestReset(t *testing.T) {
	text := string(bootconf.GRUB())
	if n := strings.Count(text, " "+layout.ArgReset); n != 1 || !strings.Contains(text, "  start recovery recovery "+layout.ArgReset+"\n  fallback recovery\n") {
		t.Errorf("grub.cfg has %s %d times", layout.ArgReset, n)
	}
	if !strings.Contains(linuxArgs(t), " $3 $"+bootconf.CmdlineVar) {
		t.Error("the third argument of start is not handed on")
	}
}

// linuxArgs returns the arguments of grub.cfg's linux command.
func linuxArgs(t *testing.T) string {
	t.Helper()
	found := regexp.MustCompile(`if linux (.*); then`).FindStringSubmatch(string(bootconf.GRUB()))
	if found == nil {
		t.Fatal("grub.cfg starts no kernel")
	}
	return strings.ReplaceAll(found[1], `"`, "")
}

// TestEnv: GRUB passes on all variables that it reads, and they parse to the same state.
func TestEnv(t *testing.T) {
	text := string(bootconf.GRUB())
	read := regexp.MustCompile(`load_env --file "\$env" (.*)`).FindStringSubmatch(text)[1]
	handed := regexp.MustCompile(`kairos\.env=(\S+)`).FindStringSubmatch(linuxArgs(t))[1]
	var want []string
	for name := range strings.FieldsSeq(read) {
		want = append(want, name+"=$"+name)
	}
	if got := strings.Split(handed, ","); !slices.Equal(got, want) {
		t.Errorf("GRUB reads %v and hands on %v", want, got)
	}
	for _, s := range []slot.State{
		slot.Initial(),
		{Good: "b", Try: "a", Tries: 2, BadRecovery: true, Next: layout.ModePassive, Unproven: 7},
		{Good: "a", Bad: "b", Unproven: 1},
	} {
		vars := s.Vars()
		value := os.Expand(handed, func(name string) string { return vars[name] })
		if got := slot.ParseArg(value); got != s {
			t.Errorf("%s is read as %+v, want %+v", value, got, s)
		}
	}
	if got := slot.ParseArg("good=x,try=y z,tries,=,unproven=99"); got != slot.Initial() {
		t.Errorf("nonsense is read as %+v", got)
	}
}

// TestNothingSavedIsNothingSaid: GRUB sets back a variable that it could not save, so that
// /init gets what the block holds.
func TestNothingSavedIsNothingSaid(t *testing.T) {
	parts := strings.Split(string(bootconf.GRUB()), "if save_env --file")
	for _, part := range parts[1:] {
		name := strings.Fields(strings.Split(part, ";")[0])[1]
		failed := regexp.MustCompile(`(?m)^ *else\n *set ` + name + `="\$(had|want)"$`)
		if !failed.MatchString(part) {
			t.Errorf("%s is not set back when it cannot be saved:%s", name, part)
		}
	}
	if len(parts) != 4 {
		t.Errorf("%d variables are saved, want 3", len(parts)-1)
	}
}

// FuzzFiles: arguments that CheckCmdline accepts cannot end the string in BOOT.CFG.
func FuzzFiles(f *testing.F) {
	f.Add("console=tty1 panic=10")
	f.Add(`x" ; reboot "`)
	f.Fuzz(func(t *testing.T, line string) {
		if (bootconf.Loader{}).CheckCmdline(line) != nil {
			return
		}
		if s := string(bootconf.Loader{}.Files(nil, nil, line)[2].Data); strings.Count(s, `"`) != 2 || strings.Count(s, "\n") != 1 || strings.ContainsAny(s, `\$'`) {
			t.Errorf("%q gives %q", line, s)
		}
	})
}
