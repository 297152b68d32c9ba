package htmlpage

import (
	"io"
	"net/http"

	"github.com/reprise-go/reprise/httpx"
)

var _ httpx.Decoder[string] = Text

// Text reads the whole body and decodes it to UTF-8. The charset is found as browsers find it (the
// WHATWG's HTML standard, section 13.2.3.2), in this order: a byte order mark; the charset of
// Content-Type; in HTML and XML the declaration in the page; else a guess from the text: UTF-8 if
// it is valid, then the legacy encodings of Japanese, Korean, Chinese, Cyrillic, Greek, Hebrew and
// Arabic, then windows-1252. Labels are those of the WHATWG's Encoding standard, so iso-8859-1 is
// windows-1252 and gb2312 is GBK; unknown labels are ignored.
//
// Bytes that are invalid in the charset become U+FFFD. A byte order mark is dropped.
func Text(r *http.Response) (string, error) {
	b, err := io.ReadAll(r.Body)
	return decode(b, r.Header.Get("Content-Type")), err
}
