// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"fmt"
	"strings"
)

// A ruleCase is a small tree and what a rule says about it.
type ruleCase struct {
	rule, name string
	files      map[string]string
	want       []string
}

func one(name, text string) map[string]string { return map[string]string{name: text} }

func cases() []ruleCase {
	list := importCases()
	list = append(list, sourceCases()...)
	list = append(list, pathCases()...)
	list = append(list, docCases()...)
	return append(list, fileCases()...)
}

func importCases() []ruleCase {
	const agent = "framework/agent/main.go"
	return []ruleCase{
		{"imports", "node imports the builder", one(agent, "package main\n\nimport _ \"github.com/moby/buildkit/client/llb\"\n"),
			[]string{agent + ":5: ./framework imports github.com/moby/buildkit/client/llb: what runs on a node knows nothing of the builder"}},
		{"imports", "through a package of ours", map[string]string{
			"framework/initramfs/main.go": "package main\n\nimport _ \"" + Module + "/framework/fetch\"\n",
			"framework/fetch/fetch.go":    "package fetch\n\nimport _ \"net/http\"\n",
		}, []string{"framework/initramfs/main.go:5: ./framework/initramfs imports " + Module + "/framework/fetch -> net/http: /init has no network, and is loaded from disk at each boot"}},
		{"imports", "a recipe with more than it needs", one("recipes/apt.go", "package recipes\n\nimport (\n\t_ \"github.com/moby/buildkit/client/llb\"\n\t_ \"strings\"\n\t_ \"github.com/spf13/cobra\"\n)\n"),
			[]string{"recipes/apt.go:8: ./recipes imports github.com/spf13/cobra: a recipe is a pure function from a flavor to a graph"}},
		{"imports", "the layout imports ours", one("framework/layout/layout.go", "package layout\n\nimport _ \""+Module+"/framework/ondisk/gpt\"\n"),
			[]string{"framework/layout/layout.go:5: ./framework/layout imports " + Module + "/framework/ondisk/gpt: it is the truth that all others share, and does nothing"}},
		{"imports", "tests may, and so may the builder", map[string]string{
			"framework/agent/main_test.go": "package main\n\nimport _ \"github.com/moby/buildkit/client\"\n",
			"cmd/kairos-build/main.go":     "package main\n\nimport (\n\t_ \"github.com/moby/buildkit/client\"\n\t_ \"github.com/spf13/cobra\"\n\t_ \"net/http\"\n)\n",
			"frameworks/x.go":              "package frameworks\n\nimport _ \"github.com/moby/buildkit/client\"\n",
		}, nil},
		{"imports", "flags outside of a program", map[string]string{
			agent:                         "package main\n\nimport _ \"github.com/spf13/cobra\"\n",
			"framework/machine/tree/t.go": "package tree\n\nimport _ \"github.com/spf13/cobra\"\n",
			"framework/initramfs/main.go": "package main\n\nimport _ \"" + Module + "/framework/commandline\"\n",
			"framework/commandline/c.go":  "package commandline\n\nimport _ \"github.com/spf13/cobra\"\n",
		}, []string{
			"framework/initramfs/main.go:5: ./framework imports " + Module + "/framework/commandline -> github.com/spf13/cobra: flags end in package main",
			"framework/machine/tree/t.go:5: ./framework imports github.com/spf13/cobra: flags end in package main",
		}},
		{"imports", "the agent is no library", map[string]string{
			"ci/bench/a.go":              "package bench\n\nimport _ \"" + Module + "/framework/agent/upgrade\"\n",
			"ci/bench/a_test.go":         "package bench\n\nimport _ \"" + Module + "/framework/agent\"\n",
			"framework/agents/agents.go": "package agents\n",
			"framework/node/a.go":        "package node\n\nimport _ \"" + Module + "/framework/agents\"\n",
		}, []string{"ci/bench/a.go:5: ./... imports " + Module + "/framework/agent/upgrade: the agent is a program; what others need of it is a room of its own"}},
		{"imports", "a hand does not know the node", map[string]string{
			"framework/machine/stages/a.go":      "package stages\n\nimport _ \"" + Module + "/framework/node/history\"\n",
			"framework/machine/stages/a_test.go": "package stages\n\nimport _ \"" + Module + "/framework/node/history\"\n",
			"framework/node/history/history.go":  "package history\n\nimport _ \"" + Module + "/framework/machine/tree\"\n",
		}, []string{"framework/machine/stages/a.go:5: ./framework/machine imports " + Module + "/framework/node/history: the hands that change a machine are told what to do"}},
		{"imports", "what the node uses does not know the node", map[string]string{
			"framework/config/a.go":        "package config\n\nimport _ \"" + Module + "/framework/machine/tree\"\n",
			"framework/install/reset/a.go": "package reset\n\nimport _ \"" + Module + "/framework/node\"\n",
			"framework/upgrade/a.go":       "package upgrade\n\nimport _ \"" + Module + "/framework/node/history\"\n",
			"framework/upgrade/b.go":       "package upgrade\n\nimport _ \"" + Module + "/framework/slot/thisboot\"\n",
			"framework/slot/thisboot/a.go": "package thisboot\n",
		}, []string{
			"framework/config/a.go:5: ./framework/config imports " + Module + "/framework/machine/tree: a config is read before anything is done with it",
			"framework/install/reset/a.go:5: ./framework/install/reset imports " + Module + "/framework/node: the node decides on a reset; how it is done is here",
			"framework/upgrade/a.go:5: ./framework/upgrade imports " + Module + "/framework/node/history: the node decides on an upgrade; how it is done is here",
		}},
		{"imports", "programs choose the boot loader", map[string]string{
			"framework/initramfs/main.go":               "package main\n\nimport _ \"" + Module + "/framework/grub/bootenv\"\n",
			"framework/grub/bootenv/bootenv.go":         "package bootenv\n\nimport _ \"" + Module + "/framework/grub/grubenv\"\n",
			"framework/slot/slotimage/slotimage.go":     "package slotimage\n\nimport _ \"" + Module + "/framework/grub/bootconf\"\n",
			"framework/upgrade/upgrade.go":              "package upgrade\n\nimport _ \"" + Module + "/framework/grub/bootconf\"\n",
			"framework/upgrade/upgrade_test.go":         "package upgrade\n\nimport _ \"" + Module + "/framework/grub/bootconf\"\n",
			"cmd/kairos-build/internal/factory/disk.go": "package factory\n\nimport _ \"" + Module + "/framework/grub/bootconf\"\n",
			"cmd/kairos-build/internal/engine/a.go":     "package engine\n\nimport _ \"" + Module + "/framework/grub/bootconf\"\n",
		}, []string{
			"cmd/kairos-build/internal/engine/a.go:5: ./cmd/kairos-build/internal imports " + Module + "/framework/grub/bootconf: GRUB is one of several boot loaders: declare what you need of one, and let the factory pass it in",
			"framework/slot/slotimage/slotimage.go:5: ./framework imports " + Module + "/framework/grub/bootconf: GRUB is one of several boot loaders: declare what you need of one, and let the program pass it in",
			"framework/upgrade/upgrade.go:5: ./framework imports " + Module + "/framework/grub/bootconf: GRUB is one of several boot loaders: declare what you need of one, and let the program pass it in",
		}},
		{"imports", "the factory knows no package manager, and no family the factory", map[string]string{
			"cmd/kairos-build/internal/factory/factory.go":  "package factory\n\nimport _ \"" + Module + "/cmd/kairos-build/internal/packages\"\n",
			"cmd/kairos-build/internal/packages/a.go":       "package packages\n\nimport _ \"" + Module + "/cmd/kairos-build/internal/packages/rpm\"\n",
			"cmd/kairos-build/internal/packages/rpm/rpm.go": "package rpm\n\nimport _ \"" + Module + "/cmd/kairos-build/internal/factory\"\n",
		}, []string{
			"cmd/kairos-build/internal/factory/factory.go:5: ./cmd/kairos-build/internal/factory imports " + Module + "/cmd/kairos-build/internal/packages -> " + Module + "/cmd/kairos-build/internal/packages/rpm: the order of the steps is the same for every family",
			"cmd/kairos-build/internal/packages/a.go:5: ./cmd/kairos-build/internal/packages imports " + Module + "/cmd/kairos-build/internal/packages/rpm -> " + Module + "/cmd/kairos-build/internal/factory: a family gives inputs; it does not know what a build is",
			"cmd/kairos-build/internal/packages/rpm/rpm.go:5: ./cmd/kairos-build/internal/packages imports " + Module + "/cmd/kairos-build/internal/factory: a family gives inputs; it does not know what a build is",
		}},
		{"imports", "who signs the evidence is passed in", one("cmd/kairos-build/internal/referrers/a.go", "package referrers\n\nimport (\n\t_ \""+Module+"/signing\"\n\t_ \""+Module+"/signing/verify\"\n)\n"),
			[]string{"cmd/kairos-build/internal/referrers/a.go:6: ./cmd/kairos-build/internal/referrers imports " + Module + "/signing: it stores and reads evidence; the program passes in who signs"}},
		{"imports", "signing is at the bottom", one("signing/a.go", "package signing\n\nimport _ \""+Module+"/framework/fetch\"\n"),
			[]string{"signing/a.go:5: ./signing imports " + Module + "/framework/fetch: signing stands below everything else"}},
		{"imports", "publishing knows no signatures", one("cmd/kairos-build/internal/publish/a.go", "package publish\n\nimport _ \""+Module+"/signing\"\n"),
			[]string{"cmd/kairos-build/internal/publish/a.go:5: ./cmd/kairos-build/internal/publish imports " + Module + "/signing: it carries what others made and signed, and knows neither how"}},
		{"imports", "the stories and their runner", map[string]string{
			"ci/acceptance/runner.go":                "package acceptance\n\nimport _ \"" + Module + "/ci/acceptance/life\"\n",
			"ci/acceptance/life/life.go":             "package life\n\nimport (\n\t_ \"" + Module + "/ci/acceptance/faults\"\n\t_ \"" + Module + "/ci/lab\"\n)\n",
			"ci/lab/lab.go":                          "package lab\n\nimport _ \"" + Module + "/ci/acceptance/report\"\n",
			"ci/bench/main.go":                       "package main\n\nimport (\n\t_ \"" + Module + "/ci/acceptance\"\n\t_ \"" + Module + "/ci/acceptance/report\"\n)\n",
			"cmd/kairos-build/test.go":               "package main\n\nimport _ \"" + Module + "/ci/acceptance\"\n",
			"cmd/kairos-build/internal/testrun/a.go": "package testrun\n\nimport _ \"" + Module + "/ci/acceptance\"\n",
		}, []string{
			"ci/acceptance/life/life.go:6: ./ci/acceptance imports " + Module + "/ci/acceptance/faults: a story knows the lab, neither the runner nor another story",
			"ci/bench/main.go:6: ./... imports " + Module + "/ci/acceptance: kairos-build alone runs the stories",
			"ci/lab/lab.go:5: ./ci/lab imports " + Module + "/ci/acceptance/report: a lab decides nothing about a disk",
		}},
		{"imports", "a node checks and does not sign", map[string]string{
			agent:                      "package main\n\nimport (\n\t_ \"" + Module + "/signing\"\n\t_ \"" + Module + "/signing/verify\"\n)\n",
			"signing/signing.go":       "package signing\n\nimport _ \"" + cosign + "/v2/pkg/cosign\"\n",
			"signing/verify/verify.go": "package verify\n\nimport (\n\t_ \"" + sigstore + "/sigstore-go/pkg/verify\"\n\t_ \"net/http\"\n\t_ \"" + Module + "/signing\"\n)\n",
		}, []string{
			agent + ":6: ./framework imports " + Module + "/signing: a node checks signatures and makes none: signing/verify is enough",
			agent + ":7: ./framework imports " + Module + "/signing/verify -> " + Module + "/signing: a node checks signatures and makes none: signing/verify is enough",
			"signing/verify/verify.go:7: ./signing/verify imports net/http: it works on bytes, and is what a node needs; the caller fetches and reads them",
			"signing/verify/verify.go:8: ./signing/verify imports " + Module + "/signing -> " + cosign + "/v2/pkg/cosign: it works on bytes, and is what a node needs; the caller fetches and reads them",
			"signing/verify/verify.go:8: ./signing/verify imports " + Module + "/signing: it works on bytes, and is what a node needs; the caller fetches and reads them",
		}},
		{"imports", "a circle ends", map[string]string{
			"framework/a/a.go": "package a\n\nimport _ \"" + Module + "/framework/b\"\n",
			"framework/b/b.go": "package b\n\nimport _ \"" + Module + "/framework/a\"\n",
		}, nil},
		{"banned-imports", "log, but not log/slog", one("a/a.go", "package a\n\nimport (\n\t_ \"log\"\n\t_ \"log/slog\"\n)\n"),
			[]string{"a/a.go:6: imports log: use log/slog, with the logger passed in"}},
		{"banned-imports", "below, in a test too", one("a/a_test.go", "package a\n\nimport (\n\t_ \"github.com/stretchr/testify/assert\"\n\t_ \"math/rand\"\n)\n"),
			[]string{"a/a_test.go:6: imports github.com/stretchr/testify/assert: use testing and go-cmp"}},
		{"banned-imports", "sigstore outside of its rooms", map[string]string{
			"signing/a.go": "package signing\n\nimport _ \"" + cosign + "/v2/pkg/cosign\"\n", "cmd/a.go": "package main\n\nimport _ \"" + sigstore + "/sigstore-go/pkg/verify\"\n",
		}, []string{"cmd/a.go:5: imports " + sigstore + "/sigstore-go/pkg/verify: use signing/verify to check, signing to sign"}},
		{"banned-imports", "an exception", map[string]string{
			"cmd/kairos-build/internal/engine/a.go": "package engine\n\nimport _ \"github.com/sirupsen/logrus\"\n",
			"flavors/a.go":                          "package flavors\n\nimport _ \"github.com/sirupsen/logrus\"\n",
		}, []string{"flavors/a.go:5: imports github.com/sirupsen/logrus: use log/slog"}},
	}
}

