// SPDX-License-Identifier: Apache-2.0

package netserve

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/ci/golden"
)

// recorded reads a packet that a machine sent: bytes in hex, as xxd -p writes them.
func recorded(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	data, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestRecorded: the packets of real firmware, and our answers, byte for byte. The .txt files
// say what the bytes mean.
func TestRecorded(t *testing.T) {
	files, err := filepath.Glob("testdata/*.hex")
	if err != nil || len(files) < 3 {
		t.Fatalf("%d packets: %v", len(files), err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			r, ok := parse(recorded(t, filepath.Base(path)))
			if !ok {
				t.Fatal("this is a request of a machine that boots from the network")
			}
			decide := answers().offer
			if strings.Contains(path, "4011") {
				decide = answers().acknowledge
			}
			a := decide(r)
			text := fmt.Sprintf("machine %s\nfirmware %s\niPXE %v\naddress %v\n", r.mac, r.firmware.name, r.ipxe, r.addr)
			if a.packet == nil {
				text += "no answer; why: " + a.why + "\n"
			} else {
				text += "answer:\n" + hex.Dump(a.packet.ToBytes()) + a.packet.Summary()
			}
			golden.Check(t, strings.TrimSuffix(path, ".hex")+".txt", text)
		})
	}
}
