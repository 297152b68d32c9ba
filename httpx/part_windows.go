package httpx

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// renamesOpenFiles: Windows renames no file that is open without FILE_SHARE_DELETE.
const renamesOpenFiles = false

const (
	// FILE_FLAG_OPEN_REPARSE_POINT: a link itself, not where it leads
	openReparsePoint = 0x00200000
	sharingViolation = syscall.Errno(0x20) // ERROR_SHARING_VIOLATION
)

// openLocked opens path, which it makes if need be, shared with nobody: that is the lock.
func openLocked(path string) (*os.File, error) {
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	h, err := syscall.CreateFile(name, syscall.GENERIC_READ|syscall.GENERIC_WRITE, 0, nil,
		syscall.OPEN_ALWAYS, syscall.FILE_ATTRIBUTE_NORMAL|openReparsePoint, 0)
	switch {
	case errors.Is(err, sharingViolation):
		return nil, busy()
	case err != nil:
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(h), path), nil
}

// ownAlone: rights are the directory's there.
func ownAlone(os.FileInfo) bool { return true }
