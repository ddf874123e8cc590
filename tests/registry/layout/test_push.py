"""Pushing into the embedded folder: whole at every instant, and nothing lost between two pushes."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from layout_files import MANIFEST, REF_NAME, LayoutFiles, whole
from lossy_disk import LossyDisk, PowerCut

from otaflux.errors import Refused, Undecided
from otaflux.files.disk import REAL_DISK
from otaflux.files.durable import TEMPORARY_PREFIX
from otaflux.model.artifact import Digest, Manifest
from otaflux.model.names import Device, Tag
from otaflux.registry.layout import Layout
from otaflux.registry.layout.places import DevicePlace
from otaflux.registry.layout.push import LayoutPush
from otaflux.registry.layout.writing import Writing
from otaflux.registry.source import File, Source

LAMP = Device("lamp")

PUSHER = """
import asyncio, random, sys
from pathlib import Path
from otaflux.model.names import Device, Tag
from otaflux.registry.layout import Layout
from otaflux.registry.source import File

async def main(root, file, *tags):
    layout = Layout(Path(root))
    print("ready", flush=True)
    for tag in tags:
        Path(file).write_bytes(random.Random(tag).randbytes(300_000))
        files = [File(Path(file), "firmware.bin", "application/octet-stream")]
        await layout.push(Device("lamp"), Tag(tag), files, annotations={}, force=False)
        print(tag, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the embedded folder will be; the first push makes it."""
    return tmp_path / "registry"


@pytest.fixture
def layout(root: Path) -> Source:
    """The source under test."""
    return Layout(root)


def file(folder: Path, content: bytes = b"firmware", title: str = "firmware.bin") -> File:
    """A file to push."""
    path = folder / f"build-{title}"
    path.write_bytes(content)
    return File(path, title, "application/octet-stream")


async def push(
    layout: Source, files: list[File], tag: str = "1.0.0", *, force: bool = False, **notes: str
) -> str:
    """Push files to the lamp; answers the digest's text."""
    pushed = await layout.push(LAMP, Tag(tag), files, annotations=notes, force=force)
    return str(pushed)


def pusher(root: Path, *tags: str) -> subprocess.Popen[str]:
    """Another process, which pushes tags one after the other."""
    program = [sys.executable, "-c", PUSHER, str(root), str(root.parent / f"{tags[0]}.bin"), *tags]
    return subprocess.Popen(program, stdout=subprocess.PIPE, text=True)


def leftovers(root: Path) -> list[Path]:
    """Temporary files anywhere in the embedded folder."""
    return list(root.rglob(f"{TEMPORARY_PREFIX}*"))


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


async def test_what_is_pushed_is_read_back(tmp_path: Path, root: Path, layout: Source) -> None:
    """Several files, with annotations, into a folder that was not there."""
    files = [file(tmp_path, b"boot", "boot.bin"), file(tmp_path, bytes(3_000_000))]
    digest = await push(layout, files, "v1.0.0", **{"org.opencontainers.image.revision": "abc"})
    assert whole(root / "lamp") == {"v1.0.0": digest}
    found = await layout.resolve(LAMP, Tag("v1.0.0"))
    assert isinstance(found, Manifest)
    assert str(found.digest) == digest
    assert [layer.title for layer in found.layers] == ["boot.bin", "firmware.bin"]
    assert found.annotations["org.opencontainers.image.revision"] == "abc"
    assert found.annotations["org.opencontainers.image.version"] == "1.0.0"
    assert found.annotations["io.otaflux.device"] == "lamp"


async def test_the_same_bytes_again_change_nothing(
    tmp_path: Path, root: Path, layout: Source
) -> None:
    """The digest is the same, and no file of the folder is written."""
    digest = await push(layout, [file(tmp_path)])
    before, stamps = snapshot(root), Layout(root).stamps()
    assert await push(layout, [file(tmp_path)]) == digest
    assert snapshot(root) == before
    assert Layout(root).stamps() == stamps


async def test_a_tag_is_taken_by_its_bytes(tmp_path: Path, root: Path, layout: Source) -> None:
    """Other bytes are refused and leave no blob; forced, the tag moves and names them alone."""
    first = await push(layout, [file(tmp_path)])
    other = [file(tmp_path, b"other")]
    before = snapshot(root)
    with pytest.raises(Refused, match=first):
        await push(layout, other)
    assert snapshot(root) == before
    second = await push(layout, other, force=True)
    assert whole(root / "lamp") == {"1.0.0": second}
    assert isinstance(await layout.resolve(LAMP, Digest.parse(first)), Manifest)


async def test_a_tag_that_another_tool_named_is_taken_as_well(
    tmp_path: Path, root: Path, layout: Source
) -> None:
    """Whole references and doubled names too; forced, none of them is left."""
    files = LayoutFiles(root / "lamp")
    for name in ("acme/lamp:1.0.0", "1.0.0", "1.0.0"):
        files.artifact([name.encode()], tag=name)
    with pytest.raises(Refused):
        await push(layout, [file(tmp_path)])
    digest = await push(layout, [file(tmp_path)], force=True)
    assert whole(root / "lamp") == {"1.0.0": digest}


async def test_what_other_tools_wrote_stays(tmp_path: Path, root: Path, layout: Source) -> None:
    """Their tags, untagged entries, fields that OtaFlux does not know, their blobs."""
    files = LayoutFiles(root / "lamp")
    theirs = files.artifact(tag="0.9.0")
    index = {
        "schemaVersion": 2,
        "annotations": {"made": "by hand"},
        "manifests": [
            {**files.entries[0], "future": [1.50, {"deep": None}]},
            {"mediaType": MANIFEST, "digest": "blake3:00", "size": 3},
        ],
    }
    (root / "lamp" / "index.json").write_text(json.dumps(index))
    digest = await push(layout, [file(tmp_path)])
    after = json.loads((root / "lamp" / "index.json").read_text())
    assert after["annotations"] == index["annotations"]
    assert after["manifests"][:2] == index["manifests"]
    assert after["manifests"][2]["digest"] == digest
    assert files.blob_path(theirs).exists()


async def test_a_torn_blob_is_written_anew(tmp_path: Path, root: Path, layout: Source) -> None:
    """A file of the right name and size is not believed, nor is half a marker."""
    digest = await push(layout, [file(tmp_path)])
    for blob in (root / "lamp" / "blobs" / "sha256").iterdir():
        blob.write_bytes(bytes(blob.stat().st_size))
    (root / "lamp" / "oci-layout").write_bytes(b"")
    assert await push(layout, [file(tmp_path)]) == digest
    assert whole(root / "lamp") == {"1.0.0": digest}


async def test_progress_adds_up_to_the_files(tmp_path: Path, layout: Source) -> None:
    """Also where they lie there already, so that a bar reaches its end."""
    for _ in range(2):
        heard: list[int] = []
        files = [file(tmp_path, bytes(2_500_000)), file(tmp_path, b"boot", "boot.bin")]
        await layout.push(
            LAMP, Tag("1.0.0"), files, annotations={}, force=False, progress=heard.append
        )
        assert sum(heard) == 2_500_004


async def test_what_cannot_be_pushed_changes_nothing(
    tmp_path: Path, root: Path, layout: Source
) -> None:
    """A missing file, an empty one, none, two of one title: refused before anything is made."""
    for files in (
        [File(tmp_path / "missing", "firmware.bin", "")],
        [file(tmp_path, b"", "empty.bin")],
        [],
        [file(tmp_path), file(tmp_path)],
    ):
        with pytest.raises(Refused):
            await push(layout, files)
    assert snapshot(tmp_path).keys() == {"build-firmware.bin", "build-empty.bin"}


async def test_an_index_that_does_not_parse_is_not_written_over(
    tmp_path: Path, root: Path, layout: Source
) -> None:
    """Whatever it held would be lost; the error says what to do."""
    LayoutFiles(root / "lamp").artifact(tag="0.9.0")
    (root / "lamp" / "index.json").write_bytes(b'{"schemaVersion":2,')
    with pytest.raises(Undecided) as caught:
        await push(layout, [file(tmp_path)])
    assert "Correct it" in caught.value.hint
    assert (root / "lamp" / "index.json").read_bytes() == b'{"schemaVersion":2,'


async def test_a_device_behind_a_link_is_not_pushed_to(
    tmp_path: Path, root: Path, layout: Source
) -> None:
    """Readers do not follow links, so what is pushed through one would be told to nobody."""
    for folder in (root, tmp_path / "elsewhere"):
        folder.mkdir()
    (root / "lamp").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Refused, match="link"):
        await push(layout, [file(tmp_path)])
    assert snapshot(tmp_path / "elsewhere") == {}


