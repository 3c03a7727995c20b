package channel

import "time"

// ListenFor is Listen for a life of another length.
func (a *Attempt) ListenFor(kinds []Kind, o ListenOptions, life time.Duration) (*LinkListener, error) {
	return a.listen(kinds, o, life)
}

// What a test tells apart.
var (
	ErrLinkPath    = errPath
	ErrLinkAddr    = errAddr
	ErrLinkUID     = errUID
	ErrLinkRole    = errRole
	ErrLinkAttempt = errAttempt
	ErrLinkKind    = errKind
)
