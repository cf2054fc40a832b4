// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"
)

// A Frozen is a stopped machine: its memory, its devices and its disks at that moment, in
// files. Any number of machines can fork it, each with its own copies: see Fork. The
// guest's programs go on as if nothing had happened. Its clocks, also the real-time
// clock, stand still meanwhile, and its network connections are cut.
//
// In emulation a fork takes seconds, a boot a minute.
type Frozen struct {
	machine
	state string // the file that QEMU migrated into
}

// migrationPoll is the time between two queries of a migration. A migration takes about a
// second for each GiB of the guest's memory in use.
const migrationPoll = 50 * time.Millisecond

// Freeze stops the guest, writes its state to Config.Dir, and ends QEMU. The machine
// cannot start again. Close removes its files, and the frozen state with them, unless
// Config.Dir was set.
func (v *VM) Freeze(ctx context.Context) (*Frozen, error) {
	if v.WriteLog != "" {
		return nil, errors.New("freezing a machine whose writes are logged: QEMU cannot take that up again")
	}
	f := &Frozen{v.machine, filepath.Join(v.Dir, "state")}
	if err := v.Pause(ctx); err != nil {
		return nil, err
	}
	if err := v.saveState(ctx, f.state); err != nil {
		return nil, v.explain(fmt.Errorf("freezing the virtual machine: %w", err), v.process())
	}
	return f, v.end()
}

// saveState lets QEMU migrate into a socket, and saves the stream to a file.
func (v *VM) saveState(ctx context.Context, path string) error {
	socket := filepath.Join(v.Dir, "migration")
	listener, err := new(net.ListenConfig).Listen(ctx, "unix", socket)
	if err != nil {
		return err
	}
	received := make(chan error, 1)
	go func() { received <- receive(listener, path) }()
	err = v.migrate(ctx, socket)
	if err != nil {
		err = errors.Join(err, listener.Close()) // QEMU may not have connected
	}
	return errors.Join(err, <-received)
}

func (v *VM) migrate(ctx context.Context, socket string) error {
	qmp := v.QMP()
	const unlimited = 1 << 40 // bytes a second; the default is 128 MiB
	if err := qmp.Do(ctx, "migrate-set-parameters", map[string]int64{"max-bandwidth": unlimited}, nil); err != nil {
		return err
	}
	if err := qmp.Do(ctx, "migrate", map[string]string{"uri": "unix:" + socket}, nil); err != nil {
		return err
	}
	return qmp.migrated(ctx)
}

// receive writes the data of the first connection to a file.
func receive(listener net.Listener, path string) (err error) {
	conn, err := listener.Accept()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(), listener.Close()) }()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, conn)
	return errors.Join(err, f.Close())
}

// migrated waits for the end of a migration, in either direction.
func (q *QMP) migrated(ctx context.Context) error {
	for {
		var m struct {
			Status string `json:"status"`
			Error  string `json:"error-desc"`
		}
		if err := q.Do(ctx, "query-migrate", nil, &m); err != nil {
			return err
		}
		switch m.Status {
		case "completed":
			return nil
		case "failed", "cancelled":
			return fmt.Errorf("QEMU's migration %s: %s", m.Status, m.Error)
		}
		select {
		case <-time.After(migrationPoll):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// A Fork says how a forked machine differs from the frozen one. The zero value is the
// same machine in a temporary directory.
type Fork struct {
	Dir        string  // as in Config
	ConsoleLog string  // as in Config; begins where the frozen machine's ends
	Faults     []Fault // as in Config
}

// Fork makes a machine that continues where f was frozen, with its own files.
func (f *Frozen) Fork(ctx context.Context, as Fork) (*VM, error) {
	c := f.Config
	c.Dir, c.ConsoleLog, c.Faults = as.Dir, as.ConsoleLog, as.Faults
	v := &VM{machine: machine{Config: c.withDefaults(), firmware: f.firmware}}
	if err := v.copyFiles(f); err != nil {
		return nil, errors.Join(fmt.Errorf("copying a frozen machine: %w", err), v.removeFiles())
	}
	if err := v.takeUp(ctx, f.state); err != nil {
		return nil, errors.Join(fmt.Errorf("taking up a frozen machine: %w", err), v.removeFiles())
	}
	v.stop = context.AfterFunc(ctx, v.Kill)
	return v, nil
}

// copyFiles gives the machine copies of all files of f that QEMU writes to.
func (v *VM) copyFiles(f *Frozen) error {
	if err := v.makeDir(); err != nil {
		return err
	}
	if v.Boot != BIOS {
		v.firmware.Vars.Path = filepath.Join(v.Dir, filepath.Base(f.firmware.Vars.Path))
		if err := copyIfMissing(v.firmware.Vars.Path, f.firmware.Vars.Path); err != nil {
			return err
		}
	}
	for _, disk := range f.disks {
		mine := filepath.Join(v.Dir, filepath.Base(disk))
		if err := copyIfMissing(mine, disk); err != nil {
			return err
		}
		v.disks = append(v.disks, mine)
	}
	return v.openLog()
}

// takeUp starts a QEMU that reads the state, and resumes the guest.
func (v *VM) takeUp(ctx context.Context, state string) (err error) {
	in, err := os.Open(state)
	if err != nil {
		return err
	}
	defer in.Close() // read only
	if err := v.launch(ctx, in); err != nil {
		return err
	}
	if err := v.QMP().migrated(ctx); err != nil {
		return errors.Join(v.explain(err, v.process()), v.end())
	}
	// Resume only now: QEMU forgets a "cont" that comes while it reads the state.
	if err := v.Resume(ctx); err != nil {
		return errors.Join(err, v.end())
	}
	return nil
}
