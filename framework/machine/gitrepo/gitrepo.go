// SPDX-License-Identifier: Apache-2.0

// Package gitrepo makes a directory the work tree of a branch of a repository. It
// clones beside the directory and renames; it refuses a directory with any other
// content. When the branch has moved, it updates the files of the branch; other
// files in the directory stay.
//
// A work tree may lie below a directory of a user. So the package reaches it by an
// open directory (framework/machine/tree), accesses files through os.Root, and does
// not use a repository that does not belong to root.
//
// It uses a library because no image of ours has the program git, which depends on
// Perl. go-git makes the agent 4 MB larger (13.4 to 17.4 MB) and its start 3 ms
// slower (11 to 14 ms), measured with v5.16.4 on amd64.
package gitrepo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/go-git/go-billy/v5"
	"github.com/go-git/go-billy/v5/helper/chroot"
	"github.com/go-git/go-git/v5"
	gitconfig "github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/client"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	gitssh "github.com/go-git/go-git/v5/plumbing/transport/ssh"
	"github.com/go-git/go-git/v5/storage/filesystem"
	"golang.org/x/crypto/ssh"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/fetch"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

const remote = "origin"

// overHTTP makes go-git use our HTTP client and its rules. go-git has one list of
// protocols for the whole program.
var overHTTP = sync.OnceFunc(func() {
	ours := githttp.NewClient(fetch.Client(http.DefaultTransport))
	client.InstallProtocol("http", ours)
	client.InstallProtocol("https", ours)
})

// said is an error of go-git with the URL shortened: it may hold a secret.
func said(g config.Git, err error) string {
	address := g.URL.Text
	return strings.ReplaceAll(fetch.Reason(err).Error(), address, fetch.Shown(address))
}

// Checkout makes name in the directory parent the work tree of g. It returns
// whether anything changed.
func Checkout(ctx context.Context, g config.Git, parent *tree.Dir, name string) (changed bool, err error) {
	overHTTP()
	auth, err := authOf(g)
	if err != nil {
		return false, err
	}
	dir, err := parent.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return true, clone(ctx, g, auth, parent, name)
	}
	if err != nil {
		return false, err
	}
	defer dir.Close()
	entries, err := dir.List()
	switch {
	case err == nil && len(entries) == 0:
		return true, clone(ctx, g, auth, parent, name)
	case err != nil:
		return false, err
	}
	if err := ours(g, dir); err != nil {
		return false, err
	}
	work, done, err := workTree(dir)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, done()) }()
	repo, err := git.Open(storage(work), work)
	if err != nil {
		return false, fmt.Errorf("opening the repository in %s: %w; remove the directory to have it made anew", g.Path.Text, err)
	}
	return update(ctx, g, auth, repo)
}

// ours refuses a directory that is no repository of root, as git does: the
// configuration of a repository decides where the credentials of g are sent.
func ours(g config.Git, dir *tree.Dir) error {
	for _, name := range []string{".", git.GitDirName} {
		info, err := dir.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
			return fmt.Errorf("%s holds files and is no repository; move them away, or give another path", g.Path.Text)
		}
		if err != nil {
			return err
		}
		if uid, _ := tree.Owner(info); uid != 0 && uid != os.Geteuid() {
			return fmt.Errorf("the repository in %s belongs to user %d, who can change it: it is not used; give it to root (chown -R root %s), or remove it to have it made anew", g.Path.Text, uid, g.Path.Text)
		}
	}
	return nil
}

// workTree returns the files of a directory; done closes it.
func workTree(dir *tree.Dir) (work billy.Filesystem, done func() error, err error) {
	root, err := dir.OpenRoot()
	if err != nil {
		return nil, nil, err
	}
	return &files{root: root}, root.Close, nil
}

// storage returns the repository in a work tree.
func storage(work billy.Filesystem) *filesystem.Storage {
	return filesystem.NewStorage(chroot.New(work, "/"+git.GitDirName), cache.NewObjectLRUDefault())
}

