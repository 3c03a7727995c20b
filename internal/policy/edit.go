package policy

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Errors of Edit.
var (
	ErrNoPeer = errors.New("policy: the key has no line")
	ErrPeer   = errors.New("policy: the key has a line already")

	ErrRotated = errors.New("policy: the key's line expires")
)

// Action is what a Change does.
type Action uint8

// The actions.
const (
	Add    Action = iota // a new line at the end
	Set                  // options of one line
	Remove               // one line
	Rotate               // puts another key on a line, and the old one behind it
)

// Change is one change of an authorized_peers file.
type Change struct {
	Action  Action
	Key     Key
	Options []Option // of Add and Set, each name once
	Comment string   // of Add, without the "#"; "" for none
	To      Key      // of Rotate
	Until   int64    // of Rotate: until when the old key is good, ms since the Unix epoch
}

// Option is one option of a line: own, see, talk, level, tenant, rate, expires, next
// with the text behind "=", or admin with the value "true". In Set an empty Value removes the
// option.
type Option struct{ Name, Value string }

// String returns the option as a line writes it.
func (o Option) String() string {
	if o.Name == optionAdmin {
		return o.Name
	}
	return o.Name + "=" + o.Value
}

// Edit makes changes, one after another, in the text of an authorized_peers file and
// returns the new text; text itself is not changed. Everything else stays as it is,
// byte for byte: other lines, their order and ends, and in a line that is Set the
// other options, blanks and comment. Add writes the line end of the line before, and
// gives that one an end if it has none.
//
// Rotate puts the key To on the line of Key, and behind it a line with Key, the same
// options, expires= and next=. A line that has expires= is ErrRotated.
//
// A text that ParsePeers refuses, before or after, is a *LineError. Add of a key that
// has a line is ErrPeer, and Rotate to one; Set, Remove and Rotate of one that has none are ErrNoPeer. An option
// that a line could not have is an error, and so is a comment of more than one line.
func Edit(text []byte, changes ...Change) ([]byte, error) { return peersFile.edit(text, changes) }

func (f file) edit(text []byte, changes []Change) ([]byte, error) {
	for _, c := range changes {
		var err error
		if text, err = c.apply(f, text); err != nil {
			return nil, err
		}
	}
	if _, err := parseFile(bytes.NewReader(text), f); err != nil {
		return nil, err
	}
	return bytes.Clone(text), nil
}

// apply makes one change; text must parse.
func (c Change) apply(f file, text []byte) ([]byte, error) {
	if err := c.checkOptions(f); err != nil {
		return nil, err
	}
	peers, err := parseFile(bytes.NewReader(text), f)
	if err != nil {
		return nil, err
	}
	lines := strings.SplitAfter(string(text), "\n")
	i := slices.IndexFunc(peers, func(p Peer) bool { return p.Key == c.Key })
	if (i >= 0) == (c.Action == Add) {
		if i >= 0 {
			return nil, ErrPeer
		}
		return nil, ErrNoPeer
	}
	switch c.Action {
	case Add:
		lines, err = c.add(lines)
	case Set:
		at := peers[i].Line - 1
		lines[at] = c.set(lines[at])
	case Remove:
		at := peers[i].Line - 1
		lines = slices.Delete(lines, at, at+1)
	case Rotate:
		lines, err = c.rotate(lines, peers, i)
	default:
		err = fmt.Errorf("policy: no action %d", c.Action)
	}
	return []byte(strings.Join(lines, "")), err
}

// checkOptions reads every option by itself, so that none can smuggle in another.
func (c Change) checkOptions(f file) error {
	var seen []string
	for _, o := range c.Options {
		if slices.Contains(seen, o.Name) {
			return fmt.Errorf("%s stands twice", o.Name)
		}
		seen = append(seen, o.Name)
		var p Peer
		if o.Value == "" && c.Action == Set && slices.Contains(f, o.Name) {
			continue
		}
		if err := f.set(&p, o); err != nil {
			return err
		}
	}
	return nil
}

// add returns lines, of which the last has no end, with one more.
func (c Change) add(lines []string) ([]string, error) {
	if err := checkText(c.Comment); err != nil {
		return nil, fmt.Errorf("the comment: %w", err)
	}
	end := "\n"
	if len(lines) > 1 && strings.HasSuffix(lines[len(lines)-2], "\r\n") {
		end = "\r\n"
	}
	if last := &lines[len(lines)-1]; *last != "" {
		*last += end
	}
	words := []string{KeyText(c.Key)}
	for _, o := range c.Options {
		words = append(words, o.String())
	}
	if comment := strings.Trim(c.Comment, blanks); comment != "" {
		words = append(words, "#", comment)
	}
	return append(lines, strings.Join(words, " ")+end), nil
}

// set returns line with the options set.
func (c Change) set(whole string) string {
	line := cutEnd(whole)
	end := whole[len(line):]
	for _, o := range c.Options {
		words, _ := split(line)
		i := slices.IndexFunc(words, func(w word) bool {
			name, _, _ := strings.Cut(w.text, "=")
			return name == o.Name
		})
		last := words[len(words)-1].to
		switch {
		case i < 0 && o.Value == "":
		case i < 0:
			line = line[:last] + " " + o.String() + line[last:]
		case o.Value == "":
			line = line[:words[i-1].to] + line[words[i].to:]
		default:
			line = line[:words[i].from] + o.String() + line[words[i].to:]
		}
	}
	return line + end
}

// rotate returns lines with To on the line of peers[i], and one more behind it.
func (c Change) rotate(lines []string, peers []Peer, i int) ([]string, error) {
	switch {
	case slices.ContainsFunc(peers, func(p Peer) bool { return p.Key == c.To }):
		return nil, ErrPeer
	case peers[i].Expires != 0:
		return nil, ErrRotated
	}
	at := peers[i].Line - 1
	line := cutEnd(lines[at])
	end := lines[at][len(line):]
	old := Change{Options: []Option{{optionExpires, FormatExpires(c.Until)}, {optionNext, KeyText(c.To)}}}.set(line)
	words, _ := split(line)
	lines[at] = line[:words[0].from] + KeyText(c.To) + line[words[0].to:] + cmp.Or(end, "\n")
	return slices.Insert(lines, at+1, old+end), nil
}
