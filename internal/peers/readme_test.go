package main

import (
	"encoding/json"
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
	modules[heimdall] = module{heimdallVersion, downloaded(t, heimdall+"@"+heimdallVersion)}
	link := regexp.MustCompile(`https://pkg\.go\.dev/([^@)]+)@(v[0-9.]+)/?([^#)]*)#([A-Za-z.]+)`)
	links := link.FindAllStringSubmatch(string(text), -1)
	if len(links) < 30 {
		t.Errorf("README has %d links to names of others: is the table gone?", len(links))
	}
	for _, l := range links {
		module, version, dir, name := l[1], l[2], l[3], l[4]
		m, ok := modules[module]
		if !ok {
			t.Errorf("%s is not in go.mod", module)
			continue
		}
		if m.version != version {
			t.Errorf("README speaks of %s %s, go.mod of %s", module, version, m.version)
		}
		if !slices.Contains(exported(t, filepath.Join(m.dir, dir)), name) {
			t.Errorf("%s@%s/%s has no %s", module, version, dir, name)
		}
	}
	our := regexp.MustCompile("(?m)^\\| [^|]+ \\| " +
		"`(policies|ratelimit|breaker|httpx|retry)\\.([A-Za-z]+)` \\| ")
	ours := our.FindAllStringSubmatch(string(text), -1)
	if len(ours) < 12 {
		t.Errorf("README's table has %d names of reprise", len(ours))
	}
	for _, o := range ours {
		if !slices.Contains(exported(t, filepath.Join("../..", o[1])), o[2]) {
			t.Errorf("there is no %s.%s", o[1], o[2])
		}
	}
}

// heimdall stands in README's table and is not compared otherwise, so go.mod does not have it.
const (
	heimdall        = "github.com/gojek/heimdall/v7"
	heimdallVersion = "v7.0.3"
)

// TestReadmeLeastGo has the row "least Go" of README's table say what each module's go.mod says.
func TestReadmeLeastGo(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	head := regexp.MustCompile(`(?m)^\|  \| reprise \|(.*)\|$`).FindStringSubmatch(string(text))
	least := regexp.MustCompile(`(?m)^\| least Go \| ([0-9.]+) \|(.*)\|$`)
	row := least.FindStringSubmatch(string(text))
	if head == nil || row == nil {
		t.Fatal("README has no such table")
	}
	if got := leastGo(t, "../.."); got != row[1] {
		t.Errorf("reprise: README says %s, go.mod %s", row[1], got)
	}
	cells := strings.Split(row[2], "|")
	linked := regexp.MustCompile(`pkg\.go\.dev/([^@)]+@v[0-9.]+)`)
	modules := 0
	for i, column := range strings.Split(head[1], "|") {
		m := linked.FindStringSubmatch(column)
		if m == nil {
			continue // it is not a Go module
		}
		modules++
		if got, said := leastGo(t, downloaded(t, m[1])), strings.TrimSpace(cells[i]); got != said {
			t.Errorf("%s: README says %s, go.mod %s", m[1], said, got)
		}
	}
	if modules < 8 {
		t.Errorf("%d modules in the table's head: has the pattern gone stale?", modules)
	}
}

// leastGo is the Go version that the module in dir needs, without a patch number.
func leastGo(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(text)
	if m == nil {
		t.Fatalf("%s/go.mod names no Go version", dir)
	}
	return string(m[1])
}

// downloaded is the directory of a module at a version, which go.mod need not require.
func downloaded(t *testing.T, moduleAtVersion string) string {
	t.Helper()
	cmd := exec.Command("go", "mod", "download", "-json", moduleAtVersion)
	cmd.Dir = t.TempDir() // outside of any module, so that none is changed
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", moduleAtVersion, err, out)
	}
	var m struct{ Dir string }
	if err := json.Unmarshal(out, &m); err != nil {
		t.Fatal(err)
	}
	return m.Dir
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
