// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
	"golang.org/x/term"

	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/install/disks"
	"github.com/kairos-build/kairos-build/framework/machine/crypt"
	"github.com/kairos-build/kairos-build/framework/machine/kubernetes"
)

func newInteractiveInstall(p *program) *cobra.Command {
	i := installFlags{registryFlags: newRegistryFlags()}
	plain := false
	cmd := &cobra.Command{
		Use:   "interactive-install",
		Short: "Ask what is needed, and install",
		Long: `Asks for the disk, the name of the node, a user, and its role in Kubernetes if the image
has k3s or k0s; says what will be erased, and installs. It fills a terminal with forms; with --plain, or on a terminal that cannot do
that (TERM=dumb), it asks line by line.`,
		Example: `  sudo kairos-agent interactive-install
  sudo kairos-agent interactive-install --plain   # over a serial line`,
		Args: commandline.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.interactiveInstall(cmd.Context(), i, p.questions(cmd.Context(), plain))
		},
	}
	i.declare(cmd.Flags())
	cmd.Flags().BoolVar(&plain, "plain", false, "ask line by line")
	return cmd
}

// errUnanswered says that the input ended before an answer.
var errUnanswered = errors.New("the input ended; nothing was written")

// questions are what an installation asks a person.
type questions interface {
	device(all []disks.Disk) (string, error)
	// config asks for a cloud-config. roles are what the node can be in Kubernetes.
	config(roles []membership) ([]byte, error)
	// agree shows lines about the installation, and asks whether it may begin.
	agree(lines []string) error
}

// questions asks with forms if the terminal can show them.
func (p *program) questions(ctx context.Context, plain bool) questions {
	d := p.dialog()
	if name := os.Getenv("TERM"); plain || d.tty == nil || name == "" || name == "dumb" {
		return d
	}
	return screen{ctx, d.tty, p.stderr}
}

// A dialog asks questions line by line.
type dialog struct {
	in  *bufio.Reader
	out io.Writer
	tty *os.File // to read passwords without showing them; nil: there is none
}

func (p *program) dialog() dialog {
	d := dialog{in: bufio.NewReader(p.stdin), out: p.stderr}
	if f, ok := p.stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		d.tty = f
	}
	return d
}

// ask asks until check accepts the answer. An empty answer is the default.
func (d dialog) ask(question, otherwise string, check func(string) error) (string, error) {
	for {
		fmt.Fprintf(d.out, "%s", question)
		if otherwise != "" {
			fmt.Fprintf(d.out, " [%s]", otherwise)
		}
		fmt.Fprint(d.out, ": ")
		line, err := d.in.ReadString('\n')
		if err != nil && line == "" {
			return "", errUnanswered
		}
		answer := strings.TrimSpace(line)
		if answer == "" {
			answer = otherwise
		}
		if err := check(answer); err != nil {
			fmt.Fprintf(d.out, "  %v\n", err)
			continue
		}
		return answer, nil
	}
}

// secret asks for a password twice.
func (d dialog) secret(question string) (string, error) {
	for {
		one, err := d.hidden(question)
		if err != nil || one == "" {
			return "", err
		}
		two, err := d.hidden("once more")
		if err != nil || one == two {
			return one, err
		}
		fmt.Fprintln(d.out, "  the two differ")
	}
}

func (d dialog) hidden(question string) (string, error) {
	fmt.Fprintf(d.out, "%s: ", question)
	if d.tty == nil {
		line, err := d.in.ReadString('\n')
		if err != nil && line == "" {
			return "", errUnanswered
		}
		return strings.TrimRight(line, "\r\n"), nil
	}
	text, err := term.ReadPassword(int(d.tty.Fd()))
	fmt.Fprintln(d.out)
	return string(text), err
}

func (p *program) interactiveInstall(ctx context.Context, i installFlags, d questions) error {
	if err := p.mayInstall(i); err != nil {
		return err
	}
	all, err := p.node.InstallDisks()
	if err != nil {
		return err
	}
	if i.device, err = d.device(all); err != nil {
		return err
	}
	image, err := kubernetes.ReadImage(os.DirFS(p.node.Root.Dir))
	if err != nil {
		return err
	}
	roles := memberships(image.Version.Distribution())
	if i.source != "" { // its Kubernetes is not known before it is fetched
		roles = nil
	}
	if i.text, err = d.config(roles); err != nil {
		return err
	}
	i.config, i.force = "what was answered", true
	node := nodeLine(i.text)
	result, prepared, err := p.watchInstall(ctx, i, func(lines []string) error { return d.agree(append(lines, node)) })
	if err != nil || i.dry {
		return err
	}
	if err := p.printInstall(result, i.json); err != nil {
		return err
	}
	if !i.reboot && !i.poweroff {
		fmt.Fprintln(p.stderr, "restart the machine (Ctrl-Alt-Del): it starts from this disk if its firmware prefers that to the medium")
	}
	return p.afterInstall(ctx, i, prepared)
}

// nodeLine says what node the answers make.
func nodeLine(text []byte) string {
	c, _ := config.Decode("answers", text) // they were checked
	facts := []string{c.Hostname}
	for _, u := range c.Users {
		facts = append(facts, u.Name+" may log in")
	}
	for key, k := range map[string]config.Kubernetes{config.K3s: c.K3s, config.K3sAgent: c.K3sAgent, config.K0s: c.K0s, config.K0sWorker: c.K0sWorker} {
		if k.Enabled != nil && *k.Enabled { // at most one of them
			facts = append(facts, key)
		}
	}
	return "node    " + strings.Join(facts, "; ")
}

