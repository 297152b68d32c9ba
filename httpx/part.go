package httpx

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/reprise-go/reprise/retry"
)

// ErrBusy is why a [Save] is refused while another one of the same file is under way.
var ErrBusy = errors.New("another Save of this file is under way")

// partFile is the temporary file of a Save: the body as far as it has come and, further on in the
// file, a note that says how far that is and of which representation. The note is always the file's
// last noteSize bytes. It lies ahead of the body by up to noteEvery bytes, a hole that takes no
// space; when the body gets there the next note is written further on before the old one is
// overwritten. So a process may be killed at any moment and leaves a body with a note of some
// moments ago. When the file is whole what is behind the body is cut off.
type partFile struct {
	file   *os.File
	path   string
	target string
	claim  string // in saving
	note
	mark int64 // where the note in the file is; 0: nowhere
}

// note is what must be known to continue a body. The checksum covers what it has of it.
type note struct {
	Have  int64  `json:"have"`
	Sum   uint32 `json:"crc32c"`
	Total int64  `json:"total"`          // -1: unknown
	ETag  string `json:"etag,omitempty"` // a strong one; empty: the body cannot be continued
	Code  string `json:"code,omitempty"` // its Content-Encoding, if it is kept
	From  string `json:"from,omitempty"` // the hash of the address that answered
}

