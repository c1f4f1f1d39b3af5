"""Settings of the analytics service."""

from typing import Annotated

from pydantic import Field

from libs.common.settings import Settings as CommonSettings


class Settings(CommonSettings):
    """Postgres is reached as two roles: one asks and projects, the other makes the tables."""

    postgres_url: Annotated[str, Field(repr=False)]
    """Postgres as the role that asks and projects."""
    postgres_owner_url: Annotated[str, Field(repr=False)]
    """Postgres as the role that makes and changes tables."""
    count_machines: bool = False
    """Counts opens and clicks of known robots like those of people."""
