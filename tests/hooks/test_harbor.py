"""What Harbor's parser makes of the odd things that Harbor sends."""

from __future__ import annotations

import pytest
from hook_files import changed, said

from otaflux.model.event import Action, HookEvent, Noise

DIGEST = "sha256:" + "ab" * 32


def test_harbor_1_10_names_a_push_otherwise() -> None:
    """Old Harbor's pushImage is the push of an artifact."""
    body = changed("harbor-push_artifact.json", "type", to="pushImage")
    assert isinstance(said(body)[0], HookEvent)


def test_a_repository_in_a_project_may_have_slashes() -> None:
    """The name is the whole repository's, however deep it lies in its project."""
    body = changed(
        "harbor-push_artifact.json",
        *("event_data", "repository", "repo_full_name"),
        to="firmware/sub/dir/lamp",
    )
    assert [part.repository for part in said(body)] == ["firmware/sub/dir/lamp"]


def test_without_the_full_name_project_and_name_are_joined() -> None:
    """An older payload without repo_full_name still names its repository."""
    repository = {"name": "sub/lamp", "namespace": "firmware"}
    body = changed("harbor-push_artifact.json", "event_data", "repository", to=repository)
    assert [part.repository for part in said(body)] == ["firmware/sub/lamp"]


@pytest.mark.parametrize("data", [{}, {"resources": []}, {"resources": [5]}, {"resources": "x"}])
def test_a_malformed_push_of_harbor_is_noise(data: object) -> None:
    """A known type with a broken body is acknowledged with its reason."""
    (part,) = said({"type": "PUSH_ARTIFACT", "occur_at": 1, "event_data": data})
    assert isinstance(part, Noise)
    assert "malformed" in part.reason


def replication(**fields: object) -> object:
    """Harbor's replication event with one artifact as told."""
    return changed(
        "harbor-replication.json",
        *("event_data", "replication", "successful_artifact"),
        to=[fields],
    )


@pytest.mark.parametrize(
    ("name_tag", "references", "tags"),
    [
        ("lamp:1.2.3", None, ["1.2.3"]),
        ("lamp [1 item(s) in total]", None, [""]),
        ("lamp [2 item(s) in total]", ["1.2.3", "1.2.4"], ["1.2.3", "1.2.4"]),
        ("lamp:[1.2.3,1.2.4]", None, ["1.2.3", "1.2.4"]),
        ("sub/lamp:1.2.3", None, ["1.2.3"]),
    ],
)
def test_a_replication_is_a_push_at_its_destination(
    name_tag: str, references: list[str] | None, tags: list[str]
) -> None:
    """`name_tag` is written for people, and never taken for a tag."""
    parts = said(replication(name_tag=name_tag, references=references))
    name = "firmware/sub/lamp" if "/" in name_tag else "firmware/lamp"
    assert list(parts) == [HookEvent(Action.PUSH, name, tag) for tag in tags]


@pytest.mark.parametrize("name_tag", ["lamp", "", None, "lamp some words", "lamp:", "[x]"])
def test_a_replication_that_names_nothing_whole_is_noise(name_tag: str | None) -> None:
    """Before 2.11 Harbor tells a part of a nested repository, which would be another device."""
    (part,) = said(replication(name_tag=name_tag))
    assert isinstance(part, Noise)


@pytest.mark.parametrize("status", ["Running", "Pending", "Error", "", None])
def test_a_replication_that_did_not_succeed_is_noise(status: str | None) -> None:
    """Harbor tells of each step of a replication; only its success is a push."""
    body = changed("harbor-replication.json", "event_data", "replication", "job_status", to=status)
    (part,) = said(body)
    assert isinstance(part, Noise)


@pytest.mark.parametrize("kind", ["DELETE_CHART", "QUOTA_WARNING", "harbor.quota.exceeded", "x"])
def test_every_other_type_of_harbor_is_noise(kind: str) -> None:
    """Types that come with later versions are acknowledged."""
    (part,) = said({"type": kind, "occur_at": 1})
    assert isinstance(part, Noise)
    assert kind in part.reason


