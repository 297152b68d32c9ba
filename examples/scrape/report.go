package main

import (
	"fmt"
	"image/color"
	"io"
	"math"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	vgdraw "gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// counts sums up what the site saw of a scraper.
func (r result) counts() (requests, admits, violations, bans int, last time.Duration) {
	for _, h := range r.saw {
		requests++
		last = max(last, h.at)
		switch h.outcome {
		case admitted:
			admits++
		case violated:
			violations++
		case beganBan:
			violations++
			bans++
		}
	}
	return requests, admits, violations, bans, last
}

// share is how much of what the limit would have permitted in its time a scraper used.
func (r result) share(l limit) float64 {
	_, admits, _, _, last := r.counts()
	return float64(admits) / (float64(l.burst) + l.rate*last.Seconds())
}

func table(out io.Writer, results []result, l limit) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w,
		"\nscraper\tpages\tlost\trequests\tviolations\tbans\tseconds\tof the "+
			"permitted rate while it ran\t")
	for _, r := range results {
		requests, _, violations, bans, _ := r.counts()
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%.1f\t%.0f %%\t\n",
			r.name, r.pages, r.lost, requests, violations, bans, r.took.Seconds(), 100*r.share(l))
	}
	w.Flush()
}

var (
	blue   = color.RGBA{R: 0x2b, G: 0x6c, B: 0xb0, A: 0xff}
	dark   = color.RGBA{R: 0x22, G: 0x22, B: 0x22, A: 0xff}
	red    = color.RGBA{R: 0xd6, G: 0x45, B: 0x45, A: 0xff}
	shaded = color.NRGBA{R: 0xd6, G: 0x45, B: 0x45, A: 0x60}
)

// draw makes a picture: for each scraper the requests that the site saw in each second, served and
// refused ones, the limit as a line, and below the axis violations as dots and bans as bands.
func draw(file string, results []result, l limit) error {
	var longest float64
	for _, r := range results {
		_, _, _, _, last := r.counts()
		longest = max(longest, math.Ceil(last.Seconds())) // whole: the steps are of seconds
	}
	plots := make([][]*plot.Plot, len(results))
	for i, r := range results {
		p, err := panel(r, l, longest)
		if err != nil {
			return err
		}
		if i == len(results)-1 {
			p.X.Label.Text = "seconds.  blue: requests served, red: refused, " +
				"dashed: the limit; dots: violations, band: a ban"
			p.X.Label.TextStyle.Font.Size = 11
		}
		plots[i] = []*plot.Plot{p}
	}
	height := vg.Length(len(results)) * 1.5 * vg.Inch
	canvas := vgimg.NewWith(vgimg.UseWH(9*vg.Inch, height), vgimg.UseDPI(140),
		vgimg.UseBackgroundColor(color.White))
	tiles := vgdraw.Tiles{Rows: len(results), Cols: 1, PadY: 4, PadTop: 4, PadBottom: 4, PadLeft: 4,
		PadRight: 14}
	for i, row := range plot.Align(plots, tiles, vgdraw.New(canvas)) {
		plots[i][0].Draw(row[0])
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if _, err := (vgimg.PngCanvas{Canvas: canvas}).WriteTo(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// panel is the part of the picture that one scraper has.
func panel(r result, l limit, longest float64) (*plot.Plot, error) {
	requests, _, violations, bans, _ := r.counts()
	p := plot.New()
	p.Title.Text = fmt.Sprintf("%s: %d of %d pages in %.1f s; %d requests, %s, %s",
		r.name, r.pages, r.want, r.took.Seconds(),
		requests, count(violations, "violation"), count(bans, "ban"))
	p.Title.TextStyle.Font.Size = 13
	p.Title.Padding = 3
	p.Y.Label.Text = "requests/s"
	top := 2.5 * l.rate
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, longest, -top/8, top
	p.X.Tick.Marker, p.Y.Tick.Marker = every(10, longest), every(l.rate, top)
	all, served, dots := perSecond(r.saw)
	for i := range dots {
		dots[i].Y = -top / 16
	}
	var areas []plot.Plotter
	for _, b := range bansOf(r.saw) {
		ban := plotter.XYs{{X: b[0], Y: -top / 8}, {X: b[0]}, {X: b[1]}, {X: b[1], Y: -top / 8}}
		areas = append(areas, area(ban, shaded))
	}
	areas = append(areas, area(steps(all, top), red), area(steps(served, top), blue))
	permitted, err := plotter.NewLine(plotter.XYs{{X: 0, Y: l.rate}, {X: longest, Y: l.rate}})
	if err != nil {
		return nil, err
	}
	permitted.Color, permitted.Width, permitted.Dashes = dark, 1.2, []vg.Length{5, 4}
	p.Add(append(areas, permitted)...)
	if len(dots) > 0 {
		marks, err := plotter.NewScatter(dots)
		if err != nil {
			return nil, err
		}
		marks.Color, marks.Shape, marks.Radius = red, vgdraw.CircleGlyph{}, 2.2
		p.Add(marks)
	}
	return p, nil
}

func every(step, end float64) (ticks plot.ConstantTicks) {
	for x := 0.0; x <= end; x += step {
		ticks = append(ticks, plot.Tick{Value: x, Label: fmt.Sprint(x)})
	}
	return ticks
}

func area(outline plotter.XYs, fill color.Color) *plotter.Polygon {
	p, err := plotter.NewPolygon(outline)
	if err != nil {
		panic(err) // an outline is finite and not empty
	}
	p.Color, p.LineStyle.Width, p.LineStyle.Color = fill, 0, color.Transparent
	return p
}

// steps is the outline of one bar a second, cut at the top of the picture.
func steps(perSecond []float64, top float64) plotter.XYs {
	outline := plotter.XYs{{}}
	for i, n := range perSecond {
		outline = append(outline, plotter.XY{X: float64(i), Y: min(n, top)},
			plotter.XY{X: float64(i + 1), Y: min(n, top)})
	}
	return append(outline, plotter.XY{X: float64(len(perSecond))})
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// perSecond counts requests by the second, all and those that were served, and gives a dot for each
// violation.
func perSecond(saw []hit) (all, served []float64, violations plotter.XYs) {
	last := time.Duration(0)
	for _, h := range saw {
		last = max(last, h.at)
	}
	all, served = make([]float64, int(last.Seconds())+1), make([]float64, int(last.Seconds())+1)
	for _, h := range saw {
		all[int(h.at.Seconds())]++
		switch h.outcome {
		case admitted:
			served[int(h.at.Seconds())]++
		case violated, beganBan:
			violations = append(violations, plotter.XY{X: h.at.Seconds()})
		}
	}
	return all, served, violations
}

// bansOf are the stretches in which requests went into a ban.
func bansOf(saw []hit) (stretches [][2]float64) {
	sorted := slices.Clone(saw)
	slices.SortFunc(sorted, func(a, b hit) int { return int(a.at - b.at) })
	for _, h := range sorted {
		at := h.at.Seconds()
		switch {
		case h.outcome == beganBan:
			stretches = append(stretches, [2]float64{at, at + .2})
		case h.outcome == banned && len(stretches) > 0:
			stretches[len(stretches)-1][1] = at
		}
	}
	return stretches
}
