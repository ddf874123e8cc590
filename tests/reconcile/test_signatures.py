"""What may be a signature is looked for in both layouts, within bounds; no error means none."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fake_content import Child, Layer
from fake_faults import Drip, Status, Throttled
from fake_registry import FakeRegistry
from registry_client import SENSOR, remote
from signed_content import ATTESTED, BUNDLE, Shop, bundle, fingerprint, public

from otaflux.errors import Undecided, Unsigned
from otaflux.model.artifact import OCI_INDEX, OCI_MANIFEST, Digest, Index
from otaflux.model.event import Priority, Touch
from otaflux.model.version import Version
from otaflux.reconcile.awaited import Awaited
from otaflux.reconcile.resolve import Resolver
from otaflux.reconcile.rounds import EVERY, Rounds
from otaflux.reconcile.signatures import Signatures
from otaflux.reconcile.signing import SignatureCheck
from otaflux.registry.attachments import MOST_ATTACHED
from otaflux.signature.keys import parse_keys
from otaflux.signature.trust import Trust

TRUST = Trust(parse_keys(public("a").encode()))
BOTH = Trust(parse_keys(public("a", "b").encode()))


class Looked:
    """A repository, and who signed what there."""

    def __init__(self, registry: FakeRegistry, signatures: Signatures) -> None:
        self.registry = registry
        self.shop = Shop("acme/sensor", registry.content, referrers=registry.referrers)
        self._signatures = signatures

    async def signers(self, digest: Digest, trust: Trust = TRUST) -> list[str]:
        """Who signed it; raises as the search does."""
        return [each.text for each in await self._signatures.signers(SENSOR, digest, trust)]

    def requests(self) -> int:
        """How many requests there were."""
        return len(self.registry.requests)


@asynccontextmanager
async def looking(*, referrers: bool = True) -> AsyncIterator[Looked]:
    """A search at a registry."""
    async with FakeRegistry(referrers=referrers) as registry, remote(registry) as source:
        yield Looked(registry, Signatures(source))


@pytest.mark.parametrize("referrers", [True, False])
async def test_one_that_holds_in_either_layout_is_enough(referrers: bool) -> None:
    """Whatever lies beside it."""
    async with looking(referrers=referrers) as looked:
        shop = looked.shop
        digest = shop.push("1.0.0", b"one")
        shop.sign(digest, "b")
        shop.sign(digest, predicate=ATTESTED)
        shop.attach(digest, b"garbage")
        with pytest.raises(Unsigned):
            await looked.signers(digest)
        shop.sign_old(digest, "b", "a", "b")
        assert await looked.signers(digest) == [fingerprint("a")]
        other = shop.push("2.0.0", b"two")
        shop.sign(other, "a")
        assert await looked.signers(other) == [fingerprint("a")]


@pytest.mark.parametrize("referrers", [True, False])
async def test_the_old_layout_is_read_where_it_is_attached_as_well(referrers: bool) -> None:
    """As cosign 2 writes it with `--registry-referrers-mode=oci-1-1`: there is no tag then."""
    async with looking(referrers=referrers) as looked:
        digest = looked.shop.push("1.0.0", b"one")
        looked.shop.attach_simple(digest, "b")
        with pytest.raises(Unsigned, match="by a key that is not trusted here"):
            await looked.signers(digest)
        looked.shop.attach_simple(digest, "a")
        assert await looked.signers(digest) == [fingerprint("a")]


async def test_with_several_keys_each_that_signed_is_named() -> None:
    """So that one of them can be taken away without asking the registry."""
    async with looking() as looked:
        digest = looked.shop.push("1.0.0", b"one")
        looked.shop.sign(digest, "a")
        looked.shop.sign(digest, "b")
        assert set(await looked.signers(digest, BOTH)) == {fingerprint("a"), fingerprint("b")}


async def test_a_wrong_type_in_a_list_leaves_nothing_out() -> None:
    """Cosign 2.6 writes the empty config's there."""
    async with looking() as looked:
        digest = looked.shop.push("1.0.0", b"one")
        looked.shop.attach(digest, bundle(digest.hex, "a"), "application/vnd.oci.empty.v1+json")
        assert await looked.signers(digest) == [fingerprint("a")]


async def test_what_a_list_names_has_to_be_about_the_manifest() -> None:
    """Its `subject` decides, whatever the list claims."""
    async with looking(referrers=False) as looked:
        digest = looked.shop.push("1.0.0", b"one")
        other = looked.shop.push("2.0.0", b"two")
        signature = looked.shop.sign(other)
        looked.registry.content.attach("acme/sensor", digest, signature, fallback=True)
        with pytest.raises(Unsigned, match="it has no signature"):
            await looked.signers(digest)