// suitable returns the disks that can be chosen, and what speaks against the others.
func suitable(all []disks.Disk) (can []disks.Disk, cannot []string) {
	for _, disk := range all {
		if against := disk.Against(disks.Wish{Force: true}); len(against) > 0 {
			cannot = append(cannot, disk.String()+": "+strings.Join(against, "; "))
			continue
		}
		can = append(can, disk)
	}
	return can, cannot
}

// device lets a person choose a disk. What is on each stands beside it.
func (d dialog) device(all []disks.Disk) (string, error) {
	can, cannot := suitable(all)
	for _, text := range cannot {
		fmt.Fprintf(d.out, "  -  %s\n", text)
	}
	for i, disk := range can {
		fmt.Fprintf(d.out, "  %d  %s: %s\n", i+1, disk, disk.Contents)
	}
	if len(can) == 0 {
		return "", fmt.Errorf("%w; see the reasons above", disks.ErrNone)
	}
	n, err := d.number("number of the disk to install to", "", len(can))
	if err != nil {
		return "", err
	}
	return can[n-1].Path, nil
}

// number asks for a number from 1 to most.
func (d dialog) number(question, otherwise string, most int) (int, error) {
	answer, err := d.ask(question, otherwise, func(s string) error {
		if n, err := strconv.Atoi(s); err != nil || n < 1 || n > most {
			return fmt.Errorf("a number from 1 to %d", most)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(answer)
}

// answers are the config that the questions make.
type answers struct {
	Hostname string       `yaml:"hostname"`
	Users    []userAnswer `yaml:"users"`
	// Roles has the role in Kubernetes, by its key.
	Roles map[string]roleAnswer `yaml:",inline"`
}

type userAnswer struct {
	Name   string   `yaml:"name"`
	Groups []string `yaml:"groups"`
	Passwd string   `yaml:"passwd,omitempty"`
	Keys   []string `yaml:"ssh_authorized_keys,omitempty"`
}

// config asks for a node's name and user. Someone must be able to log in.
func (d dialog) config(roles []membership) ([]byte, error) {
	a := answers{Users: []userAnswer{{Groups: []string{"sudo"}}}}
	u := &a.Users[0]
	var err error
	if a.Hostname, err = d.ask("name of the node", "kairos", config.CheckHostname); err != nil {
		return nil, err
	}
	if u.Name, err = d.ask("user who may log in", "kairos", func(s string) error { return checkUser(s, "") }); err != nil {
		return nil, err
	}
	password, err := d.secret("password (empty: only SSH keys)")
	if err != nil {
		return nil, err
	}
	key, err := d.ask("SSH public key, or github:NAME (empty: none)", "", func(s string) error { return checkKey(u.Name, s, password) })
	if err != nil {
		return nil, err
	}
	if a.Roles, err = d.role(roles); err != nil {
		return nil, err
	}
	return a.with(password, key)
}

// role asks what the node is in Kubernetes.
func (d dialog) role(roles []membership) (map[string]roleAnswer, error) {
	if len(roles) == 0 {
		return nil, nil
	}
	for i, m := range roles {
		fmt.Fprintf(d.out, "  %d  %s\n", i+1, m.title)
	}
	n, err := d.number("role in Kubernetes", "1", len(roles))
	if err != nil {
		return nil, err
	}
	var server, token string
	m := roles[n-1]
	if m.address {
		if server, err = d.ask("address of a server, such as https://192.0.2.10:6443", "", checkServer); err != nil {
			return nil, err
		}
	}
	if m.joins {
		if token, err = d.ask("token of the cluster", "", m.check); err != nil {
			return nil, err
		}
	}
	return m.answer(server, token), nil
}

// with adds how the user logs in.
func (a answers) with(password, key string) (_ []byte, err error) {
	u := &a.Users[0]
	if password != "" {
		if u.Passwd, err = crypt.Hash(password, rand.Reader); err != nil {
			return nil, err
		}
	}
	if key != "" {
		u.Keys = []string{key}
	}
	return a.encode()
}

// checkUser says what is wrong with a user, and with a key of that user if it is not empty.
func checkUser(name, key string) error {
	u := userAnswer{Name: name}
	if key != "" {
		u.Keys = []string{key}
	}
	return accepted(answers{Hostname: "x", Users: []userAnswer{u}})
}

func checkKey(user, key, password string) error {
	if key == "" && password == "" {
		return errors.New("without a password and a key nobody can log in")
	}
	return checkUser(user, key)
}

// accepted says what the strict decoder has against a config.
func accepted(a answers) error {
	data, err := a.encode()
	if err != nil {
		return err
	}
	if _, problems := config.Decode("answer", data); problems.Failed() {
		return errors.New(problems[0].Message)
	}
	return nil
}

func (a answers) encode() ([]byte, error) {
	data, err := yaml.Marshal(a)
	return append([]byte("#cloud-config\n"), data...), err
}

// agree wants the word yes: everything on the disk is lost.
func (d dialog) agree(lines []string) error {
	fmt.Fprintln(d.out, strings.Join(lines, "\n"))
	answer, err := d.ask("everything on this disk is lost. Type yes to install", "no", func(string) error { return nil })
	if err == nil && answer != "yes" {
		err = errors.New("nothing was written")
	}
	return err
}
