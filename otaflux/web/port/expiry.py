"""A certificate that ends soon is said at start and daily: whoever renews it has to hear in time.

On the event loop; looks at the pair that counts now, so a renewed one ends the warnings.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from otaflux.log import Event, log
from otaflux.web.port.tls import Certificate
from otaflux.web.port.validity import SOON

DAILY = 24 * 3600.0  # seconds between two warnings


class Expiry:
    """`look` at any time; `clock` counts seconds, `now` is since the epoch."""

    def __init__(
        self, certificate: Certificate, *, clock: Callable[[], float], now: Callable[[], float]
    ) -> None:
        self._certificate = certificate
        self._clock = clock
        self._now = now
        self._next = clock()

    def look(self) -> None:
        """Warn, where it is time to."""
        if self._clock() < self._next:
            return
        self._next = self._clock() + DAILY
        validity = self._certificate.validity()
        if validity is None:
            return
        left = validity.ends - self._now()
        if left >= SOON:
            return
        log.warning(
            Event.CERTIFICATE_ENDS,
            setting="TLS_CERT_PATH",
            ends=datetime.fromtimestamp(validity.ends, UTC).isoformat(),
            days=int(left // DAILY),
            reason="the certificate has ended" if left <= 0 else "the certificate ends soon",
            hint="Renew the files of TLS_CERT_PATH and TLS_KEY_PATH; no restart is needed",
        )
