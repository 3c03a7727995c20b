package mux

// TryWriteBuffers queues what of bufs it can without waiting, in order, and
// returns how many bytes that were. Its errors are Write's.
func (st *Stream) TryWriteBuffers(bufs ...[]byte) (n int, err error) {
	s := st.s
	s.mu.Lock()
	defer s.unlock()
	if err := st.writeErrLocked(); err != nil || st.writing {
		return 0, err
	}
	for _, p := range bufs {
		for len(p) > 0 {
			k := s.placeLocked(st, p[:max(0, min(int64(len(p)), st.sendWin))])
			if k == 0 {
				k = min(len(p), st.roomLocked())
				st.out.append(p[:k])
				s.queued += k
				if k > 0 {
					s.scheduleLocked(st)
				}
			}
			if k == 0 {
				return n, nil
			}
			st.sendWin -= int64(k)
			n += k
			p = p[k:]
		}
	}
	return n, nil
}
