package htmlpage

import (
	"bytes"
	"context"
	"io"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"
)

// decode converts a body to UTF-8. Its error is what ended ctx.
func decode(ctx context.Context, body []byte, contentType string) (string, error) {
	e, skip := charsetOf(body, contentType)
	var text strings.Builder
	text.Grow(len(body))
	_, err := io.Copy(&text, e.NewDecoder().Reader(&during{ctx, bytes.NewReader(body[skip:])}))
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	default: // most decoders replace invalid bytes; this is for one that does not
		return strings.ToValidUTF8(string(body), "\uFFFD"), nil
	}
	return text.String(), nil // decoders give valid UTF-8
}

// charsetOf finds the encoding of body, and the length of the byte order mark that it begins with.
func charsetOf(body []byte, contentType string) (e encoding.Encoding, skip int) {
	switch {
	case bytes.HasPrefix(body, []byte("\xef\xbb\xbf")):
		return unicode.UTF8, 3
	case bytes.HasPrefix(body, []byte("\xff\xfe")):
		return utf16(unicode.LittleEndian), 2
	case bytes.HasPrefix(body, []byte("\xfe\xff")):
		return utf16(unicode.BigEndian), 2
	}
	if e := byLabel(labelIn(contentType)); e != nil {
		return e, 0
	}
	if isMarkup(contentType) {
		if e := declared(body); e != nil {
			return e, 0
		}
	}
	return guess(body), 0
}

func utf16(order unicode.Endianness) encoding.Encoding {
	return unicode.UTF16(order, unicode.IgnoreBOM)
}

// isMarkup tells whether the page itself may declare its charset. A page without a type is taken
// for HTML.
func isMarkup(contentType string) bool {
	kind, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	kind = strings.TrimSpace(kind)
	return kind == "" || strings.Contains(kind, "html") || strings.Contains(kind, "xml")
}

// byLabel returns nil for an unknown label, and for iso-2022-kr and similar ones: the standard
// decodes those to a single U+FFFD, for the safety of browsers; here the text decides.
func byLabel(label string) encoding.Encoding {
	label = strings.ToLower(strings.Trim(label, " \t\n\f\r"))
	switch label {
	case "", "x-user-defined":
		return nil
	case "hz-gb-2312":
		return simplifiedchinese.HZGB2312
	}
	e, err := htmlindex.Get(label)
	if err != nil || e == encoding.Replacement {
		return nil
	}
	switch e {
	case charmap.XUserDefined:
		return nil
	case unicode.UTF8:
		return unicode.UTF8
	}
	return e
}

// labelIn finds charset=label in a Content-Type, however badly it is written.
func labelIn(s string) string {
	for lower := strings.ToLower(s); ; {
		i := strings.Index(lower, "charset")
		if i < 0 {
			return ""
		}
		lower = strings.TrimLeft(lower[i+len("charset"):], " \t\n\f\r")
		rest, ok := strings.CutPrefix(lower, "=")
		if !ok {
			continue
		}
		rest = strings.TrimLeft(rest, " \t\n\f\r")
		if rest != "" && (rest[0] == '"' || rest[0] == '\'') {
			label, _, _ := strings.Cut(rest[1:], rest[:1])
			return label
		}
		if end := strings.IndexAny(rest, "; \t\n\f\r,"); end >= 0 {
			rest = rest[:end]
		}
		return rest
	}
}

// headBytes is how far into a page its declaration is looked for. The standard asks for 1024 bytes.
// Browsers go on to the end of the head; so does this, up to this bound.
const headBytes = 64 << 10

// declared finds the charset that a page declares, in an XML declaration or a meta element.
func declared(body []byte) encoding.Encoding {
	head := body[:min(len(body), headBytes)]
	if len(head) >= 4 {
		switch { // it begins with ASCII in 16 bits
		case head[0] == '<' && head[1] == 0 && head[3] == 0:
			return utf16(unicode.LittleEndian)
		case head[0] == 0 && head[1] == '<' && head[2] == 0:
			return utf16(unicode.BigEndian)
		}
	}
	if e := inXML(head); e != nil {
		return e
	}
	z := html.NewTokenizer(bytes.NewReader(head))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return nil
		case html.EndTagToken:
			if name, _ := z.TagName(); string(name) == "head" {
				return nil
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			t := z.Token()
			switch t.Data {
			case "body":
				return nil
			case "meta":
				if e := inMeta(t.Attr); e != nil {
					return e
				}
			}
		}
	}
}

func inXML(head []byte) encoding.Encoding {
	rest, ok := bytes.CutPrefix(bytes.TrimLeft(head, " \t\r\n"), []byte("<?xml"))
	if !ok {
		return nil
	}
	end := bytes.IndexByte(rest, '>')
	if end < 0 {
		return nil
	}
	_, value, ok := bytes.Cut(rest[:end], []byte("encoding"))
	value = bytes.TrimLeft(value, " \t\r\n=")
	if !ok || len(value) < 2 || value[0] != '"' && value[0] != '\'' {
		return nil
	}
	label, _, _ := bytes.Cut(value[1:], value[:1])
	return inASCII(byLabel(string(label)))
}

func inMeta(attrs []html.Attribute) encoding.Encoding {
	var label, content, equiv string
	for i := len(attrs) - 1; i >= 0; i-- { // the first of two counts
		switch a := attrs[i]; a.Key {
		case "charset":
			label = a.Val
		case "content":
			content = a.Val
		case "http-equiv":
			equiv = a.Val
		}
	}
	if label == "" && strings.EqualFold(strings.TrimSpace(equiv), "content-type") {
		label = labelIn(content)
	}
	return inASCII(byLabel(label))
}

// inASCII corrects a declaration that was read as ASCII: then the page cannot be UTF-16, and is
// taken for UTF-8.
func inASCII(e encoding.Encoding) encoding.Encoding {
	switch e {
	case utf16(unicode.LittleEndian), utf16(unicode.BigEndian),
		unicode.UTF16(unicode.BigEndian, unicode.UseBOM),
		unicode.UTF16(unicode.LittleEndian, unicode.UseBOM):
		return unicode.UTF8
	}
	return e
}
