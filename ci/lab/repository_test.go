// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-git/go-git/v5"
)

func TestRepositoryIsCloned(t *testing.T) {
	r, err := NewRepository("README", "a site\n")
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	r.Register(mux, "/site.git")
	s := httptest.NewServer(mux)
	defer s.Close()
	dir := t.TempDir()
	if _, err := git.PlainCloneContext(t.Context(), dir, false, &git.CloneOptions{URL: s.URL + "/site.git"}); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "README")); err != nil || string(got) != "a site\n" {
		t.Errorf("README: got %q and %v", got, err)
	}
}
