package httpx

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// renamesOpenFiles: Windows does not rename a file that is open without FILE_SHARE_DELETE.
const renamesOpenFiles = false

const (
	// FILE_FLAG_OPEN_REPARSE_POINT opens a link itself, not its target.
	openReparsePoint = 0x00200000
	sharingViolation = syscall.Errno(0x20) // ERROR_SHARING_VIOLATION
)

// openLocked opens or creates path without sharing it, which locks it.
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

// ownAlone is always true: on Windows a file has the rights of its directory.
func ownAlone(os.FileInfo) bool { return true }
