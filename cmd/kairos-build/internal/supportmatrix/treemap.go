// SPDX-License-Identifier: Apache-2.0

package supportmatrix

import (
	"cmp"
	"fmt"
	"html/template"
	"slices"
	"strings"
	"unicode/utf8"
)

// A tile is a rectangle of a treemap.
type tile struct {
	Package
	x, y, w, h float64
}

// squarify fills a rectangle with tiles, whose areas are as the sizes, and which are as square
// as they can be: Bruls, Huizing and van Wijk, "Squarified Treemaps", 2000. The packages are
// in order, the largest first.
func squarify(packages []Package, w, h float64) []tile {
	var total int64
	for _, p := range packages {
		total += p.Size
	}
	if total == 0 {
		return nil
	}
	scale := w * h / float64(total)
	free := tile{w: w, h: h}
	var tiles []tile
	for len(packages) > 0 {
		n := rowLength(packages, scale, min(free.w, free.h))
		var row []tile
		row, free = layRow(packages[:n], scale, free)
		tiles, packages = append(tiles, row...), packages[n:]
	}
	return tiles
}

// rowLength is how many packages the next row has: as long as its worst tile gets better.
func rowLength(packages []Package, scale, side float64) int {
	worst := 0.0
	var sum float64
	for i, p := range packages {
		sum += float64(p.Size) * scale
		largest, smallest := float64(packages[0].Size)*scale, float64(p.Size)*scale
		ratio := max(side*side*largest/(sum*sum), sum*sum/(side*side*smallest))
		if i > 0 && ratio > worst {
			return i
		}
		worst = ratio
	}
	return len(packages)
}

// layRow puts a row along the shorter side, and returns what is free beside it.
func layRow(packages []Package, scale float64, free tile) ([]tile, tile) {
	var sum float64
	for _, p := range packages {
		sum += float64(p.Size) * scale
	}
	var row []tile
	if free.w >= free.h {
		width, y := sum/free.h, free.y
		for _, p := range packages {
			height := float64(p.Size) * scale / width
			row = append(row, tile{p, free.x, y, width, height})
			y += height
		}
		return row, tile{x: free.x + width, y: free.y, w: free.w - width, h: free.h}
	}
	height, x := sum/free.w, free.x
	for _, p := range packages {
		width := float64(p.Size) * scale / height
		row = append(row, tile{p, x, free.y, width, height})
		x += width
	}
	return row, tile{x: free.x, y: free.y + height, w: free.w, h: free.h - height}
}

// A treemap is the sizes of the packages of an image.
type treemap struct {
	image    string
	packages []Package // the largest first
}

// share is the part of an image below which packages share one tile.
const share = 250

// newTreemap sorts the packages, and puts the small ones together.
func newTreemap(image string, packages []Package) treemap {
	sorted := slices.SortedFunc(slices.Values(packages), func(a, b Package) int {
		return cmp.Or(cmp.Compare(b.Size, a.Size), cmp.Compare(a.Name, b.Name))
	})
	total := sum(sorted)
	small := slices.IndexFunc(sorted, func(p Package) bool { return p.Size*share < total })
	if small < 0 || len(sorted)-small < 2 {
		return treemap{image, slices.DeleteFunc(sorted, func(p Package) bool { return p.Size == 0 })}
	}
	rest := Package{fmt.Sprintf("%d smaller packages", len(sorted)-small), sum(sorted[small:])}
	kept := append(sorted[:small:small], rest)
	slices.SortStableFunc(kept, func(a, b Package) int { return cmp.Compare(b.Size, a.Size) })
	return treemap{image, slices.DeleteFunc(kept, func(p Package) bool { return p.Size == 0 })}
}

func sum(packages []Package) (total int64) {
	for _, p := range packages {
		total += p.Size
	}
	return total
}

// The width of a letter and the height of a line, in pixels, at the size of the labels.
const (
	letter = 7.4
	line   = 15
)

// svg draws the treemap with a width and a height.
func (t treemap) svg(class string, w, h int) template.HTML {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="treemap %s" viewBox="0 0 %d %d" role="img" aria-label="%s">`, class, w, h, template.HTMLEscapeString("sizes of the packages of "+t.image))
	for _, tile := range squarify(t.packages, float64(w), float64(h)) {
		tile.draw(&b)
	}
	b.WriteString("</svg>")
	return template.HTML(b.String()) // every text in it is escaped
}

func (t tile) draw(b *strings.Builder) {
	name := t.label()
	fmt.Fprintf(b, `<g class="%s"><title>%s</title><rect x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`,
		kindOf(t.Name), template.HTMLEscapeString(name+": "+bytesText(t.Size)), t.x, t.y, t.w, t.h)
	if fits := int((t.w - 8) / letter); t.h >= line+4 && fits >= min(utf8.RuneCountInString(name), 6) {
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f">%s</text>`, t.x+4, t.y+line, template.HTMLEscapeString(cut(name, fits)))
		if size := bytesText(t.Size); t.h >= 2*line+6 && len(size) <= fits {
			fmt.Fprintf(b, `<text x="%.1f" y="%.1f">%s</text>`, t.x+4, t.y+2*line, template.HTMLEscapeString(size))
		}
	}
	b.WriteString("</g>")
}

func (p Package) label() string { return cmp.Or(p.Name, "files of no package") }

// cut shortens a text to a number of letters.
func cut(text string, letters int) string {
	runes := []rune(text)
	if len(runes) <= letters {
		return text
	}
	return string(runes[:letters-1]) + "…"
}

// kindOf is the class of a package, for its colour.
func kindOf(name string) string {
	switch {
	case name == "":
		return "own"
	case strings.HasPrefix(name, "linux-") || strings.HasPrefix(name, "kernel"):
		return "kernel"
	case strings.HasPrefix(name, "firmware-") || strings.HasSuffix(name, "-firmware") || strings.HasSuffix(name, "-microcode"):
		return "firmware"
	case strings.HasPrefix(name, "lib"):
		return "library"
	}
	return "other"
}
