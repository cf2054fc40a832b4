// SPDX-License-Identifier: Apache-2.0

package disk_test

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"
)

// TestWhole: the SHA-256 that is made while the disk is written is that of the file. It is
// made only if it is asked for.
func TestWhole(t *testing.T) {
	s := spec(t)
	if _, r := write(t, s); r.SHA256 != "" {
		t.Errorf("nobody asked for %s", r.SHA256)
	}
	s.Whole = true
	path, r := write(t, s)
	sum := sha256.Sum256(mustRead(t, path))
	if want := hex.EncodeToString(sum[:]); r.SHA256 != want {
		t.Errorf("got %s, want %s", r.SHA256, want)
	}
}
