// SPDX-License-Identifier: Apache-2.0

// Package netserve lets machines boot from the network, next to the DHCP server that the
// network has. It answers on four ports of one interface:
//
//	UDP 67    proxy DHCP: what to boot, for machines that say that they boot from the
//	          network (PXE 2.1, UEFI 2.10 24.7). It gives no address to anybody.
//	UDP 4011  the same, for firmware that asks again
//	UDP 69    TFTP, read-only, with blksize and tsize (RFC 1350, 2348, 2349)
//	TCP 80    HTTP, read-only, with ranges; another port if asked
//
// It hears, too, what other servers tell machines, and says when one of them answers
// machines that boot from the network.
//
// # Neighbours
//
// Whoever is in the network can send anything. A packet that is not understood is ignored.
// The number of machines, connections and transfers is bounded, and so is what each may
// send. There is no path to a file but the names of the files that are served.
package netserve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sync/errgroup"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/netboot"
)

// Options say what is served, and where.
type Options struct {
	Boot *netboot.Boot
	// Listen is ADDR, ADDR:PORT or :PORT; Interface is a name. Where both are empty, this
	// host must have just one address that machines can reach. The port is that of HTTP;
	// default 80.
	Listen, Interface string
	// BIOS is undionly.kpxe of iPXE, for machines with a BIOS whose network card has no
	// iPXE; nil: such machines are told that they are not served.
	BIOS []byte
	// Once serves each machine one boot: the next time it starts from its disk.
	Once bool
	// BesideOthers serves although another server answers machines, too.
	BesideOthers bool
	Observer     Observer
	Log          *slog.Logger
}

// A Server is open, and not yet serving.
type Server struct {
	answerer
	nic      string
	sockets  *sockets
	listener net.PacketConn // nil without the right to a raw socket
	machines *machines
	shelf    *shelf
}

// Open checks everything, looks for other servers for probeTime, and opens the ports. An
// error says what to do; those that other flags avoid are ErrBadInput.
func Open(ctx context.Context, o Options) (_ *Server, err error) {
	have, err := hostNICs()
	if err != nil {
		return nil, err
	}
	p, nic, err := choose(o.Listen, o.Interface, have)
	if err != nil {
		return nil, err
	}
	s := &Server{nic: nic, answerer: answerer{place: p, arch: o.Boot.Architecture, bios: o.BIOS != nil, uefi: o.Boot.UEFI()}}
	s.machines = newMachines(o.Observer, time.Now, append([]string{netboot.Kernel}, o.Boot.Initrds()...), o.Once) //nolint:forbidigo // when a machine asked
	s.shelf = &shelf{files: shelfFiles(o, p), to: s.machines, log: o.Log}
	if s.sockets, err = openSockets(ctx, p, nic); err != nil {
		return nil, err
	}
	if err := s.lookForOthers(ctx, o.BesideOthers); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// shelfFiles are the files of the boot, with scripts that name this server.
func shelfFiles(o Options, p place) map[string]netboot.File {
	files := map[string]netboot.File{}
	for _, f := range o.Boot.Files {
		files[f.Path] = f
	}
	for name, data := range map[string][]byte{
		netboot.Script:     o.Boot.IPXE(p.url("")),
		netboot.GRUBConfig: o.Boot.GRUBConfig("http," + p.host()),
		biosProgram:        o.BIOS,
	} {
		if data != nil {
			files[name] = netboot.InMemory(name, data)
		}
	}
	return files
}

// lookForOthers refuses to serve where another server answers machines that boot from the
// network: it is a matter of luck which of the two a machine follows.
func (s *Server) lookForOthers(ctx context.Context, allowed bool) error {
	card, err := net.InterfaceByName(s.nic)
	if err != nil {
		return err
	}
	if s.listener, err = openListener(s.nic); err != nil {
		s.machines.warn("another server for the network boot would not be noticed: %v; that needs the capability CAP_NET_RAW", err)
		return nil
	}
	found, ok, err := probe(ctx, s.listener, card.HardwareAddr, s.addr, probeTime)
	switch {
	case err != nil || !ok:
		return err
	case allowed:
		s.machines.warn("%v: %v; a machine may follow either", ErrOther, found)
		return nil
	}
	return fmt.Errorf("%w on %s: %v. A machine may follow either. Remove the boot file there (options 66, 67 and next-server of its DHCP configuration), or serve all the same with --beside-pxe", ErrOther, s.nic, found)
}

// tellReady tells the observer where machines find the server, and which it cannot serve.
func (s *Server) tellReady() {
	for _, what := range s.missing() {
		s.machines.warn("not served: %s", what)
	}
	s.machines.to.Event(Event{Kind: Serving, Text: fmt.Sprintf("%s on %s, http://%s/", s.addr, s.nic, s.host())})
}

// missing says in words which machines cannot be served, and what would help; nil: none.
func (s *Server) missing() []string {
	var list []string
	if !s.bios && s.arch == "amd64" {
		list = append(list, "machines with a BIOS whose network card has no iPXE: install the Debian package ipxe on this host")
	}
	if !s.uefi {
		list = append(list, "machines with UEFI, unless iPXE is in their network card: the image has no network GRUB, so build it anew")
	}
	return list
}

// Boots is how many boots were served.
func (s *Server) Boots() int { return s.machines.boots() }

// Close closes the ports. Serve does so, too.
func (s *Server) Close() error {
	err := s.sockets.close()
	if s.listener != nil {
		err = errors.Join(err, s.listener.Close())
	}
	return err
}

// Serve serves until the context ends; that is no error.
func (s *Server) Serve(ctx context.Context) error {
	s.tellReady()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.answerAll(ctx, s.sockets.dhcp, s.offer) })
	group.Go(func() error { return s.answerAll(ctx, s.sockets.pxe, s.acknowledge) })
	group.Go(func() error { return s.serveTFTP(ctx) })
	group.Go(func() error { return s.serveHTTP(ctx) })
	if s.listener != nil {
		group.Go(func() error { return s.watch(ctx) })
	}
	return errors.Join(group.Wait(), s.Close())
}

