package registrytest

import (
	"net/http"
	"slices"
)

// Rule injects a fault into requests. It is made by Proxy.Inject.
type Rule struct {
	p     *Proxy
	kind  Kind
	fault Fault
	limits

	seen, hits int
}

type limits struct {
	times   int // 0: no limit
	after   int
	matches []func(*http.Request) bool
	digest  string
}

// Limit narrows the requests that a rule applies to.
type Limit func(*limits)

// Times ends a rule after n requests.
func Times(n int) Limit { return func(l *limits) { l.times = n } }

// Once is Times(1).
func Once() Limit { return Times(1) }

// After lets the first n requests pass that the rule would apply to.
func After(n int) Limit { return func(l *limits) { l.after = n } }

// Of keeps a rule to a digest or tag.
func Of(reference string) Limit { return func(l *limits) { l.digest = reference } }

// When keeps a rule to the requests for which f is true. Several conditions must all be met.
func When(f func(*http.Request) bool) Limit {
	return func(l *limits) { l.matches = append(l.matches, f) }
}

// Inject adds a rule: requests of the kind suffer the fault, each of them unless limits say otherwise. Rules apply in
// the order in which they were added; several can apply to one request, but only one can answer it.
func (p *Proxy) Inject(kind Kind, fault Fault, limit ...Limit) *Rule {
	rule := &Rule{p: p, kind: kind, fault: fault}
	for _, l := range limit {
		l(&rule.limits)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = append(p.rules, rule)
	return rule
}

// Hits returns how many requests the rule was applied to.
func (r *Rule) Hits() int {
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	return r.hits
}

// Remove ends the rule.
func (r *Rule) Remove() {
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	r.p.rules = slices.DeleteFunc(r.p.rules, func(other *Rule) bool { return other == r })
}

// Clear removes all rules.
func (p *Proxy) Clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = nil
}

// faultsFor returns the faults that a request suffers, and counts them.
func (p *Proxy) faultsFor(x *exchange) []Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	var faults []Fault
	for _, rule := range p.rules {
		if !rule.applies(x) {
			continue
		}
		rule.seen++
		if rule.seen <= rule.after || rule.times > 0 && rule.hits >= rule.times {
			continue
		}
		rule.hits++
		faults = append(faults, rule.fault)
	}
	return faults
}

func (r *Rule) applies(x *exchange) bool {
	if !r.kind.covers(x.to.Kind) || r.digest != "" && r.digest != x.reference() {
		return false
	}
	for _, matches := range r.matches {
		if !matches(x.r) {
			return false
		}
	}
	return r.fault.when == nil || r.fault.when(x)
}
