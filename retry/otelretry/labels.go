package otelretry

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/reprise-go/reprise/retry"
)

// labels makes the attributes of measurements. It keeps and reuses them, because to make a set
// costs more than a measurement.
type labels struct {
	most   int // names of policies that are told apart
	common []attribute.KeyValue
	made   sync.Map // label -> *options
	names  sync.Map // of policies -> nothing
	known  atomic.Int64
}

type label struct{ policy, errorType, from, to string }

type options struct {
	record []metric.RecordOption
	add    []metric.AddOption
}

// of returns the attributes of an event: policy is its kind and name, and each may be empty.
func (l *labels) of(policy, errorType, from, to string) *options {
	key := label{l.bounded(policy), errorType, from, to}
	if made, ok := l.made.Load(key); ok {
		return made.(*options)
	}
	attrs := append([]attribute.KeyValue(nil), l.common...)
	kind, name := kindAndName(key.policy)
	for _, a := range []struct {
		key   attribute.Key
		value string
	}{{KindKey, kind}, {NameKey, name}, {ErrorTypeKey, errorType}, {FromKey, from}, {ToKey, to}} {
		if a.value != "" {
			attrs = append(attrs, a.key.String(a.value))
		}
	}
	set := metric.WithAttributeSet(attribute.NewSet(attrs...))
	made, _ := l.made.LoadOrStore(key,
		&options{[]metric.RecordOption{set}, []metric.AddOption{set}})
	return made.(*options)
}

const other = "_other"

// bounded is policy, with its name replaced if there are too many names.
func (l *labels) bounded(policy string) string {
	kind, name := kindAndName(policy)
	if name == "" {
		return policy
	}
	if _, ok := l.names.Load(policy); ok {
		return policy
	}
	if l.known.Add(1) > int64(l.most) {
		l.known.Add(-1)
		if l.most == 0 {
			return kind
		}
		return kind + " " + other
	}
	if _, twice := l.names.LoadOrStore(policy, nil); twice {
		l.known.Add(-1)
	}
	return policy
}

// kindAndName takes "breaker catalog" apart.
func kindAndName(policy string) (kind, name string) {
	kind, name, _ = strings.Cut(policy, " ")
	return kind, name
}

// errorType is one of few values: an HTTP status, a word for what this module knows, or the type of
// the innermost error. It is empty for a success.
func errorType(err error) string {
	if err == nil {
		return ""
	}
	v := retry.VerdictOf(err)
	var status interface{ StatusCode() int }
	switch {
	case v.Config:
		return "config"
	case v.Rejection != nil:
		kind, _ := kindAndName(v.Rejection.Policy)
		return "rejected_by_" + kind
	case errors.As(err, &status):
		return strconv.Itoa(status.StatusCode())
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	}
	innermost := err
	for e := range retry.Tree(err) {
		innermost = e
	}
	switch name := fmt.Sprintf("%T", innermost); name {
	case "*errors.errorString", "*fmt.wrapError", "*fmt.wrapErrors", "*errors.joinError":
		return "_OTHER"
	default:
		return name
	}
}
