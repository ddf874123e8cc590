"""Every error that leaves a module, as one tree.

A branch stands for what the caller does next, so there are three and no more:

    OtaFluxError
    ├── Refused              what a device, a hook or a person sent is wrong: 4xx, or exit 2
    │   ├── BadName          a device, repository, tag, version or channel that cannot be one
    │   ├── NotFound         nothing is under that name or address
    │   │   └── NothingHigher  … but what is lower than what a unit says it runs
    │   ├── WrongMethod      the address is there, but not for that method
    │   ├── Superseded       the rest of a download whose firmware is another by now
    │   ├── BadSetting       a setting that is wrong
    │   ├── BadHook          a webhook body that is no JSON, or of no known shape
    │   ├── BadBody          a body of a unit that is no JSON, or of no known shape
    │   ├── HooksClosed      a webhook while no secret is set, so that nobody could prove himself
    │   ├── Unproven         a webhook without a proof that its sender knows the secret
    │   ├── TooLarge         a body above the limit
    │   └── TimedOut         a body that did not come in time
    ├── Undecided            registry, broker, disk or rights: nothing was learnt, nothing changes
    │   ├── Unreachable      the registry as a whole does not answer: let one key try for all
    │   ├── DiskFailed       the disk is full, read-only, broken, or not for this user
    │   │   ├── DiskFull     … of these: others may give way
    │   │   └── DiskUnsure   … and after a restart it may hold the new file or the old
    │   └── Busy             too much is under way: ask again soon
    └── Unusable             this digest, verified, cannot be served: look at the next lower one
        ├── Unsigned         … yet: its signature may still come
        ├── Misbound         … under this tag: it was signed for another version or device
        ├── Incomplete       … yet: a blob that its manifest names is not there
        └── Withheld         … yet: a policy of the registry withholds it

`Unusable` itself is a verdict on bytes and final for them; its leaves are looked at again.
`Gone` is no error but an answer, and so it is a look (see `otaflux.model.look`).

Messages are for the reader: what happened, to which device and tag, and what to do about it.
They never hold a secret.
"""

from __future__ import annotations


class OtaFluxError(Exception):
    """The root: whatever this project raises on purpose."""


class Refused(OtaFluxError):
    """What was sent or set is wrong, and only its sender can mend it."""


class BadName(Refused):
    """A device, repository, tag, version or channel that cannot be one."""


class NotFound(Refused):
    """Nothing is under the name or address that was asked for."""


class NothingHigher(NotFound):
    """What there is, if anything, is lower than what a unit says it runs, and nobody is lowered."""


class WrongMethod(Refused):
    """The address is there, but takes other methods only; `allowed` names them."""

    def __init__(self, *allowed: str) -> None:
        super().__init__(f"This address takes {' and '.join(allowed)}")
        self.allowed = allowed


class Superseded(Refused):
    """The rest of a download was asked for, and its firmware is another by now: begin anew."""


class BadSetting(Refused):
    """A setting that is wrong: its name, what was found, what was expected.

    `complaints` holds one line for each setting that is wrong, so that all are told at once.
    """

    def __init__(self, *complaints: str) -> None:
        super().__init__("\n".join(complaints))
        self.complaints = complaints


class BadHook(Refused):
    """A webhook body that is no JSON, or has no known shape."""


class BadBody(Refused):
    """A body that a unit sent, which is no JSON, or has no known shape, or broke off."""


class HooksClosed(Refused):
    """No secret for webhooks is set, so none is taken."""


class Unproven(Refused):
    """A webhook whose sender did not prove that it knows the secret."""


class TooLarge(Refused):
    """A body above the limit."""


class TimedOut(Refused):
    """A body that did not come in time."""


class Undecided(OtaFluxError):
    """Nothing was learnt, so nothing changes; it is worth asking again.

    `retry_after` is in seconds, as the other side asked for it, or None where it did not say.
    `hint` says what a person can do about it, or is empty.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, hint: str = "") -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.hint = hint

    @property
    def with_hint(self) -> str:
        """What happened, and what to do about it, for one line."""
        return f"{self}. {self.hint}" if self.hint else str(self)


class Unreachable(Undecided):
    """The registry as a whole does not answer: not only this device would fail now."""


class Busy(Undecided):
    """Who asked may ask again soon, and is told so: 503 with this text and `retry_after`."""


class DiskFailed(Undecided):
    """The disk is full, read-only, broken or not to be written by this user."""


class DiskFull(DiskFailed):
    """There is no room for it, on the disk or within what is allowed to it."""


class DiskUnsure(DiskFailed):
    """A file has its name, but whether that outlives a power cut the disk would not say."""


class Unusable(OtaFluxError):
    """Verified content that cannot be served; a verdict that is final for its digest.

    `digest` is the manifest's, as text, where the bytes were no manifest that could be returned
    and the caller would not know it otherwise; else empty.
    """

    def __init__(self, message: str, *, digest: str = "") -> None:
        super().__init__(message)
        self.digest = digest


class Unsigned(Unusable):
    """No signature that holds was found; one may still be pushed."""


class Misbound(Unusable):
    """It is signed, and for another version or device than its tag's, or does not say for which."""


class Incomplete(Unusable):
    """A blob that the manifest names is missing from the registry; it may still come."""


class Withheld(Unusable):
    """A policy of the registry withholds it, for lack of a signature or a scan say; it may stop."""


def reason_of(error: Exception) -> str:
    """What an error of the system or of a library says; where it says nothing, its type's name."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
