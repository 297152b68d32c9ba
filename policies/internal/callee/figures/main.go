// Command figures compares the algorithms of policies.Adaptive and policies.Throttle with others,
// on simulated callees. Time is virtual and seeds are fixed, so it prints the same every time. At
// the end it runs the policies themselves over loopback for a quarter of a minute.
//
//	go run ./policies/internal/callee/figures
package main

import (
	"errors"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"github.com/reprise-go/reprise/policies/internal/callee"
	"github.com/reprise-go/reprise/policies/internal/load"
)

func main() {
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	adaptive(out)
	priorities(out)
	throttle(out)
	err := loopback(out)
	if err = errors.Join(err, out.Flush()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

const hands = 20

// limiters returns functions that make a new limiter for every run. tuned is the size of the
// bulkhead.
func limiters(tuned int) []struct {
	name string
	make func() callee.Limiter
} {
	return []struct {
		name string
		make func() callee.Limiter
	}{
		{"adaptive", func() callee.Limiter { return callee.NewLearned() }},
		{fmt.Sprintf("bulkhead of %d", tuned), func() callee.Limiter {
			return callee.NewFixed(tuned)
		}},
		{"Gradient2", func() callee.Limiter { return callee.NewGradient2() }},
		{"Vegas", func() callee.Limiter { return callee.NewVegas() }},
		{"AIMD", func() callee.Limiter { return callee.NewAIMD() }},
		{"none", func() callee.Limiter { return callee.NewFixed(1 << 30) }},
	}
}

func trial(w int, change callee.Change, demand float64, d time.Duration) callee.Trial {
	return callee.Trial{
		Hands: hands, Work: callee.Works[w].Draw, Change: change, Demand: demand, For: d,
		Timeout: 2 * time.Second, Seed: 11,
	}
}

// tune finds the best size of a bulkhead by trying: the most goodput with a p99 of at most twice
// the unloaded one.
func tune(w int) (best int) {
	if tuned[w] > 0 {
		return tuned[w]
	}
	defer func() { tuned[w] = best }()
	most := 0.0
	for size := hands - 4; size <= 3*hands; size++ {
		r := trial(w, callee.Nothing, 3, 20*time.Second).Try(callee.NewFixed(size))
		if good := r.Good(5, 20); good > most+0.002 && r.Slower(5, 18) <= 2 {
			best, most = size, good
		}
	}
	return best
}

var tuned = make([]int, len(callee.Works))

func percent(x float64) string { return fmt.Sprintf("%.0f %%", 100*x) }

func adaptive(out *tabwriter.Writer) {
	fmt.Fprintf(out, "Concurrency limits: a callee of %d hands, 50 ms a call, "+
		"400 calls a second at its peak, asked for ten times that;\n", hands)
	fmt.Fprintln(out, "callers give up after 2 s. even: 40 to 60 ms; "+
		"noisy: log-normal, sigma 1; mixed: 20 ms, one in five 170 ms.")
	fmt.Fprintln(out, "Goodput in % of what the callee can do at that time; "+
		"p99 of the admitted over that of the unloaded callee.")
	fmt.Fprintln(out)
	fmt.Fprintln(out, "calls\tlimiter\toverload\tp99\thands halved, after 10 s\tp99\t"+
		"back, after 30 s\ttwice as slow, after 10 s\tleak\ttripled for 1 s: worst second after\t"+
		"burst of slow calls: worst second after\trefused at half the peak\t")
	for w, work := range callee.Works {
		for _, l := range limiters(tune(w)) {
			overload := trial(w, callee.Nothing, 10, time.Minute).Try(l.make())
			halved := trial(w, callee.Halved, 10, 170*time.Second).Try(l.make())
			slow := trial(w, callee.Brownout, 10, 2*time.Minute).Try(l.make())
			leak := trial(w, callee.Leak, 10, 2*time.Minute).Try(l.make())
			tripled := trial(w, callee.Tripled, 10, 80*time.Second).Try(l.make())
			burst := trial(w, callee.Slow, 10, 80*time.Second).Try(l.make())
			half := trial(w, callee.Nothing, 0.5, time.Minute).Try(l.make())
			refused := float64(len(half.Refused)) / float64(len(half.Refused)+len(half.Samples))
			fmt.Fprintf(out, "%s\t%s\t%s\t%.2f\t%s\t%.2f\t%s\t%s\t%s\t%s\t%s\t%.2f %%\t\n",
				work.Name, l.name,
				percent(overload.Good(5, 60)), overload.Slower(5, 57),
				percent(2*halved.Good(70, 120)), halved.Slower(70, 117),
				percent(halved.Good(150, 170)),
				percent(2*slow.Good(70, 120)), percent(leak.Good(100, 120)*2.83),
				percent(tripled.Worst(62, 75)), percent(burst.Worst(62, 75)), 100*refused)
		}
	}
}

func priorities(out *tabwriter.Writer) {
	fmt.Fprintln(out)
	fmt.Fprintln(out, "Priorities without a queue: the same, "+
		"one call in 20 critical (half of what the callee can do), the others sheddable.")
	fmt.Fprintln(out)
	fmt.Fprintln(out, "calls\tlimiter\tcritical lost\tsheddable lost\tgoodput\tp99\t")
	for w, work := range callee.Works {
		for _, l := range limiters(tune(w))[:2] {
			t := trial(w, callee.Nothing, 10, time.Minute)
			t.Share = 0.05
			r := t.Try(l.make())
			fmt.Fprintf(out, "%s\t%s\t%.2f %%\t%.2f %%\t%s\t%.2f\t\n", work.Name, l.name,
				100*r.Lost(true, 5*time.Second, time.Minute), 100*r.Lost(false, 5*time.Second,
					time.Minute), percent(r.Good(5, 60)), r.Slower(5, 57))
		}
	}
}

func throttle(out *tabwriter.Writer) {
	fmt.Fprintln(out)
	fmt.Fprintln(out, "Client-side throttling: K 2 over 1 minute, 100 calls a second; "+
		"the callee fails for 5 minutes. Share of the calls that are sent.")
	fmt.Fprintln(out)
	fmt.Fprintln(out, "law\tall is well\tall fails\tin the 10 s to 20 s after\t30 s\t1 min\t"+
		"2 min\t2.5 min\t3 min\t5 min\t")
	ours := load.NewThrottle(2, time.Minute)
	for _, l := range []struct {
		name string
		law  callee.Throttler
	}{
		{"throttle", &ours},
		{"the book's, at most 95 %", &callee.Book{K: 2, Window: time.Minute, Most: 0.95}},
		{"the book's", &callee.Book{K: 2, Window: time.Minute, Most: 1}},
	} {
		accepts := func(now time.Duration) float64 {
			if now >= 5*time.Minute && now < 10*time.Minute {
				return 0
			}
			return 1
		}
		s := callee.Outage{
			Rate: 100, For: 15*time.Minute + 5*time.Second, Seed: 5, Accepts: accepts,
		}.Run(l.law)
		fmt.Fprintf(out, "%s\t%.2f %%\t%.1f %%\t", l.name, 100*callee.Sum(s, 0, 300).Passing(),
			100*callee.Sum(s, 400, 600).Passing())
		for _, after := range []int{20, 30, 60, 120, 150, 180, 300} {
			fmt.Fprintf(out, "%.1f %%\t", 100*callee.Sum(s, 600+after-10, 600+after).Passing())
		}
		fmt.Fprintln(out)
	}
}
