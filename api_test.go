package reprise_test

import (
	"bytes"
	"flag"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var updateAPI = flag.Bool("update-api", false, "write api/*.txt anew")

// TestAPI compares the exported names of each package with api/*.txt, so that a change of the
// surface is seen in review. After a change that is meant:
//
//	go test . -run API -update-api
func TestAPI(t *testing.T) {
	seen := map[string]bool{}
	for _, dir := range packages(t) {
		file := filepath.Join("api", strings.ReplaceAll(dir, "/", "_")+".txt")
		seen[filepath.Base(file)] = true
		got := surface(t, dir)
		if *updateAPI {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if diff := changed(string(want), got); diff != "" {
			t.Errorf("the surface of %s is not that of %s:\n%s", dir, file, diff)
		}
	}
	files, err := filepath.Glob("api/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !seen[filepath.Base(f)] {
			t.Errorf("%s is of no package", f)
		}
	}
}

// packages are the directories with a package that others may import.
func packages(t *testing.T) (dirs []string) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() || path == "." {
			return err
		}
		switch name := d.Name(); {
		case strings.HasPrefix(name, "."),
			slices.Contains([]string{"internal", "examples", "testdata", "docs", "api"}, name):
			return filepath.SkipDir
		}
		files, err := sources(path)
		if err == nil && len(files) > 0 && !isMain(t, files[0]) {
			dirs = append(dirs, filepath.ToSlash(path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}

func sources(dir string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	return slices.DeleteFunc(files,
		func(f string) bool { return strings.HasSuffix(f, "_test.go") }), err
}

func isMain(t *testing.T, file string) bool {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.PackageClauseOnly)
	if err != nil {
		t.Fatal(err)
	}
	return f.Name.Name == "main"
}

// surface is one line for each exported declaration, sorted.
func surface(t *testing.T, dir string) string {
	t.Helper()
	files, err := sources(dir)
	if err != nil {
		t.Fatal(err)
	}
	lines := map[string]bool{}
	fset := token.NewFileSet()
	for _, file := range files {
		f, err := parser.ParseFile(fset, file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.FileExports(f)
		for _, d := range f.Decls {
			for _, n := range nodes(d) {
				lines[oneLine(t, fset, n)] = true
			}
		}
	}
	sorted := make([]string, 0, len(lines))
	for l := range lines {
		sorted = append(sorted, l)
	}
	slices.Sort(sorted)
	return strings.Join(sorted, "\n") + "\n"
}

// nodes takes a group of declarations apart; values are not part of the surface, names and types
// are.
func nodes(d ast.Decl) (all []ast.Node) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		d.Body = nil
		if d.Recv != nil {
			if !ofExported(d.Recv.List[0].Type) {
				return nil
			}
			d.Recv.List[0].Names = nil // the receiver's name is not part of it either
		}
		return []ast.Node{d}
	case *ast.GenDecl:
		if d.Tok == token.IMPORT {
			return nil
		}
		for _, s := range d.Specs {
			if v, ok := s.(*ast.ValueSpec); ok {
				for _, name := range v.Names {
					all = append(all,
						&ast.GenDecl{Tok: d.Tok,
							Specs: []ast.Spec{&ast.ValueSpec{Names: []*ast.Ident{name},
								Type: v.Type}}})
				}
				continue
			}
			all = append(all, &ast.GenDecl{Tok: d.Tok, Specs: []ast.Spec{s}})
		}
	}
	return all
}

// ofExported reports whether a receiver's type, the first name in it, is exported.
func ofExported(receiver ast.Expr) bool {
	var name string
	ast.Inspect(receiver, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && name == "" {
			name = id.Name
		}
		return name == ""
	})
	return ast.IsExported(name)
}

var space = regexp.MustCompile(`\s+`)

func oneLine(t *testing.T, fset *token.FileSet, n ast.Node) string {
	t.Helper()
	var b bytes.Buffer
	if err := format.Node(&b, fset, n); err != nil {
		t.Fatal(err)
	}
	var text string
	for line := range strings.SplitSeq(b.String(), "\n") {
		line = strings.TrimSpace(space.ReplaceAllString(line, " "))
		switch {
		case line == "" || strings.HasPrefix(line, "//"):
		case text == "" || strings.HasSuffix(text, "("):
			text += line
		case strings.HasPrefix(line, ")"): // of a list of parameters over several lines
			text = strings.TrimSuffix(text, ",") + line
		case strings.HasSuffix(text, ",") || strings.HasSuffix(text, "{"):
			text += " " + line
		case strings.HasPrefix(line, "}"):
			text += " " + line
		default:
			text += "; " + line
		}
	}
	return text
}

// changed lists the lines that only one of the two has.
func changed(want, got string) string {
	var b strings.Builder
	was, is := strings.Split(want, "\n"), strings.Split(got, "\n")
	for _, l := range was {
		if !slices.Contains(is, l) {
			b.WriteString("- " + l + "\n")
		}
	}
	for _, l := range is {
		if !slices.Contains(was, l) {
			b.WriteString("+ " + l + "\n")
		}
	}
	return b.String()
}
