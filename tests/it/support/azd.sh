#!/bin/sh
# Plays `azd auth token` as its source says that azd answers it (no azd was run). `support/az.rs`
# installs it and writes what it reads. Tokens are never logged.
set -u
config=${AZD_CONFIG_DIR:-$HOME/.azd}
fake=$config/.fake

{ printf '%s' "$(pwd -P)"; for word; do printf '\t%s' "$word"; done; printf '\n'; } > "@LOG@.$$"
cat "@LOG@.$$" >> "@LOG@" && rm "@LOG@.$$"

fail() { printf '%s\n' "$2" >&2; exit "$1"; }
strange() { fail 99 "ERROR: fake azd: $1"; }
[ "${AZURE_DEV_COLLECT_TELEMETRY-}" = no ] || strange 'telemetry is on'
IFS= read -r line && strange 'stdin is not empty'
[ "${1-} ${2-}" = 'auth token' ] || fail 1 "ERROR: unknown command \"${1-}\" for \"azd\""
shift 2

output= scope= tenant= prompt=yes
while [ $# -gt 0 ]; do
    case $1 in
    --no-prompt) prompt=no; shift; continue ;;
    esac
    [ $# -ge 2 ] || fail 1 "ERROR: flag needs an argument: $1"
    case $1 in
    --output) output=$2 ;;
    --scope) scope=$2 ;;
    --tenant-id) tenant=$2 ;;
    *) fail 1 "ERROR: unknown flag: $1" ;;
    esac
    shift 2
done
[ "$output" = json ] || strange 'the output is not JSON'
[ "$prompt" = no ] || strange 'it may prompt'
case $scope in */.default) ;; *) strange 'there is no scope' ;; esac

mode=$(cat "$fake/mode" 2>/dev/null)
case $mode in
slow) sleep "$(cat "$fake/seconds")" ;;
stubborn) trap '' TERM INT; sleep 600; exit 1 ;;
silent) exit 3 ;;
broken) fail 127 "azd: not found" ;;
warnings) printf 'WARNING: your version of azd is out of date\n' >&2 ;;
leaky) fail 1 "ERROR: it went wrong with $(cat "$fake/token")" ;;
offline) fail 1 'ERROR: fetching token: failed to authenticate: Post "https://login.microsoftonline.com/t/oauth2/v2.0/token": dial tcp: lookup login.microsoftonline.com: no such host' ;;
esac
# One message in three forms: text, a message a line, and an object (from 1.24).
complain() {
    case $(cat "$fake/form" 2>/dev/null) in
    lines) fail 1 '{"type":"consoleMessage","timestamp":"2026-01-02T03:04:05Z","data":{"message":"\nERROR: '"$1"'\n"}}' ;;
    object) fail 1 "{
  \"error\": \"$1\",
  \"message\": \"$1\",
  \"suggestion\": \"$2\"
}" ;;
    *) fail 1 "ERROR: $1

Suggestion: $2" ;;
    esac
}
grep -q '"currentUser"' "$config/auth.json" 2>/dev/null ||
    complain 'not logged in, run `azd auth login` to login' 'run `azd auth login` to login'
[ "$mode" = aadsts ] && complain 'fetching token: AADSTS50076: you must use multi-factor authentication. Trace ID: t' \
    'reauthentication required, run `azd auth login --scope '"$scope"'` to acquire a new token.'

mkdir -p "$config/auth/msal" && printf '{"AccessToken": {"%s": {}}}' "$$" > "$config/auth/msal/cache.json"
[ "$mode" = switching ] && printf '{"auth": {"account": {"currentUser": {"homeAccountId": "other"}}}}' > "$config/auth.json"

token=$fake/token
[ -n "$tenant" ] && [ -e "$fake/token.$tenant" ] && token=$fake/token.$tenant
token=$(cat "$token")
case $mode in
html) printf '<html><body>%s</body></html>\n' "$token"; exit 0 ;;
truncated) printf '{"token":"%s' "$token"; exit 0 ;;
types) printf '{"token":["%s"],"expiresOn":5}\n' "$token"; exit 0 ;;
empty) exit 0 ;;
huge) printf '{"token":"%s' "$token"; head -c 5000000 /dev/zero | tr '\0' x; printf '"}\n'; exit 0 ;;
esac
expires_on=$(date -u -d "@$(cat "$fake/expires_on")" '+%Y-%m-%dT%H:%M:%SZ')
printf '{"token":"%s","expiresOn":"%s"}\n' "$token" "$expires_on"
