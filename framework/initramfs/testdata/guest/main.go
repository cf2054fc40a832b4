// SPDX-License-Identifier: Apache-2.0

// Command guest is the system that the end-to-end tests of /init start. It reports
// on the console what it finds, and turns the machine off. Every line that it
// writes begins with "guest:".
package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	say("mounts", mounts())
	say("state", compact("/run/cos/boot.json"))
	say("machine-id", compact("/etc/machine-id"))
	say("marker", fmt.Sprint(exists("/run/cos/active_mode")))
	for _, dir := range []string{"/", "/usr"} {
		say("write "+dir, fmt.Sprint(os.WriteFile(dir+"/probe", nil, 0o644)))
	}
	for _, dir := range []string{"/etc", "/var", "/usr/local", "/oem", "/etc/ssh", "/var/lib/kubelet", "/root"} {
		say("kept "+dir, fmt.Sprint(exists(dir+"/probe")))
		if err := os.WriteFile(dir+"/probe", []byte("kept"), 0o644); err != nil {
			say("write "+dir, err.Error())
		}
	}
	say("copied", compact("/etc/ssh/sshd_config"))
	say("size", size("/usr/local"))
	if strings.Contains(compact("/proc/cmdline"), "guest.read") {
		say("read", readAll("/dev/mapper/kairos-root"))
	}
	unix.Sync()
	say("end", "")
	time.Sleep(200 * time.Millisecond) // the console is slow
	say("off", fmt.Sprint(unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)))
}

func say(what, text string) { fmt.Fprintf(os.Stdout, "guest: %s: %s\n", what, text) }

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// compact returns a file's contents in one line.
func compact(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(bytes.Join(bytes.Fields(data), []byte(" ")))
}

func mounts() string {
	var list []string
	data, err := os.ReadFile("/proc/mounts")
	if err != nil {
		return err.Error()
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		mode, _, _ := strings.Cut(fields[3], ",")
		list = append(list, fields[1]+"="+fields[2]+":"+mode)
	}
	return strings.Join(list, " ")
}

func size(dir string) string {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d MiB", int64(st.Blocks)*st.Bsize>>20)
}

func readAll(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	n, err := io.Copy(io.Discard, f)
	return fmt.Sprint(n, " ", err)
}
