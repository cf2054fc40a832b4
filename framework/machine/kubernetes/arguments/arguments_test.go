// SPDX-License-Identifier: Apache-2.0

package arguments

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// k3sHelp has lines of `k3s server --help`, in the forms that urfave/cli 1 and 2 print.
const k3sHelp = `NAME:
   k3s server - Run management server

USAGE:
   k3s server [OPTIONS]

OPTIONS:
   --config FILE, -c FILE                     (config) Load configuration from FILE (default: "/etc/rancher/k3s/config.yaml") [$K3S_CONFIG_FILE]
   --debug                                    (logging) Turn on debug logs [$K3S_DEBUG]
   -v value                                   (logging) Number for the log level verbosity (default: 0)
   --vmodule FILE_PATTERN=LOG_LEVEL, ...      (logging) Comma-separated list of settings
   --tls-san value [ --tls-san value ]        (listener) Add additional hostnames
   --token value, -t value                    (cluster) Shared secret used to join a server
   --cluster-init                             (cluster) Initialize a new cluster using embedded Etcd
   --help, -h                                 show help
`

// k0sHelp has lines of `k0s controller --help`, in the form of cobra.
const k0sHelp = `Run controller

Usage:
  k0s controller [join-token] [flags]

Aliases:
  controller, server

Examples:
	Command to associate master nodes:
	$ k0s controller \
	  --token-file file

Flags:
  -c, --config string                                  config file, use '-' to read the config from stdin
      --enable-worker                                  enable worker (default false)
      --labels strings                                 Node labels
      --log-dir string[="/var/log"]                    Where logs are
  -h, --help                                           help for controller

Global Flags:
  -d, --debug   Debug logging

More:
  --example     is no argument
`

func list(t *testing.T, command, help string) List {
	t.Helper()
	l, err := FromHelp(command, []byte(help))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestFromHelp(t *testing.T) {
	for _, c := range []struct{ command, help, want string }{
		{"server", k3sHelp, `server --cluster-init switch
server --config,-c value
server --debug switch
server --tls-san value
server --token,-t value
server --vmodule value
server -v value
`},
		{"controller", k0sHelp, `controller --config,-c value
controller --debug,-d switch
controller --enable-worker switch
controller --labels value
controller --log-dir switch
`},
	} {
		if diff := cmp.Diff(header+c.want, string(list(t, c.command, c.help).Format())); diff != "" {
			t.Errorf("%s differs (-want +got):\n%s", c.command, diff)
		}
	}
	if _, err := FromHelp("server", []byte("panic: no\n  --x  y\n")); err == nil || err.Error() != `the help of the command "server" lists no arguments` {
		t.Errorf("no help: %v", err)
	}
}

func TestParse(t *testing.T) {
	want := list(t, "server", k3sHelp).Format()
	got, err := Parse(want)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got.Format())); diff != "" {
		t.Errorf("differs (-want +got):\n%s", diff)
	}
	for _, bad := range []string{"server --x", "server x value", "server --x maybe", "server --x,y switch"} {
		if _, err := Parse([]byte("# a comment\n" + bad + "\n")); err == nil || !strings.HasPrefix(err.Error(), "line 2: ") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestFind(t *testing.T) {
	l := append(list(t, "server", k3sHelp), Argument{"agent", []string{"lb-server-port"}, false})
	for name, want := range map[string]bool{"token": true, "t": true, "disable-agent": true, "tokn": false, "lb-server-port": false} {
		if _, ok := l.Find("server", name); ok != want {
			t.Errorf("%s: found %v", name, ok)
		}
	}
	for name, want := range map[string]string{
		"tokn": "did you mean --token?", "lb-server-port": `it is an argument of the command "agent"`, "quite-different": "",
	} {
		if got := l.Suggest("server", name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("server --token,-t value\n")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := Parse([]byte(text))
		if err != nil {
			return
		}
		first := l.Format()
		again, err := Parse(first)
		if err != nil || string(again.Format()) != string(first) {
			t.Errorf("%q became %q, then %v", text, first, err)
		}
	})
}

func FuzzFromHelp(f *testing.F) {
	f.Add(k3sHelp)
	f.Add(k0sHelp)
	f.Fuzz(func(t *testing.T, text string) {
		if l, err := FromHelp("server", []byte(text)); err == nil {
			if _, err := Parse(l.Format()); err != nil {
				t.Errorf("%q: %v", text, err)
			}
		}
	})
}
