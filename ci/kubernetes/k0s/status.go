// SPDX-License-Identifier: Apache-2.0

package k0s

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// A Status is what `k0s status -o json` prints.
type Status struct {
	Version                     string
	Pid                         int
	PPid                        int
	Role                        string
	SysInit                     string
	StubFile                    string
	Output                      string
	Workloads                   bool
	SingleNode                  bool
	Args                        []string
	WorkerToAPIConnectionStatus Probe
	ClusterConfig               *Config
	K0sVars                     map[string]string
}

// A Probe says whether the kubelet reaches the API server.
type Probe struct {
	Message string
	Success bool
}

func (f *flags) statusSocket() string {
	if f.socket != "" {
		return f.socket
	}
	return filepath.Join(f.runDir, "status.sock")
}

// serveStatus answers at the status socket until the context ends.
func serveStatus(ctx context.Context, socket string, status func() Status) error {
	if err := os.MkdirAll(filepath.Dir(socket), 0o755); err != nil {
		return err
	}
	if err := os.Remove(socket); err != nil && !os.IsNotExist(err) {
		return err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(status())
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	go func() { _ = server.Serve(listener) }()
	return nil
}

func (p Program) status(ctx context.Context, f *flags) error {
	s, err := askStatus(ctx, f.statusSocket())
	if err != nil {
		return err
	}
	if f.output == "json" {
		encoder := json.NewEncoder(p.Out)
		encoder.SetIndent("", "   ")
		return encoder.Encode(s)
	}
	fmt.Fprintf(p.Out, "Version: %s\nProcess ID: %d\nRole: %s\nWorkloads: %t\nSingleNode: %t\n", s.Version, s.Pid, s.Role, s.Workloads, s.SingleNode)
	if s.Workloads {
		probe := s.WorkerToAPIConnectionStatus
		fmt.Fprintf(p.Out, "Kube-api probing successful: %t\nKube-api probing last error: %s\n", probe.Success, probe.Message)
	}
	return nil
}

func askStatus(ctx context.Context, socket string) (*Status, error) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
	client := &http.Client{Transport: &http.Transport{DialContext: dial}, Timeout: time.Minute}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/status", nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("status: can't do http request: %s status", socket)
	}
	var s Status
	err = json.NewDecoder(response.Body).Decode(&s)
	return &s, errors.Join(err, response.Body.Close())
}
