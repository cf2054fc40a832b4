// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/framework/internal/lazyregexp"
	"github.com/kairos-build/kairos-build/framework/source/channel"
)

// A Window is the time of a day, or of some days of the week, in which a node may upgrade
// itself. The zero Window is always open.
type Window struct {
	Days       []time.Weekday // on which it begins; none: all
	Begin, End time.Duration  // since midnight of the node's time zone; End may be on the next day
}

// windowForm is the form of a window: 02:00-05:00, or Sat,Sun 22:00-04:00.
var windowForm = lazyregexp.New(`^(?:((?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)(?:,(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun))*) )?([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])$`)

// shortestWindow is how long a window must be: a node looks once in half an hour, at a time of
// its own.
const shortestWindow = time.Hour

const day = 24 * time.Hour

// ParseWindow reads a window.
func ParseWindow(text string) (w Window, err error) {
	m := windowForm.FindStringSubmatch(text)
	if m == nil {
		return w, fmt.Errorf("%.40q is no window: want hours such as 02:00-05:00, or days and hours such as Sat,Sun 22:00-04:00", text)
	}
	for name := range strings.SplitSeq(m[1], ",") {
		for d := time.Sunday; d <= time.Saturday; d++ {
			if name == d.String()[:3] && !slices.Contains(w.Days, d) {
				w.Days = append(w.Days, d)
			}
		}
	}
	at := func(hour, minute string) time.Duration {
		return time.Duration(int(hour[0]-'0')*10+int(hour[1]-'0'))*time.Hour + time.Duration(int(minute[0]-'0')*10+int(minute[1]-'0'))*time.Minute
	}
	w.Begin, w.End = at(m[2], m[3]), at(m[4], m[5])
	if w.length() < shortestWindow {
		return Window{}, fmt.Errorf("the window %s is %s long: a node looks once in half an hour, so give it an hour at least", text, w.length())
	}
	return w, nil
}

// length is how long the window is open.
func (w Window) length() time.Duration { return (w.End - w.Begin + day) % day }

// IsZero tells whether the window is always open.
func (w Window) IsZero() bool { return w.Begin == w.End }

// Contains tells whether the window is open.
func (w Window) Contains(now time.Time) bool {
	if w.IsZero() {
		return true
	}
	since := time.Duration(now.Hour())*time.Hour + time.Duration(now.Minute())*time.Minute + time.Duration(now.Second())*time.Second
	today := w.on(now.Weekday())
	if w.Begin < w.End {
		return today && since >= w.Begin && since < w.End
	}
	return today && since >= w.Begin || w.on((now.Weekday()+6)%7) && since < w.End
}

func (w Window) on(d time.Weekday) bool { return len(w.Days) == 0 || slices.Contains(w.Days, d) }

// String is the window as it is written in a config; empty for one that is always open.
func (w Window) String() string {
	if w.IsZero() {
		return ""
	}
	var days []string
	for _, d := range w.Days {
		days = append(days, d.String()[:3])
	}
	at := func(d time.Duration) string { return fmt.Sprintf("%02d:%02d", d/time.Hour, d%time.Hour/time.Minute) }
	return strings.TrimPrefix(strings.Join(days, ",")+" "+at(w.Begin)+"-"+at(w.End), " ")
}

// window reads a window.
func (v value) window() (w Window, ok bool) {
	text, ok := v.NonEmpty()
	if !ok {
		return w, false
	}
	w, err := ParseWindow(text)
	if err != nil {
		v.Fail(err.Error(), "")
		return w, false
	}
	return w, true
}

// channel reads the name of a channel.
func (v value) channel() (string, bool) {
	text, ok := v.NonEmpty()
	if !ok {
		return "", false
	}
	if err := channel.CheckName(text); err != nil {
		v.Fail(fmt.Sprintf("%.40q is no channel", text), "write a name of small letters and digits, such as stable")
		return "", false
	}
	return text, true
}

// repository reads REGISTRY/NAME.
func (v value) repository() (string, bool) {
	text, ok := v.NonEmpty()
	if !ok {
		return "", false
	}
	if !repositoryForm.MatchString(text) {
		v.Fail(fmt.Sprintf("%.80q is no repository", text), "write REGISTRY/NAME, such as registry.example.org/edge/debian-13, without a tag")
		return "", false
	}
	return text, true
}

// repositoryForm is a host with a dot, a port or the name localhost, and a path.
var repositoryForm = lazyregexp.New(`^(?:[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+(?::[0-9]+)?|[A-Za-z0-9-]+:[0-9]+|localhost|\[[0-9a-fA-F:]+\](?::[0-9]+)?)(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)+$`)
