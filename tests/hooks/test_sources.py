"""What each source's parser makes of the odd things that its registry sends."""

from __future__ import annotations

import json

import pytest
from hook_files import changed, payload, said

from otaflux import hooks
from otaflux.hooks.payload import MAX_PARTS
from otaflux.model.event import Action, HookEvent, Noise

EVENTS_V2 = {"content-type": "application/vnd.docker.distribution.events.v2+json"}
DIGEST = "sha256:" + "ab" * 32


def events(*found: object) -> dict[str, object]:
    """A distribution envelope."""
    return {"events": list(found)}


def target(**fields: object) -> dict[str, object]:
    """A distribution event that pushes a manifest, but for what is told."""
    return {"action": "push", "target": {"repository": "firmware/lamp", **fields}}


# --- distribution -----------------------------------------------------------------------------


def test_one_bad_event_among_good_ones_is_noise_with_its_reason() -> None:
    """The good events of an envelope count, whatever stands between them."""
    bad = [{}, None, 7, {"action": "push"}, target(tag=5), target(repository=None, tag="1.0.0")]
    first, *reasons, last = said(events(target(tag="1.0.0"), *bad, target(tag="1.0.1")))
    assert first == HookEvent(Action.PUSH, "firmware/lamp", "1.0.0")
    assert last == HookEvent(Action.PUSH, "firmware/lamp", "1.0.1")
    assert len(reasons) == len(bad)
    for part in reasons:
        assert isinstance(part, Noise)
        assert "malformed event" in part.reason


def test_version_3_writes_empty_texts_for_what_is_absent() -> None:
    """An empty tag, digest or media type is none."""
    gone = {"mediaType": "", "digest": "", "size": 0, "repository": "firmware/lamp", "tag": "1.0.0"}
    parts = said(events({"action": "delete", "target": gone}), headers=EVENTS_V2)
    assert parts == (HookEvent(Action.DELETE, "firmware/lamp", "1.0.0", ""),)
    repository = {"mediaType": "", "digest": "", "size": 0, "repository": "firmware/lamp"}
    parts = said(events({"action": "delete", "target": repository}), headers=EVENTS_V2)
    assert parts == (HookEvent(Action.DELETE, "firmware/lamp", "", ""),)


@pytest.mark.parametrize("body", [{}, {"events": []}, {"events": None}])
def test_an_empty_envelope_says_nothing_and_is_no_error(body: object) -> None:
    """An envelope without events is acknowledged: an error would be repeated for ever."""
    assert said(body, headers=EVENTS_V2) == ()
    assert said(body, "distribution") == ()


def test_an_envelope_without_end_is_read_up_to_a_limit() -> None:
    """Only so many events of one hook are read, and the rest is told of."""
    parts = said(events(*(target(tag=f"1.0.{n}") for n in range(MAX_PARTS + 7))))
    assert len(parts) == MAX_PARTS + 1
    assert isinstance(parts[-1], Noise)
    assert "only the first 1000 events" in parts[-1].reason


def test_a_blob_is_told_from_a_manifest_by_its_media_type() -> None:
    """A layer's push is noise; an unknown type of manifest is a manifest."""
    blob, manifest = said(
        events(
            target(mediaType="application/octet-stream", digest=DIGEST),
            target(mediaType="application/vnd.example.manifest", digest=DIGEST),
        )
    )
    assert isinstance(blob, Noise)
    assert manifest == HookEvent(Action.PUSH, "firmware/lamp", "", DIGEST)


# --- zot --------------------------------------------------------------------------------------


def test_zot_in_structured_mode_is_read_too() -> None:
    """A relay that puts the event into one body changes nothing."""
    data = json.loads(payload("zot-image_updated.json").body)
    body = {"specversion": "1.0", "type": "zotregistry.image.updated", "data": data}
    assert said(body) == hooks.parse(*_sent("zot-image_updated.json")).parts


def test_zots_manifest_of_4_mib_is_skipped() -> None:
    """The manifest that comes along as a text is not looked into."""
    body = changed("zot-image_updated.json", "manifest", to="x" * (4 << 20))
    headers = payload("zot-image_updated.json").headers
    assert len(said(body, headers=headers)) == 1


def _sent(file: str) -> tuple[dict[str, str], bytes]:
    sent = payload(file)
    return sent.headers, sent.body


# --- GitHub -----------------------------------------------------------------------------------


def github(event: str = "package", **fields: object) -> tuple[HookEvent | Noise, ...]:
    """What GitHub's hook says with these fields of its package changed."""
    body = json.loads(payload("ghcr-registry_package_published.json").body)
    package = body.pop("registry_package")
    package.update({key: value for key, value in fields.items() if key in package})
    package["package_version"].update(
        {key: value for key, value in fields.items() if key not in package}
    )
    body["package"] = package
    return said(body, headers={"x-github-event": event})


def test_github_keeps_an_owners_capitals_and_registries_have_none() -> None:
    """Owner and package are lower-cased, as ghcr.io itself does."""
    (part,) = github(package_url="ghcr.io/Firmware/Sub/Lamp:1.2.3")
    assert part.repository == "firmware/sub/lamp"


def test_without_its_address_a_package_is_named_by_owner_and_name() -> None:
    """The address is only where the name is read from, and not needed."""
    (part,) = github(package_url="", name="Lamp")
    assert part == HookEvent(Action.PUSH, "firmware/lamp", "1.2.3", part.digest)
    (part,) = github(package_url="", name="Lamp", owner=None, namespace="Firmware")
    assert part.repository == "firmware/lamp"
    (part,) = github(package_url=f"ghcr.io/Firmware/Lamp@{DIGEST}")
    assert (part.repository, part.tag) == ("firmware/lamp", "1.2.3")


