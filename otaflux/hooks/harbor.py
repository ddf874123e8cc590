"""Harbor 1.9 and up: its default payload, and CloudEvents (structured mode, Harbor 2.8 and up).

Both carry the same data, under `event_data` or `data`. Sources: Harbor's
`src/pkg/notifier/model/event.go`, `formats/default.go`, `formats/cloudevents.go`,
`src/controller/event/model/event.go` and
`src/controller/event/handler/webhook/artifact/{artifact,replication,retention}.go`; what a
retention deletes is in `src/pkg/retention/dep/client.go`.

What bites: a push by digest has `tag` equal to the digest. An artifact with several tags is one
event with the first of them, deleted or copied. A retention deletes artifacts by digest, with all
their tags, and names the first of these (`sensor:latest`), or the digest (`sensor@sha256:…`).
`name_tag` of a replication is a list for people ("sensor [2 item(s) in total]"), before Harbor 2.11
of a nested repository only a part of it, and the namespaces of a replication to another registry
are swapped. Tags added or removed in the portal send nothing at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec

from otaflux.hooks.hook import Hook
from otaflux.hooks.payload import (
    ABSENT,
    MAX_PARTS,
    Example,
    Headers,
    Lenient,
    Part,
    Pushed,
    as_json,
    each,
    event,
    items,
    joined,
    malformed,
    read,
)
from otaflux.model.event import Action, Noise

_ACTIONS = {
    "PUSH_ARTIFACT": Action.PUSH,
    "pushImage": Action.PUSH,  # Harbor 1.9 and 1.10
    "harbor.artifact.pushed": Action.PUSH,
    "DELETE_ARTIFACT": Action.DELETE,
    "deleteImage": Action.DELETE,
    "harbor.artifact.deleted": Action.DELETE,
}
_REPLICATION = {"REPLICATION", "harbor.replication.status.changed"}
_RETENTION = {"TAG_RETENTION", "harbor.tag_retention.finished"}

# It is one of sensor:1.2.3, sensor:[1.2.3,1.2.4] and sensor [2 item(s) in total].
_NAME_TAG = re.compile(r"(?P<name>[^\s:\[\]]++)(?::\[?(?P<tags>[^\s\[\]]+)\]?| \[\d+ item.*\])")
# It is sensor:latest or sensor@sha256:….
_DELETED = re.compile(r"(?P<name>[^\s:@]++)[:@]\S+")


class _Resource(Lenient, frozen=True):
    tag: str | None = None
    digest: str | None = None


class _Repository(Lenient, frozen=True):
    name: str | None = None
    namespace: str | None = None
    repo_full_name: str | None = None


class _Listed(Lenient, frozen=True):
    name_tag: str | None = None
    references: msgspec.Raw = ABSENT


class _Place(Lenient, frozen=True):
    registry_name: str | None = None
    namespace: str | None = None


class _Replication(Lenient, frozen=True):
    job_status: str | None = None
    src_resource: _Place | None = None
    dest_resource: _Place | None = None
    successful_artifact: msgspec.Raw = ABSENT


class _Retention(Lenient, frozen=True):
    project_name: str | None = None
    deleted_artifact: msgspec.Raw = ABSENT


class _Data(Lenient, frozen=True):
    resources: msgspec.Raw = ABSENT
    repository: _Repository | None = None
    replication: _Replication | None = None
    retention: _Retention | None = None


class _Body(Lenient, frozen=True):
    type: str
    event_data: _Data | None = None
    data: _Data | None = None


_BODY = msgspec.json.Decoder(_Body)
_RESOURCE = msgspec.json.Decoder(_Resource)
_LISTED = msgspec.json.Decoder(_Listed)
_REFERENCE = msgspec.json.Decoder(str)


def recognises(hook: Hook) -> bool:
    """By `type` with `event_data` or `occur_at`; a CloudEvent by its type, `harbor.…`."""
    keys = hook.keys
    if keys.has("specversion"):
        return hook.type.startswith("harbor.")
    return bool(hook.type) and (keys.has("event_data") or keys.has("occur_at"))


def parse(headers: Headers, payload: bytes) -> Iterable[Part]:
    """Pushes and deletes, also those that a replication or a retention made; the rest is noise."""
    body = read(_BODY, payload)
    data = body.event_data or body.data or _Data()
    if body.type in _ACTIONS:
        return _artifacts(_ACTIONS[body.type], data)
    if body.type in _REPLICATION:
        return _replicated(data.replication or _Replication())
    if body.type in _RETENTION:
        return _retained(data.retention or _Retention())
    return (Noise(_name(data), f"Harbor's {body.type} asks for nothing"),)


def _name(data: _Data) -> str:
    repository = data.repository or _Repository()
    return repository.repo_full_name or joined(repository.namespace, repository.name)


def _artifacts(action: Action, data: _Data) -> Iterable[Part]:
    """The artifacts that were pushed or deleted; Harbor sends one, and allows for several."""
    repository = _name(data)

    def one(raw: msgspec.Raw) -> Iterator[Part]:
        resource = read(_RESOURCE, raw)
        yield event(action, repository, tag=resource.tag, digest=resource.digest)

    resources = items(data.resources)
    if not resources:
        return (malformed(repository, "malformed event: it names no resources"),)
    return each(resources, one, repository)


def _replicated(replication: _Replication) -> Iterable[Part]:
    """Pushes at the replication's destination, once it succeeded."""
    if (replication.job_status or "").lower() != "success":
        return (Noise("", f"a replication is '{replication.job_status or ''}', not done"),)
    places = _places(replication)

    def one(raw: msgspec.Raw) -> Iterator[Part]:
        listed = read(_LISTED, raw)
        match = _NAME_TAG.fullmatch(listed.name_tag or "")
        if match is None:
            yield _unnamed(places[0])
            return
        repositories = [joined(place, match["name"]) for place in places]

        def pushed(tag: str) -> Iterator[Part]:
            for repository in repositories:
                yield event(Action.PUSH, repository, tag=tag)

        references = items(listed.references)
        if references:
            yield from each(references, lambda raw: pushed(read(_REFERENCE, raw)))
        else:
            yield from each((match["tags"] or "").split(",", MAX_PARTS), pushed)

    return each(items(replication.successful_artifact), one)


