#!/bin/sh
# Print the path of a Python >= 3.12 that can make a virtual environment; else one line saying what is
# missing. The order: $LAZARR_PYTHON, python3.x on PATH, python3, pyenv's, uv's, Homebrew's and conda's.
set -u

probe='import sys, ensurepip, venv
assert sys.version_info >= (3, 12) and sys.implementation.name == "cpython"
assert not sys.flags.no_site
print(sys.executable)'

# A pyenv shim may be on PATH and yet have no version behind it: only a run tells.
try() {
    [ -n "$1" ] || return 1
    found=$("$1" -I -c "$probe" 2>/dev/null) || return 1
    [ -n "$found" ] || return 1
    printf '%s\n' "$found"
}

if [ -n "${LAZARR_PYTHON:-}" ]; then
    try "$LAZARR_PYTHON" && exit 0
    echo "error: LAZARR_PYTHON=$LAZARR_PYTHON is not a CPython >= 3.12 with venv and ensurepip" >&2
    exit 1
fi

for name in python3.14 python3.13 python3.12 python3 python; do
    path=$(command -v "$name" 2>/dev/null) && try "$path" && exit 0
done

# Newest first: of these folders the names sort by version.
for pattern in \
    "${PYENV_ROOT:-$HOME/.pyenv}/versions/3.*/bin/python" \
    "$HOME/.local/share/uv/python/cpython-3.*/bin/python3" \
    "/opt/homebrew/bin/python3.1*" \
    "/usr/local/bin/python3.1*" \
    "$HOME/miniforge3/bin/python" \
    "$HOME/miniconda3/bin/python"; do
    # shellcheck disable=SC2086 # the pattern is to be expanded
    for path in $(ls -d $pattern 2>/dev/null | sort -rV); do
        [ -x "$path" ] && try "$path" && exit 0
    done
done

echo "error: no Python >= 3.12 with venv found: install python3.12 and python3.12-venv (or 'uv python install 3.12', 'pyenv install 3.12'), or set LAZARR_PYTHON" >&2
exit 1
