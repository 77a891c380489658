#!/usr/bin/env bash
# Build the extension module with optimisation into .venv, when a source of it has changed since the last time.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=.venv
profile=${LAZARR_PROFILE:-release}
if [ ! -f python/Cargo.toml ]; then
    echo "error: python/Cargo.toml is not there: nothing to build" >&2
    exit 1
fi

sources() {
    find crates python/src -type f \( -name '*.rs' -o -name '*.toml' -o -name '*.c' -o -name '*.h' \) -print
    printf '%s\n' Cargo.toml Cargo.lock python/Cargo.toml python/pyproject.toml
}
hash=$( (sources | LC_ALL=C sort | while read -r f; do [ ! -f "$f" ] || cksum "$f"; done
    rustc --version; "$venv/bin/python" --version; echo "${RUSTFLAGS:-} $profile") | cksum | tr ' ' '-')
stamp="$venv/.stamp-extension"
if [ "$(cat "$stamp" 2>/dev/null)" = "$hash" ] && "$venv/bin/python" -c 'import lazarr' 2>/dev/null; then
    exit 0
fi
echo "extension: building optimised (the first time takes some minutes)"
rm -f "$stamp"
log="$venv/extension.log"
if ! VIRTUAL_ENV="$PWD/$venv" "$venv/bin/maturin" develop --profile "$profile" --manifest-path python/Cargo.toml >"$log" 2>&1; then
    cat "$log" >&2
    echo "error: the extension did not build" >&2
    exit 1
fi
"$venv/bin/python" -c 'import lazarr'
echo "$hash" >"$stamp"
