"""Combines the replies to all RCPT commands of a transaction."""

from collections.abc import Sequence
from dataclasses import replace

from libs.common.relay.classify import provider_trouble, recipient_reply
from libs.common.relay.port import RecipientReply, Trouble

ENDS_THE_SESSION = frozenset({421, 530, 534, 535, 538})
"""Codes that say nothing about one recipient: the relay closes the channel, or wants a login first."""


def about_recipients(answers: Sequence[tuple[str, int, str]]) -> dict[str, RecipientReply] | Trouble:
    """`answers`: address, code and clean text of each.

    A reply about us ("relay access denied", "daily limit") is the provider's trouble if no recipient was accepted;
    beside one that was, it concerns its own recipient only, who is tried again unless the relay may not be used for it.
    """
    about_us = {address: provider_trouble("rcpt", code, text) for address, code, text in answers}
    replies = {address: recipient_reply(address, "rcpt", code, text) for address, code, text in answers}
    first = next((trouble for trouble in about_us.values() if trouble is not None), None)
    if first is not None and not any(reply.outcome == "accepted" for reply in replies.values()):
        return first
    for address, trouble in about_us.items():
        if trouble is not None and trouble.kind != "configuration":
            replies[address] = replace(replies[address], outcome="deferred")
    return replies
