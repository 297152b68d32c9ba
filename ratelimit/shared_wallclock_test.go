package ratelimit_test

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/ratelimit/limitertest"
	"github.com/reprise-go/reprise/retry"
)

// Nothing that a member and its store tell each other depends on what their clocks show: with
// clocks that are years apart they exchange the same questions and answers at the same moments.
func TestAFleetDoesNotCompareClocks(t *testing.T) {
	for name, use := range map[string]func(ratelimit.Store){
		"limiter": func(s ratelimit.Store) {
			l := ratelimit.New(9.7, 5, ratelimit.Shared(s, "x", ratelimit.Member("a")))
			for i := range 60 {
				_ = retry.Run(bg, l, nop)
				switch i {
				case 20:
					l.Pause(700 * ms)
				case 30:
					l.Charge(4)
				case 40:
					l.SetLimit(19.3)
				}
			}
		},
		"pacer": func(s ratelimit.Store) {
			p := seeded(1, ratelimit.Shared(s, "x", ratelimit.Member("a")))
			call := served(limitertest.Nginx(10, 5, true))
			for range 120 {
				_ = retry.Run(bg, p, func(ctx context.Context) error { return call(ctx) })
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			talk := func(member, store time.Duration) (said []exchange) {
				synctest.Test(t, func(t *testing.T) {
					time.Sleep(member)
					clock := func() time.Time { return time.Now().Add(store) }
					r := &recorder{store: ratelimit.NewStoreAt(clock), begin: time.Now()}
					use(r)
					time.Sleep(time.Minute)
					r.mu.Lock()
					defer r.mu.Unlock()
					said = r.said
				})
				return said
			}
			want := talk(0, 0)
			if len(want) < 20 {
				t.Fatalf("only %d questions", len(want))
			}
			for _, c := range []struct{ member, store time.Duration }{
				{0, -9 * time.Hour}, {0, 9 * time.Hour}, {7 * time.Hour, 0},
				{20_000 * time.Hour, -5 * time.Hour},
			} {
				got := talk(c.member, c.store)
				for i := range min(len(got), len(want)) {
					if got[i] != want[i] {
						t.Fatalf("clocks later by %v (member) and %v (store), question %d:\n"+
							"%+v, want\n%+v", c.member, c.store, i, got[i], want[i])
					}
				}
				if len(got) != len(want) {
					t.Errorf("%d questions, want %d", len(got), len(want))
				}
			}
		})
	}
}

type exchange struct {
	at    time.Duration // since the beginning
	ask   ratelimit.Ask
	grant ratelimit.Grant
}

// recorder notes what is said.
type recorder struct {
	store ratelimit.Store
	begin time.Time
	mu    sync.Mutex
	said  []exchange
}

func (r *recorder) Take(ctx context.Context, name string,
	a ratelimit.Ask) (ratelimit.Grant, error) {
	at := time.Since(r.begin)
	time.Sleep(1300 * time.Microsecond)
	g, err := r.store.Take(ctx, name, a)
	r.mu.Lock()
	r.said = append(r.said, exchange{at, a, g})
	r.mu.Unlock()
	time.Sleep(1700 * time.Microsecond)
	return g, err
}

// A clock that is set while the program runs cannot matter either: a member uses time.Time only as
// Go's monotonic clock, never the date in it, and tells durations only.
func TestAMemberDoesNotReadDates(t *testing.T) {
	for _, said := range []any{ratelimit.Ask{}, ratelimit.Grant{}} {
		of := reflect.TypeOf(said)
		for i := range of.NumField() {
			f := of.Field(i)
			switch f.Type.Kind() {
			case reflect.Struct, reflect.Pointer, reflect.Interface:
				t.Errorf("%v.%s is a %v", of, f.Name, f.Type)
			}
		}
	}
	dates := []string{
		"Unix", "UnixMilli", "UnixMicro", "UnixNano", "Round", "Truncate", "UTC", "Local", "In",
		"Date", "Clock", "AddDate", "Format", "AppendFormat", "Year", "YearDay", "Hour", "Minute",
		"Second", "Nanosecond", "Parse", "MarshalText", "MarshalJSON", "MarshalBinary", "GobEncode",
		"Equal", "Compare",
	}
	files, err := filepath.Glob("*shared*.go")
	if err != nil || len(files) < 8 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		set := token.NewFileSet()
		tree, err := parser.ParseFile(set, file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if ok && slices.Contains(dates, s.Sel.Name) && !unit(s) && !rounded(s) {
				t.Errorf("%v: %s reads a date", set.Position(n.Pos()), s.Sel.Name)
			}
			return true
		})
	}
}

// unit reports whether s is one of package time's units.
func unit(s *ast.SelectorExpr) bool {
	x, ok := s.X.(*ast.Ident)
	units := []string{"Nanosecond", "Second", "Minute", "Hour"}
	return ok && x.Name == "time" && slices.Contains(units, s.Sel.Name)
}

// rounded reports whether s rounds a difference of durations, for people.
func rounded(s *ast.SelectorExpr) bool {
	_, ok := s.X.(*ast.ParenExpr)
	return ok && s.Sel.Name == "Round"
}
