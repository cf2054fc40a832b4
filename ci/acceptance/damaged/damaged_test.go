// SPDX-License-Identifier: Apache-2.0

package damaged

import (
	"errors"
	"testing"

	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/ci/lab/labtest"
	"github.com/kairos-build/kairos-build/ci/qemu"
)

func TestReadOutcome(t *testing.T) {
	v := lab.Victim{File: "/f", Data: []byte("right data"), Offset: 7}
	tests := []struct {
		name string
		out  qemu.Output
		want string
	}{
		{"I/O error at once", labtest.Fails("cat: /f: Input/output error"), ""},
		{"I/O error later", qemu.Output{Stdout: "right", Stderr: "Input/output error", Exit: 1}, ""},
		{"wrong data, then I/O error", qemu.Output{Stdout: "wrong", Stderr: "Input/output error", Exit: 1}, "wrong data before"},
		{"another error", labtest.Fails("cat: /f: Permission denied"), "not because of dm-verity"},
		{"right data", labtest.Says("right data"), "not in its way"},
		{"wrong data", labtest.Says("Xight data"), "WRONG DATA"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := readOutcome(v, tt.out)
			labtest.Expect(t, err, tt.want)
		})
	}
}

func TestStopOutcome(t *testing.T) {
	v := lab.Victim{File: "/f", Data: []byte("right data"), Offset: 7}
	const words = "device-mapper: verity: 254:4: data block 7 is corrupted"
	tests := []struct {
		name, read, words string
		want              string
	}{
		{"a panic at once", "", words, ""},
		{"a panic later", "right", words, ""},
		{"wrong data before the panic", "rXght", words, "WRONG DATA"},
		{"more than the file before the panic", "right data and", words, "WRONG DATA"},
		{"an end that has nothing to do with it", "right", "", "not because of dm-verity: lost"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := stopOutcome(v, labtest.Says(tt.read), tt.words, errors.New("lost"))
			labtest.Expect(t, err, tt.want)
		})
	}
}
