package mux

// ring is the streams that have something to send, each at most once.
type ring struct {
	first, last *Stream
}

func (r *ring) front() *Stream { return r.first }

// push appends st unless it is there.
func (r *ring) push(st *Stream) {
	if st.inRing {
		return
	}
	st.inRing, st.prev, st.next = true, r.last, nil
	if r.last == nil {
		r.first = st
	} else {
		r.last.next = st
	}
	r.last = st
}

// remove takes st out if it is there.
func (r *ring) remove(st *Stream) {
	if !st.inRing {
		return
	}
	if st.prev == nil {
		r.first = st.next
	} else {
		st.prev.next = st.next
	}
	if st.next == nil {
		r.last = st.prev
	} else {
		st.next.prev = st.prev
	}
	st.inRing, st.prev, st.next = false, nil, nil
}
