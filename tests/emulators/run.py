"""Runs one emulator with the Python of .venv-emulators: `python tests/emulators/run.py moto.server -p 5000`.

It ends when its standard input does, so that none outlives the tests that started it, however they ended.
"""

import os
import runpy
import sys
import threading


def _until_nobody_listens() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=_until_nobody_listens, daemon=True).start()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
