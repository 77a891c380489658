#!/bin/sh
# Say in one line each what a build needs and this machine lacks. Quiet when nothing is missing.
set -u
cd "$(dirname "$0")/.." || exit 1
missing=0
lack() {
    echo "error: $1" >&2
    missing=1
}

need=$(sed -n 's/^rust-version = "\([0-9.]*\)".*/\1/p' Cargo.toml | head -n 1)
if ! command -v cargo >/dev/null 2>&1 || ! command -v rustc >/dev/null 2>&1; then
    lack "cargo and rustc not found: install Rust >= $need with rustup (https://rustup.rs)"
else
    have=$(rustc --version 2>/dev/null | sed -n 's/^rustc \([0-9][0-9.]*\).*/\1/p')
    older=$(printf '%s\n%s\n' "$need" "${have:-0}" | sort -V | head -n 1)
    [ "$older" = "$need" ] || lack "rustc ${have:-unknown} is too old: lazarr needs >= $need ('rustup update stable')"
fi
command -v "${CC:-cc}" >/dev/null 2>&1 ||
    lack "no C compiler (${CC:-cc}): install gcc or clang (Debian: apt install build-essential; macOS: xcode-select --install)"
command -v "${CXX:-c++}" >/dev/null 2>&1 ||
    lack "no C++ compiler (${CXX:-c++}): install g++ or clang++ (Debian: apt install build-essential; macOS: xcode-select --install)"
exit "$missing"
