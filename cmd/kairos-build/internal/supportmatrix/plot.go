// SPDX-License-Identifier: Apache-2.0

package supportmatrix

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
	"time"
)

// A point is one value of a plot.
type point struct {
	day    string // 2006-01-02
	value  float64
	label  string // for people
	hollow bool   // it was measured in emulation
}

// A plot is a line of values over time. Points of another kind are not joined.
type plot struct {
	title  string
	unit   string
	points []point
}

// Sizes of a plot, in pixels of a phone.
const (
	plotWidth  = 320
	plotHeight = 140
	plotLeft   = 62
	plotRight  = 12
	plotTop    = 10
	plotBottom = 22
)

// svg draws the plot.
func (p plot) svg() template.HTML {
	var b strings.Builder
	low, step, high := p.ticks()
	y := func(v float64) float64 {
		return plotTop + (high-v)/(high-low)*(plotHeight-plotTop-plotBottom)
	}
	fmt.Fprintf(&b, `<svg class="plot" viewBox="0 0 %d %d" role="img" aria-label="%s">`, plotWidth, plotHeight, template.HTMLEscapeString(p.spoken()))
	for v := low; v <= high+step/2; v += step {
		fmt.Fprintf(&b, `<line class="grid" x1="%d" y1="%.1f" x2="%d" y2="%.1f"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`,
			plotLeft, y(v), plotWidth-plotRight, y(v), plotLeft-6, y(v)+4, template.HTMLEscapeString(p.tick(v, step)))
	}
	p.line(&b, y)
	fmt.Fprintf(&b, `<text x="%d" y="%d">%s</text>`, plotLeft, plotHeight-5, template.HTMLEscapeString(p.points[0].day))
	if last := p.points[len(p.points)-1].day; last != p.points[0].day {
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`, plotWidth-plotRight, plotHeight-5, template.HTMLEscapeString(last))
	}
	b.WriteString("</svg>")
	return template.HTML(b.String()) // every text in it is escaped
}

// line draws the points, and the lines between those of the same kind.
func (p plot) line(b *strings.Builder, y func(float64) float64) {
	xs := p.xs()
	for i, point := range p.points {
		if i > 0 && p.points[i-1].hollow == point.hollow {
			fmt.Fprintf(b, `<line class="line" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, xs[i-1], y(p.points[i-1].value), xs[i], y(point.value))
		}
	}
	for i, point := range p.points {
		class := "dot"
		if point.hollow {
			class = "dot hollow"
		}
		fmt.Fprintf(b, `<circle class="%s" cx="%.1f" cy="%.1f" r="4"><title>%s</title></circle>`, class, xs[i], y(point.value), template.HTMLEscapeString(point.label))
	}
}

// xs are the places of the points: by their days, and next to each other on the same day.
func (p plot) xs() []float64 {
	const left, right = plotLeft + 8, plotWidth - plotRight - 8
	n := len(p.points)
	if n == 1 {
		return []float64{(left + right) / 2}
	}
	at := make([]float64, n)
	for i := range at {
		at[i] = days(p.points[0].day, p.points[i].day) + p.inDay(i)
	}
	for i := range at {
		if at[n-1] > 0 {
			at[i] = at[i] / at[n-1] * (right - left)
		}
		at[i] += left
	}
	return at
}

// inDay is the part of a day at which a point of several on that day is drawn.
func (p plot) inDay(i int) float64 {
	before, all := 0, 0
	for j, o := range p.points {
		if o.day == p.points[i].day {
			all++
			if j < i {
				before++
			}
		}
	}
	return float64(before) / float64(all)
}

// days are the days from a day to another; 0 if one cannot be read.
func days(from, to string) float64 {
	a, errA := time.Parse(time.DateOnly, from)
	b, errB := time.Parse(time.DateOnly, to)
	if errA != nil || errB != nil {
		return 0
	}
	return b.Sub(a).Hours() / 24
}

// ticks are the lowest line, the distance of lines and the highest line. The lines span at
// least a twentieth of the values, so that noise looks small.
func (p plot) ticks() (low, step, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, point := range p.points {
		low, high = min(low, point.value), max(high, point.value)
	}
	if room := max(high/20, 1e-9); high-low < room {
		low, high = low-room/2, high+room/2
	}
	step = niceStep((high - low) / 3)
	low, high = max(0, math.Floor(low/step)*step), math.Ceil(high/step)*step
	if high <= low {
		high = low + step
	}
	return low, step, high
}

// tick is the text of a line: with as many digits as the distance of the lines needs.
func (p plot) tick(v, step float64) string {
	decimals := max(0, int(math.Ceil(-math.Log10(step))))
	return strconv.FormatFloat(v, 'f', decimals, 64) + " " + p.unit
}

// text is a value for people.
func (p plot) text(v float64) string { return digits(v) + " " + p.unit }

// niceStep is the next of 1, 2, 5, 10 and so on.
func niceStep(least float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(least)))
	for _, n := range []float64{1, 2, 5} {
		if n*power >= least {
			return n * power
		}
	}
	return 10 * power
}

// spoken is the plot in words.
func (p plot) spoken() string {
	labels := make([]string, len(p.points))
	for i, point := range p.points {
		labels[i] = point.label
	}
	return p.title + ": " + strings.Join(labels, "; ")
}
