#!/usr/bin/env bash
# Make or refresh .venv with a set of requirements: tools/venv.sh demo|test|bench|docs
# Older releases of anndata stand in environments of their own: tools/venv.sh anndata-0.11|anndata-0.12
# A stamp holds the hash of what was installed, so that a second call costs milliseconds.
set -euo pipefail
cd "$(dirname "$0")/.."
want=${1:?usage: tools/venv.sh demo|test|bench|docs|anndata-0.11|anndata-0.12}
venv=.venv
case $want in anndata-*) venv=.venv-$want ;; esac

files() { # every file that a set reads, through its -r lines
    local file="python/requirements-$1.txt"
    [ -f "$file" ] || { echo "error: no such set of requirements: $1" >&2; exit 2; }
    echo "$file"
    sed -n 's/^-r requirements-\(.*\)\.txt$/\1/p' "$file" | while read -r inner; do files "$inner"; done
}

# A .venv whose Python has gone (moved, upgraded) or is too old is made anew.
if [ -e "$venv" ] && ! "$venv/bin/python" -c 'import sys; assert sys.version_info >= (3, 12)' 2>/dev/null; then
    echo "venv: $venv has no working Python >= 3.12, making it anew"
    rm -rf "$venv"
fi
if [ ! -e "$venv/bin/python" ]; then
    python=$(tools/find_python.sh)
    echo "venv: $venv from $("$python" --version 2>&1)"
    "$python" -m venv "$venv"
fi

# shellcheck disable=SC2046 # the names have no spaces
hash=$( (cat $(files "$want"); "$venv/bin/python" --version) | cksum | tr ' ' '-')
stamp="$venv/.stamp-$want"
if [ "$(cat "$stamp" 2>/dev/null)" != "$hash" ]; then
    echo "venv: installing python/requirements-$want.txt"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
        -r "python/requirements-$want.txt" ||
        { echo "error: pip could not install python/requirements-$want.txt (is a package index reachable?)" >&2; exit 1; }
    echo "$hash" >"$stamp"
fi
