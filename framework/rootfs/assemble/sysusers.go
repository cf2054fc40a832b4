// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// addUsers makes the users of a file in the format of sysusers.d(5), as the
// distribution's packages make theirs. The numbers in the file are not suggestions: if
// another user of the image has one, systemd-sysusers picks another number, and
// addUsers returns an error.
func addUsers(root, file string) error {
	data, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		return fmt.Errorf("reading users: %w", err)
	}
	if err := run("systemd-sysusers", "--root="+root, filepath.Base(file)); err != nil {
		return err
	}
	passwd, err := os.ReadFile(filepath.Join(root, "etc/passwd"))
	if err != nil {
		return err
	}
	return checkUsers(data, passwd)
}

// checkUsers compares the numbers of the users in a file with those in passwd(5).
func checkUsers(file, passwd []byte) error {
	var errs []error
	for line := range strings.Lines(string(file)) {
		fields := strings.Fields(line)
		if len(fields) < 3 || fields[0] != "u" {
			continue
		}
		if name, id := fields[1], fields[2]; userID(passwd, name) != id {
			errs = append(errs, fmt.Errorf("user %s has the number %q, and needs %s: files on a node belong to numbers; take the user or package away that has %s", name, userID(passwd, name), id, id))
		}
	}
	return errors.Join(errs...)
}

// userID is the number of a user, or empty.
func userID(passwd []byte, name string) string {
	for line := range strings.Lines(string(passwd)) {
		if fields := strings.Split(line, ":"); len(fields) > 3 && fields[0] == name {
			return fields[2]
		}
	}
	return ""
}
