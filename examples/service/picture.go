package main

import (
	"image/color"
	"io"
	"iter"
	"os"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

var (
	colors = []color.Color{color.RGBA{R: 0x2b, G: 0x6c, B: 0xb0, A: 0xff},
		color.RGBA{R: 0xc5, G: 0x30, B: 0x30, A: 0xff}}
	trouble = color.NRGBA{R: 0xd0, G: 0xa0, B: 0x20, A: 0x38}
)

// row is one of the picture's plots.
type row struct {
	kind  kind
	title string
	value func(figures) float64
	most  float64
}

// picture draws the runs over each other as an SVG: the share of good answers at the top, the p99
// of the latency below, each for orders and for visitors.
func picture(file string, plan []phase, runs []run) error {
	slowest := func(f figures) float64 { return f.p99.Seconds() }
	rows := []row{
		{order, "orders (critical): good answers, %", figures.share, 105},
		{visit, "visitors (sheddable): good answers, %", figures.share, 105},
		{order, "orders: p99 in seconds", slowest, 3.2},
		{visit, "visitors: p99 in seconds", slowest, 3.2},
	}
	plots := make([][]*plot.Plot, len(rows))
	for i, row := range rows {
		p, lines, err := row.plot(plan, runs)
		if err != nil {
			return err
		}
		plots[i] = []*plot.Plot{p}
		if i > 0 {
			continue
		}
		if err := nameTroubles(p, plan); err != nil {
			return err
		}
		for j, r := range runs {
			p.Legend.Add(r.name, lines[j])
		}
	}
	plots[len(rows)-1][0].X.Label.Text = "seconds; shaded: trouble"
	canvas := vgsvg.New(9*vg.Inch, vg.Length(len(rows))*1.7*vg.Inch)
	tiles := draw.Tiles{Rows: len(rows), Cols: 1, PadY: 8, PadTop: 6, PadBottom: 6, PadLeft: 6,
		PadRight: 12}
	for i, row := range plot.Align(plots, tiles, draw.New(canvas)) {
		plots[i][0].Draw(row[0])
	}
	return write(file, canvas)
}

func write(file string, content io.WriterTo) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if _, err := content.WriteTo(f); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}

// plot draws one line for each of the runs.
func (w row) plot(plan []phase, runs []run) (p *plot.Plot, lines []*plotter.Line, err error) {
	p = plot.New()
	p.Title.Text = w.title
	p.Title.TextStyle.Font.Size = 11
	p.Y.Min, p.Y.Max = 0, w.most
	p.Legend.YOffs = 14
	if err := shade(p, plan, w.most); err != nil {
		return nil, nil, err
	}
	for j, r := range runs {
		line, err := plotter.NewLine(r.series(w.kind, plan, w.value))
		if err != nil {
			return nil, nil, err
		}
		line.Color, line.Width = colors[j%len(colors)], 1.5
		p.Add(line)
		lines = append(lines, line)
	}
	return p, lines, nil
}

// troubles yields the phases of trouble, with the seconds at which they begin and end.
func troubles(plan []phase) iter.Seq2[phase, [2]float64] {
	return func(yield func(phase, [2]float64) bool) {
		at := 0.
		for _, ph := range plan {
			end := at + ph.lasts.Seconds()
			trouble := ph.trouble != nil || ph.visitors > usualVisitors
			if trouble && !yield(ph, [2]float64{at, end}) {
				return
			}
			at = end
		}
	}
}

// shade marks the phases of trouble.
func shade(p *plot.Plot, plan []phase, most float64) error {
	for _, span := range troubles(plan) {
		at, end := span[0], span[1]
		area, err := plotter.NewPolygon(plotter.XYs{{X: at, Y: 0}, {X: end, Y: 0},
			{X: end, Y: most}, {X: at, Y: most}})
		if err != nil {
			return err
		}
		area.Color, area.LineStyle.Width, area.LineStyle.Color = trouble, 0, color.Transparent
		p.Add(area)
	}
	return nil
}

func nameTroubles(p *plot.Plot, plan []phase) error {
	for ph, span := range troubles(plan) {
		label, err := plotter.NewLabels(plotter.XYLabels{XYs: plotter.XYs{{X: span[0], Y: 4}},
			Labels: []string{" " + ph.name}})
		if err != nil {
			return err
		}
		label.TextStyle[0].Font.Size = 8
		p.Add(label)
	}
	return nil
}

// series is a figure over time, in about sixty steps.
func (r run) series(k kind, plan []phase, value func(figures) float64) (points plotter.XYs) {
	all := time.Duration(0)
	for _, p := range plan {
		all += p.lasts
	}
	step := all / 60
	for from := time.Duration(0); from < all; from += step {
		f := r.figures(k, func(s sample) bool { return s.at >= from && s.at < from+step })
		if f.sent > 0 {
			points = append(points, plotter.XY{X: (from + step/2).Seconds(), Y: value(f)})
		}
	}
	if len(points) == 0 {
		points = plotter.XYs{{X: 0, Y: 0}}
	}
	return points
}
