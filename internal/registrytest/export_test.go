package registrytest

// TolerateCredentials lets a test of this package send credentials to the storage host.
func (p *Proxy) TolerateCredentials() { p.storage.tolerant = true }
