// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"net"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/kairos-build/kairos-build/framework/internal/lazyregexp"
	"github.com/kairos-build/kairos-build/framework/strict"
)

// Defaults for values that the config does not give.
const (
	DefaultHealthTimeout = 10 * time.Minute
	// KubernetesTimeout is the default with the check of Kubernetes: the first start of
	// another version unpacks programs and may fetch images.
	KubernetesTimeout   = 15 * time.Minute
	DefaultCheckTimeout = 30 * time.Second
	DefaultTries        = 3
)

// Health says when a slot on trial is good: every check must pass once before
// Timeout is over.
type Health struct {
	Timeout    time.Duration // of all checks together; 0: not given
	Kubernetes Text          // ready: the node is Ready in its cluster, in this boot; empty: not checked
	Checks     []Check       // in the order of the files
}

// Limit is the time that all checks together have.
func (h Health) Limit() time.Duration {
	if h.Kubernetes.Text != "" {
		return orDefault(h.Timeout, KubernetesTimeout)
	}
	return orDefault(h.Timeout, DefaultHealthTimeout)
}

// All is the list of checks, with that of Kubernetes at the end.
func (h Health) All() []Check {
	all := slices.Clone(h.Checks)
	if h.Kubernetes.Text != "" {
		all = append(all, Check{Kubernetes: h.Kubernetes.Text, Origin: h.Kubernetes.Origin})
	}
	return all
}

// A Check is a condition that a healthy node must meet. Exactly one of Unit, HTTP, TCP,
// Command and Kubernetes is set.
type Check struct {
	Name    string // for people; empty: see Title
	Origin  Position
	Unit    string        // a systemd unit that must be active
	HTTP    string        // a URL that must answer 2xx
	TCP     string        // HOST:PORT that must accept a connection
	Command []string      // a program with arguments that must exit with 0; no shell
	Timeout time.Duration // of one attempt; 0: not given
	// Kubernetes is Health.Kubernetes: no item of a list, but a key of its own.
	Kubernetes string
}

// Kind is the key of what is checked: unit, http, tcp, command or kubernetes.
func (c Check) Kind() string {
	switch {
	case c.Kubernetes != "":
		return "kubernetes"
	case c.Unit != "":
		return "unit"
	case c.HTTP != "":
		return "http"
	case c.TCP != "":
		return "tcp"
	}
	return "command"
}

// Title is the name of the check, or what it looks at.
func (c Check) Title() string {
	if c.Name != "" {
		return c.Name
	}
	return c.Kind() + " " + c.Unit + c.HTTP + c.TCP + c.Kubernetes + strings.Join(c.Command, " ")
}

// Limit is the time that one attempt has.
func (c Check) Limit() time.Duration { return orDefault(c.Timeout, DefaultCheckTimeout) }

// Upgrade has the settings of an upgrade.
type Upgrade struct {
	Tries int // boots that a new slot has to prove itself, 1 to 3; 0: not given
	// Channel is what the node follows by itself; empty: it does not. Window says when.
	Channel string
	Window  Window
	// Repository is REGISTRY/NAME of the channel; empty: where the image of the node came from.
	Repository string
}

// Boots is the number of boots that a new slot has to prove itself.
func (u Upgrade) Boots() int { return orDefault(u.Tries, DefaultTries) }

func orDefault[T comparable](given, otherwise T) T {
	var unset T
	if given == unset {
		return otherwise
	}
	return given
}

var healthFields = []field[Health]{
	{name: "timeout", about: "The time that all checks together have. The default is 10m, with the key kubernetes 15m.", shape: durationShape, decode: func(v value, h *Health) { set(v, &h.Timeout, durationUpTo(24*time.Hour)) }},
	{name: "kubernetes", about: "ready: the node is Ready in its cluster, in this boot, with the version of the image.", shape: kubernetesHealth.shape, decode: func(v value, h *Health) {
		if s, ok := kubernetesHealth.get(v); ok {
			h.Kubernetes = v.textOf(s)
		}
	}},
	{name: "checks", about: "What must be so on a healthy node.", shape: listOf(mapping(checkFields)).joined(appended), decode: decodeChecks},
}

var kubernetesHealth = oneOf("ready")

