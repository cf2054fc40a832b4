// SPDX-License-Identifier: Apache-2.0

package template

import (
	"fmt"
	"slices"
	"strings"
	"text/template/parse"

	"github.com/kairos-build/kairos-build/framework/internal/lazyregexp"
	"github.com/kairos-build/kairos-build/framework/strict/nearest"
)

// A finding is something that a text asks for and no node can give.
type finding struct {
	Error
	ours bool // it is a slip in a fact or function of ours
}

// A sight is what a text asks for.
type sight struct {
	known bool // some fact of ours
	wrong []finding
}

// err is the first thing that is wrong.
func (s sight) err() error {
	if len(s.wrong) == 0 {
		return nil
	}
	return &s.wrong[0].Error
}

// foreign tells whether the text is another program's.
func (s sight) foreign() bool {
	return len(s.wrong) > 0 && !s.known && !slices.ContainsFunc(s.wrong, func(f finding) bool { return f.ours })
}

// look reads a text that may be a template of another program.
func look(text string) sight {
	t := parse.New("")
	t.Mode = parse.SkipFuncCheck
	trees := map[string]*parse.Tree{}
	if _, err := t.Parse(text, "", "", trees); err != nil {
		return sight{wrong: []finding{{Error: *newError(err), ours: mentioned.MatchString(text)}}}
	}
	l := &looker{text: text}
	for name, tree := range trees {
		l.list(tree.Root, name == "")
	}
	slices.SortStableFunc(l.wrong, func(a, b finding) int { return a.Line - b.Line })
	return l.sight
}

// mentioned finds facts of ours in the actions of a text that does not parse.
var mentioned = lazyregexp.New(`\{\{[^}]*\.(MachineID|Hostname|OSVersion|ProtectedID|Random|UUID|Slot|Values\.(` + strings.Join(Groups(), "|") + `))\b`)

type looker struct {
	text string
	sight
}

func (l *looker) add(at parse.Node, ours bool, suggestion, format string, args ...any) {
	line := 1 + strings.Count(l.text[:min(int(at.Position()), len(l.text))], "\n")
	l.wrong = append(l.wrong, finding{Error{Line: line, Message: fmt.Sprintf(format, args...), Suggestion: suggestion}, ours})
}

// list checks nodes. facts tells whether the dot stands for the facts: inside range
// and with it is another value, which only the node knows.
func (l *looker) list(list *parse.ListNode, facts bool) {
	if list == nil {
		return
	}
	for _, n := range list.Nodes {
		switch n := n.(type) {
		case *parse.ActionNode:
			l.pipe(n.Pipe, facts)
		case *parse.IfNode:
			l.branch(&n.BranchNode, facts, facts)
		case *parse.RangeNode:
			l.branch(&n.BranchNode, facts, false)
		case *parse.WithNode:
			l.branch(&n.BranchNode, facts, false)
		case *parse.TemplateNode:
			l.pipe(n.Pipe, facts)
		}
	}
}

func (l *looker) branch(b *parse.BranchNode, facts, below bool) {
	l.pipe(b.Pipe, facts)
	l.list(b.List, below)
	l.list(b.ElseList, facts)
}

func (l *looker) pipe(p *parse.PipeNode, facts bool) {
	if p == nil {
		return
	}
	for _, command := range p.Cmds {
		for _, arg := range command.Args {
			l.operand(arg, facts)
		}
	}
}

func (l *looker) operand(n parse.Node, facts bool) {
	switch n := n.(type) {
	case *parse.PipeNode:
		l.pipe(n, facts)
	case *parse.ChainNode:
		l.operand(n.Node, facts)
	case *parse.IdentifierNode:
		l.function(n)
	case *parse.FieldNode:
		if facts {
			l.fact(n, n.Ident)
		}
	case *parse.VariableNode:
		if n.Ident[0] == "$" && len(n.Ident) > 1 {
			l.fact(n, n.Ident[1:])
		}
	case *parse.DotNode:
		if facts {
			l.add(n, false, escape, "the facts as a whole are no text")
		}
	}
}

// builtin are the functions of text/template itself.
var builtin = strings.Fields("and break call continue eq ge gt html index js le len lt ne not or print printf println slice urlquery")

func (l *looker) function(n *parse.IdentifierNode) {
	if _, ok := functions()[n.Ident]; ok || slices.Contains(builtin, n.Ident) {
		return
	}
	message := fmt.Sprintf("function %q not defined", n.Ident)
	l.add(n, differs(n.Ident), suggestion(message), "%s", message)
}

// fact checks what follows the dot.
func (l *looker) fact(n parse.Node, names []string) {
	asked := "." + strings.Join(names, ".")
	switch {
	case names[0] == "Values":
		l.value(n, asked, names[1:])
	case slices.Contains(Names(), "."+names[0]):
		l.known = true
		if len(names) > 1 {
			l.add(n, true, "", ".%s is a text and has no .%s", names[0], names[1])
		}
	default:
		near := nearest.Word(asked, Names())
		l.add(n, isSlip(near, asked), hint(near, "", Names(), "the facts are "), "there is no fact %s", asked)
	}
}

// value checks what follows .Values. Helm has .Values too, so a name that is no group
// of ours may be Helm's.
func (l *looker) value(n parse.Node, asked string, names []string) {
	if len(names) == 0 || len(names) == 1 && slices.Contains(derived, names[0]) {
		l.known = true
		return
	}
	keys, isGroup := groups[names[0]]
	_, isList := lists[names[0]]
	switch {
	case !isGroup && !isList:
		all := slices.Concat(Groups(), derived)
		near := nearest.Word(names[0], all)
		l.add(n, isSlip(near, names[0]), hint(near, ".Values.", all, "below .Values are "), "there is no fact %s", asked)
		return
	case len(names) == 1:
	case isList:
		l.add(n, true, "write it such as {{ range .Values."+names[0]+" }}{{ .name }}{{ end }}", ".Values.%s is a list", names[0])
	case len(names) > 2 || !slices.Contains(keys, names[1]):
		l.add(n, true, hint(nearest.Word(names[1], keys), ".Values."+names[0]+".", keys, "it has "), "there is no fact %s", asked)
	}
	l.known = true
}

// isSlip tells whether a fact of ours was surely meant. Both names must be long: a short
// name of another program is easily like one of ours.
func isSlip(fact, asked string) bool {
	return len(fact) > 5 && len(asked) > 6 && nearest.Distance(strings.ToLower(fact), strings.ToLower(asked)) == 1
}

func hint(near, prefix string, all []string, are string) string {
	if near != "" {
		return fmt.Sprintf("did you mean %s%s?", prefix, near)
	}
	return are + strings.Join(all, ", ") + "; " + escape
}
