"""Every event that OtaFlux logs, declared once, and how a line is written.

One JSON object a line on stdout: `timestamp` (UTC, ISO 8601), `level`, `event`, and fields. Lines
are written by a thread (`otaflux.linewriter`), so that nothing ends or waits for want of a reader,
and are UTF-8 whatever the locale. The events are fixed words, listed in docs/logs.md; what varies
is in the fields.

structlog is imported with the first line that is heard: that takes longer than all else that a
short command needs, such as the health check of a container.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, MutableMapping
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self, TextIO

from otaflux.linewriter import LineWriter

if TYPE_CHECKING:
    import structlog

_FIRST = ("timestamp", "level", "event", "device")  # fields of a line, where it has them


class Event(StrEnum):
    """The fixed words; docs/logs.md says what each means and what to do."""

    SERVER_STARTED = "server_started"
    SETTING_UNKNOWN = "setting_unknown"
    SERVER_STOPPING = "server_stopping"
    SERVER_STOPPED = "server_stopped"
    SERVER_HANGS = "server_hangs"
    HOOK_ACCEPTED = "hook_accepted"
    HOOK_IGNORED = "hook_ignored"
    HOOK_REJECTED = "hook_rejected"
    RECONCILED = "reconciled"
    RELEASE_PUBLISHED = "release_published"
    RELEASE_REFUSED = "release_refused"
    RELEASE_WITHDRAWN = "release_withdrawn"
    SIGNATURE_LAPSED = "signature_lapsed"
    TRUST_CHANGED = "trust_changed"
    RELEASE_WARNING = "release_warning"
    RECORD_LEFT_OUT = "record_left_out"
    RECORD_DAMAGED = "record_damaged"
    FIRMWARE_MISSING = "firmware_missing"
    FIRMWARE_DAMAGED = "firmware_damaged"
    DEVICE_FORGOTTEN = "device_forgotten"
    LISTING_UNAVAILABLE = "listing_unavailable"
    ONLY_DEVICES = "only_devices"
    ROUND_IS_LONG = "round_is_long"
    REGISTRY_FAILED = "registry_failed"
    REGISTRY_ANSWERS = "registry_answers"
    DISK_FAILED = "disk_failed"
    UNITS_BEGUN_ANEW = "units_begun_anew"
    UNITS_CROWDED = "units_crowded"
    UNITS_SAVED_AGAIN = "units_saved_again"
    UPDATE_FAILED = "update_failed"
    RUN_CRASHED = "run_crashed"
    WAKE_CRASHED = "wake_crashed"
    LISTENER_CRASHED = "listener_crashed"
    TASK_CRASHED = "task_crashed"
    REQUEST_CRASHED = "request_crashed"
    REQUEST_FAILED = "request_failed"
    UNIT_LOOPING = "unit_looping"
    DOWNLOAD_DROPPED = "download_dropped"
    DOWNLOADS_CLAMPED = "downloads_clamped"
    DOWNLOADS_CUT = "downloads_cut"
    CERTIFICATE_ENDS = "certificate_ends"
    TLS_FAILED = "tls_failed"
    LIBRARY_SAID = "library_said"
    CONNECTIONS_CROWDED = "connections_crowded"
    DEVICE_NOT_SERVED = "device_not_served"
    DEVICE_REJECTED = "device_rejected"
    BROKER_CONNECTED = "broker_connected"
    BROKER_FAILED = "broker_failed"
    BROKER_CRASHED = "broker_crashed"
    BROKER_MESSAGE_IGNORED = "broker_message_ignored"
    HOOK_HEARD = "hook_heard"
    DISCOVERY_FULL = "discovery_full"
    SECRET_READ_AGAIN = "secret_read_again"  # noqa: S105 - the word for an event
    SECRET_KEPT = "secret_kept"  # noqa: S105 - as above
    LOG_LINES_LOST = "log_lines_lost"
    CREDENTIALS_FILE_SKIPPED = "credentials_file_skipped"
    CREDENTIAL_HELPER_SKIPPED = "credential_helper_skipped"


class Log:
    """Takes a line by its level: an event and fields. For any thread; it never waits or fails."""

    def __init__(self) -> None:
        self._lowest = logging.NOTSET
        self._configure: Callable[[], None] = lambda: None
        self._logger: structlog.stdlib.BoundLogger | None = None

    def set_up(self, lowest: int, configure: Callable[[], None]) -> None:
        """Have structlog configured before the first line of the `lowest` level or above."""
        self._lowest, self._configure, self._logger = lowest, configure, None
        if "structlog" in sys.modules:
            self._begin()

    def debug(self, event: str, **fields: object) -> None:
        """What helps to find a fault."""
        self.log(logging.DEBUG, event, **fields)

    def info(self, event: str, **fields: object) -> None:
        """What went as it should."""
        self.log(logging.INFO, event, **fields)

    def warning(self, event: str, **fields: object) -> None:
        """What somebody may have to see to."""
        self.log(logging.WARNING, event, **fields)

    def error(self, event: str, **fields: object) -> None:
        """What somebody has to see to."""
        self.log(logging.ERROR, event, **fields)

    def exception(self, event: str, **fields: object) -> None:
        """A bug of ours, with the traceback of the exception that is being handled."""
        if self._lowest <= logging.ERROR:
            (self._logger or self._begin()).exception(event, **fields)

    def log(self, level: int, event: str, **fields: object) -> None:
        """A line of that level of `logging`."""
        if level >= self._lowest:
            (self._logger or self._begin()).log(level, event, **fields)

    def _begin(self) -> structlog.stdlib.BoundLogger:
        """What takes lines; from now on it leaves out by itself what is too low."""
        import structlog

        self._configure()
        self._lowest = logging.NOTSET
        logger: structlog.stdlib.BoundLogger = structlog.get_logger()
        self._logger = logger
        return logger


log = Log()

MOST_ALIKE = 10  # lines of one kind at one occasion; what is over is counted


class FoldedBatch:
    """Lines of one kind that could be as many as there are devices, at one occasion.

    The first are written, the rest becomes one line with their number in `more`, when it is closed.
    """

    def __init__(self, event: Event, *, level: int = logging.WARNING) -> None:
        self._event = event
        self._level = level
        self._said = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        more = self._said - MOST_ALIKE
        if more > 0:
            log.log(self._level, self._event, more=more, hint="They are alike: look at the first")

    def say(self, **fields: object) -> None:
        """Write one more line, or count it."""
        self._said += 1
        if self._said <= MOST_ALIKE:
            log.log(self._level, self._event, **fields)


class _Lines:
    """What structlog calls its logger: every method takes a line."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self.msg = write
        self.debug = self.info = self.warning = self.error = self.critical = self.exception = write


