"""Who OtaFlux is to the registry: from the settings, else from podman's and docker's files.

Looked up for each request, so that a rotated secret counts at once; a file is read again when it
changed (`otaflux.secret`). Nothing here is ever used for another host than the registry's own key
in those files. Credential helpers are programs of the user's desktop and are not run.

Formats: containers-auth.json(5) and docker's config.json: `auths` by `host[:port][/path]`, the most
specific first, each with `auth` (base64 of `user:password`) or `identitytoken`.
"""

from __future__ import annotations

import base64
import codecs
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote, quote_plus

import msgspec

from otaflux.errors import Undecided
from otaflux.log import Event, log
from otaflux.model.names import Repository
from otaflux.registry.remote.endpoint import Endpoint
from otaflux.secret import Current, Reread, Secret
from otaflux.wording import quoted

IDENTITY_USER = "<token>"  # docker's name for a password that is an identity token
_HUB_KEYS = ("docker.io", "index.docker.io", "registry-1.docker.io")


class Login(msgspec.Struct, frozen=True):
    """One way to log in; `look_at` says where a person finds it."""

    username: str
    password: Secret
    look_at: str
    identity_token: Secret | None = None

    def basic(self) -> str:
        """The Authorization header with name and password (RFC 7617)."""
        # An environment may hold bytes that are no text: they are sent as they are.
        pair = f"{self.username}:{self.password.reveal()}".encode(errors="surrogateescape")
        return f"Basic {base64.b64encode(pair).decode()}"

    def proofs(self) -> tuple[str, ...]:
        """What proves this login, in whatever form it is sent: for no message to repeat."""
        forms = []
        token = self.identity_token.reveal() if self.identity_token else ""
        for secret in (self.password.reveal(), token):
            raw = secret.encode(errors="surrogateescape")
            forms += [secret, quote(raw, safe=""), quote_plus(raw)]
        return (*forms, self.basic().removeprefix("Basic ").rstrip("="))


class _Entry(msgspec.Struct):
    auth: str | None = None
    username: str | None = None
    password: str | None = None
    identity_token: str | None = msgspec.field(name="identitytoken", default=None)


_NOTHING = (b"null", b'""', b"{}")


class _File(msgspec.Struct):
    """A file with its parts unread: what is wrong in one spoils no other."""

    auths: dict[str, msgspec.Raw] | None = None
    helpers: dict[str, msgspec.Raw] | None = msgspec.field(name="credHelpers", default=None)
    store: msgspec.Raw = msgspec.field(name="credsStore", default=msgspec.Raw(b"null"))


def credential_files(environ: Mapping[str, str], home: Path | None) -> tuple[Path, ...]:
    """Where podman and docker keep credentials, first to last; `home` is None for who has none."""
    explicit = environ.get("REGISTRY_AUTH_FILE")
    docker = environ.get("DOCKER_CONFIG")
    files = [Path(explicit)] if explicit else []
    if home is not None:
        files.append(home / ".config" / "containers" / "auth.json")
    if docker:
        files.append(Path(docker) / "config.json")
    elif home is not None:
        files.append(home / ".docker" / "config.json")
    return tuple(files)


