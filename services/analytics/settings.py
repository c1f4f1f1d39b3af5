"""What the analytics service is told by its environment."""

from typing import Annotated

from pydantic import Field

from libs.common.settings import Settings as CommonSettings


class Settings(CommonSettings):
    """`postgres_url` asks and projects, `postgres_owner_url` makes tables."""

    postgres_url: Annotated[str, Field(repr=False)]
    postgres_owner_url: Annotated[str, Field(repr=False)]
    count_machines: bool = False
    """`TEMPS_COUNT_MACHINES`: hits of machines count like those of people."""
