// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// An api stores objects under their paths.
type api struct {
	mutex sync.Mutex
	store *storeClient
}

func apiServer(ctx context.Context, args []string) error {
	identity, err := tls.LoadX509KeyPair(flag(args, "tls-cert-file"), flag(args, "tls-private-key-file"))
	if err != nil {
		return err
	}
	clients := x509.NewCertPool()
	for _, name := range []string{"client-ca-file", "requestheader-client-ca-file"} {
		data, err := os.ReadFile(flag(args, name))
		if err != nil {
			return err
		}
		clients.AppendCertsFromPEM(data)
	}
	listener, err := tls.Listen("tcp", net.JoinHostPort(flag(args, "bind-address"), flag(args, "secure-port")), &tls.Config{
		Certificates: []tls.Certificate{identity}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: clients, MinVersion: tls.VersionTLS12,
	})
	if err != nil {
		return err
	}
	a := &api{store: newStoreClient(flag(args, "etcd-servers"))}
	return serve(ctx, listener, a)
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch {
	case slices.Contains([]string{"/readyz", "/livez", "/healthz"}, r.URL.Path):
		_, _ = io.WriteString(w, "ok")
	case r.URL.Path == "/version":
		_ = json.NewEncoder(w).Encode(map[string]string{"gitVersion": os.Getenv("STANDIN_VERSION")})
	case len(r.TLS.PeerCertificates) == 0:
		fail(w, http.StatusUnauthorized, "Unauthorized")
	default:
		a.serve(w, r)
	}
}

func fail(w http.ResponseWriter, code int, message string) {
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code})
}

func (a *api) serve(w http.ResponseWriter, r *http.Request) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	objects, err := a.store.read(r.Context())
	if err != nil {
		fail(w, http.StatusInternalServerError, err.Error())
		return
	}
	name := path.Clean(r.URL.Path)
	switch r.Method {
	case http.MethodGet:
		get(w, objects, name)
	case http.MethodDelete:
		delete(objects, name)
		a.save(w, r, objects, map[string]string{"kind": "Status", "status": "Success"}, http.StatusOK)
	default:
		a.put(w, r, objects, name)
	}
}

func get(w http.ResponseWriter, objects map[string]json.RawMessage, name string) {
	if object, ok := objects[name]; ok {
		_, _ = w.Write(object)
		return
	}
	if path.Base(path.Dir(name)) != "v1" && path.Base(path.Dir(path.Dir(name))) != "namespaces" {
		fail(w, http.StatusNotFound, name+" not found")
		return
	}
	items := []json.RawMessage{}
	for _, key := range slices.Sorted(maps.Keys(objects)) {
		if path.Dir(key) == name {
			items = append(items, objects[key])
		}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"kind": "List", "apiVersion": "v1", "metadata": map[string]string{}, "items": items})
}

// put stores an object: a new one for POST, else the whole object.
func (a *api) put(w http.ResponseWriter, r *http.Request, objects map[string]json.RawMessage, name string) {
	object := map[string]any{}
	if err := json.NewDecoder(r.Body).Decode(&object); err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	metadata, _ := object["metadata"].(map[string]any)
	if metadata == nil {
		fail(w, http.StatusUnprocessableEntity, "metadata is missing")
		return
	}
	code := http.StatusOK
	if r.Method == http.MethodPost {
		name = path.Join(name, fmt.Sprint(metadata["name"]))
		code = http.StatusCreated
		if _, ok := objects[name]; ok {
			fail(w, http.StatusConflict, name+" already exists")
			return
		}
	}
	complete(metadata, name)
	data, err := json.Marshal(object)
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	objects[name] = data
	a.save(w, r, objects, object, code)
}

// complete adds what an API server adds.
func complete(metadata map[string]any, name string) {
	if metadata["uid"] != nil {
		return
	}
	sum := sha256.Sum256([]byte(name + time.Now().String()))
	metadata["uid"] = hex.EncodeToString(sum[:8])
	metadata["creationTimestamp"] = time.Now().UTC().Format(time.RFC3339)
	if parts := strings.Split(name, "/"); len(parts) > 3 && parts[len(parts)-4] == "namespaces" {
		metadata["namespace"] = parts[len(parts)-3]
	}
}

func (a *api) save(w http.ResponseWriter, r *http.Request, objects map[string]json.RawMessage, answer any, code int) {
	if err := a.store.write(r.Context(), objects); err != nil {
		fail(w, http.StatusInternalServerError, err.Error())
		return
	}
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(answer)
}