func sourceCases() []ruleCase {
	glob := "package a\n\nimport \"path/filepath\"\n\nfunc f(dir string) { _, _ = filepath.Glob(dir + \"/*\") }\n"
	return []ruleCase{
		{"no-glob", "in the builder, but not in its tests or on a node", map[string]string{"cmd/a/a.go": glob, "cmd/a/a_test.go": glob, "framework/a/a.go": glob},
			[]string{"cmd/a/a.go:7: filepath.Glob: use folder.Glob"}},
		{"spdx", "none", one("a.go", "//bare\npackage a\n"), []string{"a.go:1: the first line is not " + spdx}},
		{"spdx", "there", one("a.go", "package a\n"), nil},
		{"file-length", "501 lines", one("a.go", "package a\n"+strings.Repeat("\n", 498)), []string{"a.go: has 501 lines, more than 500"}},
		{"file-length", "500 lines", one("a.go", "package a\n"+strings.Repeat("\n", 497)), nil},
		{"package-names", "a drawer", map[string]string{"u/a.go": "package utils\n", "u/a_test.go": "package utils_test\n", "v/a.go": "package slot\n"},
			[]string{"u/a.go:3: package utils is named after nothing", "u/a_test.go:3: package utils_test is named after nothing"}},
		{"error-words", "each way", one("a.go", "package a\n\nvar a, b, c = errors.New(\"failed to open\"), fmt.Errorf(\"Could not open: %w\", err), errors.New(\"opening\")\n"),
			[]string{`a.go:5: error text starts with "could not": say what was being done`, `a.go:5: error text starts with "failed to": say what was being done`}},
		{"error-words", "fine", one("a.go", "package a\n\nvar a = fmt.Errorf(\"writing slot %q: %w\", s, err)\nvar b = fmt.Errorf(text)\nvar c = slog.Info(\"failed to\")\n"), nil},
		{"no-init", "init", one("a.go", "package a\n\nfunc init() {}\n\nfunc (x) init() {}\n"), []string{"a.go:5: func init"}},
		{"http-clients", "each way", one("a/a.go", "package a\n\nvar a = &http.Client{Timeout: 1}\nvar b = new(http.Client)\nvar c http.Client\nvar d *http.Client\n"),
			[]string{"a/a.go:5: makes an HTTP client; framework/fetch does", "a/a.go:6: makes an HTTP client; framework/fetch does", "a/a.go:7: makes an HTTP client; framework/fetch does"}},
		{"http-clients", "fine", map[string]string{"framework/fetch/a.go": "package fetch\n\nvar a = &http.Client{}\n", "a/a_test.go": "package a\n\nvar a = &http.Client{}\n"}, nil},
		{"renames", "each way", map[string]string{
			"a/a.go":                              "package a\n\nvar a = os.Rename(x, y)\nvar b = root.Rename(x, y)\nvar c = unix.Renameat2(d, x, d, y, 0)\nvar d = durable.Rename(x, y)\n",
			"a/a_test.go":                         "package a\n\nvar a = os.Rename(x, y)\n",
			"framework/ondisk/durable/durable.go": "package durable\n\nvar a = os.Rename(x, y)\n",
			"framework/machine/unpack/unpack.go":  "package unpack\n\nvar a = root.Rename(x, y)\n",
			"ci/bench/mkosi.go":                   "package bench\n",
		}, []string{
			"a/a.go:5: renames a file itself: use framework/ondisk/durable, or give a reason in ci/rules/renames.go",
			"a/a.go:6: renames a file itself: use framework/ondisk/durable, or give a reason in ci/rules/renames.go",
			"a/a.go:7: renames a file itself: use framework/ondisk/durable, or give a reason in ci/rules/renames.go",
			"ci/bench/mkosi.go: renames nothing any more: remove it from the list of ci/rules/renames.go",
		}},
		{"no-shell-strings", "call and list", one("a.go", "package a\n\nvar a = exec.CommandContext(ctx, \"sh\", \"-c\", \"true\")\nvar b = []string{\"/bin/bash\", \"-euc\", \"true\"}\nvar c = []string{\"sh\", \"setup.sh\"}\n"),
			[]string{"a.go:5: a shell with -c", "a.go:6: a shell with -c"}},
	}
}

