"""Each payload of tests/payloads and each real notification says what its registry means."""

from __future__ import annotations

import json

import pytest
from hook_files import Sent, captures, payload, payloads

from otaflux import hooks
from otaflux.errors import BadHook
from otaflux.model.event import Action, HookEvent, Noise

REPOSITORY = "firmware/sensor-esp32"
DIGEST = "sha256:c66a8eb7e6a7e395bf000e8884c7de131a5cf32a9f42de44a1b9ceaf47c8900e"
CHILD = "sha256:c56d62f1e317670d153efd4673f39b7141249845c6d885f974aca96ae66858c0"
CHILD_CE = "sha256:2c7c4f92b804280c22e7c3c6386322f12f16296942fd7a3b450c2eed107aa5ab"
SIGNATURE = "sha256:a543997d84f12798350c09bdef2cdb171bf41ed3e4a5f808af2feb0c56263009"
SIGNATURE_TAG = f"{DIGEST.replace(':', '-')}.sig"
ZOT = "sha256:334c10240fbad5553fc80682eca07daa9d8f953152de7cee1333849bd8126475"
ZOT_SIGNATURE = "sha256:9ce3b3a7095f6c1de4127e61adeb041b2211624ac4354d6ed17a36b35c52ef3f"


def push(tag: str = "", digest: str = "") -> HookEvent:
    """A push to the repository of all payloads."""
    return HookEvent(Action.PUSH, REPOSITORY, tag, digest)


def delete(tag: str = "", digest: str = "") -> HookEvent:
    """A delete in the repository of all payloads."""
    return HookEvent(Action.DELETE, REPOSITORY, tag, digest)


NOISE = "noise"
UNKNOWN = "unknown"
EXPECTED: dict[str, tuple[str, HookEvent | tuple[HookEvent, ...] | str | None]] = {
    "acr-delete.json": ("acr", delete(digest=DIGEST)),
    "acr-push.json": ("acr", push("1.2.3", DIGEST)),
    "aliyun_acr-push.json": ("dockerhub", push("1.2.3", DIGEST)),
    "distribution_v2-delete_manifest.json": ("distribution", delete(digest=DIGEST)),
    "distribution_v2-push_tag.json": ("distribution", push("1.2.3", DIGEST)),
    "distribution_v3-delete_manifest.json": ("distribution", delete(digest=DIGEST)),
    "distribution_v3-empty_envelope.json": ("distribution", None),
    "distribution_v3-mount.json": ("distribution", NOISE),
    "distribution_v3-pull.json": ("distribution", NOISE),
    "distribution_v3-push_blob.json": ("distribution", NOISE),
    "distribution_v3-push_by_digest.json": ("distribution", push(digest=CHILD)),
    "distribution_v3-push_cosign_sig.json": ("distribution", push(SIGNATURE_TAG, SIGNATURE)),
    "distribution_v3-push_tag.json": ("distribution", push("1.2.3", DIGEST)),
    "dockerhub-push.json": ("dockerhub", push("1.2.3")),
    "ecr-delete.json": (UNKNOWN, "EventBridge"),
    "ecr-push.json": (UNKNOWN, "EventBridge"),
    "gar-delete_tag.json": (UNKNOWN, "Pub/Sub"),
    "gar-insert.json": (UNKNOWN, "Pub/Sub"),
    "ghcr-ping.json": ("github", NOISE),
    "ghcr-registry_package_published.json": ("github", push("1.2.3", DIGEST)),
    "gitea-package_created.json": ("gitea", push("1.2.3")),
    "gitea-package_deleted.json": ("gitea", delete("1.2.3")),
    "gitlab-registry_push.json": ("distribution", push("1.2.3", DIGEST)),
    "harbor-delete_artifact.json": ("harbor", delete("1.2.3", DIGEST)),
    "harbor-pull_artifact.json": ("harbor", NOISE),
    "harbor-push_artifact-by_digest.json": ("harbor", push(CHILD, CHILD)),
    "harbor-push_artifact-cosign_sig.json": ("harbor", push(SIGNATURE_TAG, SIGNATURE)),
    "harbor-push_artifact.json": ("harbor", push("1.2.3", DIGEST)),
    "harbor-quota_exceed.json": ("harbor", NOISE),
    "harbor-replication-pull_mode.json": ("harbor", push("1.2.3")),
    "harbor-replication-push_mode.json": (
        "harbor",
        (HookEvent(Action.PUSH, "build/sensor-esp32", "1.2.3"), push("1.2.3")),
    ),
    "harbor-replication.json": ("harbor", push("1.2.3")),
    "harbor-scanning_completed.json": ("harbor", NOISE),
    "harbor-tag_retention-several.json": ("harbor", delete()),
    "harbor-tag_retention.json": ("harbor", delete()),
    "harbor_ce-artifact_deleted.json": ("harbor", delete("1.2.3", DIGEST)),
    "harbor_ce-artifact_pushed-by_digest.json": ("harbor", push(CHILD_CE, CHILD_CE)),
    "harbor_ce-artifact_pushed.json": ("harbor", push("1.2.3", DIGEST)),
    "harbor_ce-scan_completed.json": ("harbor", NOISE),
    "jfrog-docker_pushed.json": (UNKNOWN, "JFrog"),
    "nexus-component_created.json": (UNKNOWN, "Nexus"),
    "quay-quota_warning.json": ("quay", NOISE),
    "quay-repo_push.json": ("quay", push("1.2.3")),
    "zot-image_deleted.json": ("zot", delete("1.2.3", ZOT)),
    "zot-image_scanned.json": ("zot", NOISE),
    "zot-image_updated-signature.json": ("zot", push(ZOT_SIGNATURE, ZOT_SIGNATURE)),
    "zot-image_updated.json": ("zot", push("1.2.3", ZOT)),
    "zot-repository_created.json": ("zot", NOISE),
}