WITHHELD = Status(412, "PROJECTPOLICYVIOLATION")


@pytest.mark.parametrize("fault", [Status(500), Throttled(None), Status(403), WITHHELD], ids=repr)
@pytest.mark.parametrize("kind", ["referrers", "blob", "manifest"])
async def test_an_error_is_neither_signed_nor_unsigned(fault: Any, kind: str) -> None:
    """The registry erred, so nothing is known."""
    async with looking() as looked:
        digest = looked.shop.push("1.0.0", b"one")
        looked.shop.sign(digest)
        looked.registry.fail(kind, fault, times=None)
        with pytest.raises(Undecided):
            await looked.signers(digest)


async def test_a_list_that_cannot_be_read_is_none() -> None:
    """It says that it is JSON, so it is no page of a registry without the API."""
    async with looking() as looked:
        digest = looked.shop.push("1.0.0", b"one")
        broken = Status(200, body=b'{"manifests": [', headers={"Content-Type": OCI_INDEX})
        looked.registry.fail("referrers", broken, times=None)
        with pytest.raises(Undecided):
            await looked.signers(digest)


async def test_an_error_about_a_child_leaves_an_index_unsigned() -> None:
    """Whether it is the child that was signed makes the reason, and nothing else."""
    async with FakeRegistry() as registry, remote(registry) as source:
        child = registry.content.put("acme/sensor", None, layers=[b"one"])
        index = registry.content.put_index("acme/sensor", "1.0.0", [Child(child)])
        registry.fail("referrers", Status(500), times=None, when=lambda x: child.hex in x.path)
        check = SignatureCheck(Resolver(source), Signatures(source), lambda: TRUST)
        artifact = await source.resolve(SENSOR, index)
        assert isinstance(artifact, Index)
        with pytest.raises(Unsigned, match="it has no signature"):
            await check.proof(SENSOR, Version.parse("1.0.0"), artifact)


async def test_signatures_that_trickle_hold_nothing_up_for_long() -> None:
    """All of them together have a time; then nothing is known."""
    async with FakeRegistry() as registry, remote(registry) as source:
        shop = Shop("acme/sensor", registry.content)
        digest = shop.push("1.0.0", b"one")
        for _ in range(3):
            shop.sign(digest)
        registry.fail("blob", Drip(), times=None)
        async with asyncio.timeout(5):
            with pytest.raises(Undecided, match="did not come in"):
                await Signatures(source, patience=0.3).signers(SENSOR, digest, TRUST)


async def test_what_did_not_hold_is_not_fetched_again_while_the_lists_are_the_same() -> None:
    """And a new one is found at once, also behind others."""
    async with looking() as looked:
        digest = looked.shop.push("1.0.0", b"one")
        for number in range(3):
            looked.shop.attach(digest, b"garbage %d" % number)
        with pytest.raises(Unsigned):
            await looked.signers(digest)
        before = looked.requests()
        with pytest.raises(Unsigned, match="cannot be read"):
            await looked.signers(digest)
        assert looked.requests() - before == 2
        looked.shop.sign(digest)
        assert await looked.signers(digest) == [fingerprint("a")]


@pytest.mark.parametrize("kind", ["referrers", "list", "tag"])
async def test_what_fails_in_one_layout_takes_nothing_from_the_other(kind: str) -> None:
    """Neither an error nor a list that is none; where nothing else holds that is told."""
    async with looking(referrers=kind == "referrers") as looked:
        digest = looked.shop.push("1.0.0", b"one")
        if kind == "list":
            looked.registry.content.put_raw("acme/sensor", f"sha256-{digest.hex}", b"garbage")
            with pytest.raises(Unsigned, match="the list of what is attached to it cannot be read"):
                await looked.signers(digest)
        elif kind == "tag":
            of_tag = f"sha256-{digest.hex}.sig"
            looked.registry.fail(
                "manifest", Status(500), times=None, when=lambda asked: of_tag in asked.path
            )
            with pytest.raises(Undecided):
                await looked.signers(digest)
        else:
            looked.registry.fail("referrers", Status(500), times=None)
            with pytest.raises(Undecided):
                await looked.signers(digest)
        if kind == "tag":
            looked.shop.sign(digest)
        else:
            looked.shop.sign_old(digest)
        assert await looked.signers(digest) == [fingerprint("a")]


HOSTILE = {"layers": 5, "subject": {"digest": "sha256:x"}}


