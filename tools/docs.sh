#!/usr/bin/env bash
# Build the documentation's site into docs/_build/html, with the notebooks executed; a warning is an error.
set -euo pipefail
cd "$(dirname "$0")/.."
python="$PWD/.venv/bin/python"
out=docs/_build
mkdir -p "$out"
# Notebooks take seconds, most of which is starting Python: no debugger, and no look at the network.
export PYDEVD_DISABLE_FILE_VALIDATION=1 DASK_DISTRIBUTED__DIAGNOSTICS__NVML=false
"$python" -m sphinx -q -W --keep-going -E -b html -d "$out/doctrees" docs "$out/html"
echo "docs: $out/html/index.html"
