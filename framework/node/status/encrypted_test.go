// SPDX-License-Identifier: Apache-2.0

package status

import (
	"bytes"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/framework/slot/thisboot"
)

// TestEncrypted: an encrypted partition is mounted from its decrypted device.
func TestEncrypted(t *testing.T) {
	var s Status
	s.layout(&thisboot.Boot{Partitions: []thisboot.Partition{
		{Name: "oem", Device: "/dev/vda9", Opened: "/dev/dm-1", UnlockedWith: "the TPM"},
		{Name: "persistent", Device: "/dev/vda10"},
	}}, []mountPoint{{path: "/oem", source: "/dev/dm-1"}})
	var table bytes.Buffer
	if err := s.WriteTable(&table, View{All: true}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"/dev/vda9, encrypted, unlocked with the TPM", "/oem\n"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table does not say %q:\n%s", want, table.String())
		}
	}
}
