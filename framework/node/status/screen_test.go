// SPDX-License-Identifier: Apache-2.0

package status

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/ci/golden"
	"github.com/kairos-build/kairos-build/framework/machine/datasource"
	"github.com/kairos-build/kairos-build/framework/node/health"
	"github.com/kairos-build/kairos-build/framework/node/history"
	"github.com/kairos-build/kairos-build/framework/slot"
	"github.com/kairos-build/kairos-build/framework/slot/thisboot"
)

// usual returns the status of a typical running node.
func usual(t *testing.T) Status {
	t.Helper()
	s := Collect(node(t))
	s.Root.Verity.State = Verified
	for i := range 30 {
		m := thisboot.Mount{Path: fmt.Sprintf("/var/lib/number-%d", i), Kind: thisboot.MountBind, Source: fmt.Sprintf("/usr/local/.state/var-lib-number-%d.bind", i)}
		s.Mounts = append(s.Mounts, Mount{Mount: m, Present: true})
	}
	s.Mounts[2].Size, s.Mounts[2].Free = 58<<20, 50<<20
	s.Mounts = append(s.Mounts, Mount{Mount: thisboot.Mount{Path: "/usr/local", Kind: thisboot.MountData}, Present: true, Size: 3 << 30, Free: 2 << 30})
	digest := "sha256:" + strings.Repeat("0123456789abcdef", 4)
	env := slot.State{Good: "a"}
	next := NextBoot(env)
	s.Next = &next
	s.Slots = []SlotInfo{
		{Slot: "a", Condition: slot.Good, Booted: true, Version: "v1.2.3", Digest: digest},
		{Slot: "b", Condition: slot.Old, Version: "v1.2.2", Digest: digest},
		{Slot: "recovery", Condition: slot.Good, Version: "v1.0.0", Digest: digest},
	}
	s.Interfaces = []Interface{{"eth0", []string{"192.0.2.15", "2001:db8::5054:ff:fe12:3456"}}, {"cni0", []string{"10.42.0.1"}}}
	s.Datasource = &datasource.Record{Source: "nocloud", Place: "/dev/sr0", InstanceID: "i-1", UserData: datasource.Stored}
	s.Health = &health.Result{OK: true, Seconds: 4.2, Checks: []health.Check{{Name: "boot-complete.target", Passed: true}, {Name: "api", Passed: true}}}
	s.History = nil
	for i := range 8 {
		s.History = append(s.History, history.Entry{Time: time.Date(2026, 1, 2, 3, i, 0, 0, time.UTC), Kind: history.Boot, Slot: "a", Version: "v1.2.3", Outcome: history.OK, Message: "ready 41.2 s after the kernel started, with a message that is longer than the screen"})
	}
	return s
}

// TestScreen: the status of a typical node fits on the smallest screen, together with
// the prompt that follows.
func TestScreen(t *testing.T) {
	var out bytes.Buffer
	if err := usual(t).WriteTable(&out, View{Width: 80}); err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/screen.txt", out.String())
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) > 23 {
		t.Errorf("%d lines and a prompt do not fit on 24", len(lines))
	}
	for _, line := range lines {
		if utf8.RuneCountInString(line) > 80 {
			t.Errorf("wider than the screen: %q", line)
		}
	}
}

// TestScreenOfTrouble: the summary comes last, however many problems there are.
func TestScreenOfTrouble(t *testing.T) {
	s := usual(t)
	s.Failure = "slot: b\n"
	s.LastFailure = &history.Entry{Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Kind: history.Fallback, Slot: "b", Version: "v1.2.4", Outcome: history.Failed, Message: "api: connection refused"}
	s.Interfaces = []Interface{}
	for range 12 {
		s.Problems = append(s.Problems, `/oem/90.yaml:1:21: users[0].shel: unknown key; did you mean "shell"? and some more words to break the line`)
	}
	var out bytes.Buffer
	if err := s.WriteTable(&out, View{Width: 80}); err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/trouble.txt", out.String())
}

func TestReachable(t *testing.T) {
	var all []net.Addr
	for _, text := range []string{"fe80::1/64", "2001:db8::1/64", "169.254.1.1/16", "10.0.2.15/24", "fd00::1/64", "127.0.0.1/8", "192.0.2.1/32"} {
		ip, network, err := net.ParseCIDR(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, &net.IPNet{IP: ip, Mask: network.Mask})
	}
	want := []string{"10.0.2.15", "192.0.2.1", "2001:db8::1", "fd00::1"}
	if diff := cmp.Diff(want, reachable(all)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
