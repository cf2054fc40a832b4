// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"
	"net"
	"strings"
)

// An Interface is a network interface and the addresses at which the node is reached.
type Interface struct {
	Name string `json:"name"`
	// Addresses are global or private addresses, IPv4 first, without prefix length.
	Addresses []string `json:"addresses"`
}

// interfaces returns the interfaces that are up and have an address that other machines
// can reach: not the loopback, and none with only link-local addresses, such as those
// of containers.
func interfaces() ([]Interface, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("reading the network addresses: %w", err)
	}
	out := []Interface{}
	for _, i := range all {
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagLoopback != 0 {
			continue
		}
		addresses, err := i.Addrs()
		if err != nil {
			continue // it went away
		}
		if reached := reachable(addresses); len(reached) > 0 {
			out = append(out, Interface{Name: i.Name, Addresses: reached})
		}
	}
	return out, nil
}

// reachable leaves out addresses that are valid on one link only.
func reachable(addresses []net.Addr) []string {
	var four, six []string
	for _, a := range addresses {
		n, ok := a.(*net.IPNet)
		switch {
		case !ok || !n.IP.IsGlobalUnicast():
		case n.IP.To4() != nil:
			four = append(four, n.IP.String())
		default:
			six = append(six, n.IP.String())
		}
	}
	return append(four, six...)
}

// shownInterfaces limits the interfaces shown without --all: a Kubernetes node has many.
const shownInterfaces = 3

func (s Status) addresses(row func(...string), all bool) {
	list, label := s.Interfaces, "address"
	if list != nil && len(list) == 0 {
		row(label, "none: no network interface has one")
	}
	for n, i := range list {
		if n == shownInterfaces && !all {
			row("", fmt.Sprintf("and %d more, with --all", len(list)-n))
			return
		}
		row(label, i.Name+"  "+strings.Join(i.Addresses, "  "))
		label = ""
	}
}