var checkFields = []field[Check]{
	keep("name", "What the check is called in reports.", aGiven, func(c *Check) *string { return &c.Name }),
	{name: "unit", about: "A systemd unit that must be active.", shape: matching(unitName.String()), decode: func(v value, c *Check) { set(v, &c.Unit, value.unit) }},
	keep("http", "A URL that must answer with a status from 200 to 299.", aURL, func(c *Check) *string { return &c.HTTP }),
	{name: "tcp", about: "HOST:PORT that must take a connection.", shape: matching(`:[0-9]+$`), decode: func(v value, c *Check) { set(v, &c.TCP, value.hostPort) }},
	{name: "command", about: "A program with arguments that must exit with 0. No shell reads it.", shape: either(listOf(textShape), matching(`^\s*/`)), decode: func(v value, c *Check) { set(v, &c.Command, value.command) }},
	{name: "timeout", about: "The time that one attempt has. The default is 30s.", shape: durationShape, decode: func(v value, c *Check) { set(v, &c.Timeout, durationUpTo(time.Hour)) }},
}

// checkKinds are keys of a check, which has exactly one of them.
var checkKinds = []string{"unit", "http", "tcp", "command"}

var upgradeFields = []field[Upgrade]{
	{name: "tries", about: "The boots that a new slot has to prove itself. The default is 3.", shape: between(1, 3), decode: decodeTries},
	{name: "channel", about: "The channel that the node follows by itself, such as stable. By default it follows none.", shape: matching(`^[a-z][a-z0-9]{0,30}$`), decode: func(v value, u *Upgrade) { set(v, &u.Channel, value.channel) }},
	{name: "window", about: "When the node may upgrade itself, in its time zone: 02:00-05:00, or Sat,Sun 22:00-04:00. By default at any time.", shape: matching(windowForm.String()), decode: func(v value, u *Upgrade) { set(v, &u.Window, value.window) }},
	{name: "repository", about: "REGISTRY/NAME with the channel. The default is where the image of the node came from.", shape: matching(repositoryForm.String()), decode: func(v value, u *Upgrade) { set(v, &u.Repository, value.repository) }},
	idle[Upgrade]("reboot", "Whether the node restarts after an upgrade.", aBool),
	idle[Upgrade]("poweroff", "Whether the node is switched off after an upgrade.", aBool),
	idle[Upgrade]("recovery", "Whether the recovery system is upgraded.", aBool),
	idle[Upgrade]("force", "Whether an upgrade goes on where it would stop.", aBool),
	idle[Upgrade]("system", "The image of the next system.", anImage),
	idle[Upgrade]("recovery-system", "The image of the recovery system.", anImage),
	idle[Upgrade]("partitions", "Sizes of partitions.", object(partitionsFields)),
	idle[Upgrade]("grub-entry-name", "The name in the boot menu.", aGiven),
}

func decodeHealth(v value, c *Config) {
	v.d.remember("health.", decodeMap(v, healthFields, &c.Health))
}

func decodeUpgrade(v value, c *Config) {
	v.d.remember("upgrade.", decodeMap(v, upgradeFields, &c.Upgrade))
}

func decodeChecks(v value, h *Health) {
	for _, item := range v.list("checks") {
		c := Check{Origin: item.Position()}
		pairs := decodeMap(item, checkFields, &c)
		if item.oneKind(pairs) {
			h.Checks = append(h.Checks, c)
		}
	}
}

// oneKind reports a check that does not have exactly one of checkKinds.
func (v value) oneKind(pairs []pair) bool {
	if v.Node.Kind != yaml.MappingNode {
		return false
	}
	var kinds []string
	for _, p := range pairs {
		if slices.Contains(checkKinds, p.name) && !p.value.IsEmpty() {
			kinds = append(kinds, p.name)
		}
	}
	switch len(kinds) {
	case 1:
		return true
	case 0:
		v.Fail("the check checks nothing", "add one of unit, http, tcp and command")
	default:
		v.Fail("more than one thing to check: "+strings.Join(kinds, ", "), "make every one an item of the list")
	}
	return false
}

