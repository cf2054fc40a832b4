// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/kairos-build/kairos-build/ci/kubernetes/cluster"
)

// kubelet answers at /healthz and tells the API server every ten seconds that the node
// is Ready, from the second time on.
func kubelet(ctx context.Context, args []string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:10248")
	if err != nil {
		return err
	}
	go func() { _ = serve(ctx, listener, http.HandlerFunc(healthy)) }()
	ready := "False"
	for {
		if err := report(ctx, args, ready); err != nil {
			fmt.Fprintln(os.Stderr, "kubelet:", err)
		}
		wait := 10 * time.Second
		if ready == "False" {
			wait = time.Second
		}
		ready = "True"
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

func report(ctx context.Context, args []string, ready string) error {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return err
	}
	name := flag(args, "hostname-override")
	node := map[string]any{
		"apiVersion": "v1", "kind": "Node", "metadata": map[string]any{"name": name},
		"status": map[string]any{
			"conditions": []any{map[string]string{"type": "Ready", "status": ready, "reason": "Hollow", "lastHeartbeatTime": time.Now().UTC().Format(time.RFC3339)}},
			"addresses":  []any{map[string]string{"type": "InternalIP", "address": flag(args, "node-ip")}},
			"nodeInfo":   map[string]string{"kubeletVersion": os.Getenv("STANDIN_VERSION"), "bootID": strings.TrimSpace(string(boot))},
		},
	}
	return call(ctx, flag(args, "kubeconfig"), http.MethodPut, "/api/v1/nodes/"+name, node, io.Discard)
}

func call(ctx context.Context, kubeconfig, method, path string, object any, out io.Writer) error {
	client, server, err := cluster.Client(kubeconfig)
	if err != nil {
		return err
	}
	data, err := json.Marshal(object)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, method, server+path, bytes.NewReader(data))
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, response.Body)
	if response.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: the API server answers %s", method, path, response.Status)
	}
	return errors.Join(err, response.Body.Close())
}

// kubectl has `version`, `get --raw PATH`, `get nodes` and `apply -f FILE`.
func kubectl(ctx context.Context, args []string) error {
	kubeconfig := flag(args, "kubeconfig")
	if kubeconfig == "" {
		kubeconfig = os.Getenv("KUBECONFIG")
	} else {
		args = args[2:]
	}
	switch {
	case len(args) == 0 || args[0] == "version":
		_, err := fmt.Fprintf(os.Stdout, "Client Version: %s\n", os.Getenv("STANDIN_VERSION"))
		return err
	case args[0] == "get" && flag(args, "raw") != "":
		return call(ctx, kubeconfig, http.MethodGet, flag(args, "raw"), nil, os.Stdout)
	case args[0] == "get" && len(args) > 1:
		return call(ctx, kubeconfig, http.MethodGet, "/api/v1/"+args[1], nil, os.Stdout)
	case args[0] == "apply":
		return apply(ctx, kubeconfig, args[len(args)-1])
	}
	return fmt.Errorf("kubectl %s is not in this stand-in without Kubernetes", args[0])
}

// apply stores every object of a file.
func apply(ctx context.Context, kubeconfig, file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var object map[string]any
		if err := decoder.Decode(&object); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := call(ctx, kubeconfig, http.MethodPut, pathOf(object), object, io.Discard); err != nil {
			return err
		}
	}
}

// pathOf is where an API server has an object.
func pathOf(object map[string]any) string {
	version := fmt.Sprint(object["apiVersion"])
	prefix := "/apis/" + version
	if !strings.Contains(version, "/") {
		prefix = "/api/" + version
	}
	metadata, _ := object["metadata"].(map[string]any)
	kind := strings.ToLower(fmt.Sprint(object["kind"])) + "s"
	if kind == "namespaces" || kind == "nodes" {
		return prefix + "/" + kind + "/" + fmt.Sprint(metadata["name"])
	}
	namespace := "default"
	if text, ok := metadata["namespace"].(string); ok {
		namespace = text
	}
	return prefix + "/namespaces/" + namespace + "/" + kind + "/" + fmt.Sprint(metadata["name"])
}

var socketLine = regexp.MustCompile(`(?m)^\s*address = "(.+)"$`)

// containerd listens at the socket of its configuration.
func containerd(ctx context.Context, args []string) error {
	config, err := os.ReadFile(flag(args, "config"))
	if err != nil {
		return err
	}
	m := socketLine.FindSubmatch(config)
	if m == nil {
		return errors.New("its configuration has no address")
	}
	socket := string(m[1])
	if err := os.MkdirAll(filepath.Dir(socket), 0o711); err != nil {
		return err
	}
	_ = os.Remove(socket)
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	return serve(ctx, listener, http.HandlerFunc(healthy))
}

// ctr only says which archives it was given.
func ctr(_ context.Context, args []string) error {
	archive := args[len(args)-1]
	if _, err := os.Stat(archive); err != nil {
		return err
	}
	_, err := fmt.Fprintln(os.Stdout, "hollow ctr was given", filepath.Base(archive))
	return err
}

func crictl(context.Context, []string) error {
	return errors.New("no container runs in this stand-in without Kubernetes")
}
