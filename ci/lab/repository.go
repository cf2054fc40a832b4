// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"net/http"
	"time"

	"github.com/go-git/go-billy/v5/memfs"
	"github.com/go-git/go-billy/v5/util"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/server"
	gitmemory "github.com/go-git/go-git/v5/storage/memory"
)

// A Repository is a git repository in memory, served over HTTP as git-http-backend(1)
// does.
type Repository struct {
	transport transport.Transport
	endpoint  *transport.Endpoint
}

// NewRepository makes a repository with one commit of one file.
func NewRepository(name, content string) (*Repository, error) {
	objects, files := gitmemory.NewStorage(), memfs.New()
	r, err := git.Init(objects, files)
	if err != nil {
		return nil, err
	}
	if err := util.WriteFile(files, name, []byte(content), 0o644); err != nil {
		return nil, err
	}
	tree, err := r.Worktree()
	if err != nil {
		return nil, err
	}
	if _, err := tree.Add(name); err != nil {
		return nil, err
	}
	author := &object.Signature{Name: "acceptance", Email: "acceptance@example.org", When: time.Unix(1, 0)}
	if _, err := tree.Commit("one file", &git.CommitOptions{Author: author}); err != nil {
		return nil, err
	}
	endpoint, err := transport.NewEndpoint("/site.git")
	if err != nil {
		return nil, err
	}
	return &Repository{server.NewServer(server.MapLoader{endpoint.String(): objects}), endpoint}, nil
}

// Register makes mux serve the repository below a path.
func (r *Repository) Register(mux *http.ServeMux, path string) {
	mux.HandleFunc("GET "+path+"/info/refs", func(w http.ResponseWriter, q *http.Request) { r.answer(w, r.advertise(w, q)) })
	mux.HandleFunc("POST "+path+"/git-upload-pack", func(w http.ResponseWriter, q *http.Request) { r.answer(w, r.upload(w, q)) })
}

func (r *Repository) answer(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func (r *Repository) advertise(w http.ResponseWriter, q *http.Request) error {
	if service := q.URL.Query().Get("service"); service != transport.UploadPackServiceName {
		return fmt.Errorf("the service %q is not there", service)
	}
	session, err := r.transport.NewUploadPackSession(r.endpoint, nil)
	if err != nil {
		return err
	}
	refs, err := session.AdvertisedReferencesContext(q.Context())
	if err != nil {
		return err
	}
	refs.Prefix = [][]byte{[]byte("# service=" + transport.UploadPackServiceName), pktline.Flush}
	w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
	return refs.Encode(w)
}

func (r *Repository) upload(w http.ResponseWriter, q *http.Request) error {
	session, err := r.transport.NewUploadPackSession(r.endpoint, nil)
	if err != nil {
		return err
	}
	asked := packp.NewUploadPackRequest()
	if err := asked.Decode(q.Body); err != nil {
		return err
	}
	pack, err := session.UploadPack(q.Context(), asked)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
	return pack.Encode(w)
}
