// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package supportmatrix

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A browser is a headless Chromium. The tests speak to it over its pipe, in the DevTools
// protocol: two pipes and lines of JSON, which need no module.
type browser struct {
	t       *testing.T
	in      io.Writer
	out     *bufio.Reader
	last    int
	session string
	said    []string // errors on the console, and addresses that are no file or data
	loaded  bool
}

// A message is a command, its answer, or an event.
type message struct {
	ID      int             `json:"id,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  any             `json:"params,omitempty"`
	Session string          `json:"sessionId,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   json.RawMessage `json:"error,omitempty"`
}

// limit is how long a browser may run.
const limit = 3 * time.Minute

// programs are the names of Chromium.
func programs() []string {
	return []string{"chromium", "chromium-browser", "google-chrome-stable", "google-chrome"}
}

func startBrowser(t *testing.T) *browser {
	t.Helper()
	path := ""
	for _, name := range programs() {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("SKIPPED: no Chromium here; `ci/setup/install browser` installs it (124 MB), as `make prove` does")
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), limit) // it is closed in a cleanup
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--hide-scrollbars", "--user-data-dir="+t.TempDir(), "--remote-debugging-pipe")
	commands, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, answers, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.ExtraFiles = []*os.File{commands, answers} // 3 and 4
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(commands.Close(), answers.Close(), out.SetReadDeadline(time.Now().Add(limit))); err != nil {
		t.Fatal(err)
	}
	b := &browser{t: t, in: in, out: bufio.NewReader(out)}
	t.Cleanup(func() {
		_, err := in.Write([]byte(`{"id":1,"method":"Browser.close"}` + "\x00"))
		if err := errors.Join(err, cmd.Wait(), in.Close(), out.Close()); err != nil {
			t.Error(err)
		}
	})
	b.attach()
	return b
}

// attach opens a page.
func (b *browser) attach() {
	b.t.Helper()
	var target struct{ TargetID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var session struct{ SessionID string }
	b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &session)
	b.session = session.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		b.call(domain+".enable", nil, nil)
	}
}

// call sends a command and waits for its answer.
func (b *browser) call(method string, params, result any) {
	b.t.Helper()
	b.last++
	data, err := json.Marshal(message{ID: b.last, Method: method, Params: params, Session: b.session})
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.in.Write(append(data, 0)); err != nil {
		b.t.Fatal(err)
	}
	for {
		m := b.next()
		if m.ID != b.last {
			continue
		}
		if m.Error != nil {
			b.t.Fatalf("%s: %s", method, m.Error)
		}
		if result == nil {
			return
		}
		if err := json.Unmarshal(m.Result, result); err != nil {
			b.t.Fatalf("%s: %v", method, err)
		}
		return
	}
}

// next reads a message, and keeps what an event says.
func (b *browser) next() message {
	b.t.Helper()
	data, err := b.out.ReadBytes(0)
	if err != nil {
		b.t.Fatalf("reading from the browser: %v", err)
	}
	var m message
	if err := json.Unmarshal(data[:len(data)-1], &m); err != nil {
		b.t.Fatal(err)
	}
	switch m.Method {
	case "Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded":
		b.said = append(b.said, string(data[:len(data)-1]))
	case "Page.loadEventFired":
		b.loaded = true
	case "Network.requestWillBeSent":
		b.request(data[:len(data)-1])
	}
	return m
}

// request keeps the address of a request that leaves the machine.
func (b *browser) request(data []byte) {
	var event struct {
		Params struct{ Request struct{ URL string } }
	}
	if err := json.Unmarshal(data, &event); err != nil {
		b.t.Error(err)
	}
	if url := event.Params.Request.URL; !strings.HasPrefix(url, "file:") && !strings.HasPrefix(url, "data:") {
		b.said = append(b.said, "asked for "+url)
	}
}

// open loads a page for a screen.
func (b *browser) open(path string, width int, dark bool) {
	b.t.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}, nil)
	b.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
	b.navigate("file://" + path)
}

func (b *browser) navigate(url string) {
	b.t.Helper()
	b.loaded = false
	b.call("Page.navigate", map[string]any{"url": url}, nil)
	b.wait()
}

func (b *browser) wait() {
	b.t.Helper()
	for !b.loaded {
		b.next()
	}
}

// eval runs a function body in the page.
func (b *browser) eval(body string, result any) {
	b.t.Helper()
	var answer struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	b.call("Runtime.evaluate", map[string]any{"expression": "(() => {" + body + "})()", "returnByValue": true}, &answer)
	if answer.ExceptionDetails != nil {
		b.t.Fatalf("%s", answer.ExceptionDetails)
	}
	if result != nil {
		if err := json.Unmarshal(answer.Result.Value, result); err != nil {
			b.t.Fatal(err)
		}
	}
}

// screenshot writes a picture of the page into the folder KAIROS_SCREENSHOTS, for a person.
func (b *browser) screenshot(name string) {
	b.t.Helper()
	dir := os.Getenv("KAIROS_SCREENSHOTS")
	if dir == "" {
		return
	}
	var picture struct{ Data string }
	b.call("Page.captureScreenshot", map[string]any{"captureBeyondViewport": true}, &picture)
	data, err := base64.StdEncoding.DecodeString(picture.Data)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), data, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// contrastScript finds texts that differ too little from what is behind them (WCAG 2, 1.4.3).
