package client

import (
	"context"

	"github.com/cad2f06c/switchboard/channel"
	"github.com/cad2f06c/switchboard/internal/control"
)

// LinkKind is a kind of direct link: LinkFD, LinkUnix or LinkNet.
type LinkKind = channel.Kind

// The kinds, in order of preference.
const (
	LinkFD   = channel.FD
	LinkUnix = channel.Unix
	LinkNet  = channel.Net
)

// Channel is an open channel as the server lists it.
type Channel = control.ChannelInfo

// Channels returns the open channels that have an end of our key, or with all
// everybody's, by id. All is for who logs in with the server's key over a Unix
// socket; anybody else gets NotAllowed.
func (c *Client) Channels(ctx context.Context, all bool) ([]Channel, error) {
	var got []Channel
	args := control.ChannelsListArgs{All: all}
	for {
		var page control.ChannelsList
		if err := c.retry(ctx, control.MethodChannelsList, args, &page); err != nil {
			return nil, err
		}
		got = append(got, page.Channels...)
		if !page.More || len(page.Channels) == 0 {
			return got, nil
		}
		args.After = page.Channels[len(page.Channels)-1].Channel
	}
}

// CloseChannel ends a channel, relayed or direct, at both ends; reason is a code
// for them. It is for administrators, as Channels with all is. NotFound: there
// is no such channel any more.
func (c *Client) CloseChannel(ctx context.Context, id, reason string) error {
	args := control.ChannelCloseArgs{Channel: id, Reason: reason}
	return c.retry(ctx, control.MethodChannelsClose, args, nil)
}
