#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Creates three ports, runs systemd-networkd on them with the files of a directory,
# and prints the state of the ports. Needs its own namespaces (unshare -n -m).
# With a read-only /sys, networkd does not wait for udev.
set -eu
files=$1

mount -t tmpfs tmpfs /run
mount -t sysfs -o ro sysfs /sys
mkdir -p /run/systemd/network
cp "$files"/* /run/systemd/network/
chmod -R a+rX /run/systemd
for n in 0 1 2; do
	ip link add "eth$n" type veth peer name "peer$n"
	ip link set "peer$n" up
done

/usr/lib/systemd/systemd-networkd >/run/log 2>&1 &
networkd=$!
tries=0
while [ "$tries" -lt 50 ] && ! ip -br addr show dev br0 2>/dev/null | grep -q 10.0.0.1; do
	sleep 0.2
	tries=$((tries + 1))
done
sleep 1
kill "$networkd"
wait "$networkd" || true
grep -iE 'unknown (key|section|lvalue)|invalid|failed to parse|ignoring assignment' /run/log | sed 's/^/complaint: /' || true
ip -o -4 addr show
ip route show
ip -o link show dev eth0
ip -o link show dev eth1
