package policy

import "errors"

// Errors of Edit.
var (
	ErrNoPeer = errors.New("policy: the key has no line")
	ErrPeer   = errors.New("policy: the key has a line already")
)

// Action is what a Change does.
type Action uint8

// The actions.
const (
	Add    Action = iota // a new line at the end
	Set                  // options of one line
	Remove               // one line
)

// Change is one change of an authorized_peers file.
type Change struct {
	Action  Action
	Key     Key
	Options []Option // of Add and Set, each name once
	Comment string   // of Add, without the "#"; "" for none
}

// Option is one option of a line: own, see, talk, level, tenant, rate with the text
// behind "=", or admin with the value "true". An empty Value removes the option.
type Option struct{ Name, Value string }

// Edit makes changes, one after another, in the text of an authorized_peers file and
// returns the new text; text itself is not changed.
func Edit(text []byte, changes ...Change) ([]byte, error) { return nil, errors.ErrUnsupported }
