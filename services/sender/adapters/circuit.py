"""Whether a provider sends at all: what is known of its trouble, who tries it out, and what people are told of it."""

import logging
import time
from dataclasses import dataclass, field

from prometheus_client import Gauge

from libs.common.events.provider import ProviderState
from libs.common.relay.port import Trouble
from services.sender.domain.breaker import Breaker
from services.sender.domain.routing import Closed, named, why_unusable

log = logging.getLogger(__name__)

_PROMISE = 5.0
"""Seconds for which an invitation to try a provider out stands; meanwhile nobody else gets one."""

CIRCUIT = Gauge("temps_provider_circuit_open", "1 while only a try now and then is sent to the provider", ["provider"])


@dataclass(slots=True)
class Circuit:
    """One provider's, in one worker."""

    breaker: Breaker = field(default_factory=Breaker)
    halted: str | None = None
    """Its configuration was found at fault: until `provider.stopped` is here no other email runs into the same wall."""
    probing: bool = False
    """One message is on its way to find out."""
    _promised: float = 0.0

    def closed(self, provider: ProviderState) -> Closed | None:
        """Why nothing is sent to it now; None when something is, be it only to try it out."""
        if self.halted is not None:
            return Closed("stopped", f"stopped: {self.halted}")
        why = why_unusable(provider)
        if why is None and self.breaker.is_open and not self._may_probe():
            return Closed("quota" if self.breaker.used_up else "circuit", self.breaker.reason)
        return why

    def available(self, provider: ProviderState) -> bool:
        """Whether another provider's mail may come."""
        if self.closed(provider) is not None:
            return False
        return not self.breaker.is_open or time.monotonic() >= self._promised

    def invite(self) -> None:
        """Another provider's mail is coming: while it has to be tried out, one at a time."""
        if self.breaker.is_open:
            self._promised = time.monotonic() + _PROMISE

    def learn(self, provider: ProviderState, trouble: Trouble | None, seconds: float) -> None:
        """A hand-over ended, after so many seconds, with that trouble or none."""
        now = time.monotonic()
        if trouble is None or trouble.kind == "throttled":
            self._settle(provider, self.breaker.succeeded())
        elif trouble.kind == "configuration":
            self.halted = trouble.text
        elif trouble.kind == "quota":
            self._settle(provider, self.breaker.exhausted(now, trouble.text))
        else:
            # An answer that came late is none that never came.
            silent = seconds if trouble.smtp_code is None else 0.0
            self._settle(provider, self.breaker.failed(now, trouble.text, seconds=silent))

    def reset(self, provider: ProviderState | None) -> None:
        """Its settings changed: nothing is known of it any more."""
        self._settle(provider, Breaker())
        self.halted, self._promised = None, 0.0

    def _may_probe(self) -> bool:
        return not self.probing and time.monotonic() >= self.breaker.until

    def _settle(self, provider: ProviderState | None, breaker: Breaker) -> None:
        """Take over the new state, and tell of opening and closing."""
        before, self.breaker = self.breaker, breaker
        if provider is None or breaker is before or not (breaker.is_open or before.is_open):
            return
        CIRCUIT.labels(str(provider.id)).set(breaker.is_open)
        if not breaker.is_open:
            log.info("%s: the circuit is closed again, mail flows", named(provider))
        elif not before.is_open or breaker.used_up != before.used_up:
            log.warning("%s: %s; next try in %.0f s", named(provider), breaker.reason, breaker.pause)
