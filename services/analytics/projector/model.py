"""Defines a read model: a pure fold from facts to rows, and the SQL that writes those rows."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from libs.common.facts import Envelope
from services.analytics.postgres import load_statements

Rows = Mapping[str, Sequence[tuple[Any, ...]]]
Fold = Callable[[Sequence[Envelope]], Rows]

_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")
_NEEDED = frozenset({"create", "stage", "apply"})


@dataclass(frozen=True, eq=False)
class ReadModel:
    """`fold` gives rows by stage (a temporary table); `apply` takes them from there into the tables.

    `apply` must not depend on how facts are split into batches, and neither may look at a clock or a sequence:
    then a rebuild equals the live tables row for row.
    """

    name: str
    fold: Fold
    stages: Mapping[str, tuple[str, ...]]
    """Temporary table → its columns in the order of the rows."""
    statements: Mapping[str, str]
    """`create`, `stage` and `apply`, each one or several statements with unqualified names."""
    schema: str = ""
    """Where its tables live: `rm_<name>` unless said otherwise."""
    rebuilt: bool = True
    """False for what no rebuild may touch (the second copy of the log); its `create` is then idempotent."""
    raw: bool = False
    """True to be given facts as they were written, not lifted to their newest version."""

    def __post_init__(self) -> None:
        """Raises ValueError for a name that is none or a statement that is missing."""
        if not _NAME.fullmatch(self.name) or (self.schema and not _NAME.fullmatch(self.schema)):
            raise ValueError(f"{self.name!r} is no name for a read model")
        if missing := _NEEDED - self.statements.keys():
            raise ValueError(f"read model {self.name}: no statement named {', '.join(sorted(missing))}")
        object.__setattr__(self, "schema", self.schema or f"rm_{self.name}")

    @property
    def definition(self) -> str:
        """A fingerprint of its tables: when code and tables differ in it, the model must be rebuilt."""
        bare = re.sub(r"--[^\n]*", "", self.statements["create"])
        return hashlib.sha256(" ".join(bare.split()).encode()).hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class Target:
    """A read model's tables in one schema: the live ones, or those of a rebuild beside them."""

    model: ReadModel
    key: str
    """Names its checkpoint: `emails`, or `emails/next`."""
    schema: str


def live(model: ReadModel) -> Target:
    """The tables that are read."""
    return Target(model, model.name, model.schema)


def beside(model: ReadModel) -> Target:
    """The tables of a rebuild."""
    return Target(model, f"{model.name}/next", f"{model.schema}_next")


def read_model(module: ModuleType) -> ReadModel:
    """From a module with NAME, STAGES, fold (SCHEMA, REBUILT, RAW where they differ) and the `.sql` beside it."""
    if module.__file__ is None:
        raise ValueError(f"{module.__name__} has no file")
    return ReadModel(
        name=module.NAME,
        fold=module.fold,
        stages=module.STAGES,
        statements=load_statements(Path(module.__file__).with_suffix(".sql")),
        schema=getattr(module, "SCHEMA", ""),
        rebuilt=getattr(module, "REBUILT", True),
        raw=getattr(module, "RAW", False),
    )


def checked(models: Sequence[ReadModel]) -> tuple[ReadModel, ...]:
    """The models, when they can live together: names, schemas and stages are unique. Raises ValueError."""
    for what, names in (
        ("name", [model.name for model in models]),
        ("schema", [model.schema for model in models]),
        ("stage", [stage for model in models for stage in model.stages]),
    ):
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"two read models have the same {what}: {', '.join(sorted(twice))}")
    return tuple(models)


def live_schemas(models: Sequence[ReadModel]) -> tuple[str, ...]:
    """The schemas that questions look into, for a connection's search_path."""
    return tuple(model.schema for model in models)
