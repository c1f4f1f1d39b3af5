"""What the handlers are given: one object, made in the composition root."""

from dataclasses import dataclass

from libs.common.bus import Bus
from libs.common.postgres import Database
from services.analytics.ports import Checkpoints


@dataclass(frozen=True, slots=True)
class Dependencies:
    """`count_machines`: hits of machines count like those of people (`TEMPS_COUNT_MACHINES`)."""

    database: Database
    bus: Bus
    checkpoints: Checkpoints
    count_machines: bool = False
