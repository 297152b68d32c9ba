package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"
)

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	all, stop, err := jobs(ctx, 1_000_000)
	if err == nil {
		defer stop()
		var tables [][][]string
		tables, err = measure(all, 100)
		for _, rows := range tables {
			fmt.Println(table(rows))
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// measure lets all libraries that do a job take turns, so that whatever else the machine does
// disturbs all alike. A time is the least of the rounds, which is what the job costs if nothing
// disturbs it; a ratio is to the first that does that job. Jobs of one kind share a table, of the
// libraries that do any of them.
func measure(all []job, rounds int) (tables [][][]string, err error) {
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].kind == all[0].kind {
			n++
		}
		table, err := measureKind(all[:n], rounds)
		if err != nil {
			return nil, err
		}
		tables, all = append(tables, table), all[n:]
	}
	return tables, nil
}

func measureKind(all []job, rounds int) ([][]string, error) {
	head := []string{all[0].kind}
	cells := make([][]string, len(libraries)) // nil: does none
	for column, j := range all {
		head = append(head, j.name)
		best, err := j.race(rounds)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", j.name, err)
		}
		for i, w := range j.ways {
			allocs, bytes := allocated(w.do)
			time := fmt.Sprintf("%.2f", best[i]/best[0])
			if i == 0 {
				time = fmt.Sprintf("%.0f ns", best[0])
			}
			if cells[w.library] == nil {
				cells[w.library] = make([]string, len(all))
			}
			cells[w.library][column] = fmt.Sprintf("%s (%d, %d B)", time, allocs, bytes)
		}
	}
	rows := [][]string{head}
	for i, row := range cells {
		if row != nil {
			rows = append(rows, append([]string{libraries[i].name}, row...))
		}
	}
	return rows, nil
}

// race is the least time of one operation of each, in nanoseconds.
func (j job) race(rounds int) ([]float64, error) {
	const round = 200 * time.Microsecond
	best, batch := make([]float64, len(j.ways)), make([]int, len(j.ways))
	for i := range j.ways {
		best[i] = math.Inf(1)
		for batch[i] = 1; batch[i] < 1<<20; batch[i] *= 2 {
			took, err := j.spend(i, batch[i])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", libraries[j.ways[i].library].name, err)
			}
			if took >= round {
				break
			}
		}
	}
	for r := range rounds {
		for turn := range j.ways {
			i := (turn + r) % len(j.ways) // none is always first
			took, err := j.spend(i, batch[i])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", libraries[j.ways[i].library].name, err)
			}
			best[i] = min(best[i], float64(took)/float64(batch[i]))
		}
	}
	return best, nil
}

// spend is how long so many operations take; in parallel, that many by each processor.
func (j job) spend(i, n int) (time.Duration, error) {
	do := j.ways[i].do
	repeat := func() error {
		for range n {
			if err := do(); err != nil {
				return err
			}
		}
		return nil
	}
	start := time.Now()
	if !j.parallel {
		err := repeat()
		return time.Since(start), err
	}
	var all sync.WaitGroup
	errs := make([]error, runtime.GOMAXPROCS(0))
	for p := range errs {
		all.Go(func() { errs[p] = repeat() })
	}
	all.Wait()
	took := time.Since(start)
	for _, err := range errs {
		if err != nil {
			return took, err
		}
	}
	return took, nil
}

// allocated is what one operation allocates in the steady state: the least of some rounds, since
// whatever the runtime allocates meanwhile only adds.
func allocated(do func() error) (allocs, bytes uint64) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const rounds, n = 10, 60
	allocs, bytes = math.MaxUint64, math.MaxUint64
	for range rounds {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range n {
			_ = do()
		}
		runtime.ReadMemStats(&after)
		allocs = min(allocs, (after.Mallocs-before.Mallocs)/n)
		bytes = min(bytes, (after.TotalAlloc-before.TotalAlloc)/n)
	}
	return allocs, bytes
}

// table is Markdown.
func table(rows [][]string) string {
	var s strings.Builder
	for i, row := range rows {
		fmt.Fprintln(&s, "| "+strings.Join(row, " | ")+" |")
		if i == 0 {
			fmt.Fprintln(&s, strings.Repeat("|---", len(row))+"|")
		}
	}
	return s.String()
}
