// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"dagger.io/dagger"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"

	"github.com/kairos-build/kairos-build/ci/dagger/pipeline"
	"github.com/kairos-build/kairos-build/ci/golden"
)

// runnerHost is the variable of Dagger that names an engine.
const runnerHost = "_EXPERIMENTAL_DAGGER_RUNNER_HOST"

// A conversation answers the queries of the client in place of an engine: it writes down
// what is asked, gives each object an ID, and exports an empty file. The client asks for several
// IDs at the same time.
type conversation struct {
	mutex  sync.Mutex
	site   string            // the folder of a flavor, which has another name in each run
	ids    map[string]string // the calls that make an object, by its ID
	runs   []string          // the queries that make something run
	status int               // exit status of programs
}

// text is what was asked: first the objects.
func (c *conversation) text() string {
	var all []string
	for _, id := range slices.Sorted(maps.Keys(c.ids)) {
		all = append(all, id+" = "+c.ids[id])
	}
	return strings.Join(append(all, c.runs...), "\n") + "\n"
}

func (*conversation) Host() string { return "engine.example" }
func (*conversation) Close() error { return nil }

func (c *conversation) Do(r *http.Request) (*http.Response, error) {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	var asked struct{ Query string }
	if err := json.Unmarshal(data, &asked); err != nil {
		return nil, err
	}
	answer, err := c.answer(asked.Query)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(map[string]any{"data": answer})
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(body))}, err
}

// answer answers a query, which is a chain of calls.
func (c *conversation) answer(query string) (any, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	doc, err := parser.ParseQuery(&ast.Source{Input: query})
	if err != nil {
		return nil, errors.New(err.Error())
	}
	var calls, names []string
	for set := doc.Operations[0].SelectionSet; len(set) > 0; {
		field, ok := set[0].(*ast.Field)
		if !ok || len(set) != 1 {
			return nil, fmt.Errorf("not a chain of calls: %s", query)
		}
		calls, names = append(calls, c.call(field)), append(names, field.Alias)
		set = field.SelectionSet
	}
	value, err := c.leaf(calls)
	for _, name := range slices.Backward(names) {
		value = map[string]any{name: value}
	}
	return value, err
}

// call is a call with its arguments, sorted: the client has them in any order.
func (c *conversation) call(f *ast.Field) string {
	var args []string
	for _, a := range f.Arguments {
		args = append(args, a.Name+": "+a.Value.String())
	}
	slices.Sort(args)
	text := f.Name
	if args != nil {
		text += "(" + strings.Join(args, ", ") + ")"
	}
	return text
}

// leaf is the value of the last call.
func (c *conversation) leaf(calls []string) (any, error) {
	last := calls[len(calls)-1]
	made := strings.Join(calls[:len(calls)-1], "\n  ")
	switch {
	case last == "id":
		if c.site != "" {
			made = strings.ReplaceAll(made, c.site, "SITE")
		}
		id := fmt.Sprintf("ID-%.3x", sha256.Sum256([]byte(made)))
		c.ids[id] = made
		return id, nil
	case last == "exitCode":
		c.runs = append(c.runs, strings.Join(calls, "\n  "))
		return c.status, nil
	case strings.HasPrefix(last, "export("):
		c.runs = append(c.runs, strings.Join(calls, "\n  "))
		to := strings.Split(last, `"`)[1]
		return to, errors.Join(os.MkdirAll(to, 0o755), os.WriteFile(filepath.Join(to, "exported"), nil, 0o644))
	}
	return nil, fmt.Errorf("no answer to %s", last)
}

