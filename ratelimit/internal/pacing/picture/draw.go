package main

import (
	"fmt"
	"math"
	"strings"
)

// Pixels. The colours are of middle lightness, to be seen on white and on black.
const (
	width, height = 800, 540

	unit  = 3.6 // a request a second
	above = 30. // requests a second above the axis
	few   = 9.  // and below it, with the pacer
	many  = 37. // and without it
	mark  = 5.  // the least length of refusals: a few would not be seen at this scale

	grey, blue, red = "#767676", "#2f81f7", "#e5484d"
)

// A column is a span of the crawl, from its beginning.
type column struct {
	x, w    float64
	seconds float64 // of the crawl
	bin     float64 // s that one step of the outline stands for
	tick    float64 // s
	per     float64 // s that a unit of its scale has
	label   string
}

var columns = []column{
	{x: 64, w: 186, seconds: 30, bin: 1, tick: 10, per: 1, label: "seconds: how it begins"},
	{x: 290, w: 490, seconds: seconds, bin: 15, tick: 600, per: 60,
		label: "minutes: the whole hour"},
}

func (c column) at(s float64) float64 { return c.x + c.w*s/c.seconds }

// rates is how many of the times fall in each bin, by the second.
func (c column) rates(at []float64) []float64 {
	n := make([]float64, int(math.Round(c.seconds/c.bin)))
	for _, t := range at {
		if i := int(t / c.bin); i < len(n) {
			n[i] += 1 / c.bin
		}
	}
	return n
}

type svg struct{ strings.Builder }

func (s *svg) add(format string, args ...any) { fmt.Fprintf(s, format+"\n", args...) }

func (s *svg) text(x, y float64, class, format string, args ...any) {
	s.add(`<text x="%g" y="%g" class="%s">%s</text>`, x, y, class, fmt.Sprintf(format, args...))
}

// px writes a coordinate as short as it can be: a tenth of a pixel is enough.
func px(v float64) string { return fmt.Sprintf("%g", math.Round(10*v)/10) }

// outline is a path of steps from the axis at y, one per rate.
func (c column) outline(y, direction float64, rates []float64) string {
	var b strings.Builder
	fmt.Fprintf(&b, "M%s %s", px(c.x), px(y))
	for i, r := range rates {
		fmt.Fprintf(&b, "V%sH%s", px(y-direction*unit*r), px(c.at(float64(i+1)*c.bin)))
	}
	fmt.Fprintf(&b, "V%sz", px(y))
	return b.String()
}

// marks are ticks below the axis at y, for bins with refusals that are too few to be seen by their
// rate.
func (c column) marks(y float64, rates []float64) string {
	var b strings.Builder
	for i, r := range rates {
		if r > 0 && unit*r < mark {
			fmt.Fprintf(&b, "M%s %sv%g", px(c.at((float64(i)+.5)*c.bin)), px(y), mark)
		}
	}
	return b.String()
}

// limits is the server's limit as a line.
func (c column) limits(y float64) string {
	var b strings.Builder
	fmt.Fprintf(&b, "M%s %s", px(c.x), px(y-unit*limit))
	for _, ch := range changes {
		if ch.at < c.seconds {
			fmt.Fprintf(&b, "H%sV%s", px(c.at(ch.at)), px(y-unit*limitAt(ch.at)))
		}
	}
	fmt.Fprintf(&b, "H%s", px(c.x+c.w))
	return b.String()
}

// panel draws one crawl over a span, with the axis at y and room for that many refused requests a
// second below it.
func (s *svg) panel(c column, y, below float64, r record) {
	top, bottom := y-unit*above, y+unit*below
	s.add(`<rect x="%g" y="%s" width="%g" height="%s" class="bg"/>`, c.x, px(top), c.w,
		px(bottom-top))
	for v := -10 * math.Floor(below/10); v <= above; v += 10 {
		s.add(`<path d="M%g %sh%g" class="grid"/>`, c.x, px(y-unit*v), c.w)
		s.text(c.x-6, y-unit*v+4, "n e", "%g", math.Abs(v))
	}
	refused := c.rates(r.refused)
	s.add(`<path d="%s" class="ok"/>`, c.outline(y, 1, c.rates(r.accepted)))
	s.add(`<path d="%s" class="no"/>`, c.outline(y, -1, refused))
	s.add(`<path d="%s" class="mark"/>`, c.marks(y, refused))
	s.add(`<path d="M%g %gh%g" class="axis"/>`, c.x, y, c.w)
	s.add(`<path d="%s" class="limit"/>`, c.limits(y))
	for t := 0.; t <= c.seconds; t += c.tick {
		s.add(`<path d="M%s %sv4" class="axis"/>`, px(c.at(t)), px(bottom))
		s.text(c.at(t), bottom+16, "n m", "%g", t/c.per)
	}
	s.text(c.x+c.w/2, bottom+31, "n m", "%s", c.label)
}

