"""The dependencies of the handlers, composed in `__main__`."""

from dataclasses import dataclass

from libs.common.jetstream.bus import Bus
from services.analytics.ports import Checkpoints
from services.analytics.postgres import Database


@dataclass(frozen=True, slots=True)
class Dependencies:
    """`count_machines`: hits of machines count like those of people (`TEMPS_COUNT_MACHINES`)."""

    database: Database
    bus: Bus
    checkpoints: Checkpoints
    count_machines: bool = False