async def test_hostile_lists_end_and_hide_nothing() -> None:
    """Entries that are missing, of other types and sizes, no manifests, and lists in lists."""
    async with looking(referrers=False) as looked:
        shop, content = looked.shop, looked.registry.content
        digest = shop.push("1.0.0", b"one")
        tag, signature = f"sha256-{digest.hex}", shop.sign(digest)
        strange = content.put_raw("acme/sensor", None, json.dumps(HOSTILE).encode())

        def listing(*entries: tuple[str, Digest | str, int], under: str | None) -> Digest:
            listed = [{"mediaType": x, "digest": str(y), "size": z} for x, y, z in entries]
            body = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed}
            return content.put_raw("acme/sensor", under, json.dumps(body).encode(), OCI_INDEX)

        listing(
            (OCI_INDEX, signature, 1),  # a wrong type and a wrong size; the newest come first
            *((OCI_MANIFEST, f"sha256:{number:064x}", 100) for number in range(30)),
            (OCI_MANIFEST, digest, 100),  # the image itself
            (OCI_MANIFEST, strange, 2**62),
            ("text/html", strange, 0),
            under=tag,
        )
        assert await looked.signers(digest) == [fingerprint("a")]
        assert looked.requests() < 50
        inner = listing((OCI_MANIFEST, signature, 1), under=f"{tag}.sig")
        outer = listing(*[(OCI_INDEX, inner, 1)] * 100, under=tag)
        listing((OCI_INDEX, outer, 1), (OCI_INDEX, inner, 1), under=tag)
        before = looked.requests()
        with pytest.raises(Unsigned, match="it has no signature"):
            await looked.signers(digest)
        assert looked.requests() - before < 10


async def test_a_list_of_thousands_and_blobs_of_a_gib_cost_little() -> None:
    """So many are looked at and no more, and what is too large for a signature is not fetched."""
    async with looking() as looked:
        content = looked.registry.content
        digest = looked.shop.push("1.0.0", b"one")
        for number in range(3 * MOST_ATTACHED):
            looked.shop.attach(digest, b"%d" % number)
        layer = Layer(b"x" * 300_000, media_type=BUNDLE)
        content.put("acme/sensor", None, layers=[layer], artifact_type=BUNDLE, subject=digest)
        with pytest.raises(Unsigned):
            await looked.signers(digest)
        assert looked.requests() <= 2 * MOST_ATTACHED + 5


def test_signatures_are_asked_for_anew_at_hooks_and_every_so_many_looks() -> None:
    """A device that has just been proven is not asked about for nine looks, one that has not is."""
    rounds, recheck = Rounds(random.Random(1)), Touch(SENSOR, Priority.RECHECK)
    assert rounds.is_due(Touch(SENSOR, Priority.HOOK))
    asked = []
    rounds.ended(SENSOR, asked=True, is_signed=True)
    for _ in range(2 * EVERY):
        asked.append(rounds.is_due(recheck))
        rounds.ended(SENSOR, asked=asked[-1], is_signed=True)
    assert asked == [False, *[False] * (EVERY - 2), True] * 2


def test_signatures_are_asked_for_anew_once_others_may_sign() -> None:
    """In the next look at each device, once."""
    rounds, look = Rounds(random.Random(1)), Touch(SENSOR, Priority.RECHECK)
    rounds.ended(SENSOR, asked=True, is_signed=True, trusted="a")
    assert not rounds.is_due(look, "a")
    assert rounds.is_due(look, "a and b")
    rounds.ended(SENSOR, asked=True, is_signed=True, trusted="a and b")
    assert not rounds.is_due(look, "a and b")


def test_within_ten_looks_of_a_start_each_device_was_asked_about() -> None:
    """Wherever its round begins."""
    for seed in range(50):
        rounds, recheck = Rounds(random.Random(seed)), Touch(SENSOR, Priority.RECHECK)
        for _ in range(EVERY):
            if rounds.is_due(recheck):
                break
            rounds.ended(SENSOR, asked=False, is_signed=True)
        else:
            pytest.fail(f"seed {seed}: never asked in {EVERY} looks")


def test_what_waits_for_its_signature_waits_since_it_was_first_found() -> None:
    """Each by itself, and a look that learnt only a part forgets nothing."""
    now = [0.0]
    awaited = Awaited(lambda: now[0])
    one, two = (Digest("sha256", f"{number:064x}") for number in (1, 2))
    assert awaited.note(SENSOR, {one}, is_all=True) == (0.0,)
    now[0] = 5.0
    assert sorted(awaited.note(SENSOR, {one, two}, is_all=True)) == [0.0, 5.0]
    assert sorted(awaited.note(SENSOR, set(), is_all=False)) == [0.0, 5.0]
    assert awaited.note(SENSOR, {two}, is_all=True) == (0.0,)
    assert awaited.devices() == {SENSOR}
    awaited.note(SENSOR, set(), is_all=True)
    assert SENSOR not in awaited
