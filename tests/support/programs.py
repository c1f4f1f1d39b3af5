"""Programs of other people's that a test compares with: missing, the test is skipped, or fails on a build machine."""

import os
import shutil

import pytest


def program(name: str, what_for: str) -> str:
    """The path of a program. On a build machine (`CI`, `TEMPS_REQUIRE_ALL`) nothing is skipped."""
    path = shutil.which(name)
    if path is not None:
        return path
    reason = f"{name} is not installed ({what_for})"
    if os.environ.get("CI") or os.environ.get("TEMPS_REQUIRE_ALL"):
        pytest.fail(reason)
    pytest.skip(reason)
