package switchboard

import (
	"time"

	"github.com/cad2f06c/switchboard/internal/control"
	"github.com/cad2f06c/switchboard/internal/policy"
	"github.com/cad2f06c/switchboard/names"
)

var errTenantFull = control.Quota.With("too many names in this tenant")

// change runs one step of the registry, and tells who watches.
func (s *session) change(step func(*names.Registry) ([]names.Change, error)) error {
	srv := s.srv
	srv.mu.Lock()
	changes, err := step(srv.registry)
	now := srv.publishLocked(changes, maxPassing)
	srv.mu.Unlock()
	srv.pass(now)
	return err
}

func (s *session) claim(a control.ClaimArgs) (control.ClaimResult, error) {
	if len(a.Info) > control.MaxMeta {
		if _, err := readName(s.rights.Load().tenant(), a.Name); err != nil {
			return control.ClaimResult{}, err
		}
		return control.ClaimResult{}, control.BadRequest.With("info is larger than 4 KiB")
	}
	var res names.Result
	err := s.change(func(r *names.Registry) (changes []names.Change, err error) {
		n, err := s.claimableLocked(a.Name)
		if err != nil {
			return nil, err
		}
		// A claim without queue leaves the line, which is no event.
		res, changes, err = r.Claim(time.Now(), s.owner(), n,
			names.Options{Queue: a.Queue, Replace: a.Replace, Yield: a.Yield, From: s.rights.Load().rules.from[s.key], Info: a.Info})
		return changes, err
	})
	if err != nil {
		s.srv.over.claim(err)
		s.failedClaim(a.Name, err)
		return control.ClaimResult{}, err
	}
	s.noteName(evClaim, a.Name, res.Epoch, res.State)
	return control.ClaimResult{Name: a.Name, State: res.State, Epoch: res.Epoch, Rev: res.Rev}, nil
}

// claimableLocked returns the name of a claim, if the session may make it. That
// is decided before the registry is looked at.
func (s *session) claimableLocked(text string) (names.Name, error) {
	rights := s.rights.Load()
	o, err := readName(rights.tenant(), text)
	if err != nil {
		return "", err
	}
	n := qualified(o.Tenant, o.Name)
	switch {
	case s.leaving:
		return "", control.ShuttingDown
	case names.Reserved(o.Name):
		return "", names.ErrReserved
	case !s.may(policy.Own, o):
		return "", errNoOwn
	}
	if _, owned := s.srv.registry.Get(n); !owned && s.srv.owned[o.Tenant] >= s.srv.limits.NamesPerTenant {
		return "", errTenantFull
	}
	return n, nil
}

func (s *session) release(a control.NameArgs) (control.RevResult, error) {
	o, err := readName(s.rights.Load().tenant(), a.Name)
	if err != nil {
		return control.RevResult{}, err
	}
	var rev uint64
	err = s.change(func(r *names.Registry) (changes []names.Change, err error) {
		rev, changes, err = r.Release(time.Now(), s.id, qualified(o.Tenant, o.Name))
		return changes, err
	})
	if err != nil {
		return control.RevResult{}, err
	}
	s.noteName(evRelease, a.Name, 0, "")
	return control.RevResult{Name: a.Name, Rev: rev}, nil
}

func (s *session) update(a control.UpdateArgs) (control.RevResult, error) {
	o, err := readName(s.rights.Load().tenant(), a.Name)
	if err != nil {
		return control.RevResult{}, err
	}
	if len(a.Info) == 0 || len(a.Info) > control.MaxMeta {
		return control.RevResult{}, control.BadRequest.With("info is missing or larger than 4 KiB")
	}
	var rev uint64
	err = s.change(func(r *names.Registry) (changes []names.Change, err error) {
		rev, changes, err = r.Update(time.Now(), s.id, qualified(o.Tenant, o.Name), a.Info)
		return changes, err
	})
	if err != nil {
		return control.RevResult{}, err
	}
	return control.RevResult{Name: a.Name, Rev: rev}, nil
}
