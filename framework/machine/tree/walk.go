// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const maxLinks = 40 // as the kernel, see path_resolution(7)

// A trail is where a path leads: an open directory, and the names below it
// that are not walked. That is one name, or more when directories are missing.
// It has to be closed.
type trail struct {
	r    Root
	dirs []*Dir // open: the root directory, and each on the way
	rest []string
}

func (p *trail) dir() *Dir { return p.dirs[len(p.dirs)-1] }

// name is the last part of the path, seen from dir when none is missing.
func (p *trail) name() string {
	if len(p.rest) == 0 {
		return "."
	}
	return p.rest[len(p.rest)-1]
}

// real is the path, without links, as seen inside the root.
func (p *trail) real() string { return path.Join(append([]string{p.dir().path}, p.rest...)...) }

// missing is an error when directories above the last part do not exist.
func (p *trail) missing() error {
	if len(p.rest) > 1 {
		return &fs.PathError{Op: "open", Path: path.Join(p.dir().path, p.rest[0]), Err: unix.ENOENT}
	}
	return nil
}

func (p *trail) close() {
	for _, d := range p.dirs {
		d.Close()
	}
}

// make makes the directories that are missing, with mode 0755 and the owner of
// the nearest one that exists.
func (p *trail) make() error {
	for len(p.rest) > 1 {
		next, err := p.dir().makeLikeParent(p.rest[0])
		if err != nil {
			return err
		}
		p.dirs, p.rest = append(p.dirs, next), p.rest[1:]
	}
	return nil
}

// find walks to path; follow: a link in the last place is followed too.
func (r Root) find(name string, follow bool) (*trail, error) {
	top, err := openDir(unix.AT_FDCWD, r.Dir)
	if err != nil {
		return nil, err
	}
	p := &trail{r: r, dirs: []*Dir{{r: r, f: top, path: "/"}}}
	if err := p.walk(name, follow); err != nil {
		p.close()
		return nil, inside(name, err)
	}
	return p, nil
}

// parts are those of a path or of a link's target.
func parts(text string) []string {
	return slices.DeleteFunc(strings.Split(text, "/"), func(part string) bool { return part == "" || part == "." })
}

func (p *trail) walk(name string, follow bool) error {
	todo, links := parts(path.Clean("/"+name)), 0
	for len(todo) > 0 {
		part := todo[0]
		todo = todo[1:]
		switch {
		case part == "..":
			p.up()
			continue
		case len(p.rest) > 0: // below what is not there
			p.rest = append(p.rest, part)
			continue
		}
		target, err := p.enter(part, len(todo) == 0, follow)
		if err != nil {
			return err
		}
		if target == "" {
			continue
		}
		if links++; links > maxLinks {
			return &fs.PathError{Op: "resolve", Path: name, Err: syscall.ELOOP}
		}
		if strings.HasPrefix(target, "/") {
			p.top()
		}
		todo = append(parts(target), todo...)
	}
	return nil
}

// up leaves the last name. Above the root directory is the root directory.
func (p *trail) up() {
	switch {
	case len(p.rest) > 0:
		p.rest = p.rest[:len(p.rest)-1]
	case len(p.dirs) > 1:
		p.dir().Close()
		p.dirs = p.dirs[:len(p.dirs)-1]
	}
}

func (p *trail) top() {
	for len(p.dirs) > 1 {
		p.up()
	}
}

// enter goes into the directory name, and returns the target of a link instead.
// The last name is not gone into.
func (p *trail) enter(name string, last, follow bool) (target string, err error) {
	if !last {
		next, err := p.dir().Open(name)
		if err == nil {
			p.dirs = append(p.dirs, next)
			return "", nil
		}
		if errors.Is(err, fs.ErrNotExist) {
			p.rest = []string{name}
			return "", nil
		}
		if !errors.Is(err, unix.ENOTDIR) && !errors.Is(err, unix.ELOOP) {
			return "", err
		}
	} else if !follow {
		p.rest = []string{name}
		return "", nil
	}
	target, err = p.dir().trustedLink(name)
	switch {
	case last && (errors.Is(err, errNoLink) || errors.Is(err, fs.ErrNotExist)):
		p.rest = []string{name}
		return "", nil
	case errors.Is(err, errNoLink):
		return "", &fs.PathError{Op: "open", Path: path.Join(p.dir().path, name), Err: unix.ENOTDIR}
	}
	return target, err
}

var errNoLink = errors.New("not a symbolic link")

// trustedLink is where the link name leads to, if the link may be followed: see
// the package comment. Owner and target are read from one open link.
func (d *Dir) trustedLink(name string) (target string, err error) {
	f, err := openPath(d.fd(), name)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if info.Mode()&fs.ModeSymlink == 0 {
		return "", errNoLink
	}
	if err := d.trust(name, d.r.Info(info)); err != nil {
		return "", err
	}
	return readlink(int(f.Fd()), "", path.Join(d.path, name))
}

// trust is the rule for links.
func (d *Dir) trust(name string, link fs.FileInfo) error {
	if d.r.trustsAll() {
		return nil
	}
	where := path.Join(d.path, name)
	if uid, _ := Owner(link); uid != 0 {
		return fmt.Errorf("%s is a symbolic link of user %d: only root's are followed", where, uid)
	}
	info, err := d.Stat()
	if err != nil {
		return err
	}
	if who := changers(info, info.Mode()&fs.ModeSticky != 0); who != "" {
		return fmt.Errorf("%s is a symbolic link in a directory that %s can change, and so the link be moved: it is not followed; name the path that it leads to", where, who)
	}
	return nil
}

// changers says who besides root can rename and remove what root has in a
// directory, or nothing. In a sticky one others cannot.
func changers(dir fs.FileInfo, sticky bool) string {
	uid, gid := Owner(dir)
	switch mode := dir.Mode(); {
	case uid != 0:
		return fmt.Sprintf("user %d", uid)
	case sticky:
		return ""
	case mode&0o002 != 0:
		return "every user"
	case mode&0o020 != 0 && gid != 0:
		return fmt.Sprintf("group %d", gid)
	}
	return ""
}

// Fixed returns the host path of path, for what needs one: links in its parents
// are followed, the last part is not. It is refused when somebody but root can
// change the way there, because it could then lead elsewhere when it is used.
// Parts that do not exist are taken as they are.
func (r Root) Fixed(path string) (string, error) {
	p, err := r.find(path, false)
	if err != nil {
		return "", err
	}
	defer p.close()
	return p.fixed()
}

func (p *trail) fixed() (string, error) {
	for _, d := range p.dirs {
		info, err := d.Stat()
		if err != nil {
			return "", err
		}
		if who := changers(info, false); who != "" && !p.r.trustsAll() {
			return "", fmt.Errorf("%s is in a directory that %s can change (%s): it is not used", p.real(), who, d.path)
		}
	}
	return path.Join(p.r.Dir, p.real()), nil
}
