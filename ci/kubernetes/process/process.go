// SPDX-License-Identifier: Apache-2.0

// Package process runs the programs of a node: one after the other, each when the one
// before is ready. All at once they starve each other on an emulated processor.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A Program is a child process.
type Program struct {
	Name  string
	Path  string
	Args  []string
	Env   []string                    // on top of the environment of this process
	Ready func(context.Context) error // nil: it is ready when it is started
}

// A Group are the children of one service.
type Group struct {
	Output  io.Writer // of the children
	PIDs    string    // folder of their pid files; empty: none
	Respawn bool      // a child that ends is started again, as k0s does; else the service ends, as k3s does

	running []*child
	ended   chan error
}

type child struct {
	Program
	command *exec.Cmd
	done    chan struct{}
}

// Start starts a program and returns when it is ready.
func (g *Group) Start(ctx context.Context, p Program) error {
	if g.ended == nil {
		g.ended = make(chan error, 100)
	}
	c := &child{Program: p, done: make(chan struct{})}
	if err := g.spawn(c); err != nil {
		return err
	}
	g.running = append(g.running, c)
	go g.watch(ctx, c)
	return g.waitReady(ctx, p)
}

func (g *Group) spawn(c *child) error {
	c.command = exec.Command(c.Path, c.Args...) //nolint:forbidigo // Stop ends it, in the right order
	c.command.Args[0] = c.Name
	c.command.Env = append(environment(), c.Env...)
	c.command.Stdout, c.command.Stderr = g.Output, g.Output
	c.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := c.command.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", c.Name, err)
	}
	return g.writePID(c)
}

// environment is without systemd's socket: etcd would tell that the service is ready.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(text string) bool { return strings.HasPrefix(text, "NOTIFY_SOCKET=") })
}

func (g *Group) writePID(c *child) error {
	if g.PIDs == "" {
		return nil
	}
	if err := os.MkdirAll(g.PIDs, 0o755); err != nil {
		return err
	}
	return os.WriteFile(g.pidFile(c), []byte(strconv.Itoa(c.command.Process.Pid)+"\n"), 0o644)
}

func (g *Group) pidFile(c *child) string { return filepath.Join(g.PIDs, c.Name+".pid") }

// watch waits for the end of a child, again and again if it is started again.
func (g *Group) watch(ctx context.Context, c *child) {
	defer close(c.done)
	for {
		err := c.command.Wait()
		if g.PIDs != "" {
			_ = os.Remove(g.pidFile(c))
		}
		if ctx.Err() != nil {
			return
		}
		if !g.Respawn {
			g.ended <- fmt.Errorf("%s ended: %w", c.Name, orNil(err))
			return
		}
		if !sleep(ctx, 5*time.Second) {
			return
		}
		if err := g.spawn(c); err != nil {
			g.ended <- err
			return
		}
	}
}

var errStatus0 = errors.New("exit status 0")

func orNil(err error) error {
	if err == nil {
		return errStatus0
	}
	return err
}

// waitReady asks until the program is ready. Its end is an error, but for a program
// that is started again.
func (g *Group) waitReady(ctx context.Context, p Program) error {
	if p.Ready == nil {
		return nil
	}
	for {
		if p.Ready(ctx) == nil {
			return nil
		}
		select {
		case err := <-g.ended:
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// Wait waits until a program ends or the context does, and stops the others: the last
// one first. Containers are children of their shims and stay.
func (g *Group) Wait(ctx context.Context) error {
	var err error
	select {
	case err = <-g.ended:
	case <-ctx.Done():
	}
	return err
}

// Stop ends the programs, the last one first. The context of Start must have ended.
func (g *Group) Stop() {
	for _, c := range slices.Backward(g.running) {
		c.stop()
	}
}

func (c *child) stop() {
	_ = c.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.done:
	case <-time.After(20 * time.Second):
		_ = c.command.Process.Kill()
		<-c.done
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// Run runs a program to its end.
func Run(ctx context.Context, p Program, output io.Writer) error {
	command := exec.CommandContext(ctx, p.Path, p.Args...)
	command.Args[0] = p.Name
	command.Env = append(os.Environ(), p.Env...)
	command.Stdout, command.Stderr = output, output
	if err := command.Run(); err != nil {
		return fmt.Errorf("running %s: %w", p.Name, err)
	}
	return nil
}

// Exec replaces this process by a program.
func Exec(p Program) error {
	return syscall.Exec(p.Path, append([]string{p.Name}, p.Args...), append(os.Environ(), p.Env...))
}
