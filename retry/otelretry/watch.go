package otelretry

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/reprise-go/reprise/retry"
)

// Watch reports the figures of p and the policies in it as gauges, read at each collection: those
// of the table in the package comment, named after the kind of the policy and its retry.Stat. guard
// is a name for p, the value of the attribute resilience.guard.
//
// Policies of policies.Keyed are reported per kind: figures are summed over the keys, states are
// counted; see [TopKeys]. Stop ends the reporting. A policy may be watched by any number of
// callers.
func Watch(guard string, p retry.Policy, opts ...Option) (stop func() error, err error) {
	w := &watch{config: configure(opts), guard: guard, policy: p,
		gauges: map[string]metric.Float64ObservableGauge{}}
	units := map[string]string{}
	for _, m := range w.measure() { // with the figures of the user's own policies
		units[m.name] = m.unit
	}
	maps.Copy(units, Gauges)
	var all []metric.Observable
	var errs []error
	for name, unit := range units {
		g, err := w.meter().Float64ObservableGauge(name, metric.WithUnit(unit))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		w.gauges[name] = g
		all = append(all, g)
	}
	r, err := w.meter().RegisterCallback(w.observe, all...)
	if err = errors.Join(append(errs, err)...); err != nil {
		return func() error { return nil }, err
	}
	return r.Unregister, nil
}

type watch struct {
	config
	guard  string
	policy retry.Policy
	gauges map[string]metric.Float64ObservableGauge
}

func (w *watch) observe(_ context.Context, o metric.Observer) error {
	for key, m := range w.measure() {
		if g, ok := w.gauges[m.name]; ok {
			o.ObserveFloat64(g, m.value, metric.WithAttributes(w.attributesOf(key)...))
		}
	}
	return nil
}

func (w *watch) attributesOf(k gaugeKey) []attribute.KeyValue {
	attrs := append([]attribute.KeyValue{GuardKey.String(w.guard)}, w.common...)
	if k.policy != "" {
		attrs = append(attrs, NameKey.String(k.policy))
	}
	if k.state != "" {
		attrs = append(attrs, StateKey.String(k.state))
	}
	return attrs
}

// gaugeKey is one time series of this guard.
type gaugeKey struct{ name, policy, state string }

type measurement struct {
	name, unit string
	value      float64
}

// measure reads the figures of all members.
func (w *watch) measure() map[gaugeKey]measurement {
	found := map[gaugeKey]measurement{}
	var containers []string
	shown := map[string]bool{} // keys of containers that are reported one by one
	retry.Walk(w.policy, func(path string, p retry.Policy) bool {
		kind, name := kindAndName(labelOf(p))
		if inside, key := within(path, containers); inside {
			if !shown[key] && len(shown) < w.topKeys {
				shown[key] = true
			}
			if !shown[key] {
				name = ""
			}
		}
		if _, ok := p.(interface {
			Members(yield func(string, retry.Policy) bool)
		}); ok {
			containers = append(containers, path+"/")
		}
		if s, ok := p.(interface{ Stats() []retry.Stat }); ok {
			for _, stat := range s.Stats() {
				add(found, kind, name, stat)
			}
		}
		return true
	})
	return found
}

// within finds the container that path lies in, and the key it belongs to.
func within(path string, containers []string) (inside bool, key string) {
	for _, c := range slices.Backward(containers) {
		if rest, ok := strings.CutPrefix(path, c); ok {
			first, _, _ := strings.Cut(rest, "/")
			return true, c + first
		}
	}
	return false, ""
}

func add(found map[gaugeKey]measurement, kind, name string, s retry.Stat) {
	k := gaugeKey{name: "resilience." + kind + "." + s.Name, policy: name}
	if s.Text == "" {
		sum := found[k]
		found[k] = measurement{k.name, s.Unit, sum.value + s.Value}
		return
	}
	for _, state := range states(k.name, s.Text) {
		k.state = state
		count := found[k].value
		if state == s.Text {
			count++
		}
		found[k] = measurement{k.name, s.Unit, count}
	}
}

// states are the present state and those that are reported as 0, so that a graph shows when a
// breaker left a state.
func states(gauge, present string) []string {
	all := []string{present}
	if gauge == BreakerState {
		all = []string{"closed", "half-open", "open", "isolated"}
		if !slices.Contains(all, present) {
			all = append(all, present)
		}
	}
	return all
}

// labelOf is the kind and name of a policy, as its events have them.
func labelOf(p retry.Policy) string {
	text, _, _ := strings.Cut(retry.Describe(p), "(")
	return strings.TrimSpace(text)
}
