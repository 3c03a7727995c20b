package client

// LeaseRuns reports whether the minute runs that direct channels have without
// a control session.
func (c *Client) LeaseRuns() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lease != nil
}

// EndLease is the end of that minute.
func (c *Client) EndLease() { c.leaseOver() }
