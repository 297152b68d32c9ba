// Command peers holds reprise beside the well-known libraries of the field, on the same jobs: what
// they cost, which it prints, and, in its tests, what they do where they differ. It is a separate
// module and not part of the workspace, so that running the tests does not download them.
//
//	GOWORK=off go run -C internal/peers .
//
// One file holds one library, used as its documentation recommends. What a table of behaviour says
// of one is asserted by the test that prints it, with the versions in go.mod.
package main
