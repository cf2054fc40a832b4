// SPDX-License-Identifier: Apache-2.0

// Package host finds what k3s and k0s ask the machine: its name and its address.
package host

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
)

// ErrNoRoute is in the words of Kubernetes: tests look for them.
var ErrNoRoute = errors.New(`no default routes found in "/proc/net/route" or "/proc/net/ipv6_route"`)

// Name is the name of a node by default.
func Name() (string, error) {
	name, err := os.Hostname()
	return strings.ToLower(name), err
}

// Address is the IPv4 address of the interface with the default route.
func Address() (string, error) {
	table, err := os.ReadFile("/proc/net/route")
	if err != nil {
		return "", err
	}
	name := defaultInterface(table)
	if name == "" {
		return "", ErrNoRoute
	}
	return addressOf(name)
}

// defaultInterface finds the interface of the route to 0.0.0.0/0.
func defaultInterface(table []byte) string {
	lines := bufio.NewScanner(bytes.NewReader(table))
	for lines.Scan() {
		if f := strings.Fields(lines.Text()); len(f) > 7 && f[1] == "00000000" && f[7] == "00000000" {
			return f[0]
		}
	}
	return ""
}

func addressOf(name string) (string, error) {
	link, err := net.InterfaceByName(name)
	if err != nil {
		return "", err
	}
	addresses, err := link.Addrs()
	if err != nil {
		return "", err
	}
	for _, address := range addresses {
		if n, ok := address.(*net.IPNet); ok && n.IP.To4() != nil {
			return n.IP.String(), nil
		}
	}
	return "", fmt.Errorf("the interface %s with the default route has no IPv4 address", name)
}