async def test_leftovers_of_a_killed_push_go_at_the_next_one(
    tmp_path: Path, root: Path, layout: Source
) -> None:
    """Those of this device; another device's may be in use."""
    LayoutFiles(root / "lamp")
    LayoutFiles(root / "lamp" / "inner")
    left = [root / "lamp" / ".new-1", root / "lamp" / "blobs" / "sha256" / ".new-2"]
    in_use = root / "lamp" / "inner" / ".new-3"
    for path in (*left, in_use):
        path.write_bytes(b"half")
    await push(layout, [file(tmp_path)])
    assert not any(path.exists() for path in left)
    assert in_use.exists()


async def test_pushes_at_once_lose_nothing(tmp_path: Path, root: Path, layout: Source) -> None:
    """Twelve in one process, to new and old tags: each is there, by its own digest."""
    names = [f"1.{minor}.0" for minor in range(12)]
    files = {name: [file(tmp_path, name.encode() * 1000, f"{name}.bin")] for name in names}
    digests = await asyncio.gather(*(push(layout, files[name], name) for name in names))
    assert whole(root / "lamp") == dict(zip(names, digests, strict=True))


async def test_processes_that_push_at_once_lose_nothing(root: Path) -> None:
    """Three processes, ten tags each, read all the while: tags only ever become more."""
    names = [[f"{major}.{minor}.0" for minor in range(10)] for major in range(3)]
    processes = [pusher(root, *tags) for tags in names]
    layout = Layout(root)
    await layout.prepare()
    seen: set[str] = set()
    while any(process.poll() is None for process in processes):
        try:
            found = {tag.text for tag in (await layout.tags(LAMP)).tags}
        except Undecided:
            found = set()  # the first push is not done yet
        assert seen <= found
        seen = found
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    assert whole(root / "lamp").keys() == {name for tags in names for name in tags}


