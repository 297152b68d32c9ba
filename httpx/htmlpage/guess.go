package htmlpage

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
	utf "golang.org/x/text/encoding/unicode"
)

// guess finds the encoding of a page that does not declare one: UTF-8 if the bytes are valid, else
// the encoding in which they look most like a language. Each character that is not ASCII scores by
// how common it is in the language, and by whether letters stand beside letters of their own
// script. A guess needs a few words of text; with less it may be wrong, as in browsers.
func guess(body []byte) encoding.Encoding {
	body = beginning(body)
	if bytes.Contains(body, []byte("\x1b$B")) || bytes.Contains(body, []byte("\x1b$@")) {
		return japanese.ISO2022JP
	}
	if mostlyUTF8(body) {
		return utf.UTF8
	}
	sample := sampleOf(body)
	// 0.2 is a score that chance reaches too
	best, most := encoding.Encoding(charmap.Windows1252), 0.2
	for _, c := range candidates {
		text, err := c.encoding.NewDecoder().Bytes(sample)
		if err != nil {
			continue
		}
		if score := c.score(string(text)); score > most {
			best, most = c.encoding, score
		}
	}
	return best
}

// guessedBytes is how much of a page is looked at for a guess: more would take longer than a
// deadline may leave.
const guessedBytes = 4 << 20

// beginning is the beginning of body, not cut within a character of UTF-8.
func beginning(body []byte) []byte {
	if len(body) <= guessedBytes {
		return body
	}
	end := guessedBytes
	for n := 1; n < utf8.UTFMax && !utf8.RuneStart(body[end]); n++ {
		end--
	}
	return body[:end]
}

// mostlyUTF8 tells whether b is UTF-8, except for a few bytes that are wrong, such as where a text
// was cut.
func mostlyUTF8(b []byte) bool {
	if utf8.Valid(b) {
		return true
	}
	right, wrong := 0, 0
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		switch {
		case r == utf8.RuneError && n == 1:
			wrong++
		case n > 1:
			right++
		}
		b = b[n:]
	}
	return right >= 20*wrong
}

const sampleBytes = 32 << 10

// sampleOf returns a part of body that begins just before the first byte that is not ASCII, and
// ends between characters.
func sampleOf(body []byte) []byte {
	start := bytes.IndexFunc(body, func(r rune) bool { return r >= 0x80 })
	body = body[max(0, start-1):]
	if len(body) <= sampleBytes {
		return body
	}
	// these are never the second byte of a character
	if end := bytes.LastIndexAny(body[:sampleBytes], " \n<>"); end > 0 {
		return body[:end]
	}
	return body[:sampleBytes]
}

type candidate struct {
	encoding encoding.Encoding
	script   *unicode.RangeTable // of its letters
	common   string              // the most common of them, in lower case
	strange  []*unicode.RangeTable
}

const (
	hangul = "이다는을의에가고하지도를은로기사리아한인그나자어서시있대해수정들라일만장상부으것전스제주" +
		"과조보성게면국원여했공비위적유마오소구동트안우화신중미경문드선생않세진당내물치무관계각거" +
		"습니까요"
	russian    = "оеаинтсрвлкмдпуыяьгзбчйх"
	greek      = "αοιετσνηυρπκμλςωόίγάέδή"
	hebrew     = "יוהלאתמרבשנדכעםחקפ"
	arabic     = "اليمنتروبةعدسفهكقحجأش"
	simplified = "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之" +
		"年过发后作里用道行所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样" +
		"理心她本前开但因只从想实日军者意无力它与长把机十民第公此已工使情明性知全三又关点正业外将" +
		"两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特代内信" +
		"表化老给世位次度门任常先海通教儿原东声提立及比员解水名真论处走义各入几口认条平系气题活尔" +
		"更别打女变四神总何电数安少报才结反受目太量再感建务做接必场件计管期市直德资命山金指克许统" +
		"区保至队形社便空决治展马科司五基眼书非则听白却界达光放强即像难且权思王象完设式色路记南品" +
		"住告类求据程北边死张该交规万取拉格望觉术领共确传师观清今切院让识候带导争运"
	traditional = "的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之" +
		"年過發後作裡用道行所然家種事成方多經麼去法學如都同現當沒動面起看定天分還進好小部其些主樣" +
		"理心她本前開但因只從想實日軍者意無力它與長把機十民第公此已工使情明性知全三又關點正業外將" +
		"兩高間由問很最重並物手應戰向頭文體政美相見被利什二等產或新己制身果加西斯月話合回特代內信" +
		"表化老給世位次度門任常先海通教兒原東聲提立及比員解水名真論處走義各入幾口認條平系氣題活爾" +
		"更別打女變四神總何電數安少報才結反受目太量再感建務做接必場件計管期市直"
	latin = "éèêëàáâäãåæçíìîïñóòôöõøúùûüß’“”–—«»°©®…€·"
)

