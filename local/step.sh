#!/bin/sh
# step.sh "What is being done" COMMAND…: runs the command and prints one line with its seconds,
# or its whole output if it fails.
what=$1
shift
log=$(mktemp "${TMPDIR:-/tmp}/act-one.XXXXXX") || exit
trap 'rm -f "$log"' EXIT
trap 'exit 130' INT TERM

printf '%s … ' "$what"
started=$(date +%s)
"$@" >"$log" 2>&1 </dev/null
status=$?
if [ "$status" -eq 0 ]; then
    echo "$(($(date +%s) - started)) s"
else
    echo 'failed:'
    cat "$log"
    printf '\n"%s" failed with exit code %s.\n' "$what" "$status" >&2
fi
exit "$status"
