// SPDX-License-Identifier: Apache-2.0

package progress

import "time"

// rateWindow is the time over which the rate is measured.
const rateWindow = 3 * time.Second

// meter turns totals of bytes into a rate.
type meter struct {
	done, total int64
	samples     []sample // oldest first; only the first may be older than rateWindow
}

type sample struct {
	at   time.Time
	done int64
}

func (m *meter) set(done, total int64, now time.Time) {
	m.done, m.total = done, total
	m.samples = append(m.samples, sample{now, done})
	for len(m.samples) > 2 && now.Sub(m.samples[1].at) >= rateWindow {
		m.samples = m.samples[1:]
	}
	// A fast source reports thousands of times a second: drop most samples.
	if n := len(m.samples); n > 2 && m.samples[n-1].at.Sub(m.samples[n-3].at) < rateWindow/30 {
		m.samples = append(m.samples[:n-2], m.samples[n-1])
	}
}

// rate is the rate in bytes per second, 0 if unknown.
func (m *meter) rate() int64 {
	if len(m.samples) < 2 {
		return 0
	}
	first, last := m.samples[0], m.samples[len(m.samples)-1]
	elapsed := last.at.Sub(first.at).Seconds()
	if elapsed < 0.2 || last.done <= first.done {
		return 0
	}
	return int64(float64(last.done-first.done) / elapsed)
}
