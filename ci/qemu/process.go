// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// A process is one running QEMU and our ends of its two sockets. It cannot outlive this
// process: the kernel kills it when this one dies.
type process struct {
	console, qmp net.Conn
	stderr       *tailWriter
	pid          int
	done         chan struct{} // closed when the process is gone
	state        string        // how it ended; set before done is closed
}

// An inheritance has the open files that QEMU gets beside its sockets. It gets no file that
// is nil.
type inheritance struct {
	incoming *os.File // at incomingFD
	tap      *os.File // at tapFD
	tpm      *os.File // at tpmFD
}

// spawn starts a program that finds its ends of the sockets at consoleFD and qmpFD. Sockets
// without a name need no directory, have no race between listening and connecting, and no
// limit on a path's length.
func spawn(program string, args []string, with inheritance) (*process, error) {
	p := &process{stderr: &tailWriter{limit: stderrTail}, done: make(chan struct{})}
	var theirs [2]*os.File
	var err error
	for i, ours := range []*net.Conn{&p.console, &p.qmp} {
		if *ours, theirs[i], err = socketPair(); err != nil {
			p.closeSockets()
			return nil, err
		}
		defer theirs[i].Close() // the child has its own
	}
	cmd := exec.Command(program, args...) //nolint:forbidigo // Close and Pdeathsig end it, after its log was read
	cmd.Stderr, cmd.Stdout = p.stderr, p.stderr
	cmd.ExtraFiles = append(theirs[:], with.incoming, with.tap, with.tpm) // the number of a nil file stays closed
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := p.run(cmd); err != nil {
		p.closeSockets()
		return nil, fmt.Errorf("starting %s: %w", program, err)
	}
	return p, nil
}

// run starts cmd and watches it from one locked thread: the signal on the parent's death
// (PR_SET_PDEATHSIG) comes when the starting thread ends, not when the whole parent does.
func (p *process) run(cmd *exec.Cmd) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			p.pid = cmd.Process.Pid
		}
		started <- err
		if err != nil {
			return
		}
		p.state = "exit status 0"
		if err := cmd.Wait(); err != nil {
			p.state = err.Error()
		}
		close(p.done)
	}()
	return <-started
}

// kill ends the process as a power cut would end a machine, and waits for it.
func (p *process) kill() {
	select {
	case <-p.done:
		return
	default:
	}
	// No wait for this child has ended yet, so the PID is still its own.
	_ = syscall.Kill(p.pid, syscall.SIGKILL)
	<-p.done
}

func (p *process) closeSockets() {
	for _, c := range []net.Conn{p.console, p.qmp} {
		if c != nil {
			c.Close() // nothing is buffered
		}
	}
}

func socketPair() (net.Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("making a socket pair for QEMU: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs")
	defer ours.Close() // FileConn has a duplicate
	conn, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, fmt.Errorf("making a socket pair for QEMU: %w", err)
	}
	return conn, theirs, nil
}

// stderrTail is how much of QEMU's output an error quotes, in bytes.
const stderrTail = 4 << 10

// A tailWriter keeps the last limit bytes that were written, and can watch for a text.
type tailWriter struct {
	limit int
	mu    sync.Mutex
	buf   []byte
	watch string
	seen  func()
}

func (t *tailWriter) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if t.seen != nil && strings.Contains(string(t.buf), t.watch) {
		go t.seen()
		t.seen = nil
	}
	t.buf = t.buf[max(0, len(t.buf)-t.limit):]
	return len(p), nil
}

func (t *tailWriter) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}

// when calls f, in a goroutine, once text has been written.
func (t *tailWriter) when(text string, f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.watch, t.seen = text, f
}
