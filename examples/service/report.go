package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// figures are the results of one kind of traffic in a part of a run.
type figures struct {
	sent, good int
	p50, p99   time.Duration // of all requests: also refused ones, and those given up after 3 s
}

func (r run) figures(k kind, in func(sample) bool) (f figures) {
	var took []time.Duration
	for _, s := range r.samples {
		if s.kind != k || !in(s) {
			continue
		}
		f.sent++
		if s.good {
			f.good++
		}
		took = append(took, s.took)
	}
	if len(took) > 0 {
		slices.Sort(took)
		f.p50, f.p99 = took[len(took)/2], took[len(took)*99/100]
	}
	return f
}

func (f figures) share() float64 {
	if f.sent == 0 {
		return 0
	}
	return 100 * float64(f.good) / float64(f.sent)
}

// report prints the runs side by side: a line for each phase.
func report(out io.Writer, plan []phase, runs []run) {
	fmt.Fprintf(out, "good: answered 200 within %v. p99 in ms, of refusals too; "+
		"a caller without an answer after %v leaves.\n\n", patience, leaves)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "\t")
	for range runs {
		fmt.Fprint(w, "orders\t\tvisitors\t\t")
	}
	fmt.Fprint(w, "\n\t")
	for _, r := range runs {
		fmt.Fprintf(w, "%s\tp99\t%s\tp99\t", r.name, r.name)
	}
	fmt.Fprintln(w)
	line := func(name string, in func(sample) bool) {
		fmt.Fprintf(w, "%s\t", name)
		for _, r := range runs {
			for _, k := range []kind{order, visit} {
				f := r.figures(k, in)
				fmt.Fprintf(w, "%.0f %%\t%d\t", f.share(), f.p99.Milliseconds())
			}
		}
		fmt.Fprintln(w)
	}
	for i, p := range plan {
		line(p.name, func(s sample) bool { return s.phase == i })
	}
	line("all", func(sample) bool { return true })
	_ = w.Flush()
	fmt.Fprintln(out)
	for _, r := range runs {
		good := 0
		for _, s := range r.samples {
			if s.good {
				good++
			}
		}
		fmt.Fprintf(out, "%s: %d of %d requests good, %d of them orders; "+
			"work begun for callers who had gone: %d\n",
			r.name, good, len(r.samples), r.figures(order,
				func(s sample) bool { return true }).good, r.late)
	}
}
