// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"fmt"
	"strconv"
	"strings"
)

// parseForwards reads the answer to the monitor's "info usernet". It returns the port of
// the host for each port of the guest. The rows are
//
//	Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ
//	TCP[HOST_FORWARD]  11       127.0.0.1 43721       10.0.2.15    22     0     0
func parseForwards(text string) (map[int]int, error) {
	ports := map[int]int{}
	for row := range strings.Lines(text) {
		f := strings.Fields(row)
		if len(f) < 6 || f[0] != "TCP[HOST_FORWARD]" {
			continue
		}
		host, err := strconv.Atoi(f[3])
		if err != nil {
			return nil, fmt.Errorf("reading QEMU's forwarded ports: %w", err)
		}
		guest, err := strconv.Atoi(f[5])
		if err != nil {
			return nil, fmt.Errorf("reading QEMU's forwarded ports: %w", err)
		}
		ports[guest] = host
	}
	return ports, nil
}
