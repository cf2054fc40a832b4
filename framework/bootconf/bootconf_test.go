// SPDX-License-Identifier: Apache-2.0

package bootconf_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/framework/bootconf"
	"github.com/kairos-build/kairos-build/framework/layout"
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
