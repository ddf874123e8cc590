"""A fake zot with an anonymous policy: strangers get the public part and no challenge for it.

Its `/v2/` answers 200 to everybody and names the challenge all the same ("compatibility
workaround" in its `pkg/api/routes.go`); a repository that strangers may not read is 403 to them.
"""

from __future__ import annotations

import json
from typing import Any

from fake_answers import Seen, error
from fake_faults import Reply
from fake_registry import FakeRegistry


class FakeZot(FakeRegistry):
    """`public` are the repositories that strangers may read."""

    def __init__(self, *, public: tuple[str, ...] = (), **more: Any) -> None:
        super().__init__(auth="none", **more)
        self.public = set(public)

    def _admit(self, seen: Seen) -> Reply | None:
        header = seen.headers.get("Authorization", "")
        if header and not self.tokens.basic(header):
            challenge = {"WWW-Authenticate": 'Basic realm="Authorization Required"'}
            return error(401, "UNAUTHORIZED", "authentication required", **challenge)
        if seen.repository and not header and seen.repository not in self.public:
            return error(403, "DENIED", "requested access to the resource is denied")
        return None

    def answer(self, seen: Seen) -> Reply:
        """The catalog for whoever asks, and the challenge with 200."""
        if seen.kind == "ping":
            return Reply(200, b"", {"WWW-Authenticate": "basic realm=Authorization Required"})
        if seen.kind == "catalog" and "Authorization" not in seen.headers:
            names = sorted(self.public)
            return Reply(200, json.dumps({"repositories": names}).encode())
        return super().answer(seen)