def configure(
    level: str,
    form: str,
    *,
    stream: TextIO | None = None,
    environ: Mapping[str, str] = MappingProxyType({}),
    hear: Callable[[Mapping[str, Any]], object] | None = None,
    heard_besides: Collection[str] = (),
) -> LineWriter:
    """Write lines of `level` (debug, info, warning, error, critical) and above to stdout.

    `form` is `json` or `console`. Commands whose stdout is their answer name another `stream`.
    Whatever becomes of the lines, who logs neither waits nor fails. `hear` gets all warnings and
    errors, and lines of the events `heard_besides`, also where `level` leaves them out. Returns
    what writes them, which is to be closed at the end.
    """
    stream = stream or sys.stdout
    writer = LineWriter(_descriptor(stream), lost=lambda count: _lost(count, form))
    colours = form == "console" and _takes_colours(stream, environ)
    lowest = logging.getLevelNamesMapping()[level.upper()]
    heard = lowest if hear is None else min(lowest, logging.INFO)

    def set_up() -> None:
        import structlog

        structlog.configure(
            processors=[
                *([_unheard(frozenset(heard_besides), lowest)] if hear is not None else []),
                structlog.contextvars.merge_contextvars,
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                *([_hearing(hear, frozenset(heard_besides), lowest)] if hear is not None else []),
                *_rendering(form, colours=colours),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(heard),
            logger_factory=lambda *_: _Lines(writer.write),
            cache_logger_on_first_use=False,
        )

    log.set_up(heard, set_up)
    return writer


def _unheard(besides: frozenset[str], lowest: int) -> structlog.typing.Processor:
    """Drop what is neither written nor heard, before anything is made of it."""
    import structlog

    numbers = {name.lower(): level for name, level in logging.getLevelNamesMapping().items()}
    numbers["exception"] = logging.ERROR

    def process(
        _logger: Any, method: str, line: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        level = numbers.get(method, logging.CRITICAL)
        if level < lowest and level < logging.WARNING and line.get("event") not in besides:
            raise structlog.DropEvent
        return line

    return process


def _hearing(
    hear: Callable[[Mapping[str, Any]], object], besides: frozenset[str], lowest: int
) -> structlog.typing.Processor:
    """Have lines heard, and drop those below `lowest`."""
    import structlog

    # Asked for each line, and a copy each time.
    numbers = {name.lower(): level for name, level in logging.getLevelNamesMapping().items()}

    def process(
        _logger: Any, _method: str, line: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        level = numbers[line["level"]]
        if level >= logging.WARNING or line.get("event") in besides:
            hear(line)
        if level < lowest:
            raise structlog.DropEvent
        return line

    return process


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person looks at it; a stream that is closed or not there is none."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def _descriptor(stream: TextIO | None) -> int | None:
    try:
        return stream.fileno() if stream is not None else None
    except (OSError, ValueError):
        return None


def _takes_colours(stream: TextIO | None, environ: Mapping[str, str]) -> bool:
    return is_terminal(stream) and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def _rendering(form: str, *, colours: bool) -> Iterable[structlog.typing.Processor]:
    import structlog

    if form == "console":
        return (
            structlog.dev.ConsoleRenderer(
                colors=colours, exception_formatter=structlog.dev.plain_traceback
            ),
        )
    return (structlog.processors.format_exc_info, _as_json)


def _as_json(_logger: object, _method: str, fields: MutableMapping[str, Any]) -> str:
    """One object a line; first what every line has, then which device it is about."""
    ordered = {key: fields[key] for key in _FIRST if key in fields} | dict(fields)
    try:
        return json.dumps(ordered, default=str, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):  # a field that cannot be shown ends nothing
        return json.dumps({key: repr(value) for key, value in ordered.items()}, ensure_ascii=False)


def _lost(count: int, form: str) -> str:
    """The line about lines that were not written."""
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    if form == "console":
        return f"{now} [warning  ] {Event.LOG_LINES_LOST} lines={count}"
    event = {"timestamp": now, "level": "warning", "event": Event.LOG_LINES_LOST, "lines": count}
    return json.dumps(event)
