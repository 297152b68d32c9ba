//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package httpx

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// renamesOpenFiles: a file may be renamed and removed while it is open, so its lock holds until
// then.
const renamesOpenFiles = true

// openLocked opens or creates path, and locks it for as long as it is open in this process.
func openLocked(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	switch {
	case err == nil:
		return f, nil
	case errors.Is(err, syscall.EWOULDBLOCK):
		err = busy()
	default:
		err = &fs.PathError{Op: "lock", Path: path, Err: err}
	}
	_ = f.Close()
	return nil, err
}

// ownAlone tells whether only this user can have written the file.
func ownAlone(info os.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid() && st.Nlink == 1 && info.Mode().Perm()&0o077 == 0
}