const (
	noteSize  = 1 << 10
	noteEvery = 8 << 20
	noteFirst = 1 << 20 // a shorter body is read again rather than noted
	noteMagic = "reprise part 1 "
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// saves are the files that this process saves at the moment.
var saves = struct {
	sync.Mutex
	of map[string]bool
}{of: map[string]bool{}}

func claim(target string) bool {
	saves.Lock()
	defer saves.Unlock()
	if saves.of[target] {
		return false
	}
	saves.of[target] = true
	return true
}

func unclaim(target string) {
	saves.Lock()
	defer saves.Unlock()
	delete(saves.of, target)
}

func busy() error { return &retry.Rejection{Policy: "httpx.Save", Reason: ErrBusy} }

// openPart opens and locks the temporary file for target. id tells apart what is saved there: its
// hash is a part of the name.
func openPart(target string, id [16]byte) (p *partFile, err error) {
	dir, name := filepath.Split(target)
	dir = filepath.Clean(dir)
	if info, err := os.Stat(target); err == nil && info.IsDir() {
		return nil, &fs.PathError{Op: "save", Path: target, Err: errors.New("is a directory")}
	}
	real, err := filepath.Abs(dir)
	if err == nil {
		real, err = filepath.EvalSymlinks(real)
	}
	if err != nil {
		return nil, err
	}
	p = &partFile{target: target, claim: filepath.Join(real, name)}
	p.path = filepath.Join(dir, fmt.Sprintf(".%s.%x.part", shortened(name), id))
	if !claim(p.claim) {
		return nil, busy()
	}
	if p.file, err = openAlone(p.path); err != nil {
		unclaim(p.claim)
		return nil, err
	}
	return p, nil
}

// shortened keeps the name of a temporary file within the 255 bytes that file systems allow.
func shortened(name string) string {
	const most = 255 - len("..part.") - 32
	if len(name) <= most {
		return name
	}
	name = name[:most]
	for !utf8.ValidString(name) && len(name) > most-utf8.UTFMax {
		name = name[:len(name)-1]
	}
	return name
}

// openAlone opens path, which it makes if need be, as a regular file that is this user's own, that
// nobody else may read, and that this Save has locked. Whatever else stands there is removed. Links
// are not followed.
func openAlone(path string) (*os.File, error) {
	for range 10 {
		f, err := openLocked(path)
		if err != nil {
			info, statErr := os.Lstat(path)
			if statErr != nil || info.Mode().IsRegular() || info.IsDir() {
				return nil, err
			}
			if removeErr := os.Remove(path); removeErr != nil {
				return nil, err
			}
			continue
		}
		opened, err := f.Stat()
		if err != nil {
			_ = f.Close()
			return nil, err
		}
		// Between opening and locking another Save may have renamed or removed it.
		if now, err := os.Lstat(path); err != nil || !os.SameFile(now, opened) {
			_ = f.Close()
			continue
		}
		if opened.Mode().IsRegular() && ownAlone(opened) {
			return f, nil
		}
		_ = f.Close()
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	return nil, busy()
}

// recall finds out what an earlier Save has left. A file that is cut short, or not what its note
// says, is worth nothing.
func (p *partFile) recall(ctx context.Context, buf []byte) error {
	p.note = note{Total: -1}
	info, err := p.file.Stat()
	if err != nil {
		return err
	}
	at := info.Size() - noteSize
	n, ok := p.readNote(at)
	if !ok || n.Have > at || n.Have <= 0 || n.Total >= 0 && n.Have > n.Total ||
		!strongETag(n.ETag) {
		return nil
	}
	sum := uint32(0)
	body := io.NewSectionReader(p.file, 0, n.Have)
	for {
		if err := retry.Ended(ctx); err != nil {
			p.note, p.mark = n, at // not looked at is not lost
			return err
		}
		k, err := body.Read(buf)
		sum = crc32.Update(sum, castagnoli, buf[:k])
		if err == io.EOF {
			break
		} else if err != nil {
			return nil //nolint:nilerr // what cannot be read is fetched again
		}
	}
	if sum == n.Sum {
		p.note, p.mark = n, at
	}
	return nil
}

func (p *partFile) readNote(at int64) (n note, ok bool) {
	var block [noteSize]byte
	if at < 0 {
		return n, false
	}
	if _, err := p.file.ReadAt(block[:], at); err != nil {
		return n, false
	}
	text, hasMagic := strings.CutPrefix(string(block[:noteSize-8]), noteMagic)
	sum := fmt.Sprintf("%08x", crc32.Checksum(block[:noteSize-8], castagnoli))
	if !hasMagic || sum != string(block[noteSize-8:]) {
		return n, false
	}
	return n, json.Unmarshal([]byte(text), &n) == nil
}

func (p *partFile) writeNote(at int64) error {
	if at < p.Have {
		at = p.Have
	}
	text, err := json.Marshal(p.note)
	if err != nil {
		return err
	}
	block := noteMagic + string(text)
	if len(block) > noteSize-8 { // see maxETag
		return errors.New("the note of a part is too long")
	}
	block += strings.Repeat(" ", noteSize-8-len(block))
	block += fmt.Sprintf("%08x", crc32.Checksum([]byte(block), castagnoli))
	if _, err := p.file.WriteAt([]byte(block), at); err != nil {
		return err
	}
	p.mark = at
	return nil
}

// begin starts a body anew.
func (p *partFile) begin(n note) error {
	n.Have, n.Sum = 0, 0
	p.note, p.mark = n, 0
	return p.file.Truncate(0)
}

// write appends to the body.
func (p *partFile) write(b []byte) error {
	end := p.Have + int64(len(b))
	if p.ETag != "" && end > p.mark && (p.mark > 0 || end > noteFirst) {
		if err := p.writeNote(p.Have + noteEvery); err != nil {
			return err
		}
	}
	n, err := p.file.WriteAt(b, p.Have)
	p.Sum = crc32.Update(p.Sum, castagnoli, b[:n])
	p.Have += int64(n)
	return err
}

// pause notes how far the body has come, for the next Save. Nothing can be done about an error: an
// earlier note may still be there.
func (p *partFile) pause() {
	if p.resumable() {
		_ = p.writeNote(p.mark)
	}
}

func (p *partFile) resumable() bool { return p.Have > 0 && p.ETag != "" }

// finish makes the whole body the target. A file that is replaced passes its mode on.
func (p *partFile) finish() error {
	if err := p.file.Truncate(p.Have); err != nil {
		return err
	}
	if old, err := os.Lstat(p.target); err == nil && old.Mode().IsRegular() {
		if err := p.file.Chmod(old.Mode().Perm()); err != nil {
			return err
		}
	}
	if !renamesOpenFiles {
		if err := p.file.Close(); err != nil {
			return err
		}
	}
	if err := os.Rename(p.path, p.target); err != nil {
		return err
	}
	p.path = ""
	return p.file.Close()
}

// close gives the file back. What can be continued stays.
func (p *partFile) close() {
	defer unclaim(p.claim)
	if p.path == "" {
		return
	}
	if p.resumable() {
		p.pause()
		_ = p.file.Close()
		return
	}
	err := os.Remove(p.path) // while it is locked, so that it is not another Save's
	_ = p.file.Close()
	if err != nil && !renamesOpenFiles {
		_ = os.Remove(p.path)
	}
}
