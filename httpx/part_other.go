//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd || windows)

package httpx

import (
	"io/fs"
	"os"
)

const renamesOpenFiles = true

// openLocked takes no lock here, because these systems have none: only a second Save in this
// process is refused.
func openLocked(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600) // EXCL follows no link
	if err == nil {
		return f, nil
	}
	info, statErr := os.Lstat(path)
	if statErr != nil || !info.Mode().IsRegular() {
		return nil, err
	}
	if f, err = os.OpenFile(path, os.O_RDWR, 0); err != nil {
		return nil, err
	}
	if opened, err := f.Stat(); err != nil || !os.SameFile(info, opened) { // a link by now
		_ = f.Close()
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrInvalid}
	}
	return f, nil
}

func ownAlone(info os.FileInfo) bool { return info.Mode().Perm()&0o077 == 0 }