def test_an_address_without_tag_is_a_push_by_digest() -> None:
    """GitHub writes "" for the tag of an untagged version."""
    (part,) = github(
        package_url="ghcr.io/Firmware/lamp:",
        container_metadata={"tag": {"name": "", "digest": "sha256:short"}},
    )
    assert isinstance(part, HookEvent)
    assert (part.repository, part.tag) == ("firmware/lamp", "")
    assert part.digest.startswith("sha256:c66a")


def test_without_metadata_the_address_tells_the_tag() -> None:
    """Older GitHub Enterprise sends no container_metadata."""
    (part,) = github(container_metadata=None)
    assert isinstance(part, HookEvent)
    assert part.tag == "1.2.3"


def test_packages_of_other_kinds_are_noise() -> None:
    """An npm package of the same organisation is acknowledged, and nothing else."""
    for more in ({"container_metadata": None}, {}):
        (part,) = github(package_type="npm", ecosystem="npm", **more)
        assert isinstance(part, Noise)
        assert "no container" in part.reason
    (part,) = github(package_type="", ecosystem=None)
    assert isinstance(part, HookEvent)  # its kind left out, and a container by what else is there


@pytest.mark.parametrize("action", ["deleted", "", None])
def test_other_actions_of_github_are_noise(action: str | None) -> None:
    """Only a package that was published or updated is a push."""
    (part,) = said(changed("ghcr-registry_package_published.json", "action", to=action))
    assert isinstance(part, Noise)
    assert "asks for nothing" in part.reason


@pytest.mark.parametrize("event", ["push", "star", "workflow_run", "ping"])
def test_other_events_of_github_are_noise(event: str) -> None:
    """Who sends everything, sends a lot that asks for nothing."""
    (part,) = said({"ref": "refs/heads/main"}, headers={"x-github-event": event})
    assert isinstance(part, Noise)


# --- Gitea and Forgejo ------------------------------------------------------------------------


def test_forgejo_is_gitea_with_a_header_of_its_own() -> None:
    """Forgejo's hook is read as Gitea's, also where a proxy lets only one header through."""
    sent = payload("gitea-package_created.json")
    expected = hooks.parse(sent.headers, sent.body)
    for headers in ({"x-forgejo-event": "package"}, {"x-forgejo-event": "package"} | sent.headers):
        assert hooks.parse(headers, sent.body) == expected


def test_gitea_tells_children_of_an_index_by_digest() -> None:
    """The version of a manifest without tag is its digest."""
    body = changed("gitea-package_created.json", "package", "version", to=DIGEST)
    (part,) = said(body, "gitea")
    assert part == HookEvent(Action.PUSH, "firmware/sensor-esp32", DIGEST)


@pytest.mark.parametrize(
    ("keys", "value"), [(("package", "type"), "npm"), (("action",), "renamed")]
)
def test_other_packages_and_actions_of_gitea_are_noise(keys: tuple[str, ...], value: str) -> None:
    """Only containers that come or go are events."""
    (part,) = said(changed("gitea-package_created.json", *keys, to=value), "gitea")
    assert isinstance(part, Noise)


# --- ACR, Docker Hub, Quay, generic -----------------------------------------------------------


@pytest.mark.parametrize("action", ["ping", "quarantine", "chart_push", "chart_delete"])
def test_other_actions_of_azure_are_noise(action: str) -> None:
    """Pings, quarantine and charts ask for nothing."""
    body = {"id": "1", "timestamp": "2026-09-21T14:15:23Z", "action": action}
    if action != "ping":
        body["target"] = {"repository": "firmware/lamp"}
    (part,) = said(body)
    assert isinstance(part, Noise)


@pytest.mark.parametrize("time", [1790000123, 1.79e9, "1.4e+09", None])
def test_docker_hubs_times_may_be_anything(time: object) -> None:
    """Docker Hub writes times as integers, as floats and as nothing."""
    body = changed("dockerhub-push.json", "push_data", "pushed_at", to=time)
    assert said(body) == (HookEvent(Action.PUSH, "firmware/sensor-esp32", "1.2.3"),)


def test_several_tags_in_one_hook_of_quay_are_several_events() -> None:
    """Each updated tag counts, and a bad one hinders no other."""
    body = changed("quay-repo_push.json", "updated_tags", to=["1.2.3", 7, "1.2.4"])
    first, bad, last = said(body)
    assert isinstance(bad, Noise)
    assert [part.tag for part in (first, last)] == ["1.2.3", "1.2.4"]


def test_quay_of_long_ago_tells_tags_as_an_object() -> None:
    """The keys of `updated_tags` are the tags there."""
    body = changed("quay-repo_push.json", "updated_tags", to={"1.2.3": "image", "latest": "image"})
    assert [part.tag for part in said(body)] == ["1.2.3", "latest"]


def test_quays_other_notifications_are_noise() -> None:
    """A build or a mirror's sync has the same keys without the tags."""
    body = json.loads(payload("quay-repo_push.json").body)
    del body["updated_tags"]
    (part,) = said(body | {"message": "TEST NOTIFICATION"})
    assert isinstance(part, Noise)


def test_the_generic_format_needs_a_repository_and_nothing_else() -> None:
    """Tag, digest and action may be told; a push is the default."""
    lamp = "Firmware/Lamp"
    assert said({"repository": lamp}) == (HookEvent(Action.PUSH, "firmware/lamp"),)
    assert said({"repository": lamp, "tag": "1.0.0", "digest": DIGEST, "action": "DELETE"}) == (
        HookEvent(Action.DELETE, "firmware/lamp", "1.0.0", DIGEST),
    )
    (part,) = said({"repository": lamp, "action": "explode"})
    assert isinstance(part, Noise)
    (part,) = said({"repository": lamp, "tag": 1.2})
    assert isinstance(part, Noise)