func pathCases() []ruleCase {
	const text = "package a\n\nvar a, _ = os.ReadFile(path)\nvar b, _ = root.ReadFile(path)\nvar c = filepath.WalkDir(dir, f)\nvar d = filepath.Join(a, b)\n"
	return []ruleCase{
		{"open-directories", "by path", map[string]string{"framework/machine/apply/a.go": text, "framework/machine/apply/a_test.go": text, "framework/install/reset/a.go": text}, []string{
			"framework/machine/apply/a.go:5: calls os.ReadFile: use framework/machine/tree, which opens directories one by one",
			"framework/machine/apply/a.go:7: calls filepath.WalkDir: use framework/machine/tree, which opens directories one by one",
		}},
	}
}

func docCases() []ruleCase {
	const (
		builder  = "package main\n\nvar a = cobra.Command{Use: \"flavor NAME\"}\n\nvar b = flags.String(\"output\", \"\")\n"
		agent    = "package main\n\nfunc f() {\n\tswitch args[0] {\n\tcase \"status\":\n\t}\n}\n"
		makefile = "build: ## Build\n"
	)
	files := func(page string) map[string]string {
		return map[string]string{"README.md": page, "cmd/kairos-build/main.go": builder, "framework/agent/main.go": agent, "Makefile": makefile}
	}
	return []ruleCase{
		{"doc-commands", "verbs", files("Type `kairos-build flavour x`.\n\n```\n$ sudo A=1 bin/kairos-build flavor x --outptu y # --not-a-flag\nkairos-agent upgrade\nmake demo\n```\n"), []string{
			"README.md:1: kairos-build has no flavour",
			"README.md:4: kairos-build has no flag --outptu",
			"README.md:5: kairos-agent has no upgrade",
			"README.md:6: make has no demo",
		}},
		{"doc-commands", "fine", files("`kairos-build` makes; make it so.\n\n```sh\nmake build\nmake build OUT=x\nkairos-build flavor debian-13 --output=y --help\nkairos-build completion bash\nkairos-agent status\nkairos-build v1.2\n```\n"), nil},
		{"doc-links", "relative", map[string]string{"docs/a.md": "[b](b.md#x) [c](c.md) ![d](../img/d.png) [w](https://example.org) [h](#here) [up](../docs)\n", "docs/b.md": ""}, []string{
			"docs/a.md:1: links to ../img/d.png, which does not exist",
			"docs/a.md:1: links to c.md, which does not exist",
		}},
	}
}

