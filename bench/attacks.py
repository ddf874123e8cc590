"""Attacks by strangers, pushers and their repositories: what they take, and whether it comes back.

For each a real server with two devices of its own: memory, open files, polls of a known device and
pushes from their hook to the first poll, before, during and after. It ends by itself, with 1 where
something was not as it should be. `make attacks` takes them all, `python bench/attacks.py WORD…`
those that have one of the words in their names. `ATTACKS_REST` is how many seconds a server rests
afterwards.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from parts import clients, pushers
from parts.siege import Attack, besieged, verdict

REST = float(os.environ.get("ATTACKS_REST", "60"))
BEFORE = 4.0  # seconds
LOOK = 6.0  # seconds, after the rest

LOGIN = {"REGISTRY_USERNAME": "robot", "REGISTRY_PASSWORD": "s3cret"}

ATTACKS = (
    Attack("manifests with very many annotations", pushers.many_annotations, memory=48 << 20),
    Attack("large heads behind a download that is not read", clients.unread_answers),
    Attack("eight repositories of 100,000 tags", pushers.many_tags, memory=48 << 20),
    Attack("silent connections with TLS", clients.silent_tls, tls=True, memory=600 * (64 << 10)),
    Attack("hooks that prove nothing and send no body", clients.unproven_hooks),
    Attack("1,500 silent sockets, 1,024 files", clients.silent_sockets, files=1024),
    Attack("polls of made-up names", clients.made_up_names),
    Attack(
        "polls of what the login may not read",
        pushers.refused_names,
        settings=LOGIN,
        registry={"auth": "basic"},
    ),
    Attack("sixty polls for a stranger's firmware", pushers.strangers_firmware),
    Attack("HEADs of 20,100 made-up units", clients.made_up_units),
    Attack("three blobs at 4 KiB a second", pushers.slow_blobs),
    Attack("2,000 downloads that read nothing", clients.stalled_downloads, json=True),
    Attack("polls for a repository of container images", pushers.container_images),
    Attack("eight repositories of 3,000 unusable tags", pushers.unusable_tags),
)


async def endure(attack: Attack) -> bool:
    """One attack, and its part of the table; returns whether all was as it should be."""
    print(attack.name, flush=True)
    with tempfile.TemporaryDirectory(prefix="otaflux-bench-") as name:
        async with besieged(attack, Path(name)) as siege:
            before = await siege.watch(asyncio.sleep(BEFORE))
            print(before.line("before"), flush=True)
            during = await siege.watch(attack.run(siege))
            print(during.line("during"), flush=True)
            await asyncio.sleep(REST)
            after = await siege.watch(asyncio.sleep(LOOK))
            print(after.line("after"), flush=True)
            wrong = verdict(attack, before, during, after)
            for remark in siege.remarks:
                print(f"    {remark}")
    print(f"    {'ok' if not wrong else 'NOT OK: ' + '; '.join(wrong)}", flush=True)
    return not wrong


async def main(words: list[str]) -> int:
    """Those attacks that have one of the words in their names, or all."""
    chosen = [a for a in ATTACKS if not words or any(word in a.name for word in words)]
    results = [await endure(attack) for attack in chosen]
    print(f"{sum(results)} of {len(results)} are as they should be")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
