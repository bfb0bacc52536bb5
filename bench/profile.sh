#!/usr/bin/env bash
# Where a relay's time goes: CPU profiles of its threads under full load, by area and by function, in µs an event.
#   bench/profile.sh              taking in
#   bench/profile.sh deliver      taking in and delivering to two targets at once
# The profiles themselves stay in the directory that it names, for a browser's developer tools.
set -euo pipefail
cd "$(dirname "$0")/.."
npm run --silent build
exec node build/bench/profile.js "${1:-ingest}" "$(mktemp -d -t relay-profile-XXXXXX)"
