"""Credentials: which of several counts, and what a file that is wrong does."""

from __future__ import annotations

import base64
import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from otaflux.errors import Undecided
from otaflux.model.names import Repository
from otaflux.registry.remote.credentials import Credentials, Login, credential_files, parse_file
from otaflux.registry.remote.endpoint import Endpoint
from otaflux.secret import Fixed, Secret

REGISTRY = Endpoint.parse("https://reg.example:5000")
SENSOR = Repository("acme/sensor")


def entry(user: str, password: str = "pw") -> dict[str, str]:
    """An entry as podman writes it."""
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def written(path: Path, auths: Any, **more: Any) -> Path:
    """A credentials file."""
    path.write_text(json.dumps({"auths": auths, **more}))
    return path


def login(*files: Path, endpoint: Endpoint = REGISTRY, repository: Repository = SENSOR) -> Any:
    """The login that the files give, as (user, password)."""
    found = Credentials(endpoint, files=files).login(repository)
    return found and (found.username, found.password.reveal())


def test_settings_come_before_files(tmp_path: Path) -> None:
    """A name and password that are set count, whatever lies in files."""
    file = written(tmp_path / "a", {"reg.example:5000": entry("file")})
    credentials = Credentials(REGISTRY, username="set", password=Fixed(Secret("pw")), files=[file])
    found = credentials.login(SENSOR)
    assert found is not None
    assert found.username == "set"
    assert "pw" not in repr(found)


def test_files_are_looked_at_in_order(tmp_path: Path) -> None:
    """The first file that has an entry for the registry counts; one that is missing is passed."""
    first = written(tmp_path / "a", {"other.example": entry("no")})
    second = written(tmp_path / "b", {"reg.example:5000": entry("second")})
    third = written(tmp_path / "c", {"reg.example:5000": entry("third")})
    assert login(tmp_path / "missing", first, second, third) == ("second", "pw")
    assert login(tmp_path / "missing", first) is None


def test_the_order_of_files_is_podmans_then_dockers(tmp_path: Path) -> None:
    """REGISTRY_AUTH_FILE, ~/.config/containers/auth.json, then $DOCKER_CONFIG or ~/.docker."""
    home = Path("/home/x")
    environ = {"REGISTRY_AUTH_FILE": "/run/auth.json", "DOCKER_CONFIG": "/etc/docker"}
    assert credential_files(environ, home) == (
        Path("/run/auth.json"),
        Path("/home/x/.config/containers/auth.json"),
        Path("/etc/docker/config.json"),
    )
    assert credential_files({}, home) == (
        Path("/home/x/.config/containers/auth.json"),
        Path("/home/x/.docker/config.json"),
    )
    assert credential_files({}, None) == ()
    assert credential_files(environ, None) == credential_files(environ, home)[::2]


@pytest.mark.parametrize(
    ("keys", "repository", "expected"),
    [
        (["reg.example:5000", "reg.example:5000/acme"], "acme/sensor", 1),
        (["reg.example:5000/acme", "reg.example:5000/acme/sensor"], "acme/sensor", 1),
        (["reg.example:5000", "reg.example:5000/acme"], "other/sensor", 0),
        (["reg.example:5000/acm"], "acme/sensor", None),
        (["reg.example"], "acme/sensor", None),
        (["https://reg.example:5000/v2/"], "acme/sensor", 0),
        (["http://reg.example:5000/v1/"], "acme/sensor", 0),
    ],
)
def test_the_most_specific_key_counts(
    tmp_path: Path, keys: list[str], repository: str, expected: int | None
) -> None:
    """As podman has it: host/path before host, whole components only; docker's old forms too."""
    file = written(tmp_path / "a", {key: entry(str(at)) for at, key in enumerate(keys)})
    found = login(file, repository=Repository(repository))
    assert found == (None if expected is None else (str(expected), "pw"))


def test_docker_hub_has_a_key_of_its_own(tmp_path: Path) -> None:
    """`docker login` writes https://index.docker.io/v1/, and podman docker.io."""
    hub = Endpoint.parse("docker.io")
    for at, key in enumerate(("https://index.docker.io/v1/", "docker.io")):
        file = written(tmp_path / str(at), {key: entry("hub")})
        assert login(file, endpoint=hub) == ("hub", "pw")


def test_a_default_port_may_be_written_or_not(tmp_path: Path) -> None:
    """reg.example and reg.example:443 are one registry."""
    endpoint = Endpoint.parse("https://reg.example")
    for at, key in enumerate(("reg.example", "reg.example:443")):
        file = written(tmp_path / str(at), {key: entry("a")})
        assert login(file, endpoint=endpoint) == ("a", "pw")


def test_passwords_hold_colons_and_tokens_are_taken(tmp_path: Path) -> None:
    """Only the first colon divides; an identity token counts before the password."""
    file = written(tmp_path / "a", {"reg.example:5000": entry("u", "a:b:c")})
    assert login(file) == ("u", "a:b:c")
    token = {**entry("u", ""), "identitytoken": "idt"}
    found = Credentials(
        REGISTRY, files=[written(tmp_path / "b", {"reg.example:5000": token})]
    ).login()
    assert found == Login("u", Secret("idt"), found.look_at if found else "", Secret("idt"))


