// SPDX-License-Identifier: Apache-2.0

// Package notify tells systemd what a service does, as sd_notify(3) describes it.
package notify

import (
	"errors"
	"net"
	"os"
)

// Send sends a state such as READY=1 to the socket of NOTIFY_SOCKET. Without such a
// socket it does nothing.
func Send(state string) error {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil
	}
	if name[0] == '@' { // an abstract socket
		name = "\x00" + name[1:]
	}
	connection, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return err
	}
	_, err = connection.Write([]byte(state))
	return errors.Join(err, connection.Close())
}
