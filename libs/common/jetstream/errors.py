"""Errors of NATS, distinguished by what they mean for a publish."""


class BusError(Exception):
    """Anything the bus reports."""


class NotConnectedError(BusError):
    """There is no connection: surely nothing was sent."""


class NoStreamError(BusError):
    """No stream listens on that subject, or JetStream is restarting: surely nothing was stored."""


class PublishUnknownError(BusError):
    """The answer did not come: the message may be stored, or not."""


class RefusedError(BusError):
    """JetStream answered with an error."""

    def __init__(self, code: int, err_code: int, description: str) -> None:
        """`err_code` is JetStream's own number (nats-server `errors.json`)."""
        super().__init__(f"{description} ({code}/{err_code})")
        self.code = code
        self.err_code = err_code
        self.description = description


class WrongSequenceError(RefusedError):
    """The expected last sequence does not hold: somebody else wrote, or we did and did not hear it.

    `last` is the present one, or None when the server did not say (clusters).
    """

    def __init__(self, code: int, err_code: int, description: str) -> None:
        """`wrong last sequence: 7` carries the number at its end."""
        super().__init__(code, err_code, description)
        number = description.rpartition(": ")[2]
        self.last = int(number) if number.isdigit() else None


class StreamFullError(RefusedError):
    """The stream or the server's storage is at its limit."""


class ConsumerGoneError(BusError):
    """The consumer does not exist (any more), or was replaced."""


_WRONG_SEQUENCE = frozenset({10071, 10164})
_FULL = frozenset({10077, 10047, 10023, 10028, 10054})


def refusal(error: dict[str, object]) -> RefusedError:
    """The exception for a JetStream API error object."""
    code, err_code = int(str(error.get("code", 0))), int(str(error.get("err_code", 0)))
    kind = WrongSequenceError if err_code in _WRONG_SEQUENCE else StreamFullError if err_code in _FULL else RefusedError
    return kind(code, err_code, str(error.get("description", "")))
