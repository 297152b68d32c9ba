package policies

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// Option tunes a policy of this package. One type serves all constructors; each says which options
// it takes, and the others are configuration errors there. If an option is given twice the last
// counts, but every [OnRetry] runs. A mistake does not panic: the policy rejects every call with an
// error that Is [retry.ErrConfig] and names the option, its value and what it must be. A nil Option
// is such a mistake.
type Option func(settings any) error

// option makes the Option that sets value in settings of type S, a pointer or an interface. must
// says what value has to be.
func option[S any](name string, value any, ok bool, must string, set func(S)) Option {
	return func(settings any) error {
		s, takes := settings.(S)
		if picky, partly := settings.(interface{ refuses(option string) bool }); partly {
			takes = takes && !picky.refuses(name)
		}
		switch {
		case !takes:
			return fmt.Errorf("%s(%s): does not apply here", name, shown(value))
		case !ok:
			return fmt.Errorf("%s(%s): must %s", name, shown(value), must)
		}
		set(s)
		return nil
	}
}

// shown is the value of an option as an error shows it. If it cannot be printed, as a function, it
// is "...".
func shown(value any) string {
	switch v := reflect.ValueOf(value); v.Kind() {
	case reflect.Invalid:
		return ""
	case reflect.String:
		return fmt.Sprintf("%q", value)
	case reflect.Func, reflect.Pointer, reflect.Chan, reflect.Interface:
		if v.IsNil() {
			return "nil"
		}
		return "..."
	}
	return fmt.Sprint(value)
}

// mistakes collects what is wrong with the arguments of one constructor.
type mistakes []string

// check adds a mistake unless ok.
func (m *mistakes) check(ok bool, format string, args ...any) {
	if !ok {
		*m = append(*m, fmt.Sprintf(format, args...))
	}
}

// configure applies opts to settings.
func (m *mistakes) configure(settings any, opts []Option) {
	for _, o := range opts {
		if o == nil {
			m.check(false, "nil option")
		} else if err := o(settings); err != nil {
			m.check(false, "%v", err)
		}
	}
}

// in is the configuration error of that constructor, nil without a mistake.
func (m mistakes) in(constructor string) error {
	if len(m) == 0 {
		return nil
	}
	return retry.ConfigErrorf("policies."+constructor, "%s", strings.Join(slices.Compact(m), "; "))
}

// Named gives a stateful policy its name for events, metrics, rejections and String, as "catalog"
// in "bulkhead catalog". The default is none. All stateful policies of this package take it; loops
// and other stateless ones do not.
func Named(s string) Option {
	return option("Named", s, true, "", func(l interface{ setName(string) }) { l.setName(s) })
}

// label is the kind of a stateful policy and the name that [Named] gave it.
type label struct{ kind, name string }

func (l *label) setName(s string) { l.name = s }

// who is kind and name, as events and rejections tell them.
func (l *label) who() string {
	if l.name == "" {
		return l.kind
	}
	return l.kind + " " + l.name
}

// format is for the Format methods: every verb prints text, because others would read fields that
// calls are writing.
func format(s fmt.State, verb rune, text string) {
	_, _ = fmt.Fprintf(s, fmt.FormatString(s, verb), text)
}

// MaxWait bounds how long a call waits in the queue of the policy, and only there: once admitted it
// runs as long as it likes. 0 rejects every call that is not admitted at once. The default is as
// long as the context allows.
func MaxWait(d time.Duration) Option {
	set := func(q interface{ setMaxWait(time.Duration) }) { q.setMaxWait(d) }
	return option("MaxWait", d, d >= 0, "not be negative", set)
}
