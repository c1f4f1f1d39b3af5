"""Content end to end: whatever lines a message has, the relay has them when the dots are removed."""

import asyncio

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from libs.common.relay.port import Submission
from tests.integration.relay.common import BOB, BOTH_WAYS, relay_for
from tests.support import aio
from tests.support.relay import ScriptedRelay

LINES = st.lists(
    st.one_of(
        st.sampled_from([b".", b"..", b"", b"QUIT", b"RSET", b"MAIL FROM:<evil@a.example>", b".\t", b"DATA"]),
        st.text(alphabet=st.characters(max_codepoint=126, exclude_characters="\r\n"), max_size=80).map(str.encode),
    ),
    min_size=1,
    max_size=12,
)


@hypothesis_settings(deadline=None, max_examples=40)
@given(st.lists(LINES, min_size=1, max_size=15))
def test_every_message_arrives_byte_for_byte(messages: list[list[bytes]]) -> None:
    raws = [b"".join(line + b"\r\n" for line in lines) for lines in messages]

    async def run() -> None:
        for extensions in BOTH_WAYS:
            async with ScriptedRelay(extensions=extensions) as relay, relay_for(relay) as ours:
                for number, content in enumerate(raws):
                    result = await ours.send(Submission("a@a.example", (BOB,), content, f"<{number}@a.example>"))
                    assert result.provider_message_id == f"<{number}@a.example>"
                assert [message.raw for message in relay.messages] == raws
                assert len(relay.sessions) == 1

    aio.run(run())


def test_large_messages_on_many_connections_arrive_whole() -> None:
    async def run() -> None:
        async with ScriptedRelay() as relay, relay_for(relay, max_connections=4) as ours:
            contents = [bytes([65 + n]) * 76 + b"\r\n" + b"....\r\n" * 100_000 + b".\r\n" for n in range(6)]
            await asyncio.gather(
                *(ours.send(Submission("a@a.example", (BOB,), content, "<1@a.example>")) for content in contents)
            )
            assert sorted(message.raw for message in relay.messages) == contents

    aio.run(run())
