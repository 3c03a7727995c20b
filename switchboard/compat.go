package switchboard

import (
	"io"

	"github.com/cad2f06c/switchboard/internal/policy"
	"github.com/cad2f06c/switchboard/shs"
)

// Authorize is SetPolicy with a list of keys that are all trusted. It goes when
// its last caller does.
func (s *Server) Authorize(keys map[shs.PublicKey]string) {
	if err := s.SetPolicy(trustAll(keys)); err != nil {
		s.log.Error("policy stays as it was", "err", err)
	}
}

// trustAll is a policy in which keys are trusted; of nil nobody comes over TCP.
func trustAll(keys map[shs.PublicKey]string) *Policy {
	p := &Policy{cfg: policy.Defaults(), lines: make(map[shs.PublicKey]*policy.Peer), keys: keys != nil}
	for k, comment := range keys {
		p.cfg.Peers = append(p.cfg.Peers, policy.Peer{Key: k, Level: policy.Trusted, HasLevel: true, Comment: comment, Line: len(p.cfg.Peers) + 1})
	}
	return p
}

// LoadAuthorized reads the keys of an authorized_peers file. It goes when its last
// caller does.
func LoadAuthorized(path string) (map[shs.PublicKey]string, error) {
	keys := make(map[shs.PublicKey]string)
	return keys, readOwned(path, func(r io.Reader) error {
		peers, err := policy.ParsePeers(r)
		for _, p := range peers {
			keys[p.Key] = p.Comment
		}
		return err
	})
}