// Behind the text of an SVG is the rectangle of its group, or else the page.
const contrastScript = `
const parse = c => (c.match(/[\d.]+/g) || []).map(Number);
const solid = c => { const p = parse(c); return p.length == 3 || p.length == 4 && p[3] == 1 ? p.slice(0, 3) : null; };
const back = e => {
  const tile = e.closest('g')?.querySelector('rect');
  if (tile) return solid(getComputedStyle(tile).fill);
  for (; e; e = e.parentElement) { const c = solid(getComputedStyle(e).backgroundColor); if (c) return c; }
  return [255, 255, 255];
};
const light = c => { const [r, g, b] = c.map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
const bad = []; let n = 0;
const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walk.nextNode()) {
  const e = walk.currentNode.parentElement;
  if (!walk.currentNode.data.trim() || e.closest('title,style') || !e.getClientRects().length) continue;
  const style = getComputedStyle(e);
  const [a, b] = [light(parse(e.closest('svg') ? style.fill : style.color).slice(0, 3)), light(back(e))].sort((x, y) => y - x);
  n++;
  if ((a + .05) / (b + .05) < 4.5) bad.push(((a + .05) / (b + .05)).toFixed(2) + ': ' + walk.currentNode.data.trim());
}
return {bad, n};`

// layoutScript finds what is wider than the screen, and links in the matrix that are too small
// for a finger (WCAG 2.2, 2.5.8).
const layoutScript = `
document.querySelectorAll('details').forEach(d => d.open = true);
const bad = [];
if (document.documentElement.scrollWidth > innerWidth) bad.push('the page is ' + document.documentElement.scrollWidth + ' pixels wide');
document.querySelectorAll('.matrix a').forEach(a => { const r = a.getBoundingClientRect(); if (r.height < 24 || r.width < 24) bad.push(a.textContent + ' is ' + r.width + ' x ' + r.height); });
document.querySelectorAll('svg text').forEach(e => {
  if (!e.getClientRects().length) return;
  const r = e.getBoundingClientRect(), s = e.ownerSVGElement.getBoundingClientRect();
  if (r.left < s.left - 1 || r.right > s.right + 1 || r.bottom > s.bottom + 1) bad.push('"' + e.textContent + '" leaves its picture');
  const tile = e.closest('g')?.querySelector('rect')?.getBoundingClientRect();
  if (tile && r.right > tile.right + 1) bad.push('"' + e.textContent + '" leaves its tile');
});
return bad;`

// TestPage looks at the page of a report in a browser: on a phone and on a desk, light and
// dark.
func TestPage(t *testing.T) {
	b := startBrowser(t)
	out := t.TempDir()
	if err := read(t, exampleOptions(examples(t))).Write(out); err != nil {
		t.Fatal(err)
	}
	page := filepath.Join(out, PageName)
	for _, width := range []int{360, 1280} {
		for _, dark := range []bool{false, true} {
			name := fmt.Sprintf("%d-%v", width, dark)
			b.open(page, width, dark)
			b.screenshot(name)
			var bad []string
			b.eval(layoutScript, &bad)
			var contrast struct {
				Bad []string
				N   int
			}
			b.eval(contrastScript, &contrast)
			for _, what := range append(bad, contrast.Bad...) {
				t.Errorf("%s: %s", name, what)
			}
			if contrast.N < 100 {
				t.Errorf("%s: only %d texts were seen", name, contrast.N)
			}
		}
	}
	b.follow(page)
	for _, what := range b.said {
		t.Errorf("the browser says %s", what)
	}
}

// follow clicks on a result, which opens the checks behind it, and then on their console log.
func (b *browser) follow(page string) {
	b.t.Helper()
	b.open(page, 1280, false)
	var text string
	b.eval(`const a = document.querySelector('.matrix td.fail a[href^="#"]'); a.click();
		const at = document.getElementById(decodeURIComponent(location.hash.slice(1)));
		return at.closest('details').open ? at.innerText : 'closed'`, &text)
	if !strings.Contains(text, "says that it is ready") || !strings.Contains(text, "<b>kubelet.service</b>") {
		b.t.Errorf("behind the failed cell is %q", text)
	}
	b.eval(`const a = document.querySelector('.matrix td.pass a[href^="#"]'); a.click();
		const at = document.getElementById(decodeURIComponent(location.hash.slice(1)));
		return at.closest('details').open ? at.innerText : 'closed'`, &text)
	if !strings.Contains(text, "every block of the root") {
		b.t.Errorf("behind the passed cell is %q", text)
	}
	b.loaded = false
	b.eval(`document.querySelector('.matrix a.log').click()`, nil)
	b.wait()
	b.eval(`return document.body.innerText`, &text)
	if !strings.HasPrefix(text, "kairos: ready slot=a") {
		b.t.Errorf("the console log is %q", text)
	}
}
