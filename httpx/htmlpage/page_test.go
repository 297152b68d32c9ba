package htmlpage

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

func parse(t testing.TB, page string) *html.Node {
	t.Helper()
	doc, err := Document(response("text/html; charset=utf-8", page))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func find(doc *html.Node, name atom.Atom) *html.Node {
	for n := range doc.Descendants() {
		if n.DataAtom == name {
			return n
		}
	}
	return nil
}

func TestDocument(t *testing.T) {
	doc := parse(t, "<title>Tea</title><p>one<p>two")
	if n := find(doc, atom.Title); n == nil || n.FirstChild.Data != "Tea" ||
		find(doc, atom.Body) == nil {
		t.Error("no title, or no body")
	}
	doc, err := Document(response("text/html", "<meta charset=windows-1251><h1>\xd7\xe0\xe9</h1>"))
	if n := find(doc, atom.H1); err != nil || n.FirstChild.Data != "Чай" {
		t.Errorf("got %v, %v", n, err)
	}
}

func TestLinks(t *testing.T) {
	long := "data:text/html," + strings.Repeat("x", 1<<20)
	for _, c := range []struct {
		name, page string
		opts       []LinkOption
		want       string
	}{
		{name: "of_all_kinds", page: `<a href=b>x</a><map><area href=/c></map>` +
			`<iframe src="d?x=1&amp;y=2"></iframe><link rel=stylesheet href=s.css><img src=i.png>`,
			want: "http://h/dir/b http://h/c http://h/dir/d?x=1&y=2"},
		{name: "frames", page: `<frameset><frame src=f1><frame src=f2></frameset>`,
			want: "http://h/dir/f1 http://h/dir/f2"},
		{name: "refresh", page: `<meta http-equiv=Refresh content="5; URL = '/next'">`,
			want: "http://h/next"},
		{name: "refresh_without_url",
			page: `<meta http-equiv=refresh content="0;/next">` +
				`<meta http-equiv=refresh content="30">`, want: "http://h/next"},
		{name: "fragments_are_dropped",
			page: `<a href="#top">x</a><a href=b#1>y</a><a href=b#2>z</a>`,
			want: "http://h/dir/page http://h/dir/b"},
		{name: "base_element", page: `<a href=x>before</a><base target=_top><base href="/other/">` +
			`<base href="/no/"><a href=y>after</a>`, want: "http://h/other/x http://h/other/y"},
		{name: "base_elsewhere",
			page: `<base href="https://cdn.example/a/b"><a href=c>x</a><a href="//d/">x</a>`,
			want: "https://cdn.example/a/c https://d/"},
		{name: "base_that_is_none",
			page: `<base href="javascript:x"><a href=c>x</a>`, want: "http://h/dir/c"},
		{name: "no_pages",
			page: `<a href="mailto:a@b">x</a><a href=" JavaScript:x()">x</a><a href="tel:1">x</a>` +
				`<a href="ftp://h/">x</a><a href="` + long +
				`">x</a><a>x</a><a href="http://">x</a>` +
				`<a href="http://[::1">x</a><a href=":">x</a>`},
		{name: "white_space_and_back_slashes",
			page: "<a href=' \n/a\t/\nb '>x</a><a href='\\c\\d?e=\\'>x</a>" +
				"<a href='/f g?h i'>x</a><a href=https:\\\\i\\j>x</a>",
			want: `http://h/a/b http://h/c/d?e=\ http://h/f%20g?h%20i https://i/j`},
		{name: "a_stray_percent_sign", page: "<a href='/100%'>x</a><a href='/a%2fb%zz'>x</a>",
			want: "http://h/100%25 http://h/a%2fb%25zz"},
		{name: "letters", page: "<a href='/чай?q=чай'>x</a>",
			want: "http://h/%D1%87%D0%B0%D0%B9?q=чай"},
		{name: "unclosed_and_misnested",
			page: `<a href=1><b><a href=2></b><table><a href=3><tr><td><a href='4>x</a> <a href=5'`,
			want: "http://h/dir/1 http://h/dir/2 http://h/dir/3"},
		{name: "quotes_missing", page: `<a href="1>x</a><a href="2">y</a>`,
			want: "http://h/dir/1%3Ex%3C/a%3E%3Ca%20href="},
		{name: "two_of_one_attribute", page: `<a href=1 href=2>x</a><A HREF=3>`,
			want: "http://h/dir/1 http://h/dir/3"},
		{name: "in_comments_scripts_and_text",
			page: `<!-- <a href=1> --><script>"<a href=2>"</script>` +
				`<textarea><a href=3></textarea>` +
				`<title><a href=4></title><noscript><a href=5></noscript>`, want: "http://h/dir/5"},
		{name: "in_a_picture", page: `<svg><a xlink:href="1"><text>x</text></a></svg>`,
			want: "http://h/dir/1"},
		{name: "NULs", page: "<a href=\"/a\x00b\">x</a>", want: "http://h/a%EF%BF%BDb"},
		{name: "nofollow_is_a_link_unless_told",
			page: `<a rel=nofollow href=1>x</a>`, want: "http://h/dir/1"},
		{name: "SkipNofollow",
			page: `<a rel="NoFollow noopener" href=1>x</a><a rel=ugc href=2>x</a>` +
				`<a rel=sponsored href=3>x</a><a rel=noopener href=4>x</a>`,
			opts: []LinkOption{SkipNofollow()}, want: "http://h/dir/4"},
		{name: "SkipNofollow_for_all_of_the_page",
			page: `<meta name=Robots content="noindex, NOFOLLOW"><a href=1>x</a>`,
			opts: []LinkOption{SkipNofollow()}},
		{name: "SkipNofollow_none", page: `<meta name=robots content=none><a href=1>x</a>`,
			opts: []LinkOption{SkipNofollow()}},
		{name: "SkipRel", page: `<a rel="external" href=1>x</a><a href=2>x</a>`,
			opts: []LinkOption{SkipRel("External")}, want: "http://h/dir/2"},
		{name: "OnlyRel",
			page: `<link rel="next" href=1><a rel=next href=2>x</a><a href=3>x</a><iframe src=4>` +
				`</iframe>`, opts: []LinkOption{OnlyRel("next")},
			want: "http://h/dir/1 http://h/dir/2"},
		{name: "nested_too_deeply_for_a_tree",
			page: "<base href=/deep/>" + strings.Repeat("<div><a href=1>", 2000) +
				"<a href=2>x</a></div><br><a rel=nofollow href=3>",
			opts: []LinkOption{SkipNofollow()}, want: "http://h/deep/1 http://h/deep/2"},
		{name: "empty"},
	} {
		base, _ := url.Parse("http://h/dir/page#here")
		got := Links(parse(t, c.page), base, c.opts...)
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: got %.300q, want %q", c.name, got, c.want)
		}
	}
}

func TestLinks_without_a_base(t *testing.T) {
	got := Links(parse(t, "<a href=b#x>x</a><a href=http://h/>y</a>"), nil)
	if !slices.Equal(got, []string{"b", "http://h/"}) {
		t.Errorf("got %q", got)
	}
	if got := Links(nil, nil); got != nil {
		t.Errorf("got %q", got)
	}
}

func FuzzLinks(f *testing.F) {
	f.Add("<a href=1><b><a href=2></b><table><a href=3>")
	f.Add("<base href=//x><frameset><frame src=%zz>")
	f.Add(strings.Repeat("<div><a href='?\\'>", 600))
	base, _ := url.Parse("http://h/dir/page")
	f.Fuzz(func(t *testing.T, page string) {
		fast(t, len(page), 10*time.Microsecond, func() {
			for _, link := range Links(parse(t, page), base, SkipNofollow()) {
				u, err := url.Parse(link)
				if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" ||
					u.Fragment != "" {
					t.Fatalf("%q, %v", link, err)
				}
			}
		})
	})
}
