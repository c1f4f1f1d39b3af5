"""SMTP commands and content of one message, as pure functions of the message and the relay's EHLO."""

from libs.common.relay.port import RecipientReply, Submission

_UNSUPPORTED_ADDRESS = "unsupported_address: the relay does not take addresses outside ASCII (no SMTPUTF8)"


def commands(submission: Submission, asked: tuple[str, ...], extensions: dict[str, str]) -> list[bytes]:
    """MAIL, then one RCPT for each of `asked`.

    Addresses go as they are: the port let nothing through that could end one early.
    """
    parameters = ""
    if "size" in extensions:
        parameters = f" SIZE={len(submission.message)}"  # RFC 1870 section 6: counted before dot-stuffing
    if submission.smtputf8 or not all(map(str.isascii, (submission.sender, *asked))):
        parameters += " SMTPUTF8" if submission.message.isascii() else " SMTPUTF8 BODY=8BITMIME"
    rcpts = [f"RCPT TO:<{address}>\r\n".encode() for address in asked]
    return [f"MAIL FROM:<{submission.sender}>{parameters}\r\n".encode(), *rcpts]


def refused_unasked(submission: Submission, extensions: dict[str, str]) -> dict[str, RecipientReply]:
    """The recipients that the relay's EHLO already rules out (RFC 6531 section 3.2, RFC 1870 section 6.1)."""
    limit = extensions.get("size", "")
    size = len(submission.message)
    if limit.isdecimal() and 0 < int(limit) < size:
        text = f"the message has {size} octets, the relay takes {limit} (SIZE)"
        return _all_failed(submission.recipients, "5.3.4", text)
    if "smtputf8" in extensions:
        return {}
    if submission.smtputf8 or not submission.sender.isascii():
        return _all_failed(submission.recipients, "5.6.7", _UNSUPPORTED_ADDRESS)
    foreign = tuple(address for address in submission.recipients if not address.isascii())
    return _all_failed(foreign, "5.6.7", _UNSUPPORTED_ADDRESS)


def stuffed(message: bytes) -> bytes:
    """The content with every leading dot doubled (RFC 5321 section 4.5.2). Lines end with CRLF."""
    if b"\r\n." in message:
        message = message.replace(b"\r\n.", b"\r\n..")
    return b"." + message if message.startswith(b".") else message


def _all_failed(addresses: tuple[str, ...], enhanced: str, text: str) -> dict[str, RecipientReply]:
    return {address: RecipientReply(address, "failed", None, enhanced, text) for address in addresses}
