// SPDX-License-Identifier: Apache-2.0

package layerstest

import (
	"archive/tar"
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// Tar is a layer as a tar.
func Tar(layer []Entry) []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range layer {
		h := e.Header()
		if err := w.WriteHeader(h); err != nil {
			panic(fmt.Sprintf("BUG: the entry %+v: %v", e, err))
		}
		if h.Size > 0 {
			if _, err := w.Write([]byte(e.Body)); err != nil {
				panic(fmt.Sprintf("BUG: the entry %+v: %v", e, err))
			}
		}
	}
	if err := w.Close(); err != nil {
		panic(fmt.Sprintf("BUG: %v", err))
	}
	return out.Bytes()
}

// Repair corrects the checksums of tar headers, so that a reader takes a header that a
// fuzzer changed.
func Repair(content []byte) []byte {
	b := bytes.Clone(content)
	for at := 0; at+512 <= len(b) && b[at] != 0; {
		h := b[at : at+512]
		copy(h[148:156], "        ")
		sum := 0
		for _, c := range h {
			sum += int(c)
		}
		copy(h[148:156], fmt.Sprintf("%06o\x00 ", sum))
		size, _ := strconv.ParseInt(strings.Trim(string(h[124:136]), " \x00"), 8, 32)
		at += 512 + int(max(size, 0)+511)/512*512
	}
	return b
}
