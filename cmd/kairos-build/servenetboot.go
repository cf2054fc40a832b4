// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/factory"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/netserve"
	"github.com/kairos-build/kairos-build/framework/commandline"
)

// ipxeFile is where the Debian package ipxe has the program for a BIOS. It is GPL-2.0, and
// so no part of this program.
const ipxeFile = "/usr/lib/ipxe/undionly.kpxe"

func newServeNetboot() *cobra.Command {
	var o factory.NetbootOptions
	var s netserve.Options
	var talk talkFlags
	var ipxe string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "serve-netboot IMAGE",
		Short: "Let the machines of a network boot an image",
		Long: `Answers machines that boot from the network: with proxy DHCP, next to the DHCP server
that the network has and that stays as it is, with TFTP and with HTTP. It serves BIOS,
UEFI, UEFI HTTP boot, and Secure Boot through the distribution's shim and GRUB. It shows
what each machine loads, and ends with Ctrl-C.

IMAGE is what "kairos-build netboot" takes, or a folder that it wrote. The ports 67, 69
and 4011 (UDP) and 80 (TCP) need root, or capabilities that the message names.

With --install, each machine installs the image on its disk, which is ERASED, and is not
answered again: it then starts from its disk.`,
		Example: `  kairos-build serve-netboot out/debian-13 --cloud-config site.yaml
  kairos-build serve-netboot out/debian-13 --listen 192.0.2.1:8080 --cloud-config site.yaml
  kairos-build serve-netboot out/debian-13 --interface eth1 --cloud-config site.yaml --install`,
		Args: commandline.Args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if _, o.State, err = new(engineFlags).options(); err != nil {
				return err
			}
			if s.BIOS, err = readIPXE(ipxe, cmd.Flags().Changed("ipxe")); err != nil {
				return err
			}
			t, err := talk.open(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			o.Image, o.Progress, o.Log = args[0], t, t.log
			s.Log, s.Once = t.log, o.Install
			if asJSON {
				lines := netserve.NewLines(cmd.OutOrStdout(), time.Now) //nolint:forbidigo // when something happened
				s.Observer = lines
				return t.close(errors.Join(serveNetboot(cmd, o, s), lines.Err()))
			}
			s.Observer = netserve.NewSteps(t)
			return t.close(serveNetboot(cmd, o, s))
		},
	}
	flags := cmd.Flags()
	netbootFlags(flags, &o)
	flags.StringVar(&s.Listen, "listen", "", "`ADDR[:PORT]` of this host that the machines reach, with the port of HTTP (default: the only address, port 80)")
	flags.StringVar(&s.Interface, "interface", "", "network interface to serve on (default: that of the address)")
	flags.StringVar(&ipxe, "ipxe", ipxeFile, "undionly.kpxe of iPXE, a `file`, for machines with a BIOS")
	flags.BoolVar(&s.BesideOthers, "beside-pxe", false, "serve although another server answers machines that boot from the network")
	flags.BoolVar(&asJSON, "json", false, "print an event a line as JSON on stdout")
	talk.add(flags)
	return cmd
}

// readIPXE reads the program for a BIOS. Without it, most machines can still be served.
func readIPXE(path string, asked bool) ([]byte, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !asked {
		return nil, nil
	}
	if err != nil {
		return nil, commandline.UsageError{Err: fmt.Errorf("--ipxe: %w", err)}
	}
	return data, nil
}

func serveNetboot(cmd *cobra.Command, o factory.NetbootOptions, s netserve.Options) (err error) {
	boot, closeFiles, err := factory.OpenNetboot(cmd.Context(), o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeFiles()) }()
	s.Boot = boot
	server, err := netserve.Open(cmd.Context(), s)
	if err != nil {
		return err
	}
	if err := server.Serve(cmd.Context()); err != nil {
		return err
	}
	o.Progress.Step(fmt.Sprintf("ended; %d boots were served", server.Boots())).Done(false, nil)
	return nil
}
