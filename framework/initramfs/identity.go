// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/durable"
	"github.com/kairos-build/kairos-build/framework/slot/thisboot"
)

// machineIDFile holds the machine-id across boots. It is a file of its own and not
// a persistent path, since systemd needs the id before it mounts anything.
const machineIDFile = layout.StateDir + "/machine-id"

// identify gives the machine the id of its first boot, see machine-id(5).
func (b *boot) identify() error {
	id, err := readMachineID(sysroot + machineIDFile)
	if errors.Is(err, fs.ErrNotExist) {
		b.state.FirstBoot = b.persistent()
		id = newMachineID()
		err = durable.Write(sysroot+machineIDFile, []byte(id+"\n"), 0o444)
	}
	if err != nil {
		b.warn("this boot has a machine-id of its own: %v", err)
		if id == "" {
			id = newMachineID()
		}
	}
	b.state.MachineID = id
	if err := replaceFile(sysroot+"/etc/machine-id", id+"\n"); err != nil {
		b.warn("the system has no machine-id: %v", err)
	}
	return nil
}

// persistent says whether the persistent partition is mounted, not its stand-in.
func (b *boot) persistent() bool {
	m, ok := b.state.Mount(layout.MountPersistent)
	return ok && m.Kind == thisboot.MountData
}

// readMachineID reads a stored id. A damaged id is an error: the old one is lost.
func readMachineID(file string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	id := strings.TrimSpace(string(data))
	if raw, err := hex.DecodeString(id); err != nil || len(raw) != 16 || id != strings.ToLower(id) {
		return "", fmt.Errorf("%s holds %q: want 32 lower-case hex digits; delete the file to get a new id", strings.TrimPrefix(file, sysroot), id)
	}
	return id, nil
}

// newMachineID makes a random id that is also a version 4 UUID, as systemd
// does.
func newMachineID() string {
	var id [16]byte
	rand.Read(id[:])
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return hex.EncodeToString(id[:])
}

// replaceFile writes a file of the ephemeral /etc. It removes the image's file
// first, which may be a symbolic link.
func replaceFile(file, text string) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.WriteFile(file, []byte(text), 0o444)
}
