// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// ErrNoTPM says that the program swtpm, which imitates a TPM, is missing.
var ErrNoTPM = errors.New("no swtpm in PATH, which imitates a TPM: apt-get install swtpm")

// FindTPM finds the program that imitates a TPM. If it is missing, the error is ErrNoTPM.
func FindTPM() (program string, err error) {
	if program, err = exec.LookPath("swtpm"); err != nil {
		return "", ErrNoTPM
	}
	return program, nil
}

// tpmArgs attach the TPM that startTPM has started.
func (m machine) tpmArgs() []string {
	if m.TPM == "" {
		return nil
	}
	return []string{
		"-chardev", fmt.Sprintf("socket,id=tpm,fd=%d", tpmFD),
		"-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", m.Host.board().tpm + ",tpmdev=tpm0",
	}
}

// startTPM starts the TPM with the state in a directory, and returns QEMU's end of the
// connection. It has to be killed after QEMU: it loses its power then, and the next one reads
// its state.
func startTPM(dir string) (*process, *os.File, error) {
	program, err := FindTPM()
	if err != nil {
		return nil, nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, err
	}
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("making a socket pair for the TPM: %w", err)
	}
	qemus, tpms := os.NewFile(uintptr(fds[0]), "qemu"), os.NewFile(uintptr(fds[1]), "tpm")
	defer tpms.Close() // the child has its own
	p := &process{stderr: &tailWriter{limit: stderrTail}, done: make(chan struct{})}
	cmd := exec.Command(program, "socket", "--tpm2", "--tpmstate", "dir="+dir, "--ctrl", fmt.Sprintf("type=unixio,clientfd=%d", consoleFD), "--terminate") //nolint:forbidigo // VM.end and Pdeathsig end it
	cmd.Stderr, cmd.Stdout = p.stderr, p.stderr
	cmd.ExtraFiles = []*os.File{tpms}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := p.run(cmd); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("starting %s: %w", program, err), qemus.Close())
	}
	return p, qemus, nil
}
