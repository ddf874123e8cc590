"""The tutorial's commands are run, one shell from its first block to its last."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from programs import free_port

PAGE = (Path(__file__).resolve().parent.parent / "docs/tutorial.md").read_text()


@pytest.mark.real("docker-registry", "curl")
def test_the_blocks_lead_from_nothing_to_an_update(tmp_path: Path) -> None:
    """Pasted as they are, on ports of this test's own: told, updated, taken back, cleaned up."""
    commands = "".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL))
    ports = {"8080": str(free_port()), "5000": str(free_port()), "9090": str(free_port())}
    for port in ("8080", "5000"):
        commands = commands.replace(f"127.0.0.1:{port}", f"127.0.0.1:{ports[port]}")
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "LISTEN_ADDR": f"127.0.0.1:{ports['8080']}",
        "METRICS_LISTEN_ADDR": f"127.0.0.1:{ports['9090']}",
    }
    done = subprocess.run(
        ["bash", "-s"],
        cwd=tmp_path,
        env=environment,
        input=f"set -e\n{commands}",
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "1.0.0\n" in done.stdout
    assert re.search(r"lamp +1\.1\.0 +current", done.stdout)
    assert done.stdout.rstrip().splitlines()[-3] == "1.0.0"
    assert not (tmp_path / "ota-trial").exists()
