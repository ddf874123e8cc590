"""Signatures: what was found beside a release, judged against who may sign. Pure.

Everything here is hostile but the keys and identities, which the operator set: payloads, bundles
and annotations come from a registry that may have been taken over. So the signature decides and
nothing else: hints, subjects of manifests, names of tags and references are never believed, and
text that tools could read in two ways is refused.

`Trust` says who may sign; `Trust.judge` is given what was found and returns who signed, or raises
`Unsigned` with the one reason that says best what is wrong. Formats: cosign's simple signing
(cosign `specs/SIGNATURE_SPEC.md`), the Sigstore bundle (`sigstore_bundle.proto`) with a DSSE
envelope (`secure-systems-lab/dsse`), and the in-toto statement v1.
"""
