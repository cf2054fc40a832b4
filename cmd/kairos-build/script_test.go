// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"kairos-build": main})
}

// TestScripts runs the transcripts in testdata/script: each is what a person
// types and sees. They need no root, no network and no QEMU.
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
		Cmds:  map[string]func(*testscript.TestScript, bool, []string){"mkimage": mkimage, "mkroot": mkroot},
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
	var stream bytes.Buffer
	w := tar.NewWriter(&stream)
	root := os.DirFS(ts.MkAbs(args[1]))
	ts.Check(fs.WalkDir(root, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		err = w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))})
		_, writeErr := w.Write(data)
		return errors.Join(err, writeErr)
	}))
	ts.Check(w.Close())
	image, err := layerImage("amd64", stream.Bytes())
	ts.Check(err)
	path, err := layout.Write(ts.MkAbs(args[0]), empty.Index)
	ts.Check(err)
	ts.Check(path.AppendImage(image))
}

func smallImage(arch string, files []string) (v1.Image, error) {
	var stream bytes.Buffer
	w := tar.NewWriter(&stream)
	for _, name := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644}); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return layerImage(arch, stream.Bytes())
}

// layerImage makes an image whose only layer is stream, a tar.
func layerImage(arch string, stream []byte) (v1.Image, error) {
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(stream)), nil })
	if err != nil {
		return nil, err
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", arch
	return mutate.ConfigFile(image, config)
}

// TestHelpHasExamples holds every verb to showing how it is used.
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
