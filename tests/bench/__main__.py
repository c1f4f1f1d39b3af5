"""`make bench`: every figure beside its ceiling, measured in the same run (`make bench ARGS='accept mime'` for some).

Each bench is a module `tests/bench/bench_<name>.py` with `run() -> list[(name, figure, ceiling)]`, and runs in a
process of its own so that none inherits another's heap or loop.
"""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
SECONDS = 900
_ONE = "import importlib,json,sys; print('\\n'+json.dumps(importlib.import_module('tests.bench.'+sys.argv[1]).run()))"


def main(wanted: list[str]) -> int:
    """Run the benches whose name contains one of `wanted` (all without); 1 when one of them failed."""
    names = [path.stem for path in sorted(HERE.glob("bench_*.py"))]
    chosen = [name for name in names if not wanted or any(word in name for word in wanted)]
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    print(f"{machine}, load {os.getloadavg()[0]:.1f} before")
    print(f"{'what':<58} {'figure':>28}   ceiling in the same run")
    failed = []
    for name in chosen:
        done = subprocess.run(
            [sys.executable, "-c", _ONE, name], stdout=subprocess.PIPE, text=True, timeout=SECONDS, check=False
        )
        if done.returncode != 0:
            failed.append(name)
            continue
        for what, figure, ceiling in json.loads(done.stdout.strip().rpartition("\n")[2]):
            print(f"{what:<58} {figure:>28}   {ceiling}", flush=True)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
