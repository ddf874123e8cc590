"""A fake Harbor 2: who may do what is a project's, and many answers are unlike the specification's.

As its own code has it (`src/server/middleware/v2auth/auth.go`, `lib/http/error.go`):

* a token is asked for by `Bearer` only where no `Authorization` came; to whoever sent one, and for
  `/v2/_catalog`, the challenge is `Basic`;
* a project that is not there is 401 with an empty challenge and a sentence that says so;
* a repository without a project is 400 `BAD_REQUEST`;
* missing manifests and repositories are `NOT_FOUND`, with a sentence that tells them apart;
* a project's policy withholds an artifact with 412 `PROJECTPOLICYVIOLATION`;
* a full quota refuses an upload with 403 `DENIED`.
"""

from __future__ import annotations

import json
from typing import Any

from fake_answers import Seen, error
from fake_faults import Reply
from fake_registry import FakeRegistry

QUOTA = (
    "adding 20.0 MiB of storage resource, which when updated to current usage of 90.1 MiB will"
    " exceed the configured upper limit of 100.0 MiB."
)
UNSIGNED = "The image is not signed by cosign."


class FakeHarbor(FakeRegistry):
    """See the module.

    `projects` are those that there are; `proxies` are those of them that cache another registry.
    `withheld` names, by tag, why the project's policy holds an artifact back. `full` are projects
    without room, `read_only` those that the account may only pull from.
    """

    def __init__(self, *, projects: tuple[str, ...] = ("acme",), **more: Any) -> None:
        super().__init__(auth="bearer", harbor=True, **more)
        self.projects = set(projects)
        self.proxies: set[str] = set()
        self.withheld: dict[str, str] = {}
        self.full: set[str] = set()
        self.read_only: set[str] = set()
        self.unreadable: set[str] = set()

    def _admit(self, seen: Seen) -> Reply | None:
        header = seen.headers.get("Authorization", "")
        project, slash, _ = seen.repository.partition("/")
        if seen.repository and not slash:
            return error(400, "BAD_REQUEST", f"invalid repository name: {seen.repository}")
        if seen.repository and project not in self.projects:
            message = f"project {project} not found"
            return error(401, "UNAUTHORIZED", message, **{"Www-Authenticate": ""})
        if seen.kind in {"project", "catalog"} or header.startswith("Basic"):
            let_in = self.tokens.basic(header)
        else:
            let_in = self.tokens.bearer(header, self._scope(seen))
        action = "push" if seen.method in {"POST", "PUT", "PATCH", "DELETE"} else "pull"
        forbidden = self.unreadable | (self.read_only if action == "push" else set())
        if let_in and project not in forbidden:
            return self._refused(seen, project)
        said = f"unauthorized to access repository: {seen.repository}, action: {action}"
        challenge = 'Basic realm="harbor"'
        if not header and seen.kind != "catalog":
            scope = f',scope="{self._scope(seen)}"' if seen.repository else ""
            challenge = f'Bearer realm="{self.token_url}",service="harbor-registry"{scope}'
        return error(401, "UNAUTHORIZED", said, **{"Www-Authenticate": challenge})

    def _refused(self, seen: Seen, project: str) -> Reply | None:
        if seen.kind == "manifest" and seen.method in {"GET", "HEAD"}:
            stored = self.content.repositories.get(seen.repository)
            tags = stored.tags if stored else {}
            digest = tags.get(seen.reference, seen.reference)
            for tag, reason in self.withheld.items():
                if tags.get(tag) == digest:
                    return error(412, "PROJECTPOLICYVIOLATION", reason)
        if seen.kind == "upload" and project in self.full:
            return error(403, "DENIED", QUOTA)
        return None

    def answer(self, seen: Seen) -> Reply:
        """The replies whose sentences are Harbor's own."""
        if seen.kind == "project" and seen.path.count("/") == 4:
            return self._project_itself(seen.path.rpartition("/")[2])
        if seen.kind == "catalog":
            return error(401, "UNAUTHORIZED", "unauthorized to list catalog")
        reply = super().answer(seen)
        if reply.status == 404 and seen.kind == "tags":
            return error(404, "NOT_FOUND", f"repository {seen.repository} not found")
        if reply.status == 404 and seen.kind == "manifest":
            known = seen.repository in self.content.repositories
            what = f"artifact {seen.repository}:{seen.reference}" if known else seen.repository
            kind = "" if known else "repository "
            return error(404, "NOT_FOUND", f"{kind}{what} not found")
        return reply

    def _project_itself(self, name: str) -> Reply:
        if name not in self.projects:
            return error(404, "NOT_FOUND", f"project {name} not found")
        document: dict[str, Any] = {"name": name, "project_id": 2}
        if name in self.proxies:
            document["registry_id"] = 1
        return Reply(200, json.dumps(document).encode(), {"Content-Type": "application/json"})
