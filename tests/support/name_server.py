"""A name server that says what a test wants it to: published records, errors, or nothing at all.

async with NameServer() as server:
    server.publish("send.a.example", "TXT", "v=spf1 include:amazonses.com ~all")
    server.silent.add("_dmarc.a.example")
    ...                                 # ask 127.0.0.1, server.port
"""

import asyncio
from types import TracebackType
from typing import Self

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset


class NameServer(asyncio.DatagramProtocol):
    """UDP on a random port of 127.0.0.1, TCP beside it for answers that are too long."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], list[str]] = {}
        self.silent: set[str] = set()
        """Names that get no answer."""
        self.broken: set[str] = set()
        """Names whose answer is SERVFAIL."""
        self.lost = 0
        """So many datagrams are dropped before any is answered."""
        self.asked: list[tuple[str, str]] = []
        self.asked_by_tcp = 0
        self.port = 0
        self._transport: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None
        self._streams: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._tcp = await asyncio.start_server(self._stream, "127.0.0.1", 0)
        self.port = self._tcp.sockets[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", self.port))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._transport is not None
        assert self._tcp is not None
        self._transport.close()
        self._tcp.close()
        for stream in self._streams:
            stream.transport.abort()  # somebody who connected and asked nothing
        await self._tcp.wait_closed()

    @property
    def address(self) -> str:
        """`ip:port`."""
        return f"127.0.0.1:{self.port}"

    def publish(self, name: str, record_type: str, *values: str) -> None:
        """All values of a name, in place of those it had; TXT values are cut into strings as long as they may be."""
        written = [_strings(value) for value in values] if record_type == "TXT" else list(values)
        self.records[name, record_type] = written

    def forget(self, name: str, record_type: str) -> None:
        """No such record any more."""
        self.records.pop((name, record_type), None)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """A question by UDP."""
        if self.lost > 0:
            self.lost -= 1
            return
        answer = self._answer(data)
        if answer is not None and self._transport is not None:
            wire = answer.to_wire(max_size=65_535)
            if len(wire) > max(512, dns.message.from_wire(data).payload):
                answer.answer.clear()
                answer.flags |= dns.flags.TC
                wire = answer.to_wire()
            self._transport.sendto(wire, addr)

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._streams.add(writer)
        try:
            length = int.from_bytes(await reader.readexactly(2), "big")
            self.asked_by_tcp += 1
            answer = self._answer(await reader.readexactly(length))
            if answer is not None:
                wire = answer.to_wire(max_size=65_535)
                writer.write(len(wire).to_bytes(2, "big") + wire)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # it asked nothing
        finally:
            self._streams.discard(writer)
            writer.close()

    def _answer(self, data: bytes) -> dns.message.Message | None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        if name in self.silent:
            return None
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if name in self.broken:
            response.set_rcode(dns.rcode.SERVFAIL)
            return response
        values = self.records.get((name, kind))
        if values:
            response.answer.append(dns.rrset.from_text_list(question.name, 60, "IN", kind, values))
        elif not any(known == name for known, _ in self.records):
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response


def _strings(text: str) -> str:
    """RFC 1035 section 3.3: strings of at most 255 bytes."""
    parts = (text[at : at + 255] for at in range(0, len(text), 255))
    return " ".join('"' + part.replace("\\", "\\\\").replace('"', '\\"') + '"' for part in parts)