var kana = []*unicode.RangeTable{unicode.Hiragana, unicode.Katakana}

var candidates = []candidate{
	{encoding: charmap.Windows1252, script: unicode.Latin, common: latin},
	{encoding: charmap.Windows1251, script: unicode.Cyrillic, common: russian},
	{encoding: charmap.KOI8U, script: unicode.Cyrillic, common: russian},
	{encoding: charmap.CodePage866, script: unicode.Cyrillic, common: russian},
	{encoding: charmap.ISO8859_5, script: unicode.Cyrillic, common: russian},
	{encoding: charmap.Windows1253, script: unicode.Greek, common: greek},
	{encoding: charmap.Windows1255, script: unicode.Hebrew, common: hebrew},
	{encoding: charmap.Windows1256, script: unicode.Arabic, common: arabic},
	{encoding: japanese.ShiftJIS, common: "kana"},
	{encoding: japanese.EUCJP, common: "kana"},
	{encoding: korean.EUCKR, script: unicode.Hangul, common: hangul},
	{encoding: simplifiedchinese.GBK, script: unicode.Han, common: simplified, strange: kana},
	{encoding: traditionalchinese.Big5, script: unicode.Han, common: traditional, strange: kana},
}

// score is the average worth of the characters that are not ASCII: from -2 to about 1.
func (c *candidate) score(text string) float64 {
	sum, n := 0.0, 0
	before := ' '
	for _, r := range text {
		if r >= 0x80 {
			n++
			sum += c.worth(r, before)
		} else if before >= 0x80 && isASCIILetter(r) && c.apart() && unicode.Is(c.script, before) {
			sum-- // a foreign letter within a Latin word
		}
		before = r
	}
	if n == 0 {
		return 0
	}
	return sum / float64(n)
}

func isASCIILetter(r rune) bool { return 'a' <= r|0x20 && r|0x20 <= 'z' }

// apart tells whether the letters of the script never share a word with Latin letters.
func (c *candidate) apart() bool {
	return c.script != nil && c.script != unicode.Latin && c.script != unicode.Han &&
		c.script != unicode.Hangul
}

func (c *candidate) worth(r, before rune) float64 {
	switch {
	// wrong, a control, or private
	case r == utf8.RuneError || r < 0xa0 || 0xe000 <= r && r < 0xf900:
		return -2
	case c.common == "kana":
		return worthInJapanese(r)
	case c.script == unicode.Hangul:
		switch {
		case strings.ContainsRune(c.common, r):
			return 1
		case 0xac00 <= r && r <= 0xd7a3:
			return 0.2
		case unicode.IsPunct(r) || unicode.IsSymbol(r):
			return 0
		}
		return -1.5
	case unicode.In(r, c.strange...):
		return -1
	case c.script == unicode.Han:
		switch {
		case strings.ContainsRune(c.common, r):
			return 1.2
		case unicode.Is(unicode.Han, r):
			return 0.1
		case 0x3000 <= r && r <= 0x303f || 0xff00 <= r && r <= 0xff5e:
			return 0.5
		}
		return -0.5
	case c.script == unicode.Latin:
		return worthInLatin(r, before)
	case !unicode.Is(c.script, r):
		if strings.ContainsRune("«»—–№“”„…’\u00a0·", r) {
			return 0
		}
		return -0.7
	case isASCIILetter(before):
		return -1
	case unicode.IsUpper(r) && unicode.IsLower(before):
		return -1
	case unicode.IsUpper(r):
		return 0.2
	}
	return rank(c.common, r)
}

// rank is how common a letter is: from 1 for the first down to 0.3 for the last; 0 if it is not
// listed.
func rank(common string, r rune) float64 {
	i := strings.IndexRune(common, r)
	if i < 0 {
		return 0
	}
	return 1 - 0.7*float64(i)/float64(len(common))
}

func worthInJapanese(r rune) float64 {
	switch {
	case 0x3040 <= r && r <= 0x30ff: // kana
		return 1
	case 0x3000 <= r && r <= 0x303f || 0xff00 <= r && r <= 0xff5e:
		return 0.5
	case unicode.Is(unicode.Han, r):
		return 0.2
	case 0xff61 <= r && r <= 0xff9f: // half-width kana are single bytes, which any text has
		return -0.5
	}
	return -0.5
}

func worthInLatin(r, before rune) float64 {
	switch {
	case strings.ContainsRune(latin, r) && before < 0x80:
		return 0.7
	case unicode.IsLetter(r) && before >= 0x80 && unicode.IsLetter(before):
		return -0.7 // two accented letters in a row
	case unicode.IsLetter(r):
		return 0.2
	}
	return 0
}
