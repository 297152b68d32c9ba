package policies

import (
	"errors"
	"io/fs"
	"os/exec"

	"github.com/cenkalti/backoff/v4"

	"github.com/reprise-go/reprise/retry"
)

// isFinal finds what says in another library's words that no attempt can help: cenkalti's mark,
// which functions written for backoff.Retry return, and, by default, a command that is not there or
// may not be run. Like the marks of retry neither is seen behind retry.Unmark.
func isFinal(err error, byDefault bool) bool {
	for e := range retry.Tree(err) {
		if _, ok := e.(*backoff.PermanentError); ok {
			return true
		}
		if byDefault && cannotRun(e) {
			return true
		}
	}
	return false
}

func cannotRun(err error) bool {
	switch e := err.(type) {
	case *exec.Error:
		return true
	case *fs.PathError:
		useless := errors.Is(e.Err, fs.ErrNotExist) || errors.Is(e.Err, fs.ErrPermission)
		return e.Op == "fork/exec" && useless
	}
	return err == exec.ErrNotFound || err == exec.ErrDot
}
