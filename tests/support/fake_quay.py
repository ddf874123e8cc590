"""A fake Quay: tokens, and a catalog that is empty for strangers instead of refused."""

from __future__ import annotations

import json
from typing import Any

from fake_answers import Seen
from fake_faults import Reply
from fake_registry import FakeRegistry


class FakeQuay(FakeRegistry):
    """See the module."""

    def __init__(self, **more: Any) -> None:
        super().__init__(auth="bearer", **more)

    def _admit(self, seen: Seen) -> Reply | None:
        if seen.kind == "catalog" and "Authorization" not in seen.headers:
            return Reply(200, json.dumps({"repositories": []}).encode())
        return super()._admit(seen)
