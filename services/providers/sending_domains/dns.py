"""The door to DNS: what is published for a domain, as a resolver tells it.

Nothing is kept: a person who has just mended a record and asks again sees what the resolver says now.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dns.asyncresolver
import dns.exception
import dns.name
import dns.resolver

from services.providers.sending_domains.dns_record_rules import Question, RecordType, Seen
from services.providers.settings import NameServer

_SECONDS = 4.0
_EACH_TRY = 1.5
"""A datagram that got lost is sent again, twice, before the time is over."""
_PAYLOAD = 1_232
"""EDNS: a 2,048-bit key in one datagram, below every usual path's MTU (dnsflagday.net, 2020)."""
_MAX_VALUES = 50
_MAX_LENGTH = 4_096


class Dns:
    """The port `LookUp` over dnspython."""

    def __init__(self, server: NameServer | None, *, seconds: float = _SECONDS) -> None:
        """`server` None: those that the system uses, read anew each time; `seconds` for all questions together."""
        self._server, self._seconds = server, seconds

    async def __call__(self, questions: Sequence[Question]) -> Mapping[Question, Seen]:
        """All of them at the same time."""
        if not questions:
            return {}
        try:
            resolver = self._resolver()
        except (dns.exception.DNSException, OSError):
            return dict.fromkeys(questions, Seen(trouble="this machine has no name server set up"))
        answers = await asyncio.gather(*(self._ask(resolver, each) for each in questions))
        return dict(zip(questions, answers, strict=True))

    def _resolver(self) -> dns.asyncresolver.Resolver:
        resolver = dns.asyncresolver.Resolver(configure=self._server is None)
        if self._server is not None:
            resolver.nameservers = [self._server.address]
            resolver.port = self._server.port
        resolver.timeout, resolver.lifetime = _EACH_TRY, self._seconds
        resolver.use_edns(0, 0, _PAYLOAD)
        return resolver

    async def _ask(self, resolver: dns.asyncresolver.Resolver, question: Question) -> Seen:
        try:
            # Absolute, so that the machine's own search list is never appended.
            name = dns.name.from_text(question.name, dns.name.root)
            async with asyncio.timeout(self._seconds):
                answer = await resolver.resolve(name, question.record_type, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return Seen()
        except (dns.exception.Timeout, TimeoutError):
            return Seen(trouble=f"no answer within {self._seconds:g} seconds")
        except dns.resolver.NoNameservers:
            return Seen(trouble="the name server answered with an error")
        except (dns.exception.DNSException, OSError) as error:
            return Seen(trouble=f"it cannot be looked up ({type(error).__name__})")
        values = (_VALUES[question.record_type](record)[:_MAX_LENGTH] for record in answer)
        return Seen(tuple(value for value, _ in zip(values, range(_MAX_VALUES), strict=False)))


def _text(record: Any) -> str:
    """One record's strings belong together, without a space (RFC 7208 section 3.3, RFC 6376 section 3.6.2.2)."""
    return b"".join(record.strings).decode("utf-8", "replace")


_VALUES: Mapping[RecordType, Callable[[Any], str]] = {
    "TXT": _text,
    "CNAME": lambda record: record.target.to_text(omit_final_dot=True),
    "MX": lambda record: f"{record.preference} {record.exchange.to_text(omit_final_dot=True)}",
}
