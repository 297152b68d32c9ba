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

// partFile is the temporary file of a Save: the body as far as it was received and, further on in
// the file, a note that says how many bytes that is and of which representation. The note is always
// the file's last noteSize bytes. It lies up to noteEvery bytes ahead of the body; the hole between
// takes no space on disk. When the body reaches the note, the next note is written further on
// before the body overwrites the old one. So a process that is killed at any moment leaves a body
// and a recent note. When the body is whole, the file is cut off behind it.
type partFile struct {
	file   *os.File
	path   string
	target string
	claim  string // in saving
	note
	mark int64 // where the note in the file is; 0: nowhere
}

// note is what must be known to continue a body. The checksum covers the Have bytes that are there.
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

// saves are the files that this process is saving now.
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

// openPart opens and locks the temporary file for target. id, the hash of what is saved there, is a
// part of its name.
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

// openAlone opens or creates path and locks it. The result is a regular file that belongs to this
// user and that nobody else may read. Anything else at path is removed. Links are not followed.
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

// recall reads what an earlier Save has left. A file that is cut short or does not match its note
// is ignored.
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
			p.note, p.mark = n, at // not checked yet, so kept
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

// begin empties the file for a new body.
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

// pause writes a note for the next Save. Its error is ignored, because an earlier note may still be
// there.
func (p *partFile) pause() {
	if p.resumable() {
		_ = p.writeNote(p.mark)
	}
}

func (p *partFile) resumable() bool { return p.Have > 0 && p.ETag != "" }

// finish renames the whole body to the target. If it replaces a file, it takes over that file's
// mode.
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

// close closes the file, and removes it unless a later Save can continue it.
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
	if err == nil {
		go func() { _ = p.file.Close() }() // frees the disk, which takes 0.1 s for each GiB
		return
	}
	_ = p.file.Close()
	if !renamesOpenFiles {
		_ = os.Remove(p.path)
	}
}
