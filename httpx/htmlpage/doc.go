// Package htmlpage reads web pages: it has decoders for package httpx for charsets, HTML and
// sitemaps. It is a separate module, so that only its users depend on golang.org/x/net and
// golang.org/x/text.
//
//	text, err := httpx.Fetch(ctx, c, url, htmlpage.Text)     // decoded to UTF-8
//	doc, err := httpx.Fetch(ctx, c, url, htmlpage.Document)  // parsed
//	links := func(r httpx.Result[*html.Node]) []string {
//		return htmlpage.Links(r.Value, r.Final, htmlpage.Until(ctx))
//	}
//	for r := range httpx.Crawl(ctx, c, seeds, htmlpage.Document, links) { ... }
//	m, err := httpx.Fetch(ctx, c, site+"/sitemap.xml", htmlpage.Sitemap)
//
// A page is read into memory; httpx.MaxBody bounds it. All functions are safe for concurrent use.
package htmlpage
