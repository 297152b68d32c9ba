package main

import (
	"fmt"
	"image/color"
	"io"
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
	fmt.Fprintln(w, "\nscraper\tpages\tlost\trequests\tviolations\tbans\tseconds\tof the permitted rate\t")
	for _, r := range results {
		requests, _, violations, bans, _ := r.counts()
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%.1f\t%.0f %%\t\n", r.name, r.pages, r.lost, requests, violations, bans, r.took.Seconds(), 100*r.share(l))
	}
	w.Flush()
}

var (
	blue   = color.RGBA{R: 0x2b, G: 0x6c, B: 0xb0, A: 0xff}
	gray   = color.RGBA{R: 0x77, G: 0x77, B: 0x77, A: 0xff}
	red    = color.RGBA{R: 0xc5, G: 0x30, B: 0x30, A: 0xff}
	shaded = color.NRGBA{R: 0xc5, G: 0x30, B: 0x30, A: 0x30}
)

// draw makes a picture: for each scraper the requests that the site saw in each second, the limit
// as a line, violations as dots on the axis, bans shaded.
func draw(file string, results []result, l limit) error {
	var longest float64
	for _, r := range results {
		_, _, _, _, last := r.counts()
		longest = max(longest, last.Seconds())
	}
	plots := make([][]*plot.Plot, len(results))
	for i, r := range results {
		p, err := panel(r, l, longest)
		if err != nil {
			return err
		}
		if i == len(results)-1 {
			p.X.Label.Text = "seconds (dashed: the limit; red dots: violations; red areas: requests into a ban)"
			p.X.Label.TextStyle.Font.Size = 9
		}
		plots[i] = []*plot.Plot{p}
	}
	height := vg.Length(len(results)) * 1.9 * vg.Inch
	canvas := vgimg.NewWith(vgimg.UseWH(9*vg.Inch, height), vgimg.UseDPI(110), vgimg.UseBackgroundColor(color.White))
	tiles := vgdraw.Tiles{Rows: len(results), Cols: 1, PadX: 4, PadY: 10, PadTop: 6, PadBottom: 6, PadLeft: 6, PadRight: 14}
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
	p.Title.Text = fmt.Sprintf("%s: %d of %d pages in %.0f s, %d requests, %s, %s", r.name, r.pages, r.want, r.took.Seconds(), requests,
		count(violations, "violation"), count(bans, "ban"))
	p.Title.TextStyle.Font.Size = 11
	p.Y.Label.Text = "requests/s"
	p.X.Min, p.X.Max, p.Y.Min = 0, longest, 0
	p.Y.Max = 2.5 * l.rate
	rate, dots := perSecond(r.saw)
	for i := range rate { // what is beyond the picture is cut at its edge
		rate[i].Y = min(rate[i].Y, p.Y.Max)
	}
	for _, b := range bansOf(r.saw) {
		area, err := plotter.NewPolygon(plotter.XYs{{X: b[0], Y: 0}, {X: b[1], Y: 0}, {X: b[1], Y: p.Y.Max}, {X: b[0], Y: p.Y.Max}})
		if err != nil {
			return nil, err
		}
		area.Color, area.LineStyle.Width, area.LineStyle.Color = shaded, 0, color.Transparent
		p.Add(area)
	}
	line, err := plotter.NewLine(rate)
	if err != nil {
		return nil, err
	}
	line.StepStyle, line.Color, line.Width = plotter.PostStep, blue, 1.4
	permitted, err := plotter.NewLine(plotter.XYs{{X: 0, Y: l.rate}, {X: longest, Y: l.rate}})
	if err != nil {
		return nil, err
	}
	permitted.Color, permitted.Dashes = gray, []vg.Length{4, 3}
	p.Add(line, permitted)
	if len(dots) > 0 {
		marks, err := plotter.NewScatter(dots)
		if err != nil {
			return nil, err
		}
		marks.Color, marks.Shape, marks.Radius = red, vgdraw.CircleGlyph{}, 2
		p.Add(marks)
	}
	return p, nil
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// perSecond counts requests by the second, and gives a dot for each violation.
func perSecond(saw []hit) (rate, violations plotter.XYs) {
	last := time.Duration(0)
	for _, h := range saw {
		last = max(last, h.at)
	}
	rate = make(plotter.XYs, int(last.Seconds())+2)
	for i := range rate {
		rate[i].X = float64(i)
	}
	for _, h := range saw {
		rate[int(h.at.Seconds())].Y++
		if h.outcome == violated || h.outcome == beganBan {
			violations = append(violations, plotter.XY{X: h.at.Seconds(), Y: 0})
		}
	}
	return rate, violations
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