func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}

// picture draws both crawls.
func picture(pacer, backoff record) string {
	var s svg
	s.begin(pacer, backoff)
	s.legend()
	y := 162.
	for _, row := range []struct {
		name  string
		below float64
		record
	}{
		{"ratelimit.NewPacer()", few, pacer},
		{"exponential backoff on 429", many, backoff},
	} {
		top := y - unit*above
		s.text(64, top-9, "b", "%s", row.name)
		s.text(width-20, top-9, "e",
			`<tspan class="b blue">%s</tspan> accepted, <tspan class="b red">%s</tspan> refused`,
			thousands(len(row.accepted)), thousands(len(row.refused)))
		s.add(`<text transform="translate(24 %g) rotate(-90)" class="n m">`+
			`requests per second</text>`, y-unit*(above-row.below)/2)
		for _, c := range columns {
			s.panel(c, y, row.below, row.record)
		}
		s.notes(y, row.record)
		y += unit*(row.below+above) + 70
	}
	s.add(`</svg>`)
	return s.String()
}

// begin writes what stands before the drawing: the description in words, and the styles.
func (s *svg) begin(pacer, backoff record) {
	s.add(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" `+
		`aria-labelledby="t d" `+
		`font-family="system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif">`,
		width, height)
	s.add(`<title id="t">A pacer and plain backoff at a server whose limit is unknown</title>`)
	s.add(`<desc id="d">An hour, %d workers, nginx at %g requests a second with a burst of %d; `+
		`the limit halves after 20 minutes and triples after 40. `+
		`With the pacer %d requests are accepted and %d refused, `+
		`with exponential backoff alone %d and %d.</desc>`,
		workers, limit, burst, len(pacer.accepted), len(pacer.refused),
		len(backoff.accepted), len(backoff.refused))
	s.add(`<style>text{fill:%s;font-size:13px}.n{font-size:11px}.b{font-weight:600}`+
		`.m{text-anchor:middle}.e{text-anchor:end}.blue{fill:%s}.red{fill:%s}`+
		`.bg{fill:%s;fill-opacity:.07}.grid{stroke:%s;stroke-opacity:.2}.axis{stroke:%s}`+
		`.ok{fill:%s;fill-opacity:.55}.no{fill:%s;fill-opacity:.75}`+
		`.mark{stroke:%s;stroke-width:2}`+
		`.limit{fill:none;stroke:%s;stroke-width:1.6;stroke-dasharray:5 3}</style>`,
		grey, blue, red, grey, grey, grey, blue, red, red, grey)
}

func (s *svg) legend() {
	s.add(`<rect x="64" y="9" width="12" height="12" class="ok"/>` +
		`<rect x="240" y="9" width="12" height="12" class="no"/>` +
		`<path d="M412 15h26" class="limit"/>`)
	s.text(82, 19.5, "", "accepted, per second")
	s.text(258, 19.5, "", "refused, per second")
	s.text(444, 19.5, "", "the server's limit, which no client is told")
}

// notes writes in words how a pacer found the limits.
func (s *svg) notes(y float64, r record) {
	if len(r.found) != 1+len(changes) {
		return
	}
	note := y + 24
	begin, hour := columns[0], columns[1]
	s.text(begin.at(1)+6, y-unit*25+4, "n", "the burst of %d", burst)
	s.text(begin.at(0)+8, note, "n", "%.0f %% of the limit after %.1f s", 100*r.share,
		r.found[0])
	s.text(hour.at(changes[0].at), note, "n m", "halved: followed in %.0f s", r.found[1])
	s.text(hour.at(changes[1].at), note, "n m", "tripled: noticed after %.1f min",
		r.found[2]/60)
}
