package htmlpage_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/PuerkitoBio/goquery"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/httpx/htmlpage"
)

func serve(pages map[string]string) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, pages[r.URL.Path])
	}))
}

func ExampleText() {
	server := serve(map[string]string{"/": "<meta charset=windows-1251><p>\xd7\xe0\xe9</p>"})
	defer server.Close()
	text, err := httpx.Fetch(context.Background(), httpx.New(), server.URL, htmlpage.Text)
	fmt.Println(text, err)
	// Output: <meta charset=windows-1251><p>Чай</p> <nil>
}

// The tree is what goquery works on.
func ExampleDocument() {
	server := serve(map[string]string{"/": "<ul><li class=price>3 \x80<li class=price>4 \x80</ul>"})
	defer server.Close()
	node, err := httpx.Fetch(context.Background(), httpx.New(), server.URL, htmlpage.Document)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, price := range goquery.NewDocumentFromNode(node).Find("li.price").EachIter() {
		fmt.Println(price.Text())
	}
	// Output:
	// 3 €
	// 4 €
}

// A crawl of a site, with the title of each page.
func ExampleLinks() {
	server := serve(map[string]string{
		"/": "<title>Home</title><a href=a>A</a> <a href=b rel=nofollow>B</a> <a " +
			"href='https://elsewhere.example/'>C</a>",
		"/a": "<title>Page A</title><a href=/#top>home</a>",
	})
	defer server.Close()

	links := func(r httpx.Result[*html.Node]) []string {
		return htmlpage.Links(r.Value, r.Final, htmlpage.SkipNofollow())
	}
	for r := range httpx.Crawl(context.Background(), httpx.New(), []string{server.URL},
		htmlpage.Document, links) {
		if r.Err != nil {
			fmt.Println(r.Err)
			continue
		}
		for n := range r.Value.Descendants() {
			if n.DataAtom == atom.Title {
				fmt.Println(r.Depth, n.FirstChild.Data)
			}
		}
	}
	// Output:
	// 0 Home
	// 1 Page A
}

// An index of sitemaps, and all that it leads to.
func ExampleSitemap() {
	server := serve(map[string]string{
		"/sitemap.xml": "<sitemapindex><sitemap><loc>/pages.xml</loc></sitemap></sitemapindex>",
		"/pages.xml":   "<urlset><url><loc>/tea</loc></url><url><loc>/coffee</loc></url></urlset>",
	})
	defer server.Close()

	next := func(r httpx.Result[htmlpage.Map]) []string { return r.Value.Next() }
	for r := range httpx.Crawl(context.Background(), httpx.New(),
		[]string{server.URL + "/sitemap.xml"}, htmlpage.Sitemap, next) {
		for _, page := range r.Value.Pages {
			fmt.Println(page.URL[len(server.URL):])
		}
	}
	// Output:
	// /tea
	// /coffee
}
