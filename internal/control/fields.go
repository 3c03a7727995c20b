package control

// The fields of the arguments, by their names on the wire. A test holds them
// to the structs' tags.

// NoArgs is what a method takes that needs nothing.
type NoArgs struct{}

func (*NoArgs) field(string) any { return nil }

func (a *ClaimArgs) field(name string) any {
	switch name {
	case "name":
		return &a.Name
	case "queue":
		return &a.Queue
	case "replace":
		return &a.Replace
	case "yield":
		return &a.Yield
	case "info":
		return &a.Info
	}
	return nil
}

func (a *NameArgs) field(name string) any {
	switch name {
	case "name":
		return &a.Name
	}
	return nil
}

func (a *UpdateArgs) field(name string) any {
	switch name {
	case "name":
		return &a.Name
	case "info":
		return &a.Info
	}
	return nil
}

func (a *ListArgs) field(name string) any {
	switch name {
	case "match":
		return &a.Match
	case "after":
		return &a.After
	case "brief":
		return &a.Brief
	case "all":
		return &a.All
	}
	return nil
}

func (a *WatchArgs) field(name string) any {
	switch name {
	case "match":
		return &a.Match
	case "since":
		return &a.Since
	}
	return nil
}

func (a *ConnectArgs) field(name string) any {
	switch name {
	case "to":
		return &a.To
	case "key":
		return &a.Key
	case "epoch":
		return &a.Epoch
	case "meta":
		return &a.Meta
	case "direct":
		return &a.Direct
	case "resume":
		return &a.Resume
	case "require":
		return &a.Require
	case "sealed":
		return &a.Sealed
	case "timeout_ms":
		return &a.TimeoutMS
	}
	return nil
}

func (a *OfferArgs) field(name string) any {
	switch name {
	case "channel":
		return &a.Channel
	case "token":
		return &a.Token
	case "name":
		return &a.Name
	case "epoch":
		return &a.Epoch
	case "peer":
		return &a.Peer
	case "meta":
		return &a.Meta
	case "direct":
		return &a.Direct
	case "require":
		return &a.Require
	case "sealed":
		return &a.Sealed
	}
	return nil
}

func (a *AcceptArgs) field(name string) any {
	switch name {
	case "channel":
		return &a.Channel
	case "token":
		return &a.Token
	}
	return nil
}

func (a *GoingAwayArgs) field(name string) any {
	if name == "drain_ms" {
		return &a.DrainMS
	}
	return nil
}

func (a *ChannelCloseArgs) field(name string) any {
	switch name {
	case "channel":
		return &a.Channel
	case "reason":
		return &a.Reason
	}
	return nil
}
