// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package verity

import (
	"encoding/hex"
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// TestAgainstVeritysetup compares root hash and bytes with the reference tool,
// in both directions. It needs cryptsetup-bin.
func TestAgainstVeritysetup(t *testing.T) {
	for _, blocks := range sizes() {
		t.Run(fmt.Sprint(blocks), func(t *testing.T) {
			p := testParams()
			data := pattern(blocks * BlockSize)
			ours, theirs := dataFile(t, data), dataFile(t, data)
			tree, err := Write(t.Context(), ours, int64(len(data)), p)
			if err != nil {
				t.Fatal(err)
			}
			root, offset := hex.EncodeToString(tree.RootHash[:]), fmt.Sprintf("--hash-offset=%d", tree.HashOffset)
			out := veritysetup(t, "format", offset, "--salt="+hex.EncodeToString(p.Salt[:]),
				fmt.Sprintf("--uuid=%x-%x-%x-%x-%x", p.UUID[:4], p.UUID[4:6], p.UUID[6:8], p.UUID[8:10], p.UUID[10:]),
				fmt.Sprintf("--data-blocks=%d", blocks), theirs.Name(), theirs.Name())
			if !strings.Contains(out, root) {
				t.Errorf("veritysetup says\n%s\nwe say %s", out, root)
			}
			if string(readAll(t, ours)) != string(readAll(t, theirs))+strings.Repeat("\x00", int(tree.Size)-len(readAll(t, theirs))) {
				t.Error("images differ")
			}
			veritysetup(t, "verify", offset, ours.Name(), ours.Name(), root)
			if err := Verify(t.Context(), theirs, tree); blocks > 1 && err != nil {
				t.Errorf("our Verify of their tree: %v", err)
			}
		})
	}
}

func veritysetup(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "veritysetup", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("veritysetup %v: %v\n%s", args, err, out)
	}
	return string(out)
}