func fileCases() []ruleCase {
	host := "quay." + "io"
	good := "go 1.26.8\n"
	pins := "ab  v0.0.1-go1.26.8.linux-amd64.zip\ncd  v0.0.1-go1.26.8.linux-arm64.zip\n"
	return []ruleCase{
		{"programs", "one that nothing installs", map[string]string{
			"ci/setup/packages": "# group\tpackage\n\ntest\terofs-utils\tfsck.erofs\tchecks\ntest\tovmf\t/usr/share/x\tfirmware\n",
			"a_test.go":         "package a\n\nvar _ = exec.CommandContext(t.Context(), \"fsck.erofs\", \"x\")\nvar _, _ = exec.LookPath(\"unsquashfs\")\nvar _ = exec.Command(\"tar\")\n",
			"a.go":              "package a\n\nvar _ = exec.Command(\"runc\")\n",
		}, []string{"a_test.go:6: runs unsquashfs, and no line of ci/setup/packages installs that"}},
		{"programs", "one of the machines that only tests install", map[string]string{
			"ci/setup/packages": "# group\tpackage\n\ntest\tswtpm\tswtpm\timitates\nrun\truncs\trunc\truns\n",
			"ci/qemu/a.go":      "package a\n\nvar _, _ = exec.LookPath(\"swtpm\")\nvar _ = exec.Command(\"runc\")\n",
			"ci/bench/a.go":     "package a\n\nvar _ = exec.Command(\"swtpm\")\n",
		}, []string{"ci/qemu/a.go:5: runs swtpm, and no line of the group run of ci/setup/packages installs that"}},
		{"rooms", "one that the table lacks", map[string]string{"README.md": "`qemu` and `framework/ondisk`", "ci/qemu/a.go": "package qemu\n", "framework/ondisk/x/y": "", "framework/x.md": "", "ci/new/a.go": "package new\n", "ci/new/b": ""},
			[]string{"README.md: does not name the room ci/new"}},
		{"rooms", "in a room", one("framework/machine/tree/a.go", "package tree\n"),
			[]string{"README.md: does not name the room framework/machine", "README.md: does not name the room framework/machine/tree"}},
		{"room-count", "one too many", rooms(17), []string{"framework: has 17 rooms beside internal, more than 16"}},
		{"room-count", "as many as may be", rooms(16), nil},
		{"registry-hosts", "in a page", map[string]string{"a.md": "x\nfrom " + host + "/x\nnot " + host + "n, not my" + host + "\n", "go.sum": host},
			[]string{"a.md:2: names the registry " + host + ": use a name such as registry.example"}},
		{"registry-hosts", "in test data, in other letters, inside a longer name", map[string]string{"a/testdata/b.bin": "\x00cdn." + strings.ToUpper(host) + ":443\x00"},
			[]string{"a/testdata/b.bin:1: names the registry " + host + ": use a name such as registry.example"}},
		{"registry-hosts", "of packages", one("ci/setup/go", "url=https://"+"proxy.golang"+".org\n"),
			[]string{"ci/setup/go:1: names the registry " + "proxy.golang" + ".org: use a name such as registry.example"}},
		{"publisher-hosts", "in a page, but not in the file that knows them", map[string]string{
			publishers: "package kubernetes\n\n// https://" + publisherHosts()[0] + "/x\n", "a.md": "x\n https://" + publisherHosts()[0] + "/x\n",
		}, []string{"a.md:2: names " + publisherHosts()[0] + ": only " + publishers + " does"}},
		{"binaries", "each kind", map[string]string{
			"a": "\x7fELF\x00", "b.gpg": "\x00", "c.bin": "\x00", "d/testdata/e.bin": "\x00",
			"f/testdata/g.bin": strings.Repeat("\x00", maxBinary+1), "h": "MZ is how a text starts",
		}, []string{
			"a: is a compiled program",
			"c.bin: is binary, and neither a keyring, a picture nor in testdata",
			fmt.Sprintf("f/testdata/g.bin: is binary and has %d bytes, more than %d", maxBinary+1, maxBinary),
		}},
		{"toolchain", "another version", map[string]string{"go.mod": "go 1.27.0\n", "ci/setup/toolchain": pins}, []string{
			"ci/setup/toolchain: has no checksum of Go 1.27.0 for amd64: run `ci/setup/go pin >ci/setup/toolchain`",
			"ci/setup/toolchain: has no checksum of Go 1.27.0 for arm64: run `ci/setup/go pin >ci/setup/toolchain`",
		}},
		{"toolchain", "fine", map[string]string{"go.mod": good, "ci/setup/toolchain": pins}, nil},
		{"toolchain", "no version", map[string]string{"go.mod": "module x\n"}, []string{"go.mod: names no Go version"}},
	}
}

// rooms is a framework with n rooms of two files, and an internal one.
func rooms(n int) map[string]string {
	files := map[string]string{"framework/doc.md": "", "framework/internal/mount/a.go": "package mount\n"}
	for i := range n {
		files[fmt.Sprintf("framework/room%d/a.go", i)] = "package room\n"
		files[fmt.Sprintf("framework/room%d/below/a.go", i)] = "package below\n"
	}
	return files
}
