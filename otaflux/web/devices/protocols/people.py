"""What a person gets who opens the devices' port in a browser: what this is, and where to go on.

It names no device and asks for nothing: a form leads to what a device is told, as a board hears it.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode

from otaflux.web import answers
from otaflux.web.answers import Answer
from otaflux.web.devices.request import DeviceRequest

ADDRESS = "/"
TEXT = """\
This is OtaFlux: firmware over the air, from an OCI registry. Boards ask it, people rarely.

  /version?device=NAME     the version that a device is told, its CRC-32 and its size
  /firmware?device=NAME    its bytes
  /health                  200 while the server can answer

Boards with a protocol of their own have further addresses: see docs/devices.md.
Registries send their hooks to /hooks/registry: see docs/hooks.md.
What is wrong, and what each device is told, is a page on the operators' port (9090 unless set).
"""
STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:2rem auto;padding:0 1rem}"
    "input,button{font:inherit;padding:.3rem .6rem}li{margin:.4rem 0}"
)
_STYLE_HASH = b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
# Nothing comes from elsewhere, and no script runs.
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'self';"
    " frame-ancestors 'none'"
)
PAGE = f"""\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>OtaFlux</title>
<style>{STYLE}</style>
<h1>OtaFlux runs here</h1>
<p>It gives boards their firmware over the air, from an OCI registry. Boards ask at this
address; people rarely need it.</p>
<h2>What is a device told?</h2>
<form action="/version">
<p><label>Device <input name="device" required placeholder="lamp" autocomplete="off"></label>
<button>Version, CRC-32 and size</button>
<button formaction="/firmware">Its firmware</button></p>
</form>
<h2>If you have just started it</h2>
<ol>
<li>Push a first release: <code>otaflux push lamp:1.0.0 firmware.bin</code></li>
<li>Ask for it above: enter <code>lamp</code>.</li>
<li>Let your registry send its hook to <code>/hooks/registry</code> here (docs/hooks.md).</li>
<li>Point a board here (docs/devices.md has a page for each kind of client).</li>
</ol>
<h2>If something is wrong</h2>
<p><a href="/health">/health</a> says <code>ok</code> while this server can answer.</p>
<p>What is wrong, and what each device is told, is on a page for operators. It has a port of its
own, 9090 unless you set another; the first line of the log names it (<code>operators</code>).</p>
</html>
"""


async def welcome(request: DeviceRequest) -> Answer:
    """The page for a browser, the text for everything else."""
    varies = ("Vary", "Accept")
    if "text/html" not in request.headers.get("Accept", ""):
        return request.judged(answers.plain_text(TEXT).with_headers(varies))
    safe = (("Content-Security-Policy", POLICY), ("X-Content-Type-Options", "nosniff"))
    return request.judged(answers.page(PAGE).with_headers(varies, *safe))
