// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// contents is the file of a datastore.
type contents struct {
	Version string                     // of the etcd that wrote it
	Objects map[string]json.RawMessage // path of the API -> object
}

// A store is a datastore: etcd or kine. It answers GET and PUT of all its objects.
type store struct {
	mutex sync.Mutex
	file  string
	contents
}

func openStore(file, version string) (*store, error) {
	s := &store{file: file, contents: contents{Version: version, Objects: map[string]json.RawMessage{}}}
	old, err := readContents(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s, os.MkdirAll(filepath.Dir(file), 0o700)
	case err != nil:
		return nil, err
	case minor(version) < minor(old.Version):
		return nil, fmt.Errorf("invalid downgrade; server version is lower than determined cluster version: %s < %s", version, old.Version)
	}
	s.Objects = old.Objects
	return s, s.write()
}

func readContents(file string) (contents, error) {
	var c contents
	data, err := os.ReadFile(file)
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal(data, &c)
}

// minor is the number in the middle of 3.6.13; none is 0.
func minor(version string) int {
	parts := strings.Split(version, ".")
	if len(parts) < 2 {
		return 0
	}
	n, _ := strconv.Atoi(parts[1])
	return n
}

func (s *store) write() error {
	data, err := json.Marshal(s.contents)
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.file+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(s.file+".new", s.file)
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if r.Method == http.MethodPut {
		objects := map[string]json.RawMessage{}
		if err := json.NewDecoder(r.Body).Decode(&objects); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.Objects = objects
		if err := s.write(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	_ = json.NewEncoder(w).Encode(s.Objects)
}

func etcd(ctx context.Context, args []string) error {
	s, err := openStore(filepath.Join(flag(args, "data-dir"), "member", "snap", "db"), os.Getenv("STANDIN_ETCD_VERSION"))
	if err != nil {
		return err
	}
	health, err := listen(flag(args, "listen-metrics-urls"))
	if err != nil {
		return err
	}
	go func() { _ = serve(ctx, health, http.HandlerFunc(healthy)) }()
	clients, err := listen(flag(args, "listen-client-urls"))
	if err != nil {
		return err
	}
	return serve(ctx, clients, s)
}

func listen(address string) (net.Listener, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	return net.Listen("tcp", u.Host)
}

func kine(ctx context.Context, args []string) error {
	s, err := openStore(flag(args, "file"), "")
	if err != nil {
		return err
	}
	socket := strings.TrimPrefix(flag(args, "listen"), "unix://")
	if err := os.MkdirAll(filepath.Dir(socket), 0o700); err != nil {
		return err
	}
	_ = os.Remove(socket)
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	return serve(ctx, listener, s)
}

func healthy(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"health":"true"}`) }

func serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	return server.Serve(listener)
}

// etcdSave writes what etcd at a URL holds: etcd-save URL FILE.
func etcdSave(ctx context.Context, args []string) error {
	objects, err := newStoreClient(args[0]).read(ctx)
	if err != nil {
		return err
	}
	data, err := json.Marshal(contents{Version: os.Getenv("STANDIN_ETCD_VERSION"), Objects: objects})
	if err != nil {
		return err
	}
	return os.WriteFile(args[1], data, 0o600)
}

// etcdRestore makes a data folder: etcd-restore FILE FOLDER NAME PEER.
func etcdRestore(_ context.Context, args []string) error {
	c, err := readContents(args[0])
	if err != nil {
		return err
	}
	c.Version = ""
	s := &store{file: filepath.Join(args[1], "member", "snap", "db"), contents: c}
	if err := os.MkdirAll(filepath.Dir(s.file), 0o700); err != nil {
		return err
	}
	return s.write()
}

// A storeClient reaches a store at unix://SOCKET or http://ADDRESS.
type storeClient struct {
	client http.Client
	url    string
}

func newStoreClient(address string) *storeClient {
	socket, ok := strings.CutPrefix(address, "unix://")
	if !ok {
		return &storeClient{url: address, client: http.Client{Timeout: time.Minute}}
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
	return &storeClient{url: "http://store", client: http.Client{Transport: &http.Transport{DialContext: dial}, Timeout: time.Minute}}
}

func (c *storeClient) read(ctx context.Context) (map[string]json.RawMessage, error) {
	return c.do(ctx, http.MethodGet, nil)
}

func (c *storeClient) write(ctx context.Context, objects map[string]json.RawMessage) error {
	data, err := json.Marshal(objects)
	if err != nil {
		return err
	}
	_, err = c.do(ctx, http.MethodPut, strings.NewReader(string(data)))
	return err
}

func (c *storeClient) do(ctx context.Context, method string, body io.Reader) (map[string]json.RawMessage, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.url, body)
	if err != nil {
		return nil, err
	}
	response, err := c.client.Do(request)
	if err != nil {
		return nil, err
	}
	objects := map[string]json.RawMessage{}
	err = json.NewDecoder(response.Body).Decode(&objects)
	return objects, errors.Join(err, response.Body.Close())
}
