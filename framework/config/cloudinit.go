// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"
)

// Most keys of cloud-init become steps of a stage, so that they share the report,
// the dry run and the order of all steps.

// BootcmdStage holds the commands of bootcmd. It runs before the other keys of
// the config are applied.
const BootcmdStage = "bootcmd"

// cloudInit collects what the keys of cloud-init ask for, while a file is decoded.
type cloudInit struct {
	users       []User    // to be joined with those of the file
	main        string    // the name that user gives
	mainAt      *Position // where it does
	listsUsers  bool      // the file has users
	asksDefault *Position // where users asks for the default user
	defaultName string    // of the default user, when the file has one
	keys        []string  // at the top of the file
	password    *mainPassword
	steps       []stageStep
	resolv      *resolvConf
	defaults    mountDefaults
	mounts      []mount
}

type stageStep struct {
	stage string
	step  Step
}

// step adds a step at the place of v.
func (v value) step(stage string, s Step) {
	s.Origin, s.Path = v.Position(), v.Path
	v.d.cloud.steps = append(v.d.cloud.steps, stageStep{stage, s})
}

// addCloudInit adds to c what is known only when all keys are read.
func (d *decoder) addCloudInit(c *Config) {
	d.addPeople(c)
	d.addResolvConf()
	d.addMounts()
	for _, s := range d.cloud.steps {
		c.addStages(map[string][]Step{s.stage: {s.step}})
	}
}

// etcFile is a file of a step whose content is no template.
func etcFile(v value, path, content string, mode uint32) StepFile {
	return StepFile{
		WriteFile: WriteFile{Path: path, Origin: v.Position(), Content: []byte(content), Mode: mode, Owner: "root", Group: "root"},
		PathText:  Text{Text: path, Origin: v.Position(), Path: v.Path},
	}
}

// shellWord is text as one word of /bin/sh.
func shellWord(text string) string {
	if text != "" && strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=:,./@%") == "" {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// commandList is a list of commands: texts for /bin/sh, or lists of words.
func (v value) commandList() []Text {
	var out []Text
	for _, item := range v.list("commands") {
		if len(item.Node.Content) == 0 {
			if t, ok := item.given(); ok {
				out = append(out, t)
			}
			continue
		}
		if t, ok := item.commandWords(); ok {
			out = append(out, t)
		}
	}
	return out
}

// commandWords is a command as a list of its words.
func (v value) commandWords() (Text, bool) {
	var words []string
	for _, word := range v.places("words") {
		t, ok := word.scalar()
		if !ok {
			return Text{}, false
		}
		words = append(words, shellWord(t.Text))
	}
	return v.textOf(strings.Join(words, " ")), len(words) > 0
}

var commandsShape = listOf(either(givenShape, listOf(scalarShape))).joined(appended)

// commandFields are about commands.
var commandFields = []field[Config]{
	{name: "bootcmd", about: "Commands that run at every boot before the other keys are applied: texts for /bin/sh, or lists of words.", shape: commandsShape, decode: func(v value, _ *Config) {
		v.step(BootcmdStage, Step{Commands: v.commandList()})
	}},
	{name: "runcmd", about: "Commands that run in the stage boot, at every boot: the root is new each time. Texts for /bin/sh, or lists of words.", shape: commandsShape, decode: func(v value, _ *Config) {
		v.step("boot", Step{Commands: v.commandList()})
	}},
	{name: "final_message", about: "A text for the console, after the stage boot.", shape: givenShape, decode: decodeFinalMessage},
	{name: "env", about: "Variables for the commands of stages, and the proxy (https_proxy, http_proxy, no_proxy) for all that the agent fetches: a mapping, or a list of NAME=VALUE as in Kairos.", shape: either(mapOf(scalarShape), listOf(matching(`^[A-Za-z_][A-Za-z0-9_]*=`))), decode: decodeEnv},
}

// decodeFinalMessage does not fill in the variables of cloud-init.
func decodeFinalMessage(v value, _ *Config) {
	t, ok := v.given()
	if !ok {
		return
	}
	if strings.Contains(t.Text, "$") {
		v.Report(Warning, "the variables of cloud-init, such as $uptime, are not filled in", "the facts are those of templates: docs/stages.md")
	}
	t.Text = "echo " + shellWord(t.Text) + " >/dev/console"
	v.step("boot.after", Step{Commands: []Text{t}})
}

func decodeEnv(v value, c *Config) {
	if v.IsMapping() {
		for _, s := range v.settings(variableName, "the name of a variable") {
			c.Env = append(c.Env, s.Name+"="+s.Value.Text)
		}
		return
	}
	for _, item := range v.list("variables, each NAME=VALUE") {
		s, ok := item.NonEmpty()
		name, _, both := strings.Cut(s, "=")
		switch {
		case !ok:
		case !both || !variableName.MatchString(name) || strings.ContainsRune(s, 0):
			item.Fail("not a variable", "write it such as LANG=C.UTF-8")
		default:
			c.Env = append(c.Env, s)
		}
	}
}

// addEnv sets variables. A later one of the same name wins.
func (c *Config) addEnv(more []string) {
	for _, variable := range more {
		name, _, _ := strings.Cut(variable, "=")
		c.Env = append(withoutVariable(c.Env, name), variable)
	}
}

func withoutVariable(env []string, name string) []string {
	var out []string
	for _, variable := range env {
		if !strings.HasPrefix(variable, name+"=") {
			out = append(out, variable)
		}
	}
	return out
}
