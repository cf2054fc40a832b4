// SPDX-License-Identifier: Apache-2.0

package host

import "testing"

func TestDefaultInterface(t *testing.T) {
	table := []byte("Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n" +
		"docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\n" +
		"eth0\t00000000\t0202000A\t0003\t0\t0\t0\t00000000\n")
	if got := defaultInterface(table); got != "eth0" {
		t.Errorf("got %q, want eth0", got)
	}
	if got := defaultInterface(table[:60]); got != "" {
		t.Errorf("got %q without a default route", got)
	}
}
