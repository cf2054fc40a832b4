// SPDX-License-Identifier: Apache-2.0

package netserve

import (
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// Kinds of events.
const (
	Asks    = "asks"    // a machine asks what to boot; Text is its firmware, File what it is told
	Refused = "refused" // it gets nothing; Text says why
	Fetch   = "fetch"   // it begins to fetch File
	Moves   = "moves"   // Done bytes of Total of File are sent
	Fetched = "fetched" // it has File
	Broken  = "broken"  // the transfer of File ended early; Text says why
	Boots   = "boots"   // it has the kernel and all of the initramfs
	Serving = "serving" // the server is ready, at Text
	Warning = "warning" // about the network, not about a machine: Text
)

// An Event is something that happened.
type Event struct {
	Kind    string `json:"event"`
	Machine string `json:"machine,omitempty"` // MAC, or IP address while the MAC is not known
	Text    string `json:"text,omitempty"`
	File    string `json:"file,omitempty"`
	Done    int64  `json:"done,omitempty"`  // bytes
	Total   int64  `json:"total,omitempty"` // bytes
	// Transfer is a number of its own for the events of one transfer.
	Transfer int64 `json:"transfer,omitempty"`
}

// An Observer is told what happens, one event at a time.
type Observer interface{ Event(Event) }

// maxMachines is how many machines are known at a time: a neighbour can make up any number.
const maxMachines = 4096

// quiet is how long equal events of a machine are told once. A firmware repeats its question
// up to eight times.
const quiet = 20 * time.Second

// machines know what each machine did. It is safe for concurrent use.
type machines struct {
	to     Observer
	now    func() time.Time
	needed []string // what a machine fetches before it boots
	once   bool     // a machine that booted is not answered again

	mu        sync.Mutex
	byMAC     map[string]*machine
	byAddr    map[netip.Addr]string // to the MAC
	transfers int64
	booted    int // boots so far
}

type machine struct {
	told   map[string]time.Time // when the text of an event was told
	has    map[string]bool      // the files that it fetched in this boot
	served bool                 // it booted
	last   time.Time
}

func newMachines(to Observer, now func() time.Time, needed []string, once bool) *machines {
	return &machines{to: to, now: now, needed: needed, once: once, byMAC: map[string]*machine{}, byAddr: map[netip.Addr]string{}}
}

// of returns a machine; the caller holds mu.
func (l *machines) of(name string) *machine {
	m := l.byMAC[name]
	if m == nil {
		l.makeRoom()
		m = &machine{told: map[string]time.Time{}, has: map[string]bool{}}
		l.byMAC[name] = m
	}
	m.last = l.now()
	return m
}

// makeRoom forgets the machine that was silent for the longest time. Machines that booted
// are forgotten last: they must not be installed twice.
func (l *machines) makeRoom() {
	if len(l.byMAC) < maxMachines {
		return
	}
	oldest := ""
	for name, m := range l.byMAC {
		if o := l.byMAC[oldest]; o == nil || m.before(o) {
			oldest = name
		}
	}
	delete(l.byMAC, oldest)
}

func (m *machine) before(o *machine) bool {
	if m.served != o.served {
		return !m.served
	}
	return m.last.Before(o.last)
}

// seen learns the address of a machine.
func (l *machines) seen(mac string, addr netip.Addr) {
	if !addr.IsValid() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.byAddr) >= maxMachines {
		clear(l.byAddr) // only the names in events depend on it
	}
	l.byAddr[addr] = mac
}

// answered tells an answer to a machine.
func (l *machines) answered(r request, a answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := Event{Kind: Asks, Machine: r.mac, Text: r.firmware.name, File: a.file}
	if r.ipxe {
		e.Text += " with iPXE"
	}
	if a.why != "" {
		e = Event{Kind: Refused, Machine: r.mac, Text: a.why}
	}
	l.tellOnce(l.of(r.mac), e)
}

// done reports whether a machine is served already, and must not be answered. It tells so.
func (l *machines) done(r request) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.byMAC[r.mac]
	if !l.once || m == nil || !m.served {
		return false
	}
	l.tellOnce(m, Event{Kind: Refused, Machine: r.mac, Text: "it got its installation already, and starts from its disk; to install it again, start this server again"})
	return true
}

// tellOnce tells an event unless it was told a short time ago; the caller holds mu.
func (l *machines) tellOnce(m *machine, e Event) {
	key := e.Kind + e.Text + e.File
	now := l.now()
	if now.Sub(m.told[key]) < quiet && !m.told[key].IsZero() {
		return
	}
	if len(m.told) > 32 {
		clear(m.told)
	}
	m.told[key] = now
	l.to.Event(e)
}

// warn tells something about the network.
func (l *machines) warn(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.to.Event(Event{Kind: Warning, Text: fmt.Sprintf(format, args...)})
}

// name is how a machine with an address is called; the caller holds mu.
func (l *machines) name(addr netip.Addr) string {
	if mac, ok := l.byAddr[addr]; ok {
		return mac
	}
	return addr.String()
}

// A transfer is a file on its way to a machine.
type transfer struct {
	of    *machines
	event Event
	last  time.Time
	ended bool
}

// begin begins a transfer of a file of total bytes.
func (l *machines) begin(addr netip.Addr, file string, total int64) *transfer {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.transfers++
	t := &transfer{of: l, event: Event{Machine: l.name(addr), File: file, Total: total, Transfer: l.transfers}}
	t.tell(Fetch)
	return t
}

// tell tells the state of the transfer; the caller holds mu.
func (t *transfer) tell(kind string) {
	t.event.Kind, t.last = kind, t.of.now()
	t.of.to.Event(t.event)
}

// moved counts bytes. It tells so four times a second.
func (t *transfer) moved(n int) {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	t.event.Done += int64(n)
	if t.of.now().Sub(t.last) >= 250*time.Millisecond {
		t.tell(Moves)
	}
}

// end ends a transfer once: with err, or with the whole file.
func (t *transfer) end(err error) {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	if t.ended {
		return
	}
	t.ended = true
	if err != nil {
		t.event.Text = printable(err.Error())
		t.tell(Broken)
		return
	}
	t.tell(Fetched)
	t.of.fetched(t.event.Machine, t.event.File)
}

// fetched counts a file, and tells when a machine has all of them; the caller holds mu.
func (l *machines) fetched(name, file string) {
	m := l.of(name)
	m.has[file] = true
	for _, file := range l.needed {
		if !m.has[file] {
			return
		}
	}
	m.has = map[string]bool{}
	m.served = true
	l.booted++
	l.to.Event(Event{Kind: Boots, Machine: name})
}

// boots is how many boots were served.
func (l *machines) boots() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.booted
}