def test_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    """A mounted file that is replaced counts at the next request, and one that goes is gone."""
    file = written(tmp_path / "a", {"reg.example:5000": entry("old")})
    credentials = Credentials(REGISTRY, files=[file])
    assert credentials.login(SENSOR).username == "old"  # type: ignore[union-attr]
    new = written(tmp_path / "b", {"reg.example:5000": entry("newer")})
    new.replace(file)
    assert credentials.login(SENSOR).username == "newer"  # type: ignore[union-attr]
    file.unlink()
    assert credentials.login(SENSOR) is None


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"[]",
        b'{"auths": 5}',
        b'{"auths": {"reg.example:5000": "hunter2"}}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"auths": {"reg.example:5000": {"auth": "!hunter2!"}}}',
        b'{"auths": {"reg.example:5000": {"auth": "/w=="}}}',
    ],
    ids=range(8),
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes) -> None:
    """Broken credentials are said with their file, and never shown; nothing goes anonymous."""
    file = tmp_path / "auth.json"
    file.write_bytes(content)
    credentials = Credentials(REGISTRY, files=[file])
    with pytest.raises(Undecided) as refusal:
        credentials.login(SENSOR)
    assert str(file) in str(refusal.value)
    assert "hunter2" not in str(refusal.value)
    assert credentials.configured()


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b'{"auths": {"reg.example:5000": 5}}',
        b'{"auths": {"reg.example:5000": {"auth": "!"}}}',
    ],
)
def test_a_broken_file_is_passed_over_for_a_good_one(tmp_path: Path, content: bytes) -> None:
    """One line in the log names it; mended, it counts again, and broken again it is said again."""
    first = tmp_path / "first.json"
    first.write_bytes(content)
    second = written(tmp_path / "second", {"reg.example:5000": entry("second")})
    credentials = Credentials(REGISTRY, files=[first, second])
    with capture_logs() as logs:
        for _ in range(3):
            assert credentials.login(SENSOR).username == "second"  # type: ignore[union-attr]
    assert [(line["event"], line["path"]) for line in logs] == [
        ("credentials_file_skipped", str(first))
    ]
    written(tmp_path / "new", {"reg.example:5000": entry("first")}).replace(first)
    assert credentials.login(SENSOR).username == "first"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "more",
    [
        {"auths": {"z": 5, "y": {"auth": 5}, "x": []}},
        {"credHelpers": {"z": 5}},
        {"credsStore": 5},
        {"HttpHeaders": {"User-Agent": 7}, "plugins": []},
    ],
)
def test_what_is_wrong_in_one_place_spoils_no_other(tmp_path: Path, more: dict[str, Any]) -> None:
    """An entry for another registry, or a helper, may be written as it likes."""
    auths = {**more.pop("auths", {}), "reg.example:5000": entry("mine")}
    assert login(written(tmp_path / "a", auths, **more)) == ("mine", "pw")


def test_a_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    """Editors on Windows put one in front."""
    file = written(tmp_path / "a", {"reg.example:5000": entry("u")})
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert login(file) == ("u", "pw")


def test_a_file_broken_for_a_moment_leaves_the_last_good_one(tmp_path: Path) -> None:
    """Files are often replaced in two steps."""
    file = written(tmp_path / "a", {"reg.example:5000": entry("good")})
    credentials = Credentials(REGISTRY, files=[file])
    credentials.login(SENSOR)
    file.write_text('{"auths": {"reg.ex')
    assert credentials.login(SENSOR).username == "good"  # type: ignore[union-attr]


def test_an_empty_file_is_no_error(tmp_path: Path) -> None:
    """A file with nothing in it, or no auths, has no credentials."""
    (tmp_path / "a").write_text("")
    assert login(tmp_path / "a", written(tmp_path / "b", None)) is None


@pytest.mark.parametrize(
    "more",
    [
        {"credsStore": "desktop"},
        {"credHelpers": {"reg.example:5000": "ecr-login"}},
    ],
)
def test_a_helper_is_not_run_and_said_once(tmp_path: Path, more: dict[str, Any]) -> None:
    """Where docker keeps the password in a helper, one line in the log says what to do instead."""
    file = written(tmp_path / "a", {"reg.example:5000": {}}, **more)
    credentials = Credentials(REGISTRY, files=[file])
    with capture_logs() as logs:
        assert credentials.login(SENSOR) is None
        assert credentials.login(SENSOR) is None
    assert [line["event"] for line in logs] == ["credential_helper_skipped"]
    assert "REGISTRY_USERNAME" in logs[0]["reason"]


def test_whether_there_are_any_is_known_without_a_repository(tmp_path: Path) -> None:
    """A key with a path counts, another registry's does not."""
    mine = written(tmp_path / "a", {"reg.example:5000/acme": entry("u")})
    others = written(tmp_path / "b", {"reg.example": entry("u"), "reg.example:5000": {}})
    assert Credentials(REGISTRY, files=[mine]).configured()
    assert not Credentials(REGISTRY, files=[others, tmp_path / "missing"]).configured()


@given(st.binary(max_size=200))
def test_any_file_ends_as_credentials_or_as_a_value_error(content: bytes) -> None:
    """No foreign exception leaves the parser of a file."""
    with contextlib.suppress(ValueError):
        parse_file(content)
