// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io/fs"
	"log/slog"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/kairos-build/kairos-build/ci/testimage"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"kairos-build": main})
}

// TestScripts runs the transcripts in testdata/script: each shows what a person types
// and sees. They need no root, no network and no QEMU.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Condition: func(cond string) (bool, error) {
			if cond != "root" {
				return false, fmt.Errorf("unknown condition %q", cond)
			}
			return os.Geteuid() == 0, nil
		},
		Setup: func(env *testscript.Env) error { env.Setenv("KAIROS_BUILD_STATE", env.WorkDir+"/state"); return nil },
		Cmds:  map[string]func(*testscript.TestScript, bool, []string){"mkimage": mkimage, "mkroot": mkroot, "mkregistry": mkregistry, "mkarchive": newArchiveMaker(t)},
	})
}

// mkimage ARCH DIR [FILE...] makes an OCI layout with one layer of empty files.
func mkimage(ts *testscript.TestScript, _ bool, args []string) {
	image, err := smallImage(args[0], args[2:])
	ts.Check(err)
	path, err := layout.Write(ts.MkAbs(args[1]), empty.Index)
	ts.Check(err)
	ts.Check(path.AppendImage(image))
}

// mkroot DIR ROOT makes an OCI layout for amd64 with one layer: the files below
// ROOT, which belong to root.
func mkroot(ts *testscript.TestScript, _ bool, args []string) {
	var files []testimage.Entry
	root := os.DirFS(ts.MkAbs(args[1]))
	ts.Check(fs.WalkDir(root, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := fs.ReadFile(root, name)
		files = append(files, testimage.File(name, string(data)))
		return err
	}))
	image, err := oneLayer("amd64", files)
	ts.Check(err)
	path, err := layout.Write(ts.MkAbs(args[0]), empty.Index)
	ts.Check(err)
	ts.Check(path.AppendImage(image))
}

// mkregistry starts a registry on loopback, and sets REGISTRY to its host and port.
func mkregistry(ts *testscript.TestScript, _ bool, _ []string) {
	quiet := registry.Logger(slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo))
	server := httptest.NewServer(registry.New(quiet))
	ts.Defer(server.Close)
	ts.Setenv("REGISTRY", strings.TrimPrefix(server.URL, "http://"))
}

func smallImage(arch string, names []string) (v1.Image, error) {
	var files []testimage.Entry
	for _, name := range names {
		files = append(files, testimage.File(name, ""))
	}
	return oneLayer(arch, files)
}

func oneLayer(arch string, files []testimage.Entry) (v1.Image, error) {
	image, err := testimage.Image(files)
	if err != nil {
		return nil, err
	}
	return testimage.For(image, arch)
}

// TestHelpHasExamples checks that the help of every verb has an example.
func TestHelpHasExamples(t *testing.T) {
	if _, err := os.Stat("testdata/script"); err != nil {
		t.Fatal(err)
	}
	for _, cmd := range newRoot().Commands() {
		if cmd.Name() == "help" || cmd.Name() == "completion" {
			continue
		}
		if cmd.Example == "" || cmd.Short == "" {
			t.Errorf("%s: no example or no summary", cmd.Name())
		}
	}
}
