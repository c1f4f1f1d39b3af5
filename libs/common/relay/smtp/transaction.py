"""One mail transaction on one connection, and what may be concluded from where it broke.

Before the final dot nothing was sent; after it, without a usable reply, the outcome is unknown (RFC 1047).
The content goes first and is drained; the dot is written last.
"""

import logging
from dataclasses import dataclass, field

from libs.common.relay.classify import (
    Stage,
    disagree,
    enhanced_status,
    provider_trouble,
    recipient_reply,
)
from libs.common.relay.port import (
    BeforeDot,
    RecipientReply,
    SendResult,
    Submission,
    Trouble,
    answered,
    troubled,
    unknown,
)
from libs.common.relay.redact import redact
from libs.common.relay.smtp.envelope import commands, refused_unasked, stuffed
from libs.common.relay.smtp.recipients import ENDS_THE_SESSION, about_recipients
from libs.common.relay.smtp.settings import Timeouts
from libs.common.relay.smtp.wire import Reply, Wire, WireBroken

log = logging.getLogger(__name__)

_BLOCK = 65536
_WORDS = {
    "lost": "the relay closed the connection",
    "silent": "the relay did not answer in time",
    "malformed": "the relay's answer is not SMTP",
}


class Stale(Exception):
    """A kept connection broke, or refused, before it had taken anything of this message: try a new one, once."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Settings shared by all transactions of one relay."""

    timeouts: Timeouts
    secrets: tuple[str, ...] = field(default=(), repr=False)


