"""Whose hook it is, by its shape: the traps that registries lay for each other."""

from __future__ import annotations

import json

import pytest
from hook_files import payload, payloads

from otaflux import hooks
from otaflux.errors import BadHook
from otaflux.model.event import Noise

ORDER = ["zot", "gitea", "github", "harbor", "distribution", "acr", "dockerhub", "quay", "generic"]


def test_the_order_is_the_documented_one() -> None:
    """Sources are asked in the order of docs/hooks.md."""
    assert list(hooks.SOURCES) == ORDER


def test_gitea_is_not_taken_for_github() -> None:
    """Gitea sends GitHub's headers too, and says so in its own."""
    sent = payload("gitea-package_created.json")
    assert sent.headers["x-github-event"] == "package"
    assert hooks.parse(sent.headers, sent.body).source == "gitea"


def test_azure_is_not_taken_for_distribution() -> None:
    """Azure's event is distribution's without the envelope."""
    sent = payload("acr-push.json")
    event = json.loads(payload("distribution_v2-push_tag.json").body)["events"][0]
    assert hooks.parse(sent.headers, sent.body).source == "acr"
    assert hooks.parse(sent.headers, json.dumps(event).encode()).source == "acr"


def test_zots_body_without_its_headers_is_of_no_known_shape() -> None:
    """`name` and `reference` are anybody's; without `Ce-Type` it is not guessed."""
    sent = payload("zot-image_updated.json")
    for source in (None, "zot"):
        with pytest.raises(BadHook):
            hooks.parse({"content-type": "application/json"}, sent.body, source)


def test_quay_is_not_taken_for_the_generic_format() -> None:
    """Both have a `repository` that is a text; Quay's tags would be lost."""
    sent = payload("quay-repo_push.json")
    assert hooks.parse(sent.headers, sent.body).source == "quay"


def test_quays_notifications_of_a_namespace_are_quays_wherever_they_arrive() -> None:
    """A quota's has no `repository`; refused three times, Quay would switch it off."""
    sent = payload("quay-quota_warning.json")
    for source in (None, "quay"):
        (part,) = hooks.parse(sent.headers, sent.body, source).parts
        assert part == Noise("firmware", "Quay's notification of a namespace asks for nothing")
    for key in ("namespace", "homepage"):
        body = json.loads(sent.body)
        for value in (None, 7, {"name": "firmware"}):
            with pytest.raises(BadHook):
                hooks.parse(sent.headers, json.dumps(body | {key: value}).encode())
        del body[key]
        with pytest.raises(BadHook):
            hooks.parse(sent.headers, json.dumps(body).encode(), "quay")


def test_the_keys_of_quays_quotas_make_no_other_hook_quays() -> None:
    """`namespace` and `homepage` are anybody's: beside what names a source they count nothing."""
    anybodys = {"namespace": "firmware", "homepage": "https://example.com"}
    for sent in payloads():
        try:
            expected = hooks.parse(sent.headers, sent.body)
        except BadHook:
            continue
        body = json.dumps(json.loads(sent.body) | anybodys).encode()
        assert hooks.parse(sent.headers, body).source == expected.source
    body = json.dumps({"repository": "firmware/lamp", "tag": "1.4.0"} | anybodys).encode()
    for source in (None, "generic"):
        assert hooks.parse({}, body, source).source == "generic"


def test_a_cloudevent_of_nobody_known_is_refused() -> None:
    """CloudEvents are told apart by their type, not by being CloudEvents."""
    body = json.dumps({"specversion": "1.0", "type": "com.example.push", "data": {}}).encode()
    with pytest.raises(BadHook, match="no known shape"):
        hooks.parse({"content-type": "application/cloudevents+json"}, body)


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", ""])
def test_the_content_type_is_never_needed(content_type: str) -> None:
    """Proxies and people change the content type; shapes stay."""
    for sent in payloads():
        if sent.body == b"{}\n":
            continue
        headers = sent.headers | {"content-type": content_type}
        try:
            expected = hooks.parse(sent.headers, sent.body)
        except BadHook:
            with pytest.raises(BadHook):
                hooks.parse(headers, sent.body)
        else:
            assert hooks.parse(headers, sent.body) == expected


@pytest.mark.parametrize("source", [None, "generic", "quay", "harbor"])
def test_an_empty_object_is_taken_for_no_other_source(source: str | None) -> None:
    """Only at distribution's own address may an envelope be `{}`; an empty body is named so."""
    with pytest.raises(BadHook, match="no known shape"):
        hooks.parse({}, b"{}", source)
    with pytest.raises(BadHook, match="The body is empty"):
        hooks.parse({}, b" \n", source)
    assert hooks.parse({}, b"{}", "distribution").parts == ()


@pytest.mark.parametrize("target", [None, {}])
def test_a_ping_of_azure_may_have_a_target_that_says_nothing(target: object) -> None:
    """It is acknowledged like one without, and asks for nothing."""
    body = json.dumps({"timestamp": "2026-11-27", "action": "ping", "target": target}).encode()
    for source in (None, "acr"):
        delivery = hooks.parse({}, body, source)
        assert delivery.source == "acr"
        assert delivery.parts == (Noise("", "Azure's 'ping' asks for nothing"),)


def test_headers_of_an_event_that_a_gateway_took_away_are_not_needed() -> None:
    """GitHub's and Gitea's packages are told apart by their keys as well."""
    for file, source in (
        ("ghcr-registry_package_published.json", "github"),
        ("ghcr-ping.json", "github"),
        ("gitea-package_created.json", "gitea"),
    ):
        assert hooks.parse({}, payload(file).body).source == source


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b"[]",
        b"null",
        b"7",
        b'"text"',
        b"{}",
        b'{"hello": "world"}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"events":' + b"[" * 100_000,
        b'{"events": "none"}',
        b'{"repository": 7}',
        b'{"events": [{"action": "push"}',
        b'{"repository": "\\ud800"}',
    ],
)
def test_what_is_no_json_or_no_known_shape_is_refused(body: bytes) -> None:
    """No JSON, no object, nobody's keys: each is one refusal, never a crash."""
    with pytest.raises(BadHook):
        hooks.parse({"content-type": "application/json"}, body)


def test_a_byte_order_mark_is_no_part_of_the_json() -> None:
    """Windows' tools put one in front."""
    body = b"\xef\xbb\xbf" + json.dumps({"repository": "firmware/lamp"}).encode()
    assert hooks.parse({}, body).source == "generic"


def test_a_form_without_payload_is_read_as_what_it_is() -> None:
    """JSON sent by curl is called a form when nobody says otherwise."""
    headers = {"content-type": "application/x-www-form-urlencoded"}
    assert hooks.parse(headers, b'{"repository": "firmware/lamp"}').source == "generic"
    with pytest.raises(BadHook):
        hooks.parse(headers, b"a=b&c=d")
