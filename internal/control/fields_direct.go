package control

// The fields of what is said about direct links and moved channels.

func (r *OfferResult) field(name string) any {
	switch name {
	case "direct":
		return &r.Direct
	case "require":
		return &r.Require
	case "sealed":
		return &r.Sealed
	}
	return nil
}

func (r *ChannelLinkResult) field(name string) any {
	switch name {
	case "direct":
		return &r.Direct
	}
	return nil
}

func (a *LinkAnswer) field(name string) any {
	switch name {
	case "unix":
		return &a.Unix
	case "net":
		return &a.Net
	case "fd":
		return &a.FD
	case "resume":
		return &a.Resume
	}
	return nil
}

func (a *ChannelDirectArgs) field(name string) any {
	switch name {
	case "channel":
		return &a.Channel
	case "direct":
		return &a.Direct
	case "resume":
		return &a.Resume
	}
	return nil
}

func (a *ChannelLinkArgs) field(name string) any {
	switch name {
	case "channel":
		return &a.Channel
	case "direct":
		return &a.Direct
	}
	return nil
}

func (a *ChannelFDArgs) field(name string) any {
	switch name {
	case "channel":
		return &a.Channel
	case "fd":
		return &a.FD
	}
	return nil
}

func (a *ChannelMovedArgs) field(name string) any {
	switch name {
	case "channel":
		return &a.Channel
	case "link":
		return &a.Link
	case "resume":
		return &a.Resume
	}
	return nil
}

func (a *ChannelClosedArgs) field(name string) any {
	switch name {
	case "channel":
		return &a.Channel
	case "reason":
		return &a.Reason
	case "sent":
		return &a.Sent
	case "received":
		return &a.Received
	}
	return nil
}

func (a *AdoptArgs) field(name string) any {
	switch name {
	case "channels":
		return &a.Channels
	}
	return nil
}

func (a *Adopt) field(name string) any {
	switch name {
	case "channel":
		return &a.Channel
	case "peer":
		return &a.Peer
	case "role":
		return &a.Role
	case "name":
		return &a.Name
	case "link":
		return &a.Link
	}
	return nil
}

func (a *ChannelsListArgs) field(name string) any {
	switch name {
	case "all":
		return &a.All
	case "after":
		return &a.After
	}
	return nil
}
