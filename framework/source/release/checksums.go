// SPDX-License-Identifier: Apache-2.0

package release

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Checksums are the SHA-256 of files, 64 lower-case hex digits, by the files' names.
type Checksums map[string]string

// told is how many wrong lines an error tells. A page of a proxy has thousands.
const told = 3

// ParseChecksums reads the output of sha256sum: on each line 64 hex digits, a blank, a
// blank or a star, and a name. The error has the first lines that are wrong, and the
// number of the others.
func ParseChecksums(data []byte) (Checksums, error) {
	sums := Checksums{}
	var errs []error
	for i, line := range strings.Split(string(data), "\n") {
		if line = strings.TrimSuffix(line, "\r"); line == "" {
			continue
		}
		if err := sums.add(line); err != nil {
			errs = append(errs, fmt.Errorf("line %d: %w", i+1, err))
		}
	}
	if len(errs) == 0 && len(sums) == 0 {
		return nil, errors.New("it lists no file")
	}
	if more := len(errs) - told; more > 0 {
		lines := "lines"
		if more == 1 {
			lines = "line"
		}
		errs = append(errs[:told], fmt.Errorf("… and %d more %s", more, lines))
	}
	return sums, errors.Join(errs...)
}

func (c Checksums) add(line string) error {
	sum, rest, _ := strings.Cut(line, " ")
	raw, err := hex.DecodeString(sum)
	if err != nil || len(raw) != 32 || len(rest) < 2 || rest[0] != ' ' && rest[0] != '*' {
		return fmt.Errorf("%.80q is not a checksum of sha256sum: it has 64 hex digits, a blank, a blank or a star, and a name", line)
	}
	name, hexSum := rest[1:], hex.EncodeToString(raw)
	if old, ok := c[name]; ok && old != hexSum {
		return fmt.Errorf("%.80q has two checksums", name)
	}
	c[name] = hexSum
	return nil
}
