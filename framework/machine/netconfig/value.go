// SPDX-License-Identifier: Apache-2.0

package netconfig

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/kairos-build/kairos-build/framework/internal/lazyregexp"
	"github.com/kairos-build/kairos-build/framework/strict"
)

var (
	// interfaceName: the kernel allows 15 bytes (IFNAMSIZ) without slash, colon
	// and blank. We also exclude the special characters of networkd's files.
	interfaceName = lazyregexp.New(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}$`)
	entryName     = lazyregexp.New(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$`)
	globName      = lazyregexp.New(`^[A-Za-z0-9_.*?\[\]-]{1,64}$`)
	domainName    = lazyregexp.New(`^~?\.?([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.?)*$`)
	plainWord     = lazyregexp.New(`^[A-Za-z0-9_.,:+/%@-]+$`)
)

func quote(s string) string { return strconv.Quote(strict.Printable(s)) }

// set stores the value that get reads.
func set[T any](into *T, get func(strict.Node) (T, bool)) func(strict.Node) {
	return func(n strict.Node) {
		if x, ok := get(n); ok {
			*into = x
		}
	}
}

// matching reads a text of the given shape.
func matching(shape *lazyregexp.Regexp, what string) func(strict.Node) (string, bool) {
	return func(n strict.Node) (string, bool) {
		s, ok := n.Text()
		if ok && !shape.MatchString(s) {
			n.Fail(quote(s)+" is not "+what, "")
			return "", false
		}
		return s, ok
	}
}

func mac(n strict.Node) (string, bool) {
	s, ok := n.Text()
	if !ok {
		return "", false
	}
	address, err := net.ParseMAC(s)
	if err != nil || len(address) != 6 {
		n.Fail(quote(s)+" is not a MAC address", `write it in quotes, such as "52:54:00:12:34:56"`)
		return "", false
	}
	return address.String(), true
}

func mtu(n strict.Node) (int, bool) { return between(n, 68, 65535) }

func between(n strict.Node, low, high int) (int, bool) {
	i, ok := n.Int()
	if ok && (i < low || i > high) {
		n.Fail(fmt.Sprintf("%d is out of range", i), fmt.Sprintf("use %d to %d", low, high))
		return 0, false
	}
	return i, ok
}

func number(n strict.Node) (int, bool) { return between(n, 0, 1<<31-1) }

func boolean(n strict.Node) (bool, bool) { return n.Bool() }

func address(n strict.Node) (netip.Addr, bool) {
	s, ok := n.Text()
	if !ok {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		n.Fail(quote(s)+" is not an IP address", "write it such as 192.0.2.1 or 2001:db8::1")
		return netip.Addr{}, false
	}
	return a, true
}

// prefix reads an address with the length of its network.
func prefix(n strict.Node) (netip.Prefix, bool) {
	s, ok := n.Text()
	if !ok {
		return netip.Prefix{}, false
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		n.Fail(quote(s)+" is not an address with the length of its network", "write it such as 192.0.2.10/24 or 2001:db8::10/64")
		return netip.Prefix{}, false
	}
	return p, true
}

// masked joins an address and a netmask, either a length or dotted.
func masked(a netip.Addr, mask string) (netip.Prefix, error) {
	if mask == "" {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	if bits, err := strconv.Atoi(strings.TrimPrefix(mask, "/")); err == nil {
		if p := netip.PrefixFrom(a, bits); p.IsValid() {
			return p, nil
		}
		return netip.Prefix{}, fmt.Errorf("%s is no length of a network", quote(mask))
	}
	m, err := netip.ParseAddr(mask)
	if err != nil || m.BitLen() != a.BitLen() {
		return netip.Prefix{}, fmt.Errorf("%s is no netmask", quote(mask))
	}
	ones, bits := net.IPMask(m.AsSlice()).Size()
	if bits == 0 {
		return netip.Prefix{}, fmt.Errorf("%s is no netmask", quote(mask))
	}
	return netip.PrefixFrom(a, ones), nil
}

// items reads a list with get. A single value counts as a list of one, as in
// version 1.
func items[T any](of string, get func(strict.Node) (T, bool)) func(strict.Node) ([]T, bool) {
	return func(n strict.Node) ([]T, bool) {
		list := []strict.Node{n}
		if n.IsList() || n.IsMap() {
			list = n.List(of)
		}
		var out []T
		for _, item := range list {
			if x, ok := get(item); ok {
				out = append(out, x)
			}
		}
		return out, true
	}
}

var (
	addresses = items("IP addresses", address)
	domains   = items("domains", matching(domainName, "a domain"))
)

// choice reads one of the words.
func choice(words ...string) func(strict.Node) (string, bool) {
	return func(n strict.Node) (string, bool) {
		s, ok := n.Word()
		if ok && !slices.Contains(words, s) {
			n.Fail("unknown value "+quote(s), "use "+strings.Join(words, ", "))
			return "", false
		}
		return s, ok
	}
}

// yesNo is how networkd writes a boolean.
func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// A parameter maps a key of the network-config to a key of networkd; without a key
// of networkd it is not implemented.
type parameter struct {
	name, key string
	value     func(strict.Node) (string, bool)
}

func word(n strict.Node) (string, bool) {
	s, ok := n.Word()
	if ok && !plainWord.MatchString(s) {
		n.Fail(quote(s)+" holds a character that does not fit here", "")
		return "", false
	}
	return s, ok
}

func flag(n strict.Node) (string, bool) {
	b, ok := n.Bool()
	return yesNo(b), ok
}

func count(n strict.Node) (string, bool) {
	i, ok := number(n)
	return strconv.Itoa(i), ok
}

// milliseconds reads a number of milliseconds, or a duration of systemd.
func milliseconds(n strict.Node) (string, bool) { return timed(n, "ms") }

func seconds(n strict.Node) (string, bool) { return timed(n, "s") }

func timed(n strict.Node, unit string) (string, bool) {
	s, ok := word(n)
	if _, err := strconv.Atoi(s); ok && err == nil {
		return s + unit, true
	}
	return s, ok
}

// words reads a list of words and joins them by blanks.
func words(n strict.Node) (string, bool) {
	list, ok := items("names", word)(n)
	return strings.Join(list, " "), ok
}

// fieldsOf turns parameters into fields of a mapping. The settings in into are in
// the order of the file.
func fieldsOf(list []parameter, into *[]Setting) []strict.Field {
	var out []strict.Field
	for _, p := range list {
		f := strict.Field{Name: p.name}
		if p.key != "" {
			f.Decode = func(n strict.Node) {
				if s, ok := p.value(n); ok {
					*into = append(*into, Setting{p.key, s})
				}
			}
		}
		out = append(out, f)
	}
	return out
}
