package retry

import "reflect"

// maxMembers is how many members of one container Walk visits.
const maxMembers = 1000

// Walk calls visit for p and the policies inside it, outermost first, until visit returns false. It
// is for health pages and start-up checks; a visit does not count as a use of a key of
// policies.Keyed. A chain itself is not visited, its members are.
//
// path names the way: "keyed/shop.example/limiter catalog". A policy with a method
//
//	Members(yield func(name string, p Policy) bool)
//
// is a container, and one with a method Unwrap() Policy a wrapper; so is a struct with an embedded
// Policy, even if that is embedded through another struct. At most 1000 members of one container
// are visited: Walk returns how many it left out.
func Walk(p Policy, visit func(path string, p Policy) bool) (leftOut int) {
	w := walker{visit: visit}
	if p != nil && visit != nil {
		w.walk("", p)
	}
	return w.leftOut
}

type walker struct {
	visit   func(string, Policy) bool
	leftOut int
	around  *layers // around the policy that is visited
}

func (w *walker) walk(path string, p Policy) (more bool) {
	if w.around.holds(p) {
		return true
	}
	outer := w.around
	w.around = &layers{p, outer}
	defer func() { w.around = outer }()
	if c, ok := p.(*chain); ok {
		return w.members(path, c)
	}
	if path == "" {
		path = label(p)
	}
	if !w.visit(path, p) {
		return false
	}
	if c, ok := p.(container); ok {
		return w.members(path, c)
	}
	switch inside := unwrap(p).(type) {
	case nil:
		return true
	case *chain:
		return w.walk(path, inside)
	default:
		return w.walk(join(path, label(inside)), inside)
	}
}

// layers are the wrappers and chains around a policy, innermost first. Without them the search
// through a policy that contains itself would never end.
type layers struct {
	p     Policy
	outer *layers
}

// holds reports whether p is among them. It compares only pointers, because only by a pointer can a
// policy contain itself.
func (l *layers) holds(p Policy) bool {
	if reflect.ValueOf(p).Kind() != reflect.Pointer {
		return false
	}
	for ; l != nil; l = l.outer {
		if l.p == p {
			return true
		}
	}
	return false
}

type container interface {
	Members(yield func(name string, p Policy) bool)
}

func (w *walker) members(path string, c container) (more bool) {
	more, n := true, 0
	c.Members(func(name string, p Policy) bool {
		if p == nil {
			return true
		}
		if n++; n > maxMembers {
			w.leftOut++
			return true
		}
		more = w.walk(join(path, name), p)
		return more
	})
	return more
}

func join(path, name string) string {
	switch {
	case path == "":
		return name
	case name == "":
		return path
	}
	return path + "/" + name
}

// unwrap returns the policy that p is a wrapper of: by its method Unwrap, or an embedded Policy.
func unwrap(p Policy) Policy {
	if u, ok := p.(interface{ Unwrap() Policy }); ok {
		return u.Unwrap()
	}
	inside, _ := embedded(reflect.ValueOf(p)).(Policy)
	return inside
}

// embedded returns the embedded Policy of a struct, or of a struct that is embedded in it.
func embedded(v reflect.Value) any {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		return nil
	}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		switch {
		case !f.Anonymous || !f.Type.Implements(policyType):
		case f.Type.Kind() != reflect.Interface:
			if inside := embedded(v.Field(i)); inside != nil {
				return inside
			}
		case f.IsExported() && !v.Field(i).IsNil():
			return v.Field(i).Interface()
		}
	}
	return nil
}

var policyType = reflect.TypeFor[Policy]()

// Idle reports whether p could be forgotten without changing a decision: it, or what it wraps, is
// an [Idler] and says so.
func Idle(p Policy) bool { return idle(p, nil) }

func idle(p Policy, around *layers) bool {
	if around.holds(p) {
		return true // the rest of it decides
	}
	around = &layers{p, around}
	if c, ok := p.(*chain); ok {
		return c.idle(around)
	}
	if i, ok := p.(Idler); ok {
		return i.Idle()
	}
	inside := unwrap(p)
	return inside != nil && idle(inside, around)
}