async def test_a_push_killed_at_any_instant_leaves_a_whole_layout(root: Path) -> None:
    """SIGKILL at random: what was told as done is there, and every blob that is named is whole."""
    chance = random.Random(20)
    done: set[str] = set()
    for major in range(15):
        process = pusher(root, *(f"{major}.{minor}.0" for minor in range(200)))
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        window = 0.06 if done or major < 8 else 1.0  # a busy machine pushes nothing in 60 ms
        time.sleep(chance.uniform(0, window))  # noqa: ASYNC251 - nothing else runs here
        process.kill()
        done |= set(process.stdout.read().split())
        process.communicate()
        assert process.returncode == -9
        if (root / "lamp" / "index.json").exists():
            found = whole(root / "lamp")
            assert done <= found.keys()
    assert done
    await push(Layout(root), [file(root.parent)], "99.0.0")
    assert whole(root / "lamp").keys() > done
    assert leftovers(root) == []


def run(root: Path, disk: LossyDisk, tag: str, files: list[File]) -> str:
    """A push without a loop, onto a disk of the test's."""
    work = Writing(
        DevicePlace(root / "lamp"), is_ended=lambda: False, disk=disk, sleep=lambda _: None
    )
    job = LayoutPush(work, progress=lambda _: None)
    return str(job.run(LAMP, Tag(tag), files, annotations={}, force=False))


@pytest.mark.parametrize("first", [True, False])
def test_a_power_cut_at_any_instant_leaves_a_whole_layout(
    tmp_path: Path, root: Path, *, first: bool
) -> None:
    """What was not synced is lost at each step: the old tag or both, and pushing again mends it."""
    root.mkdir()
    old, new = [file(tmp_path, b"old", "old.bin")], [file(tmp_path, b"new", "new.bin")]

    def disk(seed: int, cut_at: int | None = None) -> LossyDisk:
        shutil.rmtree(root)
        root.mkdir()
        if not first:
            run(root, LossyDisk(root, random.Random(0)), "1.0.0", old)
        return LossyDisk(root, random.Random(seed), cut_at=cut_at)

    tried = disk(0)
    run(root, tried, "1.1.0", new)
    for cut_at in range(len(tried.operations) + 1):
        for seed in range(4):
            cut = disk(seed, cut_at)
            done = True
            try:
                run(root, cut, "1.1.0", new)
            except PowerCut:
                done = False
            cut.power_cut()
            if done or not first or (root / "lamp" / "index.json").exists():
                found = whole(root / "lamp")
                assert found.keys() - {"1.1.0"} == (set() if first else {"1.0.0"})
                assert not done or "1.1.0" in found
            run(root, cut, "1.1.0", new)
            assert "1.1.0" in whole(root / "lamp")
            assert leftovers(root) == []


def test_what_a_push_found_there_lasts_as_well(tmp_path: Path, root: Path) -> None:
    """A push that failed left names that were not synced; the next one finds all, and it lasts."""
    files = [file(tmp_path)]

    def disk(seed: int, errors: dict[int, int]) -> LossyDisk:
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        return LossyDisk(root, random.Random(seed), errors=errors)

    tried = disk(0, {})
    digest = run(root, tried, "1.0.0", files)
    for at in range(len(tried.operations)):
        for seed in range(4):
            failing = disk(seed, {at: errno.EIO})
            with pytest.raises(Undecided):
                run(root, failing, "1.0.0", files)
            run(root, failing, "1.0.0", files)
            failing.power_cut()
            assert whole(root / "lamp") == {"1.0.0": digest}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_fails_at_any_instant_leaves_the_tags_as_they_were(
    tmp_path: Path, root: Path, number: int
) -> None:
    """`Undecided` with a hint, no leftovers, and the next push goes through."""
    old, new = [file(tmp_path, b"old", "old.bin")], [file(tmp_path)]

    def disk(errors: dict[int, int]) -> LossyDisk:
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        run(root, LossyDisk(root, random.Random(0)), "1.0.0", old)
        return LossyDisk(root, random.Random(0), errors=errors)

    tried = disk({})
    run(root, tried, "1.1.0", new)
    last = len(tried.operations) - 1  # syncs the folder after the index has its name
    for at in range(last + 1):
        failing = disk({at: number})
        with pytest.raises(Undecided) as caught:
            run(root, failing, "1.1.0", new)
        assert caught.value.hint
        assert whole(root / "lamp").keys() == ({"1.0.0", "1.1.0"} if at == last else {"1.0.0"})
        assert leftovers(root) == []
        run(root, failing, "1.1.0", new)
        assert whole(root / "lamp").keys() == {"1.0.0", "1.1.0"}