class Credentials:
    """The login for a repository, or none. One thread: the event loop's."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        username: str | None = None,
        password: Current[Secret] | None = None,
        files: Sequence[Path] = (),
    ) -> None:
        self._endpoint = endpoint
        self._username = username
        self._password = password
        self._files = tuple((path, _reread(path)) for path in files)
        self._noted: set[Path] = set()
        self._passed_over: set[Path] = set()
        self._newest: list[object] | None = None

    def login(self, repository: Repository | None = None) -> Login | None:
        """The login for a repository (None is the registry itself), or None: anonymous.

        A credentials file that is there and cannot be read is passed over for the next one. Raises
        `Undecided` where that has none either, and where a secret's file cannot be read.
        """
        if self._password is not None:
            return _login(
                self._username or "",
                self._password.current(),
                "REGISTRY_USERNAME and REGISTRY_PASSWORD",
            )
        broken: dict[Path, Undecided] = {}
        for path, file in self._files:
            if not os.path.lexists(path):
                continue
            try:
                found = self._find(file.current(), path, repository)
            except Undecided as error:
                broken[path] = error
                continue
            self._passed_over.discard(path)
            if found is not None:
                self._note_passed_over(broken)
                return found
        for unread in broken.values():
            raise unread
        return None

    def _note_passed_over(self, broken: Mapping[Path, Undecided]) -> None:
        for path in broken.keys() - self._passed_over:
            self._passed_over.add(path)
            log.warning(Event.CREDENTIALS_FILE_SKIPPED, path=str(path), reason=str(broken[path]))

    def changed(self) -> bool:
        """Whether what logins are read from is another than when this was asked last.

        What cannot be read counts as nothing. Blocks shortly, as `login` does.
        """
        now: list[object] = [_newest(self._password)] if self._password is not None else []
        now += [_newest(file) if os.path.lexists(path) else None for path, file in self._files]
        before, self._newest = self._newest, now
        return before is not None and any(
            old is not new for old, new in zip(before, now, strict=True)
        )

    def configured(self) -> bool:
        """Whether there are any for this registry, or may be: what cannot be read counts."""
        if self._password is not None:
            return True
        try:
            return any(
                _is_for(key, self._hosts()) and _usable(_entry(raw, path, key))
                for path, file in self._files
                if os.path.lexists(path)
                for key, raw in (file.current().auths or {}).items()
            )
        except Undecided:
            return True

    def _hosts(self) -> tuple[str, ...]:
        if self._endpoint.is_docker_hub:
            return _HUB_KEYS
        base = self._endpoint.base
        return (base.raw_authority, f"{base.raw_host}:{base.port}")

    def _find(self, file: _File, path: Path, repository: Repository | None) -> Login | None:
        entries = {_key(key): entry for key, entry in (file.auths or {}).items()}
        name = self._endpoint.wire_name(repository) if repository else ""
        for key in self._keys(name):
            if key in entries:
                entry = _entry(entries[key], path, key)
                if _usable(entry):
                    return _entry_login(entry, path, key)
        helper = (file.helpers or {}).keys() & set(self._hosts())
        empty = entries.keys() & set(self._hosts())
        if (helper or (empty and bytes(file.store) not in _NOTHING)) and path not in self._noted:
            self._noted.add(path)
            log.warning(
                Event.CREDENTIAL_HELPER_SKIPPED,
                path=str(path),
                registry=self._endpoint.name,
                reason="credential helpers are not run; set REGISTRY_USERNAME and"
                " REGISTRY_PASSWORD, or log in with a plain credentials file",
            )
        return None

    def _keys(self, name: str) -> list[str]:
        """What to look for, most specific first: host/acme/sensor, host/acme, host."""
        path = "" if self._endpoint.is_docker_hub else self._endpoint.base.path.strip("/")
        parts = [part for part in f"{path}/{name}".split("/") if part]
        return [
            "/".join((host, *parts[:depth]))
            for depth in range(len(parts), -1, -1)
            for host in self._hosts()
        ]


def _newest(value: Current[object]) -> object:
    """The value that counts now, the same object as long as it is the same; None for none."""
    try:
        return value.current()
    except Undecided:
        return None


def _reread(path: Path) -> Reread[_File]:
    return Reread("registry credentials", [path], lambda contents: parse_file(contents[0]))


def parse_file(content: bytes) -> _File:
    """Read a credentials file; raises `ValueError` that quotes nothing of it."""
    text = content.removeprefix(codecs.BOM_UTF8)  # as editors on Windows put it there
    if not text.strip():
        return _File()
    try:
        return msgspec.json.decode(text, type=_File)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        # msgspec's own message could quote what is a password.
        raise ValueError("it is no JSON file of credentials as podman or docker write it") from None


def _key(key: str) -> str:
    """`https://index.docker.io/v1/` and the like as `host[:port][/path]`."""
    bare = key.partition("://")[2] if "://" in key else key
    bare = bare.rstrip("/")
    return bare.removesuffix("/v1").removesuffix("/v2").rstrip("/")


def _is_for(key: str, hosts: Sequence[str]) -> bool:
    return _key(key).partition("/")[0] in hosts


def _where(path: Path, key: str) -> str:
    return f"the entry for {quoted(key)} in {path}"


def _unreadable(path: Path, key: str, reason: str) -> Undecided:
    return Undecided(
        f"cannot read {_where(path, key)}: {reason}",
        hint="Log in again, or set REGISTRY_USERNAME and REGISTRY_PASSWORD",
    )


def _entry(raw: msgspec.Raw, path: Path, key: str) -> _Entry:
    try:
        return msgspec.json.decode(raw, type=_Entry | None) or _Entry()
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        # msgspec's own message could quote what is a password.
        raise _unreadable(path, key, "its parts are not what docker or podman write") from None


def _usable(entry: _Entry) -> bool:
    return bool(entry.auth or entry.identity_token or entry.username)


def _entry_login(entry: _Entry, path: Path, key: str) -> Login:
    where = _where(path, key)
    username, password = entry.username or "", entry.password or ""
    if entry.auth:
        try:
            pair = base64.b64decode("".join(entry.auth.split()), validate=True).decode()
        except ValueError:
            raise _unreadable(path, key, "its 'auth' is not base64") from None
        username, _, password = pair.partition(":")
        password = password.strip("\0")
    login = _login(username, Secret(password), where)
    if entry.identity_token:
        token = Secret(entry.identity_token)
        # Registries that know no refresh_token take it as a password.
        return Login(username or IDENTITY_USER, token, where, identity_token=token)
    return login


def _login(username: str, password: Secret, look_at: str) -> Login:
    token = password if username == IDENTITY_USER else None
    return Login(username, password, look_at, identity_token=token)
