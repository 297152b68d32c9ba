package htmlpage

import (
	"context"
	"io"
	"net/http"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"github.com/reprise-go/reprise/httpx"
)

var _ httpx.Decoder[*html.Node] = Document

// Document reads a page, decodes it like [Text], and parses it as browsers do: any text is a page,
// and the tree always has html, head and body. The content of noscript is parsed too, because no
// scripts run. Elements nested deeper than the parser's 512 levels become siblings.
//
// The tree is golang.org/x/net/html's, which goquery takes as it is:
//
//	node, err := httpx.Fetch(ctx, c, url, htmlpage.Document)
//	doc := goquery.NewDocumentFromNode(node)
//	doc.Find("h1").Text()
//
// cascadia and htmlquery take the node itself. A tree takes about ten times the memory of its page:
// see httpx.MaxBody. Like Text, Document ends with the request's context.
func Document(r *http.Response) (*html.Node, error) {
	ctx := contextOf(r)
	text, err := Text(r)
	if err != nil {
		return nil, err
	}
	return aside(ctx, func() (*html.Node, error) { return treeOf(ctx, text) })
}

func treeOf(ctx context.Context, text string) (*html.Node, error) {
	doc, err := html.ParseWithOptions(&during{ctx, strings.NewReader(text)},
		html.ParseOptionEnableScripting(false))
	switch {
	case err == nil:
		return doc, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	}
	return flat(&during{ctx, strings.NewReader(text)}) // it is nested too deeply
}

const maxDepth = 500

// flat parses a page that is nested too deeply for the parser, without HTML's rules about which
// element may contain which.
func flat(text io.Reader) (*html.Node, error) {
	doc := &html.Node{Type: html.DocumentNode}
	add := func(to *html.Node, name atom.Atom) *html.Node {
		n := &html.Node{Type: html.ElementNode, DataAtom: name, Data: name.String()}
		to.AppendChild(n)
		return n
	}
	root := add(doc, atom.Html)
	add(root, atom.Head)
	open := []*html.Node{add(root, atom.Body)}
	z := html.NewTokenizer(text)
	for z.Next() != html.ErrorToken {
		t := z.Token()
		to := open[len(open)-1]
		switch t.Type {
		case html.TextToken:
			to.AppendChild(&html.Node{Type: html.TextNode, Data: t.Data})
		case html.CommentToken:
			to.AppendChild(&html.Node{Type: html.CommentNode, Data: t.Data})
		case html.StartTagToken, html.SelfClosingTagToken:
			if t.DataAtom == atom.Html || t.DataAtom == atom.Head || t.DataAtom == atom.Body {
				continue
			}
			n := &html.Node{Type: html.ElementNode, DataAtom: t.DataAtom, Data: t.Data,
				Attr: t.Attr}
			to.AppendChild(n)
			if t.Type == html.StartTagToken && !void[t.DataAtom] && len(open) < maxDepth {
				open = append(open, n)
			}
		case html.EndTagToken:
			for i := len(open) - 1; i > 0 && i > len(open)-64; i-- {
				if open[i].Data == t.Data {
					open = open[:i]
					break
				}
			}
		}
	}
	if err := z.Err(); err != io.EOF {
		return nil, err
	}
	return doc, nil
}

// void elements have no content: the HTML standard, section 13.1.2.
var void = map[atom.Atom]bool{
	atom.Area: true, atom.Base: true, atom.Br: true, atom.Col: true, atom.Embed: true,
	atom.Hr: true, atom.Img: true, atom.Input: true, atom.Link: true, atom.Meta: true,
	atom.Source: true, atom.Track: true, atom.Wbr: true,
}
