package daemon

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/cad2f06c/switchboard/switchboard"
)

// reload reads the authorized peers again whenever a signal comes on hup, until
// ctx ends. A file that is not in order changes nothing, and neither does a
// signal to a server that serves no TCP: it admits by user, not by key.
func (p *plan) reload(ctx context.Context, hup <-chan os.Signal, srv *switchboard.Server, log *slog.Logger) {
	for {
		select {
		case <-hup:
		case <-ctx.Done():
			return
		}
		if !p.needed {
			log.Info("SIGHUP changes nothing: without a TCP listener there are no authorized peers")
			continue
		}
		if err := p.loadPeers(); err != nil {
			log.Error("authorized peers stay as they were", "err", err)
			continue
		}
		srv.Authorize(p.authorized)
		log.Info("authorized peers read again", "keys", len(p.authorized))
	}
}

// loadPeers reads the authorized peers. After an error they are as before.
func (p *plan) loadPeers() error {
	if p.peersFile == "" {
		return fs.ErrNotExist
	}
	peers, err := switchboard.LoadAuthorized(p.peersFile)
	if err != nil {
		return fmt.Errorf("authorized peers: %w", err)
	}
	p.authorized = peers
	return nil
}

// needPeers is for a TCP listener, which admits only listed keys.
func (p *plan) needPeers(addr string) error {
	p.needed = true
	if p.authorized == nil && p.badPeers != nil {
		return p.badPeers
	}
	if p.authorized == nil {
		return errNoPeers(addr, p.peersFile)
	}
	return nil
}