def name(sent: Sent) -> str:
    """What a parametrised test is called."""
    return sent.name


def test_every_payload_is_expected_to_say_something() -> None:
    """A payload that is added without an expectation is noticed."""
    assert [sent.name for sent in payloads()] == sorted(EXPECTED)


@pytest.mark.parametrize("sent", payloads(), ids=name)
def test_a_payload_says_what_its_registry_means(sent: Sent) -> None:
    """Each payload is told apart by its shape, and read to the events or the noise in it."""
    source, expected = EXPECTED[sent.name]
    if source == UNKNOWN:
        with pytest.raises(BadHook, match=str(expected)):
            hooks.parse(sent.headers, sent.body)
        return
    delivery = hooks.parse(sent.headers, sent.body)
    assert delivery.source == source
    match expected:
        case None:
            assert delivery.parts == ()
        case HookEvent():
            assert delivery.parts == (expected,)
        case tuple():
            assert delivery.parts == expected
        case _:
            assert [type(part) for part in delivery.parts] == [Noise]


@pytest.mark.parametrize("sent", payloads(), ids=name)
def test_an_address_that_names_the_source_says_the_same(sent: Sent) -> None:
    """A hook sent to its own source's address is read as it is on the common one."""
    source, _ = EXPECTED[sent.name]
    if source != UNKNOWN:
        assert hooks.parse(sent.headers, sent.body, source) == hooks.parse(sent.headers, sent.body)


@pytest.mark.parametrize("source", sorted(hooks.SOURCES))
def test_a_hook_at_another_sources_address_is_refused_with_its_own(source: str) -> None:
    """A hook at the wrong address is refused with the address that takes it."""
    for sent in payloads():
        told, _ = EXPECTED[sent.name]
        if told in {source, UNKNOWN} or (sent.name.startswith("quay") and source == "generic"):
            continue
        with pytest.raises(BadHook, match=f"/hooks/registry/{told}"):
            hooks.parse(sent.headers, sent.body, source)


@pytest.mark.parametrize("sent", captures(), ids=name)
def test_a_real_notification_is_read_as_docker_registry_means_it(sent: Sent) -> None:
    """Of what docker-registry really sent, pushed manifests and deletes are events, no more."""
    delivery = hooks.parse(sent.headers, sent.body)
    assert delivery.source == "distribution"
    expected: list[HookEvent | None] = []
    for event in json.loads(sent.body)["events"]:
        target = event["target"]
        blob = "/blobs/" in target.get("url", "")
        if event["action"] in {"push", "delete"} and not blob:
            action = Action(event["action"])
            tag, digest = target.get("tag", ""), target.get("digest", "")
            expected.append(HookEvent(action, target["repository"], tag, digest))
        else:
            expected.append(None)
    found = [part if isinstance(part, HookEvent) else None for part in delivery.parts]
    assert found == expected


def test_the_pulls_of_otaflux_itself_are_noise() -> None:
    """A registry tells of every pull, also of our own, and none of them asks for anything."""
    pulls = [sent for sent in captures() if b'"action": "pull"' in sent.body]
    assert len(pulls) > 10
    for sent in pulls:
        assert all(isinstance(part, Noise) for part in hooks.parse(sent.headers, sent.body).parts)


def test_a_payload_in_a_form_says_the_same() -> None:
    """GitHub's and Gitea's forms hold the same JSON, percent-encoded under `payload`."""
    from urllib.parse import urlencode

    for file in ("ghcr-registry_package_published.json", "gitea-package_created.json"):
        sent = payload(file)
        headers = sent.headers | {"content-type": "application/x-www-form-urlencoded"}
        form = urlencode({"payload": sent.body.decode()}).encode()
        assert hooks.parse(headers, form) == hooks.parse(sent.headers, sent.body)
        assert hooks.parse(headers, sent.body) == hooks.parse(sent.headers, sent.body)
