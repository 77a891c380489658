#!/bin/sh
# Succeed when python/ needs no lint of its own: it is a member of the workspace, or it is not there.
cd "$(dirname "$0")/.." || exit 1
[ -f python/Cargo.toml ] || exit 0
cargo metadata --no-deps --offline --format-version 1 2>/dev/null | grep -q '"manifest_path":"[^"]*/python/Cargo.toml"'
