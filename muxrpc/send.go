package muxrpc

// Send sends one item: []byte as bytes (not empty), json.RawMessage as it is, anything else as JSON. It waits for room. It fails
// once our direction has ended, by CloseSend or because the peer aborted.
func (st *Stream) Send(v any) error {
	if !st.sends {
		return errKind
	}
	flags, body, err := encodeItem(v)
	if err != nil {
		return err
	}
	return st.send(flags, body)
}

// SendJSON is Send of a JSON text that is neither checked nor copied: nobody may change it any more. It is for what was written
// once and is sent to many.
func (st *Stream) SendJSON(text []byte) error {
	if !st.sends {
		return errKind
	}
	return st.send(FlagJSON, text)
}

// TrySendJSON is SendJSON for who does not wait: sent is false, without an error, if there is no room just now.
func (st *Stream) TrySendJSON(text []byte) (sent bool, err error) {
	if !st.sends {
		return false, errKind
	}
	select {
	case st.slot <- struct{}{}:
	default:
		return false, nil
	}
	defer func() { <-st.slot }()
	if err := st.sendFault(); err != nil {
		return false, err
	}
	if sent, err = st.s.trySend(Packet{Flags: FlagJSON | FlagStream, Req: st.id, Body: text}); err != nil {
		return false, st.s.goneErr()
	}
	return sent, nil
}

// send sends one item, whose body it keeps, and waits for room.
func (st *Stream) send(flags byte, body []byte) error {
	st.slot <- struct{}{} // given back as soon as there is room, or the session ends
	defer func() { <-st.slot }()
	if err := st.sendFault(); err != nil {
		return err
	}
	if _, err := st.s.send(Packet{Flags: flags | FlagStream, Req: st.id, Body: body}, nil); err != nil {
		return st.s.goneErr()
	}
	return nil
}

// sendFault is why our direction takes no items any more, or nil.
func (st *Stream) sendFault() error {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.sendErr
}
