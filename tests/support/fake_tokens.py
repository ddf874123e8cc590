"""The fake registry's accounts and its token server (distribution's token specification)."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping
from typing import Any

from fake_faults import Reply


class Tokens:
    """Who may come in, and the tokens that were given out.

    `field` is what the reply calls the token (`token` or `access_token`), `expires_in` what it
    says of its lifetime (None says nothing; the registry takes a token until `revoke`). With
    `anonymous` tokens to pull are given to everybody. `identity_tokens` are those that
    `grant_type=refresh_token` takes; with `oauth` false that POST is answered 404.
    """

    def __init__(self, users: Mapping[str, str]) -> None:
        self.users = dict(users)
        self.field = "token"
        self.expires_in: Any = None
        self.anonymous = False
        self.oauth = True
        self.identity_tokens: set[str] = set()
        self.given: dict[str, str] = {}  # token to scope

    def revoke(self) -> None:
        """Take back every token that was given out."""
        self.given.clear()

    def basic(self, header: str) -> bool:
        """Whether an Authorization header holds an account's name and password."""
        scheme, _, encoded = header.partition(" ")
        if scheme != "Basic":
            return False
        name, _, password = base64.b64decode(encoded).decode(errors="replace").partition(":")
        return self.users.get(name) == password or password in self.identity_tokens

    def bearer(self, header: str, scope: str) -> bool:
        """Whether an Authorization header holds a token that is good for a scope."""
        granted = self.given.get(header.removeprefix("Bearer "))
        if granted is None:
            return False
        where, _, actions = scope.rpartition(":")
        granted_where, _, granted_actions = granted.rpartition(":")
        enough = set(actions.split(",")) <= set(granted_actions.split(","))
        return not scope or (where == granted_where and enough)

    def answer(
        self, query: Mapping[str, str], authorization: str, form: Mapping[str, Any] | None
    ) -> Reply:
        """One request to the token server; `form` is a POST's."""
        if form is not None:
            if not self.oauth:
                return Reply(404, b"404 page not found\n")
            if form.get("refresh_token") not in self.identity_tokens:
                return Reply(401, b'{"errors":[{"code":"UNAUTHORIZED"}]}')
            return self._give(str(form.get("scope", "")), "access_token")
        scope = query.get("scope", "")
        if authorization:
            if not self.basic(authorization):
                return Reply(401, b'{"errors":[{"code":"UNAUTHORIZED"}]}')
        elif not self.anonymous:
            return Reply(401, b'{"errors":[{"code":"UNAUTHORIZED"}]}')
        return self._give(scope, self.field)

    def _give(self, scope: str, field: str) -> Reply:
        token = secrets.token_urlsafe(24)
        self.given[token] = scope
        document: dict[str, Any] = {field: token}
        if self.expires_in is not None:
            document["expires_in"] = self.expires_in
        return Reply(200, json.dumps(document).encode(), {"Content-Type": "application/json"})
