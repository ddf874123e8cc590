"""What an event of a hook means for this server's devices."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaflux.hooks.intake import Accepted, Ignored, Intake
from otaflux.model.artifact import Digest
from otaflux.model.event import Action, HookEvent, Priority, Touch
from otaflux.model.names import Channel, Device, Namespace, Tag
from otaflux.wording import quoted

DIGEST = "sha256:" + "ab" * 32
SIGNATURE_TAGS = [
    "sha256-" + "ab" * 32,
    *("sha256-" + "ab" * 32 + end for end in (".sig", ".att", ".sbom")),
    "sha512-" + "cd" * 32,
    "sha512-" + "cd" * 32 + ".sig",
]
LAMP = Device("lamp")


def intake(
    *channels: str, prefix: str = "firmware", awaiting: frozenset[Device] = frozenset()
) -> Intake:
    """A server that serves what lies under a prefix, on these channels."""
    kept = frozenset(map(Channel.parse, channels))
    return Intake(Namespace(prefix), kept, awaiting.__contains__)


def judge(
    tag: str = "",
    digest: str = "",
    action: Action = Action.PUSH,
    *,
    by: Intake | None = None,
    repository: str = "firmware/lamp",
) -> Accepted | Ignored:
    """What one event means."""
    return (by or intake()).judge(HookEvent(action, repository, tag, digest), "hook-1", 42.0)


def reason(**event: object) -> str:
    """Why an event is ignored."""
    judged = judge(**event)
    assert isinstance(judged, Ignored)
    assert judged.repository == event.get("repository", "firmware/lamp")
    return judged.reason


def test_a_pushed_version_is_looked_up_by_its_name() -> None:
    """The touch names the tag, for the listing may not show it yet, and the hook behind it."""
    said = ((Tag("v1.4.0"), Digest.parse(DIGEST)),)
    touch = Touch(LAMP, Priority.HOOK, ("hook-1",), 42.0, (Tag("v1.4.0"),), said)
    assert judge("v1.4.0", DIGEST) == Accepted(touch, "v1.4.0", Action.PUSH)


@pytest.mark.parametrize("tag", ["1.4.0", "V1.4.0", "1.4.0_build.7", "0.0.1"])
def test_every_spelling_of_a_version_counts(tag: str) -> None:
    """A leading v and a build after an underscore are versions too."""
    assert isinstance(judge(tag), Accepted)


@pytest.mark.parametrize(
    ("tag", "counts"),
    [("1.2", "1.2.0"), ("2025.08.01", "2025.8.1"), ("1.5.0-beta.01", "1.5.0-beta.1")],
)
def test_a_tag_that_looks_like_a_version_is_told_what_would_have_counted(
    tag: str, counts: str
) -> None:
    """Who meant a version learns which tag would have been one."""
    said = reason(tag=tag, by=intake("beta"))
    assert said == f"tag '{tag}' is no version; {counts} would have counted"


def test_a_pre_release_that_was_meant_names_its_channel_where_nobody_is_told_it() -> None:
    """Nobody is sent to push a tag that would be ignored as well."""
    said = reason(tag="v3.1-rc1")
    assert "3.1.0-rc1 would be one, a pre-release of channel 'rc1', which CHANNELS does not" in said


@pytest.mark.parametrize("tag", ["latest", "stable", "main", "sha256-abc.sig", "x" * 128])
def test_any_other_tag_is_no_version(tag: str) -> None:
    """Tags that were never meant as versions are ignored, pushed or deleted."""
    for action in Action:
        assert f"tag '{tag}' is no version" in reason(tag=tag, action=action)


@pytest.mark.parametrize("tag", ["-x", "a b", "x" * 129, "ü", "a/b", "sha256:zz", "\x00"])
def test_what_cannot_be_a_tag_is_ignored(tag: str) -> None:
    """A hook's words are hostile; what the grammar has no such tag for is none."""
    assert reason(tag=tag) == f"{quoted(tag)} cannot be a tag"


def test_a_pre_release_counts_on_its_channel_only() -> None:
    """CHANNELS says which pre-releases anybody is told; others cost no look."""
    assert isinstance(judge("1.5.0-beta.1", by=intake("beta")), Accepted)
    assert "CHANNELS" in reason(tag="1.5.0-beta.1")
    assert "channel 'rc'" in reason(tag="1.5.0-rc.1", by=intake("beta"))
    assert "CHANNELS" in reason(tag="1.5.0-rc.1", action=Action.DELETE)


def test_other_projects_are_ignored_with_the_prefix_that_counts() -> None:
    """Who sends one hook for all projects learns why most of it is ignored."""
    assert "REPOSITORY_PREFIX 'firmware'" in reason(tag="1.0.0", repository="website/shop")
    assert "REPOSITORY_PREFIX" in reason(tag="1.0.0", repository="firmware")
    assert "REPOSITORY_PREFIX" in reason(tag="1.0.0", repository="firmware-old/lamp")


