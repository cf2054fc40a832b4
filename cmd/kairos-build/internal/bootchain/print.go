// SPDX-License-Identifier: Apache-2.0

package bootchain

import (
	"cmp"
	"fmt"
	"io"
	"strings"
)

// Print writes the chain for people.
func (c Chain) Print(w io.Writer) error {
	var b strings.Builder
	slot := ""
	for _, l := range c.Links {
		if l.Slot != slot {
			slot = l.Slot
			fmt.Fprintf(&b, "slot %s\n", slot)
		}
		l.print(&b)
	}
	b.WriteString("not covered\n")
	for _, text := range c.NotCovered {
		fmt.Fprintf(&b, "  %s\n", strings.Join(fold(text, 86), "\n  "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (l Link) print(b *strings.Builder) {
	sign := map[bool]string{true: "✔", false: "–"}[l.Verified]
	fmt.Fprintf(b, "  %s %s  %s\n", sign, l.What, l.File)
	fmt.Fprintf(b, "      verified by  %s\n", strings.Join(fold(l.By, 73), "\n                   "))
	if l.Signer != "" {
		fmt.Fprintf(b, "      signed by    %s, issued by %s\n", l.Signer, l.Issuer)
	}
	if l.Problem != "" {
		fmt.Fprintf(b, "      problem      %s\n", l.Problem)
	}
	for _, says := range l.Says {
		fmt.Fprintf(b, "      it says      %s\n", says)
	}
	if l.SHA256 != "" {
		fmt.Fprintf(b, "      %s    %s\n", cmp.Or(map[string]string{"root": "root hash"}[l.What], "SHA-256  "), l.SHA256)
	}
}

// fold breaks a text into lines of at most width bytes, where it can.
func fold(text string, width int) []string {
	lines := []string{""}
	for word := range strings.FieldsSeq(text) {
		last := &lines[len(lines)-1]
		switch {
		case *last == "":
			*last = word
		case len(*last)+1+len(word) <= width:
			*last += " " + word
		default:
			lines = append(lines, word)
		}
	}
	return lines
}
