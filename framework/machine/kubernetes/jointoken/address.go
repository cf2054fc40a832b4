// SPDX-License-Identifier: Apache-2.0

package jointoken

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/kairos-build/kairos-build/framework/internal/lazyregexp"
)

// address returns the address that takes the place of the token's own.
func (t Token) address(server string) (string, error) {
	u, err := parseServer(server)
	if err != nil {
		return "", err
	}
	port := cmp.Or(u.Port(), t.port())
	return "https://" + net.JoinHostPort(u.Hostname(), port), nil
}

// port is the port at which the token's node joins.
func (t Token) port() string {
	u, err := url.Parse(t.Server)
	if err != nil {
		return t.Role.port()
	}
	return cmp.Or(u.Port(), t.Role.port())
}

// parseServer reads https://HOST or https://HOST:PORT.
func parseServer(text string) (*url.URL, error) {
	wrong := func(why string) (*url.URL, error) {
		return nil, fmt.Errorf("%w: %.200q: %s", ErrServer, text, why)
	}
	if !strings.Contains(text, "://") {
		if u, err := parseServer("https://" + text); err == nil {
			return wrong("it has no scheme; did you mean https://" + u.Host + "?")
		}
		return wrong("want https://HOST or https://HOST:PORT")
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return wrong("want https://HOST or https://HOST:PORT; an IPv6 address stands in brackets, as in https://[fd00::1]")
	case u.Scheme != "https":
		return wrong("nodes join over https only")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
		return wrong("want nothing but https://HOST or https://HOST:PORT: no user, path or query")
	case !isHost(u.Hostname()):
		return wrong("its host is neither a name nor an IP address")
	case u.Port() != "" && !isPort(u.Port()):
		return wrong("its port is not between 1 and 65535")
	}
	return u, nil
}

var hostName = lazyregexp.New(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$`)

func isHost(s string) bool {
	ip, err := netip.ParseAddr(s)
	return err == nil && ip.Zone() == "" || err != nil && len(s) <= 253 && hostName.MatchString(s)
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

// Doubts are sentences about an address that is possible, but seldom right.
func (t Token) Doubts() []string {
	doubts := []string{}
	u, err := parseServer(t.Server)
	if err != nil {
		return append(doubts, err.Error())
	}
	ip, _ := netip.ParseAddr(u.Hostname())
	if ip.IsLoopback() || u.Hostname() == "localhost" {
		doubts = append(doubts, "the address "+t.Server+" is that of the machine itself: no other node reaches the cluster there")
	}
	for _, role := range Roles() {
		if role != t.Role && u.Port() == role.port() {
			doubts = append(doubts, fmt.Sprintf("the address %s has port %s, where a %s joins; a %s joins at port %s, unless a load balancer maps it", t.Server, u.Port(), role, t.Role, t.Role.port()))
		}
	}
	return doubts
}
