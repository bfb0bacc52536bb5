#!/bin/sh
# Appends the payload on standard input to calls.ndjson, as one line.
# Runs in the directory of the configuration file; DIR says where to write (default: data).
set -eu

dir="${DIR:-data}"
mkdir -p "$dir"

# The line is made in a file of its own and appended in one go, so that a hook that is killed halfway leaves no half
# line. Line breaks in JSON can only stand between its parts, so they can go.
line="$dir/.calls.$$"
trap 'rm -f "$line"' EXIT
trap 'exit 1' HUP INT TERM
{ tr -d '\r\n'; echo; } > "$line"
cat "$line" >> "$dir/calls.ndjson"
