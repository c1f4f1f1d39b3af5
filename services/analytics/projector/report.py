"""For operators: how far each read model is and what stands in its way."""

from collections.abc import Sequence

from libs.common.jetstream.bus import Bus
from services.analytics.postgres import Session
from services.analytics.projector.checkpoints import SQL, Mark, outdated, resume, standing
from services.analytics.projector.model import ReadModel


async def status(
    bus: Bus, session: Session, models: Sequence[ReadModel], streams: Sequence[str]
) -> tuple[list[str], bool]:
    """Lines for a person, and whether all is well. Raises BusError, AwayError."""
    known = await standing(session)
    ends = {stream: (await bus.stream_state(stream)).last_sequence for stream in streams}
    diverged = [f"log_diverged: {stream}: {text}" for stream, text in await session.rows(SQL["diverged"])]
    lines, fine = list(diverged), not diverged
    for model in models:
        places = []
        for stream in streams:
            position = known.marks.get((model.name, stream), Mark()).position
            places.append(f"{stream} {position:,} of {ends[stream]:,}")
        line = f"{model.name:<16} {'  '.join(places)}"
        if (stopped := known.stopped.get(model.name)) is not None:
            line += f"  STOPPED before {stopped.stream} {stopped.sequence}: {stopped.error}"
            fine = False
        elif outdated(known, model):
            line += "  tables of another version: rebuild it"
            fine = False
        lines.append(line)
    return lines, fine


async def resume_model(session: Session, name: str) -> bool:
    """Let a stopped model try its fact again; False when there is no such model."""
    return await resume(session, name) > 0