// connect is a client: of the engine that the environment names, or else of a conversation.
func connect(t *testing.T) (pipeline.Client, *conversation) {
	t.Helper()
	var options []dagger.ClientOpt
	var asked *conversation
	if os.Getenv(runnerHost) == "" {
		asked = &conversation{ids: map[string]string{}}
		options = append(options, dagger.WithConn(asked))
	}
	c, err := dagger.Connect(context.WithoutCancel(t.Context()), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return New(c), asked
}

// TestPipelines runs each pipeline: with the engine of the environment in earnest, and else
// up to the queries that it would get.
func TestPipelines(t *testing.T) {
	flavor := t.TempDir()
	if err := os.WriteFile(filepath.Join(flavor, "flavor.yaml"), []byte("name: mysite\nextends: debian-13\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		run   pipeline.Pipeline
		o     pipeline.Options
		local bool // it needs a registry: not with a real engine
	}{
		{"build", pipeline.Build, pipeline.Options{}, false},
		{"build-flavor", pipeline.Build, pipeline.Options{Flavor: "debian-13", Kubernetes: "k3s v1.34"}, true},
		{"build-site", pipeline.Build, pipeline.Options{Flavor: flavor}, false},
		{"test", pipeline.Test, pipeline.Options{Target: "check"}, false},
		{"test-flavor", pipeline.Test, pipeline.Options{Flavor: "debian-13"}, false},
		{"release", pipeline.Release, pipeline.Options{Version: "v1.4.0"}, true},
		{"release-flavor", pipeline.Release, pipeline.Options{
			Flavor: "debian-13", Version: "v1.4.0", Push: "registry.example.org/edge", Channels: []string{"edge", "stable"}, Key: "PRIVATE", Password: "hunter2", Registry: "{}",
		}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, asked := connect(t)
			if asked == nil && tt.local {
				t.Skip("SKIPPED: it needs the network, a registry or a tag")
			}
			tt.o.Source, tt.o.Output = "../../..", t.TempDir()
			if asked != nil {
				asked.site = flavor
			}
			if err := tt.run(t.Context(), client, tt.o); err != nil {
				t.Fatal(err)
			}
			if files, err := os.ReadDir(tt.o.Output); tt.name != "test" && (err != nil || len(files) == 0) {
				t.Errorf("nothing was exported: %v", err)
			}
			if asked == nil {
				return
			}
			text := strings.ReplaceAll(asked.text(), tt.o.Output, "OUTPUT")
			golden.Check(t, "testdata/"+tt.name+".golden", text)
		})
	}
}

// TestNotPassed: a test that does not pass is an error, and its results are there.
func TestNotPassed(t *testing.T) {
	if os.Getenv(runnerHost) != "" {
		t.Skip("SKIPPED: a real engine says itself what passes")
	}
	client, asked := connect(t)
	asked.status = 3
	out := t.TempDir()
	err := pipeline.Test(t.Context(), client, pipeline.Options{Flavor: "debian-13", Output: out})
	if !errors.Is(err, pipeline.ErrNotPassed) || err.Error() != "the tests did not pass: exit status 3" {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(filepath.Join(out, "exported")); err != nil {
		t.Error(err)
	}
}

// TestRefuses: what is missing is said before anything runs.
func TestRefuses(t *testing.T) {
	for _, tt := range []struct {
		run  pipeline.Pipeline
		o    pipeline.Options
		want string
	}{
		{pipeline.Build, pipeline.Options{Flavor: "debian-13", Kubernetes: "k8s v1.34"}, `--kubernetes "k8s v1.34": want none, or a distribution and a version such as "k3s v1.34"`},
		{pipeline.Test, pipeline.Options{Flavor: "debian-13", Kubernetes: "k3s"}, `--kubernetes "k3s": want none`},
		{pipeline.Release, pipeline.Options{}, "which version? Give --version v1.2.3"},
		{pipeline.Release, pipeline.Options{Flavor: "debian-13", Version: "v1.0.0"}, "a flavor is released with --push REGISTRY/PREFIX and --key FILE"},
		{pipeline.Release, pipeline.Options{Flavor: "debian-13", Version: "v1.0.0", Push: "r/x", Key: "k", Kubernetes: "x"}, `--kubernetes "x": want none`},
	} {
		client, asked := connect(t)
		if err := tt.run(t.Context(), client, tt.o); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("got %v, want %s", err, tt.want)
		}
		if asked != nil && len(asked.runs) > 0 {
			t.Errorf("it ran %v", asked.runs)
		}
	}
}