// answerAll answers the packets of one socket until the context ends. An interface that is
// down for a while does not end it.
func (s *Server) answerAll(ctx context.Context, conn net.PacketConn, answer func(request) answer) error {
	return s.keepListening(ctx, conn, func(data []byte, from netip.AddrPort) {
		s.answerOne(ctx, conn, data, from, answer)
	})
}

// keepListening passes packets to use until the context ends. It says each trouble with the
// network once, and goes on.
func (s *Server) keepListening(ctx context.Context, conn net.PacketConn, use func(data []byte, from netip.AddrPort)) error {
	told := ""
	for ctx.Err() == nil {
		err := listen(ctx, conn, func(data []byte, from netip.AddrPort) bool {
			use(data, from)
			return true
		})
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		if err != nil && err.Error() != told {
			told = err.Error()
			s.machines.warn("waiting for packets on %s: %v; it goes on when that is over", s.nic, err)
		}
		pause(ctx, time.Second)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// answerOne answers one packet. A panic of a parser must not end the server.
func (s *Server) answerOne(ctx context.Context, conn net.PacketConn, data []byte, from netip.AddrPort, answer func(request) answer) {
	defer func() {
		if bug := recover(); bug != nil {
			s.machines.warn("BUG: a packet of %d bytes from %s: %v", len(data), from, bug)
		}
	}()
	r, ok := parse(data)
	if !ok {
		return
	}
	s.machines.seen(r.mac, r.addr)
	if s.machines.done(r) {
		return
	}
	a := answer(r)
	if a.packet == nil && a.why == "" {
		return
	}
	s.machines.answered(r, a)
	if a.packet == nil {
		return
	}
	if err := s.send(conn, a, to(r, from)); err != nil && ctx.Err() == nil {
		s.machines.warn("answering %s: %v", r.mac, err)
	}
}

// to is where an answer goes: to the relay that sent the request; to the port that a machine
// with an address asked from; else to all.
func to(r request, from netip.AddrPort) netip.AddrPort {
	if relay, ok := netip.AddrFromSlice(r.packet.GatewayIPAddr.To4()); ok && !relay.IsUnspecified() {
		return netip.AddrPortFrom(relay, portDHCP)
	}
	if from.IsValid() && !from.Addr().IsUnspecified() {
		return from
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), portClient)
}

// send sends an answer from the address that the machine was told.
func (s *Server) send(conn net.PacketConn, a answer, to netip.AddrPort) error {
	_, err := ipv4.NewPacketConn(conn).WriteTo(a.packet.ToBytes(), &ipv4.ControlMessage{Src: s.addr.AsSlice()}, net.UDPAddrFromAddrPort(to))
	return err
}

func (s *Server) serveTFTP(ctx context.Context) error {
	server := s.shelf.tftpServer()
	stop := context.AfterFunc(ctx, func() {
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		shutdown(limit, server)
	})
	defer stop()
	return server.Serve(s.sockets.tftp)
}

func (s *Server) serveHTTP(ctx context.Context) error {
	server := s.shelf.httpServer()
	server.BaseContext = func(net.Listener) context.Context { return ctx }
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(limit(s.sockets.http, maxConnections)); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving HTTP: %w", err)
	}
	return nil
}

// watch tells once of each other server that answers a machine.
func (s *Server) watch(ctx context.Context) error {
	told := map[netip.Addr]bool{}
	return s.keepListening(ctx, s.listener, func(data []byte, from netip.AddrPort) {
		if r, ok := rivalOf(data, from.Addr(), s.addr); ok && !told[r.server] && len(told) < maxMachines {
			told[r.server] = true
			s.machines.warn("%v: %v; a machine may follow either", ErrOther, r)
		}
	})
}
