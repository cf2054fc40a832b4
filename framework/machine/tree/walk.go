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

// A trail is a walked path: the open directories, and the names that are not
// walked. That is one name, or more if directories are missing. It must be closed.
type trail struct {
	r    Root
	dirs []*Dir // open: the root directory and each directory on the way
	rest []string
}

func (p *trail) dir() *Dir { return p.dirs[len(p.dirs)-1] }

// name is the last part of the path, relative to dir if no directory is missing.
func (p *trail) name() string {
	if len(p.rest) == 0 {
		return "."
	}
	return p.rest[len(p.rest)-1]
}

// real is the path, without links, as seen inside the root.
func (p *trail) real() string { return path.Join(append([]string{p.dir().path}, p.rest...)...) }

// missing returns an error if directories above the last part do not exist.
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

// make makes the missing directories, with mode 0755 and the owner of the nearest
// existing directory.
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

// find walks to a path. With follow, it follows a link in the last place too.
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

// parts splits a path or the target of a link.
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
		case len(p.rest) > 0: // below a missing directory
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

// up removes the last name. The parent of the root directory is itself.
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

// enter enters the directory name, or returns the target if name is a link. It does
// not enter the last name of a path.
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

// trustedLink returns the target of the link name, if the package's rule allows it
// to be followed. It reads owner and target from one open link.
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

// trust returns an error if the rule for links forbids to follow the link name.
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

// changers names the user or group, other than root, that can rename and remove
// root's files in a directory, or returns nothing. In a sticky directory only its
// owner can.
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

// Fixed returns the host path of path, for code that needs one. It follows links in
// the parents, but not in the last part. It is an error if any user but root can
// change a directory on the way, because the path could then lead elsewhere at its
// use. Missing parts stay as they are.
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
