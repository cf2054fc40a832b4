// SPDX-License-Identifier: Apache-2.0

package osrelease

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	const text = "# a comment\n\nID=debian\nVERSION_ID=\"13\"\r\n  NAME='a $b \"c\"'\nESCAPED=\"a\\\"b\\$c\\\\d\\`e\\nf\"\nBARE=a\\ b\nEMPTY=\nID=ubuntu"
	got, err := Parse([]byte(text))
	want := map[string]string{"ID": "ubuntu", "VERSION_ID": "13", "NAME": `a $b "c"`, "ESCAPED": "a\"b$c\\d`e\\nf", "BARE": "a b", "EMPTY": ""}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
}

func TestMistakes(t *testing.T) {
	got, err := Parse([]byte("A=1\nB\nC='x\nD=a b\nE=\"x\"y\n2=3\nF=2\n"))
	if d := cmp.Diff(map[string]string{"A": "1", "C": "x", "D": "a b", "E": `x"y`, "F": "2"}, got); d != "" {
		t.Errorf("values (-want +got):\n%s", d)
	}
	want := `bad release file: line 2: "B" is not KEY=VALUE
bad release file: line 3: the closing ' is missing
bad release file: line 4: ' ' in a value without quotes
bad release file: line 5: text after the closing quote: "y"
bad release file: line 6: "2=3" is not KEY=VALUE`
	if err == nil || err.Error() != want || !errors.Is(err, ErrSyntax) {
		t.Errorf("got %v\nwant %s", err, want)
	}
	if _, err := Parse([]byte("A=\xff")); !errors.Is(err, ErrSyntax) {
		t.Errorf("got %v for what is no text", err)
	}
}

func TestOf(t *testing.T) {
	for first, files := range map[string]map[string]string{
		"a": {"etc/os-release": "ID=a", "usr/lib/os-release": "ID=b"},
		"b": {"usr/lib/os-release": "ID=b"},
		"":  {},
	} {
		got := Of(func(name string) ([]byte, error) {
			if text, ok := files[name]; ok {
				return []byte(text), nil
			}
			return nil, fs.ErrNotExist
		})
		if got["ID"] != first {
			t.Errorf("%v: %v", files, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("A=1\n# c\nB=\"x \\\" y\"\nC='z'\nD=\"\\n\"\n")
	f.Fuzz(func(t *testing.T, s string) {
		values, err := Parse([]byte(s))
		if err != nil {
			return
		}
		var again strings.Builder
		for k, v := range values {
			again.WriteString(k + `="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(v) + "\"\n")
		}
		got, err := Parse([]byte(again.String()))
		if diff := cmp.Diff(values, got); err != nil || diff != "" && !strings.ContainsAny(s, "\r") {
			t.Fatalf("%q: %v\n%s", again.String(), err, diff)
		}
	})
}