def test_a_nested_repository_is_replicated_by_its_whole_name() -> None:
    """Harbor 2.11 and up tells all of the name below the project."""
    parts = said(replication(name_tag="sub/dir/lamp [1 item(s) in total]", references=["1.2.3"]))
    assert parts == (HookEvent(Action.PUSH, "firmware/sub/dir/lamp", "1.2.3"),)


FACTORY = {"registry_name": "factory", "namespace": "build"}
BOTH = ["build/lamp", "firmware/lamp"]


@pytest.mark.parametrize(
    ("source", "destination", "repositories"),
    [
        # Harbor pulls from another registry: the destination is told.
        (FACTORY, {"namespace": "firmware"}, ["firmware/lamp"]),
        # It pushes to another one, and tells the two places swapped.
        ({"namespace": "firmware"}, FACTORY, BOTH),
        ({"namespace": "build"}, FACTORY, ["build/lamp"]),
        ({}, FACTORY, ["build/lamp", "lamp"]),
        # Which of the two it does is not told.
        ({"namespace": "firmware"}, {"namespace": "build"}, BOTH),
        (None, {"namespace": "build"}, ["build/lamp"]),
        ({"namespace": "build"}, None, ["lamp", "build/lamp"]),
        (None, None, ["lamp"]),
    ],
)
def test_a_replication_to_another_namespace_is_looked_for_at_both(
    source: object, destination: object, repositories: list[str]
) -> None:
    """Where Harbor may have swapped the namespaces, both are named, the one it names first."""
    told = {
        "job_status": "Success",
        "src_resource": source,
        "dest_resource": destination,
        "successful_artifact": [
            {"name_tag": "lamp [2 item(s) in total]", "references": ["1.2.3", "1.2.4"]}
        ],
    }
    parts = said({"type": "REPLICATION", "occur_at": 1, "event_data": {"replication": told}})
    assert list(parts) == [
        HookEvent(Action.PUSH, repository, tag)
        for tag in ("1.2.3", "1.2.4")
        for repository in repositories
    ]


def test_a_bad_reference_of_a_replication_hinders_no_other() -> None:
    """What is no tag is noise with its reason, the tags beside it count."""
    name_tag = "lamp [3 item(s) in total]"
    first, bad, last = said(replication(name_tag=name_tag, references=["1.2.3", 7, "1.2.4"]))
    assert [first, last] == [
        HookEvent(Action.PUSH, "firmware/lamp", tag) for tag in ("1.2.3", "1.2.4")
    ]
    assert isinstance(bad, Noise)
    assert "malformed" in bad.reason


def retention(*name_tags: object, project: str = "firmware") -> tuple[HookEvent | Noise, ...]:
    """What Harbor's retention event says that deleted these."""
    deleted = [{"type": "image", "status": "SUCCESS", "name_tag": name} for name in name_tags]
    told = {"project_name": project, "deleted_artifact": deleted}
    return said({"type": "TAG_RETENTION", "occur_at": 1, "event_data": {"retention": told}})


@pytest.mark.parametrize("name_tag", ["lamp:latest", "lamp:1.2.3", f"lamp@{DIGEST}"])
def test_a_retention_deletes_more_than_the_tag_that_it_names(name_tag: str) -> None:
    """An artifact goes with all its tags: the event is a delete there that names none of them."""
    assert retention(name_tag) == (HookEvent(Action.DELETE, "firmware/lamp"),)


def test_a_retention_is_one_delete_for_each_repository() -> None:
    """Several artifacts of one repository are one reason to look, also in capitals."""
    names = ("lamp:1.0.0", "sub/lamp:latest", "lamp:1.0.1", f"lamp@{DIGEST}")
    assert retention(*names, project="Firmware") == (
        HookEvent(Action.DELETE, "firmware/lamp"),
        HookEvent(Action.DELETE, "firmware/sub/lamp"),
    )


@pytest.mark.parametrize("name_tag", ["", "lamp", "lamp:", ":1.2.3", "@", "a lamp:1", None, 7])
def test_a_retention_that_names_no_repository_is_noise(name_tag: object) -> None:
    """A broken entry is told with its reason, and hinders no other."""
    bad, good = retention(name_tag, "lamp:latest")
    assert isinstance(bad, Noise)
    assert "malformed" in bad.reason
    assert good == HookEvent(Action.DELETE, "firmware/lamp")
