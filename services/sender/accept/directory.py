"""Answers routing's questions from the two views in memory."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from libs.common.facts.domain import DomainState
from libs.common.facts.provider import ProviderState
from libs.common.jetstream.views import View


@dataclass(frozen=True, slots=True)
class ViewedDirectory:
    """`services.sender.ports.Directory` over views."""

    providers: Mapping[int, ProviderState]
    domains: Mapping[str, DomainState]
    views: tuple[View, ...]

    @property
    def caught_up(self) -> bool:
        """True once both sets have been read."""
        return all(view.caught_up.is_set() for view in self.views)

    async def refresh(self) -> bool:
        """Both sets, at the same time."""
        return all(await asyncio.gather(*(view.refresh() for view in self.views)))
