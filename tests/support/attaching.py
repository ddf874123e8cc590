"""What stands for a signature where a test only looks at how it is attached: no key has a part."""

from __future__ import annotations

from signed_content import BUNDLE

from otaflux.registry.source import Attach, Attached

__all__ = ["BUNDLE", "signed"]


def signed(by: str = "a") -> Attach:
    """Something that looks like a signature, and says who made it."""
    return lambda subject: Attached(f'{{"{by}": "{subject}"}}'.encode(), BUNDLE, {"by": by})
