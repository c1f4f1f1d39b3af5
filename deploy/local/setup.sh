#!/bin/sh
# Makes .venv from the locks: the one thing that must work before anything of ours can run, so it needs only
# sh and a python3. Called by make when a lock is newer than the last run, or PYTHON names another interpreter. With VENV,
# LOCK and WITH_UV (the uv of a .venv that is there) it makes a further environment in the same way.
set -eu
PYTHON=${PYTHON:-python3} VENV=${VENV:-.venv} LOCK=${LOCK:-locks/dev.txt} WITH_UV=${WITH_UV:-} WHERE=${WHERE:-$(pwd -P)}

stop() { printf '%s\n' "$@" >&2; exit 1; }

# Each step runs in the background, where sh lets it ignore Ctrl-C: this script alone hears it, and says one line. What is
# left half made is made again by the next run.
step=
trap 'trap - INT; [ -z "$step" ] || kill "$step" 2>/dev/null; echo >&2; stop_interrupted' INT
stop_interrupted() { echo "setup: interrupted; the next make goes on from here" >&2; exit 130; }
run() { "$@" & step=$!; wait "$step"; step=; }

command -v "$PYTHON" >/dev/null 2>&1 ||
  stop "There is no $PYTHON here. This needs Python 3.11 or newer; another one: make PYTHON=/path/to/python3 …"
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  stop "$PYTHON is $("$PYTHON" -V 2>&1), but this needs Python 3.11 or newer. Another one: make PYTHON=python3.12 …"
"$PYTHON" -c 'import venv, ensurepip' 2>/dev/null ||
  stop "$PYTHON lacks venv or pip (on Debian and Ubuntu: apt-get install python3-venv python3-pip)."

# Which interpreter this is, or, for that of a venv, which one it was made with.
identity() { "$1" -c 'import sys; print(sys.base_prefix, *sys.version_info[:3])' 2>/dev/null || :; }

# A venv that was left half made (Ctrl-C), was moved (its scripts name its old path), whose Python is gone, or that was
# made with another one, is made again: the note in it is written last, and says where it is.
made_in=$(cat "$VENV/.made-in" 2>/dev/null) || made_in=
if [ "$made_in" != "$WHERE" ] || [ "$(identity "$PYTHON")" != "$(identity "$VENV/bin/python")" ]; then
  echo "setup: making $VENV with $("$PYTHON" -V 2>&1)"
  rm -rf "$VENV"
  run "$PYTHON" -m venv "$VENV"
  printf '%s\n' "$WHERE" > "$VENV/.made-in"
fi
if [ -z "$WITH_UV" ]; then
  WITH_UV=$VENV/bin/uv
  echo "setup: installing uv (locks/uv.txt)"
  run "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r locks/uv.txt
fi
echo "setup: installing what the locks name ($LOCK); the first time this takes a minute"
run "$WITH_UV" pip sync --quiet --compile-bytecode --python "$VENV/bin/python" --require-hashes "$LOCK"