def _places(replication: _Replication) -> tuple[str, ...]:
    """The namespaces that may be the replication's destination, the named one first.

    Where Harbor pulls from another registry, `dest_resource` has the right one. Where it pushes to
    another (which then has a `registry_name`), the two namespaces are swapped. Both are named then,
    for a hook only says where to look, and what is not ours is ignored.
    """
    source = replication.src_resource or _Place()
    destination = replication.dest_resource or _Place()
    named = destination.namespace or ""
    if replication.src_resource is None or (source.registry_name and not destination.registry_name):
        return (named,)
    return tuple(dict.fromkeys((named, source.namespace or "")))


def _retained(retention: _Retention) -> Iterable[Part]:
    """Deletes of what a retention policy did not keep.

    They name no tag: the one that is told went with others of which some may have been told, and
    is itself perhaps none that anybody is told.
    """
    project = retention.project_name or ""

    def one(raw: msgspec.Raw) -> Iterator[Part]:
        match = _DELETED.fullmatch(read(_LISTED, raw).name_tag or "")
        if match is None:
            yield _unnamed(project)
        else:
            yield event(Action.DELETE, joined(project, match["name"]), tag=None)

    return each(items(retention.deleted_artifact), one)


def _unnamed(project: str) -> Noise:
    return malformed(project, "malformed event: its name_tag does not name a repository")


def example(pushed: Pushed) -> Example:
    """The push of a tag, in Harbor's default format."""
    return Example(
        {"Content-Type": "application/json"},
        as_json(
            {
                "type": "PUSH_ARTIFACT",
                "occur_at": int(pushed.at.timestamp()),
                "operator": "admin",
                "event_data": _example_data(pushed),
            }
        ),
    )


def example_cloudevent(pushed: Pushed) -> Example:
    """The push of a tag, in Harbor's CloudEvents format."""
    return Example(
        {"Content-Type": "application/cloudevents+json"},
        as_json(
            {
                "specversion": "1.0",
                "id": "0d7c6b1e-6f1b-4f53-9c3e-1c6d9d3f2a01",
                "source": "/projects/7/webhook/policies/3",
                "type": "harbor.artifact.pushed",
                "datacontenttype": "application/json",
                "time": pushed.at.isoformat(timespec="seconds"),
                "data": _example_data(pushed),
                "operator": "admin",
                "requestid": "",
            }
        ),
    )


def _example_data(pushed: Pushed) -> dict[str, object]:
    project, _, name = pushed.repository.partition("/")
    return {
        "resources": [
            {
                "digest": pushed.digest,
                "tag": pushed.tag,
                "resource_url": f"harbor.example/{pushed.repository}:{pushed.tag}",
            }
        ],
        "repository": {
            "date_created": int(pushed.at.timestamp()),
            "name": name or project,
            "namespace": project if name else "",
            "repo_full_name": pushed.repository,
            "repo_type": "private",
        },
    }
