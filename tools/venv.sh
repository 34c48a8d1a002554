#!/usr/bin/env bash
# Creates .venv and installs the project into it, unless that is already done.
#
#   bash tools/venv.sh          to use the project
#   bash tools/venv.sh dev      with the tools for tests and checks
#
# PYTHON=python3.12 chooses the interpreter; a .venv of another version is then made anew. VENV=DIR
# makes it elsewhere.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

extra=${1:-}
python=${PYTHON:-python3}
venv=${VENV:-.venv}

version_of() { "$1" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null; }

if ! version=$(version_of "$python"); then
  echo "'$python' does not run. Install Python 3.11, 3.12 or 3.13, or name one: PYTHON=/path/to/python" >&2
  exit 1
fi
case $version in
3.11.* | 3.12.* | 3.13.*) ;;
*)
  echo "'$python' is Python $version, but Python 3.11, 3.12 or 3.13 is needed; name another one:" \
    "PYTHON=/path/to/python" >&2
  exit 1
  ;;
esac

if [ -x "$venv/bin/python" ] && [ -n "${PYTHON:-}" ] &&
  [ "$(version_of "$venv/bin/python")" != "$version" ]; then
  rm -rf "$venv"
fi
if ! { [ -x "$venv/bin/python" ] && "$venv/bin/python" -c 'import pip' 2>/dev/null; }; then
  if ! "$python" -m venv --clear "$venv"; then
    echo "'$python -m venv' failed; Debian and Ubuntu need the package python3-venv" >&2
    exit 1
  fi
fi

# What an installation depends on. The record of the one with the dev tools also serves without.
wanted=$("$venv/bin/python" - <<'PYTHON'
import hashlib, os, sys

parts = [sys.version, os.getcwd(), open("pyproject.toml").read(), open("setup.py").read()]
print(hashlib.sha256("\0".join(parts).encode()).hexdigest())
PYTHON
)
record=$venv/installed
installed() { [ -f "$record-$1" ] && [ "$(cat "$record-$1")" = "$wanted" ]; }
if installed dev || { [ "$extra" != dev ] && installed plain; }; then
  exit 0
fi

echo "Installing into $venv (TensorFlow is about 600 MB; a few minutes) ..."
had_build=$([ -e build ] && echo yes || echo no)
had_egg_info=$([ -e deeplab.egg-info ] && echo yes || echo no)
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  --editable ".${extra:+[$extra]}"
# An editable installation does not need what the build leaves in the checkout.
[ "$had_build" = yes ] || rm -rf build
[ "$had_egg_info" = yes ] || rm -rf deeplab.egg-info
rm -f "$record"-*
echo "$wanted" >"$record-${extra:-plain}"
