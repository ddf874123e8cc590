"""Certificate identities, judged in a process of its own, with no network.

Sigstore's library takes a second and 50 MiB to import, and an identity's pattern, which the
operator wrote, may take for ever on a name that somebody else chose. So it runs in a child process:
started when a bundle with a certificate is first judged, ended when nothing was asked for a while,
killed when it does not answer. What fails there decides nothing: it is `Undecided`, and neither a
signature nor the lack of one.

`process` is the server's side, `judging` and `__main__` are the child's, `frames` is what they say
to each other.
"""