def test_with_credentials_and_no_prefix_only_devices_are_served() -> None:
    """Everything that the credentials can read would be public otherwise."""
    closed = Intake(
        Namespace.of("", frozenset({LAMP}), credentials=lambda: True), frozenset(), bool
    )
    assert isinstance(judge("1.0.0", by=closed, repository="lamp"), Accepted)
    assert "DEVICES" in reason(tag="1.0.0", by=closed, repository="secret/thing")


@pytest.mark.parametrize("name", ["firmware/Lamp", "firmware/", "firmware/a//b", "firmware/..", ""])
def test_what_cannot_be_a_device_is_ignored(name: str) -> None:
    """A repository that the grammar has no name for is nobody's device."""
    assert reason(tag="1.0.0", repository=name)


def test_a_device_may_lie_deep() -> None:
    """Names with slashes are devices, without the prefix."""
    judged = judge("1.0.0", repository="firmware/gate/way/lamp")
    assert isinstance(judged, Accepted)
    assert judged.touch.device == Device("gate/way/lamp")


@pytest.mark.parametrize(("tag", "digest"), [("", DIGEST), (DIGEST, DIGEST), (DIGEST, "")])
def test_a_push_by_digest_counts_only_while_a_signature_is_awaited(tag: str, digest: str) -> None:
    """Children of an index are pushed by digest; so are signatures, and only those matter."""
    assert "pushed by digest" in reason(tag=tag, digest=digest)
    judged = judge(tag, digest, by=intake(awaiting=frozenset({LAMP})))
    touch = Touch(LAMP, Priority.HOOK, ("hook-1",), 42.0, attached=True)
    assert judged == Accepted(touch, None, Action.PUSH)
    other = intake(awaiting=frozenset({Device("door")}))
    assert "pushed by digest" in reason(tag=tag, digest=digest, by=other)


@pytest.mark.parametrize("tag", SIGNATURE_TAGS)
def test_the_tag_of_a_signature_counts_only_while_one_is_awaited(tag: str) -> None:
    """A signature's tag is a reason to look again, and never a release."""
    assert "signature" in reason(tag=tag, digest=DIGEST)
    judged = judge(tag, DIGEST, by=intake(awaiting=frozenset({LAMP})))
    assert isinstance(judged, Accepted)
    assert (judged.tag, judged.touch.tags, judged.touch.attached) == (tag, (), True)
    assert "signature" in reason(tag=tag, digest=DIGEST, action=Action.DELETE)


@pytest.mark.parametrize("tag", SIGNATURE_TAGS)
def test_the_tag_of_a_signature_that_goes_counts_where_nothing_unsigned_is_served(tag: str) -> None:
    """Its release has none any more; of releases that are missing it says nothing."""
    heeding = replace(intake(), heeds_signatures=lambda: True)
    judged = judge(tag, action=Action.DELETE, by=heeding)
    assert isinstance(judged, Accepted)
    assert not judged.touch.deletion


@pytest.mark.parametrize("tag", ["", "1.0.0", "latest", "1.5.0-rc.1", DIGEST])
def test_a_delete_that_names_a_digest_counts_whatever_its_tag(tag: str) -> None:
    """Harbor names one of the tags that went, which may be `latest` where 1.0.0 went too."""
    judged = judge(tag, DIGEST, Action.DELETE)
    assert isinstance(judged, Accepted)
    assert judged.touch.tags == ()
    assert judged.action is Action.DELETE
    assert judged.touch.deletion
    assert judged.tag == (None if tag in {"", DIGEST} else tag)


def test_a_delete_of_a_version_counts_and_of_a_repository_too() -> None:
    """A tag that devices were told may be gone, or all of them."""
    assert isinstance(judge("1.0.0", action=Action.DELETE), Accepted)
    assert isinstance(judge(action=Action.DELETE), Accepted)


def test_a_push_that_names_nothing_is_a_reason_to_look() -> None:
    """A replication of several items tells the repository alone."""
    assert judge() == Accepted(Touch(LAMP, Priority.HOOK, ("hook-1",), 42.0), None, Action.PUSH)


@given(
    st.sampled_from(Action),
    st.text() | st.from_regex(r"firmware/[a-z]{1,9}", fullmatch=True),
    st.text() | st.sampled_from(["1.0.0", "latest", DIGEST, *SIGNATURE_TAGS]),
    st.text() | st.sampled_from(["", DIGEST]),
    st.booleans(),
)
def test_any_event_is_judged(
    action: Action, repository: str, tag: str, digest: str, awaits: bool
) -> None:
    """No event, whatever is in it, ends in an error, and only names that can be go on."""
    judging = Intake(Namespace("firmware"), frozenset({Channel("beta")}), lambda _device: awaits)
    judged = judging.judge(HookEvent(action, repository, tag, digest), "hook-1", 1.0)
    if isinstance(judged, Ignored):
        assert judged.reason
        return
    assert Device.parse(judged.touch.device.name) == judged.touch.device
    assert [Tag.parse(name.text) for name in judged.touch.tags] == list(judged.touch.tags)
    assert judged.touch.priority is Priority.HOOK
    assert judged.touch.deletion is (action is Action.DELETE)
