// SPDX-License-Identifier: Apache-2.0

package commandline

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// maxSecret is the largest secret, in bytes, that is read.
const maxSecret = 1 << 20

// ReadSecret reads a secret from the file arg or, if arg is "-", from stdin. If there is
// no such file, the error does not show arg: it may be the secret itself.
func ReadSecret(stdin io.Reader, arg string) (string, error) {
	if arg == "-" {
		return readSecret(stdin, "standard input")
	}
	f, err := os.Open(arg)
	if err != nil {
		if reason, ok := errors.AsType[*os.PathError](err); ok {
			err = reason.Err
		}
		return "", UsageError{fmt.Errorf("reading the file in the argument: %w; give the name of a file, or - for standard input: all users of the machine can see a secret in an argument", err)}
	}
	defer f.Close()
	return readSecret(f, arg)
}

func readSecret(r io.Reader, name string) (string, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxSecret+1))
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", name, err)
	}
	if len(data) > maxSecret {
		return "", UsageError{fmt.Errorf("%s has more than %d bytes: is it the right file?", name, maxSecret)}
	}
	return string(data), nil
}
