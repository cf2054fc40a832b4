// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDecodeHealth(t *testing.T) {
	const in = `health:
  timeout: 90s
  checks:
    - unit: getty@tty1.service
    - {http: "https://localhost:6443/healthz", timeout: 5s, name: the API}
    - tcp: "[::1]:22"
    - command: /bin/test  -e /run
    - command: [/bin/test, -e, "/run/a b"]
upgrade: {tries: 2}
strict: true
`
	c, problems := Decode("a.yaml", []byte(in))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	at := func(line, column int) Position { return Position{File: "a.yaml", Line: line, Column: column} }
	want := Health{Timeout: 90 * time.Second, Checks: []Check{
		{Origin: at(4, 7), Unit: "getty@tty1.service"},
		{Origin: at(5, 7), Name: "the API", HTTP: "https://localhost:6443/healthz", Timeout: 5 * time.Second},
		{Origin: at(6, 7), TCP: "[::1]:22"},
		{Origin: at(7, 7), Command: []string{"/bin/test", "-e", "/run"}},
		{Origin: at(8, 7), Command: []string{"/bin/test", "-e", "/run/a b"}},
	}}
	if diff := cmp.Diff(want, c.Health); diff != "" {
		t.Errorf("health (-want +got):\n%s", diff)
	}
	if c.Upgrade.Boots() != 2 || c.Strict == nil || !*c.Strict {
		t.Errorf("upgrade %+v, strict %v", c.Upgrade, c.Strict)
	}
	for key, want := range map[string]Position{"health.timeout": at(2, 3), "health.checks": at(3, 3), "upgrade.tries": at(9, 11), "strict": at(10, 1)} {
		if got := c.Origins[key]; got != want {
			t.Errorf("origin of %s: %v, want %v", key, got, want)
		}
	}
	var titles []string
	for _, check := range c.Health.Checks {
		titles = append(titles, check.Title())
	}
	if diff := cmp.Diff([]string{"unit getty@tty1.service", "the API", "tcp [::1]:22", "command /bin/test -e /run", "command /bin/test -e /run/a b"}, titles); diff != "" {
		t.Errorf("titles (-want +got):\n%s", diff)
	}
}

// TestPage: the example in docs/health.md decodes without a problem.
func TestPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/health.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```yaml\n")
	example, _, ok := strings.Cut(rest, "```")
	c, problems := Decode("docs/health.md", []byte(example))
	if !ok || len(problems) > 0 || len(c.Health.Checks) != 5 || c.Upgrade.Tries != 3 {
		t.Errorf("%v, %+v", problems, c.Health)
	}
}

func TestHealthDefaults(t *testing.T) {
	var c Config
	if c.Health.Limit() != 10*time.Minute || (Check{}).Limit() != 30*time.Second || c.Upgrade.Boots() != 3 {
		t.Errorf("defaults: %v, %v, %d", c.Health.Limit(), Check{}.Limit(), c.Upgrade.Boots())
	}
}

func TestMergeHealth(t *testing.T) {
	a, _ := Decode("a", []byte("health: {timeout: 1m, checks: [{tcp: 'a:1'}]}\nupgrade: {tries: 1}\nstrict: true\n"))
	b, _ := Decode("b", []byte("health: {timeout: 2m, checks: [{tcp: 'b:2'}]}\nupgrade: {tries: 2}\nstrict: false\n"))
	got := Merge(a, b, &Config{})
	if got.Health.Timeout != 2*time.Minute || len(got.Health.Checks) != 2 || got.Health.Checks[1].TCP != "b:2" || got.Upgrade.Tries != 2 || *got.Strict {
		t.Errorf("got %+v", got)
	}
}

// TestKubernetesHealth: the check of Kubernetes comes last, and gives all checks more time.
func TestKubernetesHealth(t *testing.T) {
	c, problems := Decode("a.yaml", []byte("health: {checks: [{tcp: 'a:1'}], kubernetes: ready}\n"))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	later, _ := Decode("b.yaml", []byte("health: {timeout: 3m}\n"))
	h := Merge(c).Health
	all := h.All()
	if len(all) != 2 || all[1].Kind() != "kubernetes" || all[1].Title() != "kubernetes ready" || all[1].Origin != (Position{File: "a.yaml", Line: 1, Column: 46}) || h.Limit() != 15*time.Minute {
		t.Errorf("got %+v, limit %v", all, h.Limit())
	}
	if h := Merge(c, later).Health; len(h.All()) != 2 || h.Limit() != 3*time.Minute {
		t.Errorf("with a later file: %+v", h)
	}
	if _, problems := Decode("a.yaml", []byte("health: {kubernetes: yes}\n")); !strings.Contains(problems.Error(), `is none of ready`) {
		t.Errorf("got %v", problems)
	}
}
