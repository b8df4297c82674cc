#!/bin/sh
# Stands on PATH as `noted/kubelogin` before `bin/kubelogin` and notes how that was started: its
# directory, the milliseconds it took, its exit code, its arguments. Streams and variables pass through.
noted=${0%/*}
start=$(date +%s%N)
"$noted/../bin/kubelogin" "$@"
code=$?
took=$((($(date +%s%N) - start) / 1000000))
{ printf '%s\t%s\t%s' "$(pwd -P)" "$took" "$code"; for word; do printf '\t%s' "$word"; done; printf '\n'; } >> "$noted/log"
exit "$code"
