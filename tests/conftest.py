"""What all tests share: two markers, a clean environment, and a log that nobody configured.

A test that needs a program from Debian carries `@pytest.mark.real("program")`. Where the program is
missing it is skipped by name, which the summary shows; with `CI=true` it fails instead, for a check
that quietly runs less than it says is worse than none.

One that mounts a file system carries `@pytest.mark.mounts`. Where the process has not that right
(CAP_SYS_ADMIN) it is skipped by name, in CI too; with the right it has to run. See `mounts.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import structlog
from installed import find_program
from property_runs import WHOLE

from otaflux.settings import SETTINGS

# Folders and files of tests that take long.
WHOLE_PROGRAMS = {
    *("scenarios", "cli"),
    *("test_setup.py", "test_readme.py", "test_tutorial.py", "test_pages_run.py"),
    "test_site.py",
}
CAP_SYS_ADMIN = 21  # the bit, by linux/capability.h


def may_mount() -> bool:
    """Whether this process has the right to mount: CAP_SYS_ADMIN (capabilities(7)) is effective."""
    status = Path("/proc/self/status").read_text()
    (effective,) = [line for line in status.splitlines() if line.startswith("CapEff:")]
    return bool(int(effective.split()[1], 16) >> CAP_SYS_ADMIN & 1)


def pytest_configure(config: pytest.Config) -> None:
    """Settings in the environment of whoever runs the tests do not reach what is tested.

    Nor does how busy the machine is: no example of a property has a deadline. `EXAMPLES` says how
    many each property gets that asks for no number of its own, and what share the others get.
    """
    examples = int(os.environ.get("EXAMPLES", WHOLE))
    hypothesis.settings.register_profile("unhurried", deadline=None, max_examples=examples)
    hypothesis.settings.load_profile("unhurried")
    for setting in SETTINGS:
        os.environ.pop(setting.name, None)
        os.environ.pop(f"{setting.name}_FILE", None)
    config.addinivalue_line("markers", "mounts: needs the right to mount; without it skips by name")


@pytest.fixture(autouse=True)
def _log_as_it_was() -> Iterator[None]:
    """A command that a test ran configures the log of the whole process; the next finds it new."""
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip tests whose real program is missing; with CI=true they are left, to fail below.

    The long tests come first, so that workers who share the rest end together.
    """
    _share_out(items, int(getattr(config, "workerinput", {}).get("workercount", 1)))
    if not may_mount():
        lacks = pytest.mark.skip(reason="CAP_SYS_ADMIN is missing: a file system cannot be mounted")
        for item in items:
            if item.get_closest_marker("mounts"):
                item.add_marker(lacks)
    if os.environ.get("CI") == "true":
        return
    for item in items:
        for name in _missing(item):
            item.add_marker(pytest.mark.skip(reason=f"{name} is not installed"))


def _share_out(items: list[pytest.Item], workers: int) -> None:
    """Have each of so many equal parts begin with as many tests of whole programs as the others."""
    long = [item for item in items if WHOLE_PROGRAMS & {*item.path.parts}]
    short = [item for item in items if not WHOLE_PROGRAMS & {*item.path.parts}]
    items[:] = [
        item
        for worker in range(workers)
        for part in (long, short)
        for item in part[len(part) * worker // workers : len(part) * (worker + 1) // workers]
    ]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail, and do not skip, where a program is missing in CI."""
    if os.environ.get("CI") == "true":
        for name in _missing(item):
            pytest.fail(f"{name} is not installed, and CI=true does without nothing", pytrace=False)


def _missing(item: pytest.Item) -> list[str]:
    """The programs that a test names and this machine lacks."""
    named = [str(name) for marker in item.iter_markers("real") for name in marker.args]
    return [name for name in named if find_program(name) is None]
