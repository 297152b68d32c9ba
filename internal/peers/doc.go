// Package peers holds reprise beside the well-known libraries of the field, on the same jobs: what they cost, and what they do
// where they differ. It is a module of its own and not part of the workspace, so that nobody downloads them to run the tests.
//
// Each library is used as its documentation recommends. What a table says of one is asserted by the test that prints it, with
// the versions in go.mod.
package peers