// clone fills a directory beside name and renames it.
func clone(ctx context.Context, g config.Git, auth transport.AuthMethod, parent *tree.Dir, name string) (err error) {
	next := ".kairos-git-" + rand.Text()
	dir, err := parent.Mkdir(next, tree.File{Mode: 0o700, UID: os.Geteuid(), GID: os.Getegid()})
	if err != nil {
		return err
	}
	defer dir.Close()
	defer func() { err = errors.Join(err, parent.RemoveAll(next)) }()
	work, done, err := workTree(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	o := &git.CloneOptions{URL: g.URL.Text, Auth: auth, RemoteName: remote, SingleBranch: g.BranchOnly, InsecureSkipTLS: g.Auth.Insecure}
	if g.Branch.Text != "" {
		o.ReferenceName = plumbing.NewBranchReferenceName(g.Branch.Text)
	}
	if _, err := git.CloneContext(ctx, storage(work), work, o); err != nil {
		return fmt.Errorf("cloning %s: %s", fetch.Shown(g.URL.Text), said(g, err))
	}
	if err := dir.Own(tree.File{Mode: 0o755, UID: os.Geteuid(), GID: os.Getegid()}); err != nil {
		return err
	}
	return parent.Rename(next, name)
}

// update fetches the branch and brings the work tree to its state.
func update(ctx context.Context, g config.Git, auth transport.AuthMethod, repo *git.Repository) (changed bool, err error) {
	if err := sameRemote(g, repo); err != nil {
		return false, err
	}
	head, err := repo.Head()
	if err != nil {
		return false, fmt.Errorf("reading the branch of %s: %w", g.Path.Text, err)
	}
	branch := g.Branch.Text
	if branch == "" {
		branch = head.Name().Short()
	}
	tracking := plumbing.NewRemoteReferenceName(remote, branch)
	err = repo.FetchContext(ctx, &git.FetchOptions{
		RemoteName: remote, Auth: auth, Force: true, InsecureSkipTLS: g.Auth.Insecure,
		RefSpecs: []gitconfig.RefSpec{gitconfig.RefSpec(fmt.Sprintf("+refs/heads/%s:%s", branch, tracking))},
	})
	if err != nil && !errors.Is(err, git.NoErrAlreadyUpToDate) {
		return false, fmt.Errorf("fetching %s: %s; what is there stays", fetch.Shown(g.URL.Text), said(g, err))
	}
	want, err := repo.Reference(tracking, true)
	if err != nil {
		return false, fmt.Errorf("%s has no branch %q: %w", fetch.Shown(g.URL.Text), branch, err)
	}
	if head.Name() == plumbing.NewBranchReferenceName(branch) && head.Hash() == want.Hash() {
		return false, nil
	}
	return true, moveTo(repo, branch, want.Hash())
}

func sameRemote(g config.Git, repo *git.Repository) error {
	r, err := repo.Remote(remote)
	if err != nil {
		return fmt.Errorf("reading where the repository in %s comes from: %w", g.Path.Text, err)
	}
	if urls := r.Config().URLs; len(urls) == 0 || urls[0] != g.URL.Text {
		return fmt.Errorf("%s is a work tree of another repository%s; move it away, or give another path", g.Path.Text, named(urls))
	}
	return nil
}

// named returns the first URL in brackets, or nothing.
func named(urls []string) string {
	if len(urls) == 0 {
		return ""
	}
	return " (" + fetch.Shown(urls[0]) + ")"
}

// moveTo moves the branch to commit, and resets the files of the index and of the
// commit. A reset of everything would delete files that git does not track.
func moveTo(repo *git.Repository, branch string, commit plumbing.Hash) error {
	name := plumbing.NewBranchReferenceName(branch)
	files, err := filesOf(repo, commit)
	if err != nil {
		return err
	}
	work, err := repo.Worktree()
	if err != nil {
		return err
	}
	if err := repo.Storer.SetReference(plumbing.NewHashReference(name, commit)); err != nil {
		return err
	}
	if err := repo.Storer.SetReference(plumbing.NewSymbolicReference(plumbing.HEAD, name)); err != nil {
		return err
	}
	if len(files) == 0 {
		return nil
	}
	return work.Reset(&git.ResetOptions{Commit: commit, Mode: git.HardReset, Files: files})
}

// filesOf returns the files of the index and of a commit.
func filesOf(repo *git.Repository, commit plumbing.Hash) ([]string, error) {
	index, err := repo.Storer.Index()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range index.Entries {
		out = append(out, e.Name)
	}
	c, err := repo.CommitObject(commit)
	if err != nil {
		return nil, err
	}
	all, err := c.Files()
	if err != nil {
		return nil, err
	}
	err = all.ForEach(func(f *object.File) error {
		out = append(out, f.Name)
		return nil
	})
	return out, err
}

// authOf returns the credentials for the server; nil: none. SSH needs a key or a
// password.
func authOf(g config.Git) (transport.AuthMethod, error) {
	a := g.Auth
	endpoint, err := transport.NewEndpoint(g.URL.Text)
	if err != nil {
		return nil, fmt.Errorf("reading the URL %s: %s", fetch.Shown(g.URL.Text), said(g, err))
	}
	if endpoint.Protocol != "ssh" {
		if a.Username == "" && a.Password == "" {
			return nil, nil
		}
		return &githttp.BasicAuth{Username: a.Username, Password: a.Password}, nil
	}
	user := a.Username
	if user == "" {
		user = "git"
		if endpoint.User != "" {
			user = endpoint.User
		}
	}
	host, err := hostKeys(a)
	switch {
	case err != nil:
		return nil, err
	case a.PrivateKey != "":
		keys, err := gitssh.NewPublicKeys(user, []byte(a.PrivateKey), "")
		if err != nil {
			return nil, fmt.Errorf("reading auth.private_key: %w", err)
		}
		keys.HostKeyCallback = host
		return keys, nil
	case a.Password != "":
		return &gitssh.Password{User: user, Password: a.Password, HostKeyCallbackHelper: gitssh.HostKeyCallbackHelper{HostKeyCallback: host}}, nil
	}
	return nil, errors.New("a repository over SSH needs auth.private_key or auth.password")
}

// hostKeys returns the check of the server's host key; nil: against the node's
// known_hosts.
func hostKeys(a config.GitAuth) (ssh.HostKeyCallback, error) {
	if a.PublicKey != "" {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(a.PublicKey))
		if err != nil {
			return nil, fmt.Errorf("reading auth.public_key: %w", err)
		}
		return ssh.FixedHostKey(key), nil
	}
	if a.Insecure {
		return ssh.InsecureIgnoreHostKey(), nil // the config asks for it
	}
	return nil, nil
}
