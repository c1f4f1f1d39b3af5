"""How far the sets have moved through this gateway: what makes a change visible to every later request."""

from dataclasses import dataclass, field

HEADER = b"temps-position"


@dataclass(slots=True)
class Positions:
    """The highest position per set that a service has answered; `header` is what is sent along."""

    highest: dict[str, int] = field(default_factory=dict)
    header: bytes = b""
    _last: bytes = b""

    def learn(self, value: bytes) -> None:
        """Take in `set=sequence,set=sequence`; what is malformed is skipped."""
        if value == self._last:
            return
        self._last = value
        moved = False
        for part in value.decode("latin-1").split(","):
            name, _, number = part.strip().partition("=")
            if name and number.isdecimal() and int(number) > self.highest.get(name, 0):
                self.highest[name] = int(number)
                moved = True
        if moved:
            self.header = ",".join(f"{name}={at}" for name, at in self.highest.items()).encode("latin-1")
