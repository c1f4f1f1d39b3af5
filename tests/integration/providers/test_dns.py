"""The door to DNS against a name server on the wire."""

import asyncio
import socket

from services.providers.sending_domains.dns import Dns
from services.providers.sending_domains.dns_record_rules import Question, Seen
from services.providers.settings import NameServer as Address
from tests.support.aio import run
from tests.support.name_server import NameServer

SPF, KEY, TOKEN, FEEDBACK = (
    Question("send.a.example", "TXT"),
    Question("key._domainkey.a.example", "TXT"),
    Question("token._domainkey.a.example", "CNAME"),
    Question("send.a.example", "MX"),
)


def door(server: NameServer, seconds: float = 4.0) -> Dns:
    return Dns(Address("127.0.0.1", server.port), seconds=seconds)


def test_what_is_published_is_seen_in_every_type() -> None:
    async def main() -> None:
        async with NameServer() as server:
            server.publish("send.a.example", "TXT", "v=spf1 include:a.b ~all", 'say "hi"; p')
            server.publish("send.a.example", "MX", "10 feedback.example.", "20 other.example.")
            server.publish("token._domainkey.a.example", "CNAME", "Token.dkim.example.")
            seen = await door(server)([SPF, FEEDBACK, TOKEN, KEY])
            assert sorted(seen[SPF].values) == ['say "hi"; p', "v=spf1 include:a.b ~all"]
            assert sorted(seen[FEEDBACK].values) == ["10 feedback.example", "20 other.example"]
            assert seen[TOKEN] == Seen(("Token.dkim.example",))
            assert seen[KEY] == Seen(), "no such name"
            none = Question("token._domainkey.a.example", "TXT")
            assert (await door(server)([none]))[none] == Seen(), "the name is there, the record is not"

    run(main())


def test_a_long_key_is_one_text_also_when_it_needs_a_stream() -> None:
    async def main() -> None:
        async with NameServer() as server:
            for length, streams in ((700, 0), (3_000, 1)):
                server.publish("key._domainkey.a.example", "TXT", "v=DKIM1; p=" + "M" * length)
                seen = await door(server)([KEY])
                assert seen[KEY] == Seen(("v=DKIM1; p=" + "M" * length,))
                assert server.asked_by_tcp == streams

    run(main())


def test_one_silent_name_does_not_hold_up_or_hide_the_others() -> None:
    async def main() -> None:
        async with NameServer() as server:
            server.publish("send.a.example", "TXT", "text")
            server.silent |= {"key._domainkey.a.example", "token._domainkey.a.example"}
            begun = asyncio.get_running_loop().time()
            seen = await door(server, seconds=0.5)([SPF, KEY, TOKEN])
            assert asyncio.get_running_loop().time() - begun < 0.9, "in parallel"
            assert seen[SPF] == Seen(("text",))
            assert seen[KEY] == seen[TOKEN] == Seen(trouble="no answer within 0.5 seconds")

    run(main())


def test_a_lost_datagram_is_sent_again() -> None:
    async def main() -> None:
        async with NameServer() as server:
            server.publish("send.a.example", "TXT", "text")
            server.lost = 1
            assert (await door(server)([SPF]))[SPF] == Seen(("text",))

    run(main())


def test_an_error_is_no_answer_and_no_absence() -> None:
    async def main() -> None:
        async with NameServer() as server:
            server.broken.add("send.a.example")
            assert (await door(server)([SPF]))[SPF].trouble == "the name server answered with an error"
            long = Question(".".join(["a" * 60] * 5), "TXT")
            assert (await door(server)([long]))[long].trouble is not None

    run(main())


def test_a_name_server_that_is_not_there_is_told() -> None:
    async def main() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        seen = await Dns(Address("127.0.0.1", port), seconds=1)([SPF, KEY])
        assert all(each.trouble is not None for each in seen.values())
        assert await Dns(Address("127.0.0.1", port))([]) == {}

    run(main())
