"""Talk to a CAS: attest it, then use what was attested.

entry points: `trust.attest_cas` is the one place that trusts a CAS and
gives an `AttestedCas`; `known.KnownCas` is what is kept of it; `cas.CasClient` speaks to
it and to nobody else; `provisioning` claims a new one. Import the modules, not this
package: each imports only what it needs.
"""
