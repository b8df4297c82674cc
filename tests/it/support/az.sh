#!/bin/sh
# Plays `az account get-access-token` as az 2.91 answers it: strict about its arguments, its
# environment and its stdin. `support/az.rs` installs it and writes what it reads: the sign-in as
# az keeps it, and below `.fake` what it shall do. Tokens are never logged.
set -u
config=${AZURE_CONFIG_DIR:-$HOME/.azure}
fake=$config/.fake

{ printf '%s' "$(pwd -P)"; for word; do printf '\t%s' "$word"; done; printf '\n'; } > "@LOG@.$$"
cat "@LOG@.$$" >> "@LOG@" && rm "@LOG@.$$"

fail() { printf '%s\n' "$2" >&2; exit "$1"; }
strange() { fail 99 "ERROR: fake az: $1"; }
[ "${AZURE_CORE_NO_COLOR-}" = true ] || strange 'colours are on'
[ "${AZURE_CORE_COLLECT_TELEMETRY-}" = no ] || strange 'telemetry is on'
IFS= read -r line && strange 'stdin is not empty'
[ "${1-} ${2-}" = 'account get-access-token' ] || fail 2 "ERROR: '${1-}' is misspelled or not recognized by the system."
shift 2

output= resource= tenant= subscription=
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || fail 2 "ERROR: argument $1: expected one argument"
    case $1 in
    --output) output=$2 ;;
    --resource) resource=$2 ;;
    --tenant) tenant=$2 ;;
    --subscription) subscription=$2 ;;
    *) fail 2 "ERROR: unrecognized arguments: $*" ;;
    esac
    shift 2
done
[ "$output" = json ] || strange 'the output is not JSON'
[ -n "$resource" ] || strange 'there is no resource'

mode=$(cat "$fake/mode" 2>/dev/null)
case $mode in
slow) sleep "$(cat "$fake/seconds")" ;;
stubborn) trap '' TERM INT; sleep 600; exit 1 ;;
silent) exit 3 ;;
broken) fail 127 "/usr/bin/env: 'python3': No such file or directory" ;;
warnings) printf 'WARNING: You are using cryptography on a 32-bit Python\nThis command is in preview.\n' >&2 ;;
leaky) fail 1 "ERROR: it went wrong with $(cat "$fake/token")" ;;
offline) fail 1 "ERROR: The command failed with an unexpected error. Here is the traceback:
ERROR: HTTPSConnectionPool(host='login.microsoftonline.com', port=443): Max retries exceeded with url: /t/v2.0/.well-known/openid-configuration (Caused by NameResolutionError(\"HTTPSConnection(host='login.microsoftonline.com', port=443): Failed to resolve 'login.microsoftonline.com' ([Errno -2] Name or service not known)\"))
Traceback (most recent call last):
  File \"knack/cli.py\", line 233, in invoke
requests.exceptions.ConnectionError: HTTPSConnectionPool(host='login.microsoftonline.com', port=443)
To check existing issues, please visit: https://github.com/Azure/azure-cli/issues" ;;
esac

# What every az writes at its first start.
[ -e "$config/config" ] || printf '[cloud]\nname = AzureCloud\n\n' > "$config/config"
cloud=${AZURE_CLOUD_NAME:-$(sed -n 's/^name = //p' "$config/config")}

[ -n "$tenant" ] && [ -n "$subscription" ] && fail 1 'ERROR: Please specify only one of subscription and tenant, not both'
grep -q '"environmentName": "'"$cloud"'"' "$config/azureProfile.json" 2>/dev/null ||
    fail 1 "ERROR: Please run 'az login' to setup account."
# Lines of id, name, tenant and a star at the default, with blanks as underlines.
chosen=
while read -r id name home star; do
    case "$subscription" in
    '') [ "$star" = '*' ] && chosen=$id current=$home ;;
    "$id" | "$(printf '%s' "$name" | tr _ ' ')") chosen=$id current=$home ;;
    esac
done < "$fake/subscriptions"
[ -n "$chosen" ] || [ -z "$subscription" ] ||
    fail 1 "ERROR: Subscription '$subscription' not found. Check the spelling and casing and try again."
[ -n "$chosen" ] || fail 1 "ERROR: No subscription found. Run 'az account set' to select a subscription."

kind=$(cat "$fake/kind") user=$(cat "$fake/user")
case $kind in
managed | shell)
    if [ -n "$tenant" ] && [ "$tenant" != "$current" ]; then
        title='managed identity'
        [ "$kind" = shell ] && title='Cloud Shell'
        fail 1 "ERROR: For $title account, getting access token for non-current tenants is not supported. The specified tenant must be the current tenant $current"
    fi ;;
user)
    [ -e "$config/msal_token_cache.json" ] ||
        fail 1 "ERROR: User '$user' does not exist in MSAL token cache. Run \`az login\`." ;;
principal)
    [ -e "$config/service_principal_entries.json" ] ||
        fail 1 "ERROR: Could not retrieve credential from local cache for service principal $user. Run \`az login\` for this service principal." ;;
esac
tenant_of_token=${tenant:-$current}
suggested='Run the command below to authenticate interactively; additional arguments may be added as needed:
az logout
az login --tenant "'$tenant_of_token'" --scope "'$resource'/.default"'
case $mode in
aadsts) fail 1 "ERROR: AADSTS50076: Due to a configuration change made by your administrator, or because you moved to a new location, you must use multi-factor authentication to access '$resource'. Trace ID: t Correlation ID: c Timestamp: 2026-01-02 03:04:05Z
$suggested" ;;
claims) fail 1 "ERROR: AADSTS50076: Due to a configuration change made by your administrator. Trace ID: t
$suggested --claims-challenge \"eyJhY2Nlc3NfdG9rZW4iOnt9fQ==\"" ;;
esac

# Every token that az fetches changes its cache, and no other file that tells its sign-in.
case $kind in user | principal) printf '{"AccessToken": {"%s": {}}}' "$$" > "$config/msal_token_cache.json" ;; esac
[ "$mode" = switching ] && sed 's/"isDefault": true/"isDefault": false/' "$config/azureProfile.json" > "$config/.new" &&
    mv "$config/.new" "$config/azureProfile.json"

token=$fake/token
[ -e "$fake/token.$chosen" ] && token=$fake/token.$chosen
[ -n "$tenant" ] && [ -e "$fake/token.$tenant" ] && token=$fake/token.$tenant
token=$(cat "$token")
expires_on=$(cat "$fake/expires_on")
local_time=$(date -d "@$expires_on" '+%Y-%m-%d %H:%M:%S.000000')
case $mode in
html) printf '<html><body>%s</body></html>\n' "$token"; exit 0 ;;
truncated) printf '{\n  "accessToken": "%s' "$token"; exit 0 ;;
types) printf '{"accessToken": ["%s"], "expires_on": {}, "tenant": 5}\n' "$token"; exit 0 ;;
empty) exit 0 ;;
huge) printf '{"accessToken": "%s' "$token"; head -c 5000000 /dev/zero | tr '\0' x; printf '"}\n'; exit 0 ;;
esac
printf '{\n  "accessToken": "%s",\n  "expiresOn": "%s",\n' "$token" "$local_time"
[ "$mode" = old ] || printf '  "expires_on": %s,\n' "$expires_on"
[ -n "$tenant" ] || printf '  "subscription": "%s",\n' "$chosen"
printf '  "tenant": "%s",\n  "tokenType": "Bearer"\n}\n' "$tenant_of_token"
