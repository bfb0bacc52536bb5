#!/bin/sh
# Keeps a call: its event with the transcript as event.json, and its recording, in a directory named after the call.
# Runs in the directory of the configuration file; DIR says where to write (default: calls).
# With DELETE_AT set to the URL of the REST API, a call whose recording and transcript are safe is then deleted there; that
# takes ULTRAVOX_API_KEY.
set -eu
umask 077

# What is not shaped like an id must not become a path. 65: this will never work.
call="$RELAY_CALL_ID"
case "$call" in
  '' | *[!A-Za-z0-9_-]*) echo "no call id: $call" >&2; exit 65 ;;
esac

dir="${DIR:-calls}/$call"
mkdir -p "$dir"
trap 'rm -f "$dir"/.*".$$"' EXIT
trap 'exit 1' HUP INT TERM

# Each file is written beside its place, put on disk and then moved there, so that none is ever seen half. The event comes
# last: where it is, all is.
cat > "$dir/.event.$$"
if [ -n "${RELAY_RECORDING_FILE:-}" ]; then
  recording="recording.${RELAY_RECORDING_FILE##*.}"
  cp "$RELAY_RECORDING_FILE" "$dir/.recording.$$"
  chmod u+w "$dir/.recording.$$"
  sync "$dir/.recording.$$"
  mv "$dir/.recording.$$" "$dir/$recording"
fi
sync "$dir/.event.$$"
mv "$dir/.event.$$" "$dir/event.json"
sync "$dir"

# Nothing is deleted that may not be here: a call without a recording, or one whose transcript was gone.
if [ -z "${DELETE_AT:-}" ] || [ -z "${RELAY_RECORDING_FILE:-}" ]; then exit 0; fi
if grep -q '"attached":{"transcript":null' "$dir/event.json"; then exit 0; fi
# The key goes to curl on its standard input: arguments can be seen by everybody on the machine.
status=$(printf 'header = "X-API-Key: %s"\n' "$ULTRAVOX_API_KEY" |
  curl -sS -m 30 -o /dev/null -w '%{http_code}' -X DELETE -K - "$DELETE_AT/api/calls/$call")
case "$status" in
  2?? | 404) ;;
  *) echo "the call was kept and could not be deleted: http $status" >&2; exit 1 ;;
esac
