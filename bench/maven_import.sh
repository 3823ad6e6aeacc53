#!/bin/bash
# Imports the four files of the Maven CRM sales data through POST /v1/imports into a new organisation:
# a dry run of each with its quirks row by row, the import, the 21 published figures, undo, and all
# of it once more. Exits non-zero when a count or a figure differs.
#   bench/maven_import.sh <folder> <database url> <gateway url>
# The database role must be a superuser. Called without a folder, MAVEN_DATA names it, or nothing is done.
set -euo pipefail
shopt -s inherit_errexit

folder=${1:-${MAVEN_DATA:-}}
if [[ -z $folder ]]; then
	sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
	echo 'skipped: no folder given' >&2
	exit 0
fi
database=${2:-${DATABASE_URL:?which database}} url=${3:-${URL:?which gateway}}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sql=(psql -X -q -A -t -v ON_ERROR_STOP=1 -d "$database")

fail()
{
	printf '%s\n' "$*" >&2
	exit 1
}

sign_up()
{
	local mail password hash
	mail=admin-$RANDOM$RANDOM@maven-import.example
	password=$(od -An -N 12 -tx1 /dev/urandom | tr -d ' \n')
	hash=$(printf '%s' "$password" | "${GATEWAY_PROGRAM:-$here/../build/saleshub-gateway}" --hash-password)
	org=$("${sql[@]}" -v mail="$mail" <<<"SELECT crm.org_create('Maven Import', 'Maven Admin', :'mail', 'USD', 'UTC', 'US') ->> 'org_id'")
	"${sql[@]}" -v mail="$mail" -v hash="$hash" <<<"SELECT saleshub.set_password(:'mail', :'hash')" >/dev/null
	token=$(curl -fsS -H 'Content-Type: application/json' "$url/v1/auth/sign-in" \
		-d "{\"email\":\"$mail\",\"password\":\"$password\"}" | jq -r .access_token)
}

call()
{
	curl -sS -H "Authorization: Bearer $token" "$@"
}

# send <type> <file> <options> [dry_run]: the answer, which must be an import
send()
{
	call -F "options=$3;type=application/json" -F "file=@$folder/$2;type=text/csv" \
		"$url/v1/imports?type=$1&dry_run=${4:-false}" >"$work/answer"
	jq -e .state "$work/answer" >/dev/null || fail "$2: $(cat "$work/answer")"
	cat "$work/answer"
}

# counts <answer>: as text in one order
counts()
{
	jq -c '.counts | [.create, .update, .skip, .conflict, .error, .warning]' <<<"$1"
}

# plan <type> <file> <options> <counts as they must be>
plan()
{
	local answer
	answer=$(send "$1" "$2" "$3" true)
	[[ $(jq -r .state <<<"$answer") = planned && $(counts "$answer") = "$4" ]] ||
		fail "$2: planned $(counts "$answer"), not $4: $answer"
	printf '%-20s planned  [create, update, skip, conflict, error, warning] = %s\n' "$2" "$4"
	quirks "$(jq -r .id <<<"$answer")"
}

# What was strange or wrong, by code and column, with the first line of each; all pages of it.
quirks()
{
	local cursor='' page
	: >"$work/issues"
	while :; do
		page=$(call "$url/v1/imports/$1/issues?limit=200${cursor:+&cursor=$cursor}")
		jq -c '.data[]' <<<"$page" >>"$work/issues"
		cursor=$(jq -r '.next_cursor // empty' <<<"$page")
		[[ $cursor ]] || break
	done
	jq -sr 'group_by([.level, .column, .code])[] | "    \(length) × \(.[0].level) \(.[0].column): \(.[0].code), first line \(.[0].line)\(
		if .[0].raw then " “" + .[0].raw + "”" else "" end): \(.[0].message)"' "$work/issues"
}

# import <type> <file> <options> <counts>: id in $id
import()
{
	local answer
	answer=$(send "$1" "$2" "$3")
	[[ $(jq -r .state <<<"$answer") = 'done' && $(counts "$answer") = "$4" ]] ||
		fail "$2: imported $(counts "$answer"), not $4: $(jq -c '[.state, .fault, .issues[0:3]]' <<<"$answer")"
	id=$(jq -r .id <<<"$answer")
	printf '%-20s imported %s\n' "$2" "$4"
}

undo()
{
	local answer
	answer=$(call -X POST "$url/v1/imports/$2/undo")
	jq -e '.state == "undone" and .undo.kept == 0' <<<"$answer" >/dev/null || fail "undo of $1: $answer"
	printf '%-20s undone   %s deleted\n' "$1" "$(jq .undo.deleted <<<"$answer")"
}

figures()
{
	psql -X -q -v ON_ERROR_STOP=1 -d "$database" -v "all=$(call "$url/v1/dashboard?tz=UTC")" \
		-v "quarters=$(call "$url/v1/dashboard?from=2017-01-01T00:00:00Z&to=2018-01-01T00:00:00Z&tz=UTC&bucket=quarter")" \
		-f "$here/maven_check.sql" | tail -n 3
}

accounts='{"match": {"key": "name"}, "columns": {"year_established": {"field": "custom.founded", "type": "integer"},
	"sector": {"field": "industry", "map": {"technolgy": "technology"}}}}'
by_name='{"match": {"key": "name"}}'
teams='{"match": {"key": "name"}, "create": ["team", "member"], "email_domain": "maven.example"}'
# What never was engaged is open on the last day of the data; what is still open stands at list price.
deal='"close_date": "closed_at", "close_value": {"field": "amount", "default": "product.price"},
	"engage_date": {"field": "opened_at", "default": "2017-12-31"}'
raw_deals="{\"match\": {\"key\": \"name\"}, \"columns\": {$deal}}"
deals="{\"match\": {\"key\": \"name\"}, \"columns\": {$deal, \"product\": {\"field\": \"product\", \"map\": {\"GTXPro\": \"GTX Pro\"}}}}"

round()
{
	import companies accounts.csv "$accounts" '[85,0,0,0,0,0]'
	ids[0]=$id
	import products products.csv "$by_name" '[7,0,0,0,0,0]'
	ids[1]=$id
	import members sales_teams.csv "$teams" '[35,0,0,0,0,0]'
	ids[2]=$id
	import deals sales_pipeline.csv "$deals" '[8800,0,0,0,0,4061]'
	ids[3]=$id
	figures
}

sign_up
plan companies accounts.csv "$by_name" '[85,0,0,0,0,12]'
declare -a ids
round
plan deals sales_pipeline.csv "$raw_deals" '[0,7320,0,0,1480,3643]'
plan members sales_teams.csv "$teams" '[0,35,0,0,0,5]'
undo sales_pipeline.csv "${ids[3]}"
undo sales_teams.csv "${ids[2]}"
undo products.csv "${ids[1]}"
undo accounts.csv "${ids[0]}"
[[ $("${sql[@]}" -v org="$org" <<<"SELECT (SELECT count(*) FROM crm.deal WHERE org_id = :'org' AND deleted_at IS NULL)
	+ (SELECT count(*) FROM crm.company WHERE org_id = :'org' AND deleted_at IS NULL)
	+ (SELECT count(*) FROM crm.member WHERE org_id = :'org' AND deleted_at IS NULL) - 1") = 0 ]] || fail 'something is left'
round
