"""Facts straight into read models, without a log: for tests of folds and of what is asked afterwards."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from libs.common.facts import Envelope
from services.analytics.audit import fold as audit
from services.analytics.emails import fold as emails
from services.analytics.events import fold as tracking
from services.analytics.log_copy import fold as facts
from services.analytics.postgres import Session
from services.analytics.projector import ReadModel, read_model
from tests.backing import Database

MODELS = tuple(read_model(module) for module in (facts, emails, tracking, audit))

Tables = dict[str, list[tuple[Any, ...]]]


class Copy:
    """One set of live read models in schemas of its own (`suffix` tells several in one database apart)."""

    def __init__(self, session: Session, suffix: str) -> None:
        self.session = session
        self.suffix = suffix

    def schema(self, model: ReadModel) -> str:
        return f"{model.schema}{self.suffix}"

    async def create(self) -> None:
        for model in MODELS:
            schema = self.schema(model)
            await self.session.run(
                f"CREATE SCHEMA IF NOT EXISTS {schema}; SET search_path TO {schema}; {model.statements['create']}"
            )
        await self.session.run("RESET search_path")

    async def apply(self, batch: Sequence[Envelope]) -> None:
        """One batch in one transaction, as the projector does it."""
        async with self.session.transaction():
            for model in MODELS:
                rows = model.fold(batch)
                if not any(rows.values()):
                    continue
                for stage, records in rows.items():
                    await self.session.copy(stage, model.stages[stage], records)
                await self.session.run(f"SET LOCAL search_path TO {self.schema(model)}; {model.statements['apply']}")

    async def tables(self) -> Tables:
        """Every row of every table, in one order."""
        found: Tables = {}
        for model in MODELS:
            names = await self.session.rows(
                "SELECT table_name::text FROM information_schema.tables WHERE table_schema = %(schema)s ORDER BY 1",
                {"schema": self.schema(model)},
            )
            for (name,) in names:
                rows = await self.session.rows(f"SELECT t::text FROM {self.schema(model)}.{name} t ORDER BY 1")  # noqa: S608
                found[name] = rows
        return found


@asynccontextmanager
async def copies(database: Database, *suffixes: str) -> AsyncIterator[list[Copy]]:
    """Empty read models, one set for each suffix, on one connection of the owner's."""
    session = await Session.open(database.owner_url, name="test")
    try:
        for model in MODELS:
            await session.run(model.statements["stage"])
        made = [Copy(session, suffix) for suffix in suffixes]
        for each in made:
            await each.create()
        yield made
    finally:
        await session.close()