func decodeTries(v value, u *Upgrade) {
	n, ok := v.Integer()
	switch {
	case !ok:
	case n < 1 || n > 3:
		v.Fail(fmt.Sprintf("%d boots", n), "a new slot can have 1 to 3 boots to prove itself")
	default:
		u.Tries = n
	}
}

// durationUpTo reads a duration for time.ParseDuration, from one second to most.
func durationUpTo(most time.Duration) func(value) (time.Duration, bool) {
	return func(v value) (time.Duration, bool) {
		if v.Node.Kind == yaml.ScalarNode && v.Node.ShortTag() == "!!int" {
			v.Fail("a number without a unit", `write "90s" or "10m"`)
			return 0, false
		}
		s, ok := v.NonEmpty()
		if !ok {
			return 0, false
		}
		d, err := time.ParseDuration(s)
		switch {
		case err != nil:
			v.Fail(fmt.Sprintf("%q is not a duration", strict.Printable(s)), `write a number and a unit, such as "90s" or "10m"`)
		case d < time.Second || d > most:
			v.Fail(fmt.Sprintf("%q is out of range", strict.Printable(s)), fmt.Sprintf("use 1s to %.0fh", most.Hours()))
		default:
			return d, true
		}
		return 0, false
	}
}

// unitName is a name as in systemd.unit(5), with its type.
var unitName = lazyregexp.New(`^[A-Za-z0-9:_.\\@][A-Za-z0-9:_.\\@-]{0,239}\.(service|socket|target|mount|automount|timer|path|device|swap|slice|scope)$`)

func (v value) unit() (string, bool) {
	s, ok := v.NonEmpty()
	if !ok {
		return "", false
	}
	if !unitName.MatchString(s) {
		suggestion := "write its name with its type, such as ssh.service"
		if unitName.MatchString(s + ".service") {
			suggestion = fmt.Sprintf("did you mean %q?", s+".service")
		}
		v.Fail(fmt.Sprintf("%q is not the name of a systemd unit", strict.Printable(s)), suggestion)
		return "", false
	}
	return s, true
}

func (v value) httpURL() (string, bool) {
	s, ok := v.NonEmpty()
	if !ok {
		return "", false
	}
	if strings.Contains(s, "@") {
		v.d.Secret(v.Node)
		v.Fail("a URL with a user name or password", "use a command that reads the password from a file")
		return "", false
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		v.Fail(fmt.Sprintf("%q is not a URL that can be asked", strict.Printable(s)), "write it such as http://127.0.0.1:10248/healthz")
		return "", false
	}
	return s, true
}

func (v value) hostPort() (string, bool) {
	s, ok := v.NonEmpty()
	if !ok {
		return "", false
	}
	host, port, err := net.SplitHostPort(s)
	if n, portErr := strconv.ParseUint(port, 10, 16); err != nil || portErr != nil || n == 0 || host == "" {
		v.Fail(fmt.Sprintf("%q is not HOST:PORT", strict.Printable(s)), "write it such as 127.0.0.1:6443")
		return "", false
	}
	return s, true
}

// command is a program and its arguments: a list, or a text that is split at
// blanks. No shell reads it, so the syntax of a shell is a mistake.
func (v value) command() ([]string, bool) {
	var words []string
	if v.Node.Kind == yaml.SequenceNode {
		for _, item := range v.list("words") {
			word, ok := item.Text()
			if !ok {
				return nil, false
			}
			words = append(words, word)
		}
	} else {
		s, ok := v.NonEmpty()
		if !ok {
			return nil, false
		}
		if i := strings.IndexAny(s, "\"'`\\|&;<>$\n"); i >= 0 {
			v.Fail(fmt.Sprintf("%q has a meaning only for a shell, and none reads the command", s[i:i+1]), "put it into a script, or write the words as a list")
			return nil, false
		}
		words = strings.Fields(s)
	}
	return words, v.program(words)
}

// program checks the first word of a command.
func (v value) program(words []string) bool {
	if len(words) == 0 {
		v.Fail("is empty", "name a program, such as /usr/local/bin/site-check")
		return false
	}
	if !path.IsAbs(words[0]) || strings.ContainsRune(strings.Join(words, ""), 0) {
		v.Fail(fmt.Sprintf("%q is not the absolute path of a program", strict.Printable(words[0])), "begin with /")
		return false
	}
	return true
}
