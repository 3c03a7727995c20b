package ctl

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/cad2f06c/switchboard/client"
	"github.com/cad2f06c/switchboard/cmd/internal/term"
)

// newWatch builds "watch".
func newWatch(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "watch [PATTERN]",
		Short: "Print who comes and goes",
		Long: `Watch prints the present names, then each change as it happens:
  + NAME   came, or was there when the watch began
  - NAME   went
  > NAME   has another owner
  ~ NAME   published other info
After a lost connection it goes on with what has changed meanwhile. With --json
each line is an event of the protocol, with its rev; "synced" ends what was
present, "lagged" says to forget it, for it comes again.`,
		Example: "  sbctl watch\n  sbctl watch 'org.example.*' --json",
		Args:    between(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			match := "**"
			if len(args) == 1 {
				match = args[0]
			}
			return a.stay(cmd.Context(), client.Config{}, func(ctx context.Context, c *client.Client) error {
				view := newView(a)
				for ev, err := range c.Watch(ctx, match) {
					if err != nil {
						return about{match, err}
					}
					show := view.apply
					if asJSON {
						show = func(ev client.Event) error { return a.printJSON(ev) }
					}
					if err := show(ev); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print events as JSON, one a line")
	return cmd
}

// The types of event that are not about one name's change (PROTOCOL.md §5).
const (
	eventMoved   = "moved"
	eventUpdated = "updated"
	eventSynced  = "synced"
	eventLagged  = "lagged"
)

// view is what has been printed: after a gap only the differences are.
type view struct {
	a     *app
	known map[string]uint64 // name → epoch, as printed
	fresh map[string]uint64 // what a snapshot after a gap holds so far, or nil
}

func newView(a *app) *view { return &view{a: a, known: make(map[string]uint64)} }

// apply prints what ev changes.
func (v *view) apply(ev client.Event) error {
	switch ev.Type {
	case eventLagged:
		v.fresh = make(map[string]uint64)
		return nil
	case eventSynced:
		return v.settle()
	}
	if ev.Entry == nil {
		if v.fresh != nil {
			delete(v.fresh, ev.Name)
		}
		return v.set(ev.Name, 0, false)
	}
	if v.fresh != nil {
		v.fresh[ev.Name] = ev.Entry.Epoch
	}
	return v.set(ev.Name, ev.Entry.Epoch, ev.Type == eventUpdated)
}

// settle ends a snapshot after a gap: what it did not hold is gone.
func (v *view) settle() error {
	if v.fresh == nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(v.known)) {
		if _, there := v.fresh[name]; !there {
			if err := v.set(name, 0, false); err != nil {
				return err
			}
		}
	}
	v.fresh = nil
	return nil
}

// set prints the way from what is known of name to epoch; 0 is nobody.
func (v *view) set(name string, epoch uint64, updated bool) error {
	before := v.known[name]
	mark, colour := "", v.a.colour.Change
	switch {
	case epoch == 0 && before != 0:
		mark, colour = "-", v.a.colour.Bad
	case epoch != 0 && before == 0:
		mark, colour = "+", v.a.colour.Good
	case epoch != before:
		mark = ">"
	case updated:
		mark = "~"
	}
	if epoch == 0 {
		delete(v.known, name)
	} else {
		v.known[name] = epoch
	}
	if mark == "" {
		return nil
	}
	_, err := fmt.Fprintln(v.a.out, colour.Paint(mark+" "+term.Escape(name)))
	return err
}
