"""`otaflux push`: publishes firmware as an OCI artifact, and says beforehand what is odd about it.

What devices would get is worked out from the files themselves, by the same unpacking as in the
server, before anything is pushed. What no device could ever be told is refused; oddities are
warnings on stderr and stop nothing.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from otaflux.cli import notify
from otaflux.cli.flags import JUDGING, SOURCE, any_file, uses
from otaflux.cli.notify import Notice
from otaflux.cli.reference import device_and_tag
from otaflux.cli.signing import signing_with
from otaflux.errors import BadName, BadSetting, Refused, Undecided, Unusable
from otaflux.model import artifact
from otaflux.model.artifact import Digest, Gone
from otaflux.model.event import Action
from otaflux.model.names import Device, Tag, is_told
from otaflux.model.version import Version
from otaflux.registry.source import Attach, File, Source, Unchanged
from otaflux.registry.upload import compress, media_type_of
from otaflux.settings import Settings

if TYPE_CHECKING:
    from otaflux.app.parts import Assembly

# Flags for annotations of the OCI image specification (annotations.md).
_ANNOTATIONS = {
    "created": (artifact.CREATED, "TIME", "When it was built, as in 2026-01-31T12:00:00Z."),
    "version_annotation": (artifact.VERSION, "TEXT", "Version, which the tag says anyhow."),
    "revision": (artifact.REVISION, "TEXT", "Revision of the source, such as a commit."),
    "source": (artifact.SOURCE, "URL", "Where the source is."),
    "description": (artifact.DESCRIPTION, "TEXT", "What is new in it; ESPHome shows it."),
    "url": (artifact.URL, "URL", "Page about it; ESPHome links it."),
}


def _annotation_flags(command: Callable[..., None]) -> Callable[..., None]:
    for name, (key, metavar, text) in reversed(_ANNOTATIONS.items()):
        flag = "--" + name.replace("_", "-")
        command = click.option(flag, name, metavar=metavar, help=f"{text} [{key}]")(command)
    return command


@click.command("push")
@click.argument("release", metavar="DEVICE:TAG")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, shell_complete=any_file)
@click.option(
    "--any-tag",
    is_flag=True,
    help="Also push what no device would be told, such as a tag that is no version.",
)
@click.option("--force", is_flag=True, help="Also move a tag that is taken by other bytes.")
@click.option("--compress", "packing", type=click.Choice(["zstd"]), help="Pack each file.")
@click.option(
    "--annotation", "others", metavar="KEY=VALUE", multiple=True, help="Any other annotation."
)
@_annotation_flags
@click.option(
    "--sign-key",
    metavar="FILE",
    shell_complete=any_file,
    help="Sign it with this private key, as cosign does; COSIGN_PASSWORD opens it.",
)
@notify.option
@uses(*SOURCE, *JUDGING, "webhook_secret", only_with=notify.ONLY_WITH)
def command(
    settings: Settings,
    release: str,
    files: Sequence[str],
    *,
    any_tag: bool,
    force: bool,
    packing: str | None,
    others: Sequence[str],
    sign_key: str | None,
    notify: str | None,
    **given: str | None,
) -> None:
    """Publish FILE as DEVICE:TAG, to the registry or else the embedded folder; print its digest.

    The same file under the same tag changes nothing and gives the same digest. The title
    of a file is its name; TITLE=FILE gives it another. Of several files devices get the one titled
    firmware.bin.

    --sign-key takes a key of `cosign generate-key-pair`, or an ECDSA or RSA key in PEM. The
    signature is there before the tag is.
    """
    device, tag = device_and_tag(release, any_tag=any_tag, hint="--any-tag pushes it all the same")
    notice = Notice(settings, notify) if notify else None
    annotations = {_ANNOTATIONS[name][0]: value for name, value in given.items() if value}
    for other in others:
        key, equals, value = other.partition("=")
        if not (key and equals):
            raise Refused(f"--annotation: found '{other}', expected KEY=VALUE")
        annotations[key] = value
    chosen = [_file(argument) for argument in files]
    signing = signing_with(Path(sign_key)) if sign_key else None
    with ExitStack() as stack:
        if packing:
            # Packed files may be large, and need no more than the folder that they may go to.
            where = settings.data_dir if settings.data_dir.is_dir() else None
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix=".new-", dir=where))
            chosen = _packed(chosen, Path(folder))
        pushing = _push(
            settings,
            device,
            tag,
            chosen,
            annotations,
            force=force,
            anything=any_tag,
            attach=signing.attach if signing else None,
        )
        digest, is_signed = asyncio.run(pushing)
    click.echo(digest)
    if signing is not None:
        click.echo(f"otaflux: signed by {signing.signer}", err=True)
    for untold in _untold(settings, tag, signed=is_signed):
        click.echo(f"otaflux: note: {untold}", err=True)
    if notice is not None:
        told = asyncio.run(notice.send(Action.PUSH, device, tag, str(digest)))
        click.echo(f"otaflux: {told}", err=True)


def _untold(settings: Settings, tag: Tag, *, signed: bool) -> Iterator[str]:
    """Why no device may be told it, as far as this command's settings are the server's."""
    try:
        version = Version.parse(tag.text)
    except BadName:
        return
    if not is_told(version, settings.channels):
        yield (
            f"{tag} is a pre-release of the channel '{version.pre_release}', which is not in the"
            " CHANNELS that this command knows: only servers that have it there tell it to devices"
        )
    if not signed and settings.ask_for_signatures:
        yield (
            f"{tag} was not signed here, and has no signature that the settings here trust: servers"
            " with these settings tell it to no device. Push it with --sign-key, or sign it with"
            " cosign"
        )


def _file(argument: str) -> File:
    """`FILE` or `TITLE=FILE`; a file of that whole name is taken as the former."""
    path = Path(argument)
    title = path.name
    if "=" in argument and not path.exists():
        title, _, rest = argument.partition("=")
        path = Path(rest)
    if path.is_dir():
        raise Refused(f"{path} is a folder: name the file in it, or pack it into one")
    if not path.is_file():
        raise Refused(f"{path} is no regular file" if path.exists() else f"{path}: no such file")
    return File(path, title, media_type_of(title))


def _packed(files: Sequence[File], folder: Path) -> list[File]:
    """The files packed with zstd, below `folder`."""
    size = sum(file.path.stat().st_size for file in files)
    with _bar("Packing", size) as progress:
        return [
            compress(file, folder / f"{number}.zst", progress=progress)
            for number, file in enumerate(files)
        ]


async def _push(
    settings: Settings,
    device: Device,
    tag: Tag,
    files: Sequence[File],
    annotations: Mapping[str, str],
    *,
    force: bool,
    anything: bool,
    attach: Attach | None,
) -> tuple[Digest, bool]:
    """Returns the digest, and whether it is signed: now, or since the same bytes were there before.

    Nobody is asked whether it was where the settings ask for no signature.
    """
    from otaflux.app.parts import Assembly
    from otaflux.cli.preview import odd

    size = sum(file.path.stat().st_size for file in files)
    parts = Assembly(settings)
    async with parts.open_source(patient=True) as source:
        for warning in await odd(parts, source, device, tag, files, annotations, anything=anything):
            click.echo(f"otaflux: warning: {warning}", err=True)
        with _bar("Pushing", size) as progress:
            digest = await source.push(
                device,
                tag,
                files,
                annotations=annotations,
                force=force,
                progress=progress,
                attach=attach,
            )
        return digest, attach is not None or await _was_signed(parts, source, device, tag)


async def _was_signed(parts: Assembly, source: Source, device: Device, tag: Tag) -> bool:
    """Whether a signature that the settings trust is there; what cannot be learnt is none."""
    if not parts.settings.ask_for_signatures:
        return False
    try:
        found = await source.resolve(device, tag)
        if isinstance(found, Gone | Unchanged):
            return False
        proof = await parts.signing(source).proof(device, Version.parse(tag.text), found)
    except (BadName, BadSetting, Undecided, Unusable):
        return False
    return proof is not None


@contextmanager
def _bar(label: str, size: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr where that is a terminal, else silence."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with click.progressbar(length=size, label=label, file=sys.stderr) as bar:
        yield bar.update
