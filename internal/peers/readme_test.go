package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestReadmeTable has every name that README's table of features leads to, or that it names of
// reprise, exist in the version that is compared here.
func TestReadmeTable(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	modules := requirements(t)
	links := regexp.MustCompile(`https://pkg\.go\.dev/([^@)]+)@(v[0-9.]+)/?([^#)]*)#([A-Za-z.]+)`).FindAllStringSubmatch(string(text), -1)
	if len(links) < 30 {
		t.Errorf("README has %d links to names of others: is the table gone?", len(links))
	}
	for _, l := range links {
		module, version, dir, name := l[1], l[2], l[3], l[4]
		m, ok := modules[module]
		if !ok {
			if module != "github.com/gojek/heimdall/v7" { // it is not compared here
				t.Errorf("%s is not in go.mod", module)
			}
			continue
		}
		if m.version != version {
			t.Errorf("README speaks of %s %s, go.mod of %s", module, version, m.version)
		}
		if !slices.Contains(exported(t, filepath.Join(m.dir, dir)), name) {
			t.Errorf("%s@%s/%s has no %s", module, version, dir, name)
		}
	}
	ours := regexp.MustCompile("(?m)^\\| [^|]+ \\| `(policies|ratelimit|breaker|httpx|retry)\\.([A-Za-z]+)` \\| ").FindAllStringSubmatch(string(text), -1)
	if len(ours) < 12 {
		t.Errorf("README's table has %d names of reprise", len(ours))
	}
	for _, o := range ours {
		if !slices.Contains(exported(t, filepath.Join("../..", o[1])), o[2]) {
			t.Errorf("there is no %s.%s", o[1], o[2])
		}
	}
}

type module struct{ version, dir string }

func requirements(t *testing.T) map[string]module {
	t.Helper()
	cmd := exec.Command("go", "list", "-m", "-f", "{{.Path}} {{.Version}} {{.Dir}}", "all")
	cmd.Env = append(os.Environ(), "GOWORK=off")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]module{}
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) == 3 {
			all[f[0]] = module{f[1], f[2]}
		}
	}
	return all
}

// exported are the exported names of the package in dir, methods as "Type.Method".
func exported(t *testing.T, dir string) (names []string) {
	t.Helper()
	paths, _ := filepath.Glob(filepath.Join(dir, "*.go"))
	for _, path := range paths {
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				names = append(names, receiver(d)+d.Name.Name)
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if typ, ok := s.(*ast.TypeSpec); ok {
						names = append(names, typ.Name.Name)
					}
				}
			}
		}
	}
	return names
}

func receiver(d *ast.FuncDecl) (prefix string) {
	if d.Recv != nil {
		ast.Inspect(d.Recv.List[0].Type, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok && prefix == "" {
				prefix = id.Name + "."
			}
			return prefix == ""
		})
	}
	return prefix
}
