"""What import-linter cannot see of the shape: a library that is absent, a clock that is read, a lock that is stale."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WITHOUT_POSTGRES = """
import importlib, pkgutil, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"psycopg", "psycopg_pool"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
for service in sys.argv[1:]:
    package = importlib.import_module(f"services.{service}")
    for found in pkgutil.walk_packages(package.__path__, f"services.{service}."):
        importlib.import_module(found.name)
        print(found.name)
"""
# What may not ask for the time: rules and folds are handed it, so that a replay gives what the first run gave.
PURE = ("rules", "decide", "fold")
"""How a file is called, or how its name ends, that holds rules, a decision or a fold."""
TIMELESS = (*(f"services/**/*{name}.py" for name in PURE), "libs/common/mime/**/*.py")
CLOCKS = {"now", "utcnow", "today", "time", "time_ns", "monotonic", "perf_counter"}


def test_every_service_but_analytics_runs_where_psycopg_is_not_installed() -> None:
    services = ["gateway", "providers", "sender", "tracking"]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_POSTGRES, *services],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    for service in services:
        assert f"services.{service}.__main__" in done.stdout


def test_every_pure_file_is_held_to_it() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    held = {name for each in contracts if "are pure" in each["name"] for name in each["source_modules"]}
    files = {file for name in PURE for file in (ROOT / "services").rglob(f"*{name}.py")}
    pure = {".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files}
    assert pure <= held, pure - held


@pytest.mark.parametrize("pattern", TIMELESS)
def test_rules_and_folds_read_no_clock(pattern: str) -> None:
    files = list(ROOT.glob(pattern))
    assert files
    found = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CLOCKS
    ]
    assert found == []


def test_every_dependency_is_in_the_locks_and_every_locked_package_has_a_hash() -> None:
    locked = {file.stem: file.read_text() for file in (ROOT / "locks").glob("*.txt")}
    assert set(locked) == {
        "dev",
        "emulators",
        "clients",
        "uv",
        "gateway",
        "providers",
        "sender",
        "tracking",
        "analytics",
    }
    for name, text in locked.items():
        entries = re.split(r"\n(?=[a-z0-9])", re.sub(r"(?m)^#.*\n", "", text).strip())
        assert all("--hash=sha256:" in entry for entry in entries), name
    for project in (ROOT / "pyproject.toml", *ROOT.glob("*/*/pyproject.toml")):
        wanted = _names(tomllib.loads(project.read_text())["project"]["dependencies"])
        own = [project.parent.name] if project.parent.name in locked else []
        locks = own if own in (["emulators"], ["clients"]) else ["dev", *own]  # an environment of their own
        for lock in locks:
            missing = {name for name in wanted if not re.search(rf"(?m)^{name}(\[.*\])?==", locked[lock])}
            assert not missing, f"{project}: make lock"


def _names(requirements: list[str]) -> set[str]:
    names = {re.split(r"[\[<>=!~; ]", each)[0].lower() for each in requirements}
    return {name for name in names if not name.startswith("temps-")}
