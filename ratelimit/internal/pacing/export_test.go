package pacing

import "unsafe"

// Bytes is how many bytes m holds besides itself.
func (m *Machine) Bytes() uintptr {
	f := &m.flight
	return uintptr(cap(f.good)+cap(f.bad)+cap(f.lost))*8 + uintptr(cap(f.through))*8 +
		uintptr(cap(m.pages.seen))*unsafe.Sizeof(pageNote{}) +
		uintptr(cap(m.overdue.out))*unsafe.Sizeof(pending{})
}
