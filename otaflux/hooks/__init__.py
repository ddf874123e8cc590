"""Every registry's webhook, from headers and bytes to what it asks for here.

`table.py` lists the sources, one file each; `intake.py` says what an event means here.
"""

from otaflux.hooks.table import (
    EXAMPLES,
    SOURCES,
    Delivery,
    Example,
    Headers,
    HookSource,
    Proof,
    Pushed,
    form_json,
    parse,
)

__all__ = [
    "EXAMPLES",
    "SOURCES",
    "Delivery",
    "Example",
    "Headers",
    "HookSource",
    "Proof",
    "Pushed",
    "form_json",
    "parse",
]
