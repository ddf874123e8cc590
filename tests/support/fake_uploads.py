"""The fake registry's side of a push over HTTP (distribution specification, "Pushing")."""

from __future__ import annotations

import hashlib
import itertools
import json
from typing import Any, Literal

from aiohttp import web
from fake_content import Content
from fake_faults import Reply


def _error(status: int, code: str) -> Reply:
    body = json.dumps({"errors": [{"code": code, "message": code.lower()}]}).encode()
    return Reply(status, body, {"Content-Type": "application/json"})


class Uploads:
    """Upload sessions, and what they end in.

    `location` makes the address of a session out of its path, so that a test can have it absolute.
    `immutable` refuses to move a tag, as Harbor and ECR do where they are told so. `deletes` is
    what a deletion may name: a "tag" or a digest, a "digest" alone, as with docker-registry 2 and
    Harbor, or nothing where it is "off", as docker-registry is until it is told otherwise. With
    `keeps` it answers as if it had deleted, and did not.
    """

    def __init__(self, content: Content) -> None:
        self.location = lambda path: path
        self.immutable = False
        self.deletes: Literal["tag", "digest", "off"] = "tag"
        self.keeps = False
        self._content = content
        self._sessions: dict[str, bytearray] = {}
        self._numbers = itertools.count(1)

    async def answer(self, request: web.Request, seen: Any, body: bytes) -> Reply:
        """One request of kind upload, or a PUT of a manifest."""
        if seen.kind == "manifest":
            return self._put_manifest(seen, body)
        if seen.method == "POST":
            return self._begin(seen, request.path)
        session = self._sessions.get(seen.reference)
        if session is None:
            return _error(404, "BLOB_UPLOAD_UNKNOWN")
        async for piece in request.content.iter_chunked(1 << 18):
            session += piece
        if seen.method == "PATCH":
            headers = {"Location": self.location(request.path_qs), "Range": f"0-{len(session) - 1}"}
            return Reply(202, headers=headers)
        return self._finish(seen, session)

    def _begin(self, seen: Any, path: str) -> Reply:
        number = str(next(self._numbers))
        self._sessions[number] = bytearray()
        where = self.location(f"{path.rstrip('/')}/{number}?state=some%2Bthing")
        return Reply(202, headers={"Location": where})

    def _finish(self, seen: Any, session: bytearray) -> Reply:
        if seen.query.get("state") != "some+thing":
            return _error(400, "BLOB_UPLOAD_INVALID")
        digest = "sha256:" + hashlib.sha256(session).hexdigest()
        if seen.query.get("digest") != digest:
            return _error(400, "DIGEST_INVALID")
        self._content.repository(seen.repository).blobs[digest] = bytes(session)
        del self._sessions[seen.reference]
        return Reply(201, headers={"Docker-Content-Digest": digest})

    def _put_manifest(self, seen: Any, body: bytes) -> Reply:
        document = json.loads(body)
        holder = self._content.repository(seen.repository)
        parts = [document.get("config"), *document.get("layers", [])]
        if any(part and part["digest"] not in holder.blobs for part in parts):
            return _error(404, "MANIFEST_BLOB_UNKNOWN")
        if self.immutable and seen.reference in holder.tags:
            return _error(412, "PRECONDITION")
        tag = None if ":" in seen.reference else seen.reference
        digest = self._content.put_raw(
            seen.repository, tag, body, seen.headers.get("Content-Type", "")
        )
        return Reply(201, headers={"Docker-Content-Digest": str(digest)})

    def delete(self, seen: Any) -> Reply:
        """A DELETE of a tag, or of a manifest with its tags."""
        holder = self._content.repositories.get(seen.repository)
        if holder is None:
            return _error(404, "NAME_UNKNOWN")
        if self.deletes == "off" or (self.deletes == "digest" and ":" not in seen.reference):
            return _error(405, "UNSUPPORTED")
        if self.keeps:
            return Reply(202)
        if seen.reference in holder.tags:
            del holder.tags[seen.reference]
        elif holder.manifests.pop(seen.reference, None):
            holder.tags = {tag: to for tag, to in holder.tags.items() if to != seen.reference}
        else:
            return _error(404, "MANIFEST_UNKNOWN")
        return Reply(202)
