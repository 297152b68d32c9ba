package htmlpage

import (
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"
)

func response(contentType, body string) *http.Response {
	return &http.Response{StatusCode: http.StatusOK,
		Header: http.Header{"Content-Type": {contentType}},
		Body:   io.NopCloser(strings.NewReader(body))}
}

func encoded(t testing.TB, e encoding.Encoding, text string) string {
	t.Helper()
	s, err := e.NewEncoder().String(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func byName(t testing.TB, name string) encoding.Encoding {
	t.Helper()
	e, err := htmlindex.Get(name)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// samples are the first words of encyclopaedia articles on tea, in what their pages were once
// written.
var samples = []struct{ charset, text string }{
	{"windows-1251",
		"Чай — напиток, получаемый варкой, завариванием или настаиванием листа чайного куста."},
	{"koi8-r",
		"Чай - напиток, получаемый варкой, завариванием или настаиванием листа чайного куста."},
	{"ibm866",
		"Чай - напиток, получаемый варкой, завариванием или настаиванием листа чайного куста."},
	{"iso-8859-5",
		"Чай - напиток, получаемый варкой, завариванием или настаиванием листа чайного куста."},
	{"koi8-u", "Чай - напій, який отримують заварюванням листя чайного куща. Її п'ють у всьому " +
		"світі, зокрема в Україні."},
	{"shift_jis", "お茶は、チャノキの葉や茎を加工して作られる飲み物である。日本では緑茶がよく飲まれる。"},
	{"euc-jp", "お茶は、チャノキの葉や茎を加工して作られる飲み物である。日本では緑茶がよく飲まれる。"},
	{"iso-2022-jp", "お茶は、チャノキの葉や茎を加工して作られる飲み物である。"},
	{"euc-kr", "차는 차나무의 잎을 따서 만든 음료이다. 한국에서는 녹차를 많이 마신다."},
	{"gbk", "茶是一种用茶叶泡成的饮料，在中国已经有几千年的历史，人们每天都要喝茶。"},
	{"big5", "茶是一種用茶葉泡成的飲料，在中國已經有幾千年的歷史，人們每天都要喝茶。"},
	{"windows-1253", "Το τσάι είναι ένα αρωματικό ρόφημα που παρασκευάζεται από τα φύλλα " +
		"του φυτού της καμέλιας."},
	{"windows-1255",
		"תה הוא משקה חם המוכן מחליטת עלים של צמח התה במים רותחים, והוא נפוץ בכל העולם."},
	{"windows-1256", "الشاي هو مشروب يحضر من اوراق نبات الشاي بعد تجفيفها ومعالجتها وهو من " +
		"اكثر المشروبات في العالم."},
	{"windows-1252", "Le thé est une boisson préparée à base de feuilles séchées. Größe, " +
		"Äpfel, mañana, coração."},
	{"utf-8", "Чай, お茶, 차, 茶, thé"},
}

func TestText_finds_the_charset(t *testing.T) {
	for _, s := range samples {
		raw := encoded(t, byName(t, s.charset), s.text)
		for how, r := range map[string]*http.Response{
			"by_header": response("text/html; charset="+s.charset, raw),
			"by_odd_header": response(
				`text/html; charset='`+strings.ToUpper(s.charset)+`' ; charset=x`, raw),
			"by_meta": response("text/html",
				"<!DOCTYPE html><head><!-- <meta charset=x> --><script>'<meta "+
					"charset=utf-8>'</script><META CharSet="+s.charset+"><p>"+raw),
			"by_http-equiv": response("",
				`<meta content="text/html;charset=`+s.charset+`" http-equiv=Content-Type><p>`+raw),
			"by_meta_far_down": response("text/html", "<head><style>"+strings.Repeat("x", 5000)+
				"</style><meta charset="+s.charset+">"+raw),
			"by_XML": response("application/xhtml+xml",
				`<?xml version="1.0" encoding="`+s.charset+`"?><p>`+raw),
			"by_unknown_label": response("text/html; charset=none",
				"<meta charset=unknown><p>"+raw),
			"by_its_looks": response("text/plain", raw),
			"looks_in_HTML": response("text/html",
				"<html><body class='a b'><p>Tea</p><p>"+raw+"</p><a href=/x>1</a></body>"),
		} {
			got, err := Text(r)
			if err != nil || !strings.Contains(got, s.text) {
				t.Errorf("%s %s: got %q, %v", s.charset, how, got, err)
			}
		}
	}
}

func TestText_order_of_what_counts(t *testing.T) {
	const text = "Чай ☕"
	le, be := unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM),
		unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)
	cp1251 := encoded(t, charmap.Windows1251, "Чай")
	for _, c := range []struct{ name, contentType, body, want string }{
		{"a_mark_beats_the_header", "text/html; charset=koi8-r", "\ufeff" + text, text},
		{"UTF-16_by_its_mark", "text/html; charset=utf-8", "\xff\xfe" + encoded(t, le, text), text},
		{"UTF-16_big_endian_by_its_mark", "", "\xfe\xff" + encoded(t, be, text), text},
		{"UTF-16_by_header", "text/html; charset=utf-16le", encoded(t, le, text), text},
		{"UTF-16_by_its_looks", "text/html", encoded(t, le, "<p>"+text), "<p>" + text},
		{"the_header_beats_the_page", "text/html; charset=windows-1251",
			"<meta charset=utf-8>" + cp1251, "<meta charset=utf-8>Чай"},
		{"a_page_that_can_be_read_is_not_UTF-16", "text/html", "<meta charset=utf-16>" + text,
			"<meta charset=utf-16>" + text},
		{"plain_text_declares_nothing", "text/plain", "<meta charset=koi8-r>" + text,
			"<meta charset=koi8-r>" + text},
		{"a_declaration_in_the_body_is_text", "text/html", "<body><meta charset=koi8-r>" + text,
			"<body><meta charset=koi8-r>" + text},
		{"latin1_is_windows-1252", "text/html; charset=iso-8859-1", "\x80", "€"},
		{"gb2312_is_GBK", "text/html; charset=gb2312", encoded(t, simplifiedchinese.GBK, "镕"), "镕"},
		{"hz-gb-2312", "text/html; charset=hz-gb-2312", "~{VPND~}", "中文"},
		{"a_label_that_is_a_danger_to_browsers", "text/html; charset=iso-2022-kr", text, text},
		{"UTF-8_that_was_cut", "text/html", strings.Repeat(text, 20) + "\xd0",
			strings.Repeat(text, 20) + "\ufffd"},
		{"wrong_bytes_are_replaced", "text/html; charset=utf-8", "a\xffb", "a\ufffdb"},
		{"ASCII_with_UTF-8_far_down", "text/html", strings.Repeat("x", 70000) + text,
			strings.Repeat("x", 70000) + text},
		{"empty", "", "", ""},
	} {
		got, err := Text(response(c.contentType, c.body))
		if err != nil || got != c.want {
			t.Errorf("%s: got %.60q, %v", c.name, got, err)
		}
	}
}

func TestText_gives_what_it_read_with_the_error(t *testing.T) {
	r := response("text/html; charset=koi8-r", "")
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader(encoded(t, charmap.KOI8R, "Чай")),
		errReader{}))
	if got, err := Text(r); got != "Чай" || err != io.ErrUnexpectedEOF {
		t.Errorf("got %q, %v", got, err)
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func FuzzText(f *testing.F) {
	for _, s := range samples {
		f.Add("text/html; charset="+s.charset, encoded(f, byName(f, s.charset), s.text))
		f.Add("", "<meta charset="+s.charset+">"+encoded(f, byName(f, s.charset), s.text))
	}
	f.Fuzz(func(t *testing.T, contentType, body string) {
		fast(t, len(body), time.Microsecond, func() {
			got, err := Text(response(contentType, body))
			if err != nil || strings.ToValidUTF8(got, "") != got {
				t.Fatalf("%q, %v", got, err)
			}
		})
	})
}

func TestText_is_always_valid_UTF8(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, label := range []string{
		"utf-8", "utf-16le", "utf-16be", "ibm866", "iso-8859-8", "koi8-u", "macintosh",
		"windows-874", "windows-1253", "windows-1255", "x-mac-cyrillic", "gbk", "gb18030",
		"hz-gb-2312", "big5", "euc-jp", "iso-2022-jp", "shift_jis", "euc-kr",
	} {
		for range 200 {
			body := make([]byte, 200)
			for i := range body {
				body[i] = byte(random.IntN(256))
			}
			text, err := Text(response("text/html; charset="+label, string(body)))
			if err != nil || !utf8.ValidString(text) {
				t.Fatalf("%s: %q -> %q, %v", label, body, text, err)
			}
		}
	}
}
