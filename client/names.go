package client

import (
	"context"

	"github.com/cad2f06c/switchboard/internal/control"
)

// Entry is one present name: who owns it, since when, and what was published
// with it.
type Entry = control.Entry

// WhoAmI is what the server knows of a session, and of itself.
type WhoAmI = control.WhoAmI

// Names returns the present names that match a pattern, sorted, without their
// Info. "" is all of them; in a pattern * is one element and a last ** one or
// more. What does not fit one answer of the server is asked for in pages, so
// it may differ from any one moment: a Watch does not.
func (c *Client) Names(ctx context.Context, match string) ([]Entry, error) {
	var all []Entry
	after := ""
	for {
		var page control.ListResult
		if err := c.retry(ctx, control.MethodList, control.ListArgs{Match: match, After: after}, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Names...)
		if !page.More {
			return all, nil
		}
		if len(page.Names) == 0 || page.Names[len(page.Names)-1].Name <= after {
			return nil, errAnswer // it would never end
		}
		after = page.Names[len(page.Names)-1].Name
	}
}

// Lookup returns the entry of a name, with its Info, or NotFound.
func (c *Client) Lookup(ctx context.Context, name string) (Entry, error) {
	var e Entry
	return e, c.retry(ctx, control.MethodGet, control.NameArgs{Name: name}, &e)
}