async def test_a_file_that_changes_while_it_is_pushed_is_refused(
    tmp_path: Path, root: Path, layout: Source
) -> None:
    """Its bytes are not those that were measured, so nothing is named after them."""
    pushed = file(tmp_path, bytes(3_000_000))

    def meddle(_: int) -> None:
        pushed.path.write_bytes(bytes(1_000_000) + b"!" * 2_000_000)

    with pytest.raises(Refused, match="changed"):
        await layout.push(
            LAMP, Tag("1.0.0"), [pushed], annotations={}, force=False, progress=meddle
        )
    assert not (root / "lamp" / "index.json").exists()
    assert leftovers(root) == []


async def test_a_push_that_is_cancelled_ends_and_leaves_the_tags_as_they_were(
    tmp_path: Path, root: Path
) -> None:
    """Its thread stops at the next piece, gives the lock back and leaves no temporary file."""
    layout = Layout(root)
    begun, go_on = threading.Event(), threading.Event()

    def progress(_: int) -> None:
        begun.set()
        go_on.wait()

    pushing = asyncio.ensure_future(
        layout.push(
            LAMP,
            Tag("1.0.0"),
            [file(tmp_path, bytes(3_000_000))],
            annotations={},
            force=False,
            progress=progress,
        )
    )
    await asyncio.to_thread(begun.wait)
    pushing.cancel()
    await asyncio.sleep(0)
    assert not pushing.done(), "its thread still works"
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await pushing
    await push(layout, [file(tmp_path)], "1.1.0")
    assert whole(root / "lamp").keys() == {"1.1.0"}
    assert leftovers(root) == []


def test_a_push_waits_for_the_lock_and_not_for_ever(tmp_path: Path, root: Path) -> None:
    """After five minutes it is `Undecided` and says why; one that is ended gives up at once."""
    (root / "lamp").mkdir(parents=True)
    descriptor = os.open(root / "lamp" / ".lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        for is_ended, why in ((False, "held the lock for 300 seconds"), (True, "ended")):
            clock = iter([0.0, 100.0, 299.0, 301.0])
            work = Writing(
                DevicePlace(root / "lamp"),
                is_ended=lambda is_ended=is_ended: is_ended,
                disk=REAL_DISK,
                clock=lambda clock=clock: next(clock),
                sleep=lambda _: None,
            )
            job = LayoutPush(work, progress=lambda _: None)
            with pytest.raises(Undecided, match=why):
                job.run(LAMP, Tag("1.0.0"), [file(tmp_path)], annotations={}, force=False)
    finally:
        os.close(descriptor)
    assert not (root / "lamp" / "index.json").exists()


def test_a_lock_that_was_removed_locks_nobody_out(tmp_path: Path, root: Path) -> None:
    """Who removes a device's folder under a push removes its lock; the next push makes its own."""
    (root / "lamp").mkdir(parents=True)
    lock = root / "lamp" / ".lock"
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        lock.unlink()
        run(root, LossyDisk(root, random.Random(0)), "1.0.0", [file(tmp_path)])
    finally:
        os.close(descriptor)
    assert whole(root / "lamp").keys() == {"1.0.0"}


async def test_what_another_tool_wrote_during_a_push_stays(
    tmp_path: Path, root: Path, layout: Source
) -> None:
    """It takes no lock; the index is read again right before it is written."""
    files = LayoutFiles(root / "lamp")

    def meddle(_: int) -> None:
        files.artifact([b"theirs"], tag="0.9.0")

    await layout.push(
        LAMP, Tag("1.0.0"), [file(tmp_path)], annotations={}, force=False, progress=meddle
    )
    assert whole(root / "lamp").keys() == {"0.9.0", "1.0.0"}
    index = json.loads((root / "lamp" / "index.json").read_text())
    assert [entry["annotations"][REF_NAME] for entry in index["manifests"]] == ["0.9.0", "1.0.0"]