class _Trouble(Exception):
    """The provider itself speaks up in the middle of a transaction."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.kind)
        self.trouble = trouble


async def transact(wire: Wire, submission: Submission, before_dot: BeforeDot | None, terms: Terms) -> SendResult:
    """Run one transaction. Afterwards the wire may be used again if, and only if, it is still `usable`.

    Raises `Stale` when a kept wire breaks before MAIL is answered.
    """
    refused = refused_unasked(submission, wire.extensions)
    asked = tuple(address for address in submission.recipients if address not in refused)
    if not asked:
        return _answer(submission, refused)
    talk = _Talk(wire, submission, asked, terms)
    done = False
    try:
        result = await talk.run(before_dot)
        done = not talk.spoilt
    except _Trouble as spoken:
        return troubled(spoken.trouble)
    except WireBroken as broken:
        return troubled(Trouble("connection", f"{_WORDS[broken.how]} ({talk.stage})"))
    finally:
        if not done:
            wire.abort()
    return _answer(submission, refused | result) if isinstance(result, dict) else result


def _answer(submission: Submission, replies: dict[str, RecipientReply]) -> SendResult:
    return answered(tuple(replies[address] for address in submission.recipients), submission.message_id)


class _Talk:
    """The state of one transaction. `spoilt`: the connection must not be kept."""

    def __init__(self, wire: Wire, submission: Submission, asked: tuple[str, ...], terms: Terms) -> None:
        self.wire = wire
        self.submission = submission
        self.asked = asked
        self.timeouts = terms.timeouts
        self.secrets = terms.secrets
        self.stage = "MAIL"
        self.spoilt = False

    async def run(self, before_dot: BeforeDot | None) -> dict[str, RecipientReply] | SendResult:
        """Envelope, content, dot."""
        wire = self.wire
        opening, *rcpts = commands(self.submission, self.asked, wire.extensions)
        mail = await self._open(opening, rcpts)
        if mail.code // 100 != 2:
            return await self._mail_refused(mail, len(rcpts))
        outcomes = await self._recipients(rcpts)
        accepted = [address for address, reply in outcomes.items() if reply.outcome == "accepted"]
        if not accepted:
            if wire.pipelining:
                await self._leftover(1)
            return outcomes
        self.stage = "DATA"
        go_ahead = await self._ask(b"DATA\r\n", self.timeouts.data)
        if go_ahead.code != 354:
            return outcomes | self._concerning(accepted, "data", go_ahead)
        self.stage = "content"
        early = await self._content()
        if early is None:
            if before_dot is not None and not await before_dot():
                self.spoilt = True
                return SendResult(abandoned=True)
            early = wire.early()
        if early is not None:
            return outcomes | self._early(accepted, early)
        wire.write(b".\r\n")
        self.stage = "dot"
        last = await self._last_word()
        return last if isinstance(last, SendResult) else outcomes | self._concerning(accepted, "dot", last)

    async def _open(self, opening: bytes, rcpts: list[bytes]) -> Reply:
        """The answer to MAIL. Raises `Stale` when a kept connection breaks or refuses: nothing was said yet."""
        wire = self.wire
        wire.messages += 1
        reset, wire.needs_reset = wire.needs_reset, True
        try:
            if wire.pipelining:
                # RFC 2920 section 3.1: one group, DATA last in it.
                wire.write(b"".join((b"RSET\r\n" if reset else b"", opening, *rcpts, b"DATA\r\n")))
            cleared = not reset or (await self._ask(b"RSET\r\n")).code // 100 == 2
            mail = await self._ask(opening)
        except WireBroken:
            if wire.kept:
                raise Stale from None
            raise
        if wire.kept and (mail.code >= 400 or not cleared):
            # Relays say goodbye to an idle or much used connection with whatever code they like (451 4.4.2, 450 for a
            # limit per connection, 503 for a transaction that is not ours). If it was about the sender after all, the
            # new connection, which has no past, says so again.
            raise Stale
        return mail

    async def _ask(self, line: bytes, timeout: float | None = None) -> Reply:
        """The answer to `line`; in a pipelined group it is already on its way."""
        if not self.wire.pipelining:
            self.wire.write(line)
        return await self.wire.reply(timeout or self.timeouts.command)

    async def _recipients(self, rcpts: list[bytes]) -> dict[str, RecipientReply]:
        self.stage = "RCPT"
        answers: list[tuple[str, int, str]] = []
        for address, line in zip(self.asked, rcpts, strict=True):
            reply = await self._ask(line)
            if reply.code in ENDS_THE_SESSION or reply.code // 100 == 3:
                self._concerning([address], "rcpt", reply)
            text = redact(reply.text, self.secrets)
            self._note_disagreement(reply.code, text)
            answers.append((address, reply.code, text))
        found = about_recipients(answers)
        if isinstance(found, Trouble):
            raise _Trouble(found)
        return found

    async def _mail_refused(self, mail: Reply, rcpts: int) -> dict[str, RecipientReply]:
        """The sender is refused, and with it every recipient; it is never their bounce."""
        outcomes = self._concerning(self.asked, "mail", mail)
        if mail.code // 100 == 5:
            log.warning("the relay refuses the sender: %d %s", mail.code, redact(mail.text, self.secrets))
        self.wire.needs_reset = False
        if self.wire.pipelining:
            await self._leftover(rcpts + 1)
        return outcomes

    async def _leftover(self, replies: int) -> None:
        """Read what a pipelined group still brings: it changes no outcome, only spoils the connection."""
        try:
            last = Reply(0, "")
            for _ in range(replies):
                last = await self.wire.reply(self.timeouts.data)
            if last.code == 354 and replies == 1:
                # RFC 2920 section 3.1: DATA was taken although every RCPT was refused; a lone dot ends it.
                self.wire.write(b".\r\n")
                last = await self.wire.reply(self.timeouts.data)
                self.wire.needs_reset = False
        except WireBroken:
            self.spoilt = True
        else:
            self.spoilt = last.code in {354, 421}

    async def _content(self) -> Reply | None:
        """Write the content and drain it. Returns a reply that came without waiting for the dot."""
        wire, content = self.wire, stuffed(self.submission.message)
        for start in range(0, len(content), _BLOCK):
            wire.write(content if len(content) <= _BLOCK else content[start : start + _BLOCK])
            try:
                await wire.drained(self.timeouts.block)
            except WireBroken:
                # Whoever refuses half-way (too big) answers and closes: its words outlive the connection.
                early = wire.early()
                if early is None:
                    raise
                return early
        return None

    def _early(self, accepted: list[str], reply: Reply) -> dict[str, RecipientReply]:
        """An answer before the dot was written: nothing was sent. A refusal stands, else it is a muddle."""
        self.spoilt = True
        if reply.code // 100 in {4, 5}:
            return self._concerning(accepted, "data", reply)
        raise WireBroken("malformed")

    async def _last_word(self) -> Reply | SendResult:
        """The answer to the whole message, or that there is none."""
        try:
            reply = await self.wire.reply(self.timeouts.final_dot)
        except WireBroken as broken:
            self.spoilt = True
            return unknown(f"{_WORDS[broken.how]} (after the final dot)")
        if reply.code // 100 == 3:
            self.spoilt = True
            return unknown(f"{_WORDS['malformed']} (after the final dot)")
        self.wire.needs_reset = False
        return reply

    def _concerning(
        self, addresses: tuple[str, ...] | list[str], stage: Stage, reply: Reply
    ) -> dict[str, RecipientReply]:
        """One reply for these recipients. Raises `_Trouble` if it is the provider that speaks of itself."""
        text = redact(reply.text, self.secrets)
        trouble = provider_trouble(stage, reply.code, text)
        if trouble is not None:
            raise _Trouble(trouble)
        if reply.code // 100 == 3:
            raise WireBroken("malformed")
        if stage == "data" and reply.code // 100 == 2:
            raise WireBroken("malformed")
        self._note_disagreement(reply.code, text)
        return {address: recipient_reply(address, stage, reply.code, text) for address in addresses}

    def _note_disagreement(self, code: int, text: str) -> None:
        if disagree(code, enhanced_status(text)):
            log.warning("the relay's codes disagree, taken as temporary: %d %s", code, text)
