"""Coverage-guided fuzzing of everything that reads a stranger's bytes, for some minutes.

    python fuzz/run.py              # each target in turn, FUZZ_SECONDS (120) each
    python fuzz/run.py extraction   # one of them

Each target runs on atheris, which pip installs under .fuzz/: it exists for few platforms, so it is
no requirement of the project. Where it cannot be had this says so, and fails only with CI=true.
What was learnt stays in .fuzz/corpus/ for the next run; an input that breaks something is written
to .fuzz/, and `python fuzz/run.py TARGET FILE` runs that one again.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ATHERIS = "atheris==3.0.0"
SECONDS = int(os.environ.get("FUZZ_SECONDS", "120"))
HERE = Path(__file__).parent
ROOM = HERE.parent / ".fuzz"
PACKAGES = ROOM / "packages"
TARGETS = sorted(path.stem for path in (HERE / "targets").glob("*.py"))
MEMORY = 1024  # MiB; the instrumented program needs some 100
PATIENCE = 20  # seconds for one input


def main(arguments: list[str]) -> int:
    """Run the targets; 0 where nothing was found."""
    chosen, inputs = arguments[:1] or TARGETS, arguments[1:]
    if not set(chosen) <= set(TARGETS):
        print(f"fuzz: there is no target {chosen[0]}; there are {', '.join(TARGETS)}")
        return 2
    if not has_atheris():
        print(f"fuzz: {ATHERIS} cannot be had for this Python and platform: nothing was fuzzed")
        return 1 if os.environ.get("CI") == "true" else 0
    return max([run(target, inputs) for target in chosen])


def has_atheris() -> bool:
    """Install atheris where it is missing; whether it can be used."""
    if not (PACKAGES / "atheris").exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run(
            [*pip, "--only-binary", ":all:", "--target", str(PACKAGES), ATHERIS], check=False
        )
    return run_python("import atheris").returncode == 0


def run(target: str, inputs: list[str]) -> int:
    """One target, for its time or over the inputs given."""
    corpus = ROOM / "corpus" / target
    corpus.mkdir(parents=True, exist_ok=True)
    if not inputs:
        print(f"fuzz: {target} for {SECONDS} s", flush=True)
        inputs = [f"-max_total_time={SECONDS}", "-max_len=16384", str(corpus)]
    limits = [
        f"-rss_limit_mb={MEMORY}",
        f"-timeout={PATIENCE}",
        f"-artifact_prefix={ROOM}/{target}-",
    ]
    quiet = ["-print_final_stats=1", "-verbosity=0"]
    return run_python(str(HERE / "targets" / f"{target}.py"), *limits, *quiet, *inputs).returncode


def run_python(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Python with atheris at hand."""
    code = ["-c", *arguments] if arguments[0].startswith("import ") else [*arguments]
    environment = {**os.environ, "PYTHONPATH": str(PACKAGES)}
    return subprocess.run([sys.executable, *code], env=environment, check=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
