"""What a registry that works would answer: requests in, replies out, nothing sent.

The distribution specification, with the habits of docker-registry 2.8 and, with `harbor`, Harbor's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from fake_content import Content
from fake_faults import Reply
from multidict import CIMultiDict

NOT_FOUND = Reply(404, b"404 page not found\n", {"Content-Type": "text/plain"})


@dataclass(slots=True)
class Seen:
    """One request as it came, and the status that it got (0 while it is not known)."""

    kind: str
    method: str
    path: str
    query: Mapping[str, str]
    headers: CIMultiDict[str]
    repository: str = ""
    reference: str = ""
    status: int = 0


def error(status: int, code: str, message: str = "", **headers: str) -> Reply:
    """An OCI error body."""
    body = json.dumps({"errors": [{"code": code, "message": message or code.lower()}]}).encode()
    return Reply(status, body, {"Content-Type": "application/json", **headers})


class Answers:
    """The registry's switches, and its answers.

    `page_size` is the most names on a page (None: one page), `absolute_links` says how `Link`
    names the next, `referrers`, `catalog` and `harbor` which APIs there are, `redirect_blobs`
    whether blobs lie in object storage.
    """

    def __init__(self, content: Content) -> None:
        self.content = content
        self.page_size: int | None = None
        self.absolute_links = False
        self.referrers = True
        self.catalog = True
        self.harbor = False
        self.redirect_blobs = False
        self.requests: list[Seen] = []

    def origin(self, part: str) -> str:
        """Scheme, host and port of `registry`, `token` or `storage`."""
        raise NotImplementedError

    def delete(self, seen: Seen) -> Reply:
        """A DELETE of a manifest."""
        raise NotImplementedError

    def answer(self, seen: Seen) -> Reply:
        """The right reply to a request that was let in."""
        kinds = {
            "ping": lambda _: Reply(200, b"{}", {"Content-Type": "application/json"}),
            "tags": self._tags,
            "manifest": self._manifest,
            "blob": self._blob,
            "referrers": self._referrers,
            "catalog": self._catalog,
            "project": self._project,
        }
        return kinds.get(seen.kind, lambda _: NOT_FOUND)(seen)

    def _catalog(self, seen: Seen) -> Reply:
        if not self.catalog:
            return error(401, "UNAUTHORIZED", "the catalog is for administrators")
        names = sorted(self.content.repositories)
        return self._paged(seen, names, lambda page: {"repositories": page})

    def _paged(self, seen: Seen, names: list[str], shape: Callable[[list[str]], object]) -> Reply:
        asked = int(seen.query.get("n", 10**9))
        size = min(asked, self.page_size or 10**9)
        last = seen.query.get("last")
        at = names.index(last) + 1 if last in names else 0
        page = names[at : at + size]
        headers = {"Content-Type": "application/json"}
        if self.page_size and at + size < len(names):
            origin = self.origin("registry") if self.absolute_links else ""
            link = f"{origin}{seen.path}?last={quote(page[-1], safe='')}&n={size}"
            headers["Link"] = f'<{link}>; rel="next"'
        return Reply(200, json.dumps(shape(page)).encode(), headers)

    def _tags(self, seen: Seen) -> Reply:
        holder = self.content.repositories.get(seen.repository)
        if holder is None:
            return error(404, "NOT_FOUND" if self.harbor else "NAME_UNKNOWN")
        return self._paged(
            seen, list(holder.tags), lambda page: {"name": seen.repository, "tags": page or None}
        )

    def _manifest(self, seen: Seen) -> Reply:
        if seen.method == "DELETE":
            return self.delete(seen)
        stored = self.content.resolve(seen.repository, seen.reference)
        if stored is None:
            return error(404, "NOT_FOUND" if self.harbor else "MANIFEST_UNKNOWN")
        accepted = seen.headers.get("Accept", "")
        if stored.media_type not in accepted and "*/*" not in accepted:
            message = "OCI manifest found, but accept header does not support OCI manifests"
            return error(404, "MANIFEST_UNKNOWN", message)
        digest = self.content.digest(seen.repository, seen.reference)
        headers = {"Content-Type": stored.media_type, "Docker-Content-Digest": digest}
        reply = Reply(200, stored.body, headers)
        return reply.cached(f'"{digest}"', seen.headers.get("If-None-Match"))

    def _blob(self, seen: Seen) -> Reply:
        holder = self.content.repositories.get(seen.repository)
        blob = holder.blobs.get(seen.reference) if holder else None
        if blob is None:
            return error(404, "BLOB_UNKNOWN")
        if self.redirect_blobs and seen.method == "GET":
            to = f"{self.origin('storage')}/{seen.repository}/{seen.reference}"
            return Reply(307, b"", {"Location": f"{to}?signature={len(self.requests)}"})
        headers = {"Content-Type": "application/octet-stream"}
        return Reply(200, blob, headers).ranged(seen.headers.get("Range"))

    def _referrers(self, seen: Seen) -> Reply:
        if not self.referrers:
            return NOT_FOUND
        media_type = "application/vnd.oci.image.index.v1+json"
        found = {
            item["digest"]: item for item in self.content.referrers(seen.repository, seen.reference)
        }
        reply = self._paged(
            seen,
            list(found),
            lambda page: {
                "schemaVersion": 2,
                "mediaType": media_type,
                "manifests": [found[digest] for digest in page],
            },
        )
        return Reply(200, reply.body, {**reply.headers, "Content-Type": media_type})

    def _project(self, seen: Seen) -> Reply:
        if not self.harbor:
            return NOT_FOUND
        project = seen.path.split("/projects/")[1].split("/")[0]
        names = [name for name in self.content.repositories if name.startswith(project + "/")]
        page, size = int(seen.query.get("page", 1)), int(seen.query.get("page_size", 10))
        part = sorted(names)[(page - 1) * size : page * size]
        return Reply(
            200,
            json.dumps([{"name": name} for name in part]).encode(),
            {"Content-Type": "application/json", "X-Total-Count": str(len(names))},
        )
