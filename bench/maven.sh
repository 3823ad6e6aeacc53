#!/bin/bash
# Loads the Maven CRM sales data (accounts.csv, products.csv, sales_pipeline.csv, sales_teams.csv)
# through the SQL functions into the organisation "Maven Sales" and compares the dashboard and the
# reports with figures reckoned from the files by plain SQL and with the published ones, which are in
# the scripts and, where the folder has it, in its truth.json; exits non-zero when one differs. A
# second run only compares.
#   bench/maven.sh <folder> [<database url> [<gateway url> [<access token>]]]
# The database role must be a superuser; by default the environment of libpq says where it is. With a
# gateway the same figures are read by HTTP, too. Without a token admin@maven.example gets a new
# password and signs in. Called without a folder, MAVEN_DATA names it, or nothing is done.
set -euo pipefail
shopt -s inherit_errexit

folder=${1:-${MAVEN_DATA:-}}
if [[ -z $folder ]]; then
	sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
	echo 'skipped: no folder given' >&2
	exit 0
fi
folder=$(cd "$folder" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
gateway=${3:-} token=${4:-}
sql=(psql -X -q -v ON_ERROR_STOP=1 ${2:+-d "$2"})
truth='{}'
[[ ! -f $folder/truth.json ]] || truth=$(<"$folder/truth.json")

copy()
{
	printf "\\\\copy %s FROM '%s/%s' WITH (FORMAT csv, HEADER, FORCE_NOT_NULL (%s))\n" \
		"$1" "${folder//\'/\'\'}" "$2" "$3"
}

sign_in()
{
	local password hash
	password=$(od -An -N 12 -tx1 /dev/urandom | tr -d ' \n')
	hash=$(printf '%s' "$password" |
		"${GATEWAY_PROGRAM:-$here/../build/saleshub-gateway}" --hash-password)
	"${sql[@]}" -v hash="$hash" >/dev/null \
		<<<"SELECT saleshub.set_password('admin@maven.example', :'hash')"
	curl -fsS -H 'Content-Type: application/json' "$gateway/v1/auth/sign-in" \
		-d "{\"email\":\"admin@maven.example\",\"password\":\"$password\"}" |
		sed -n 's/.*"access_token": *"\([^"]*\)".*/\1/p'
}

get()
{
	curl -fsS -H "Authorization: Bearer $token" "$gateway/v1/dashboard?$1"
}

deal='opportunity_id, sales_agent, product, account, deal_stage, engage_date, close_date, close_value'
account='account, sector, year_established, revenue, employees, office_location, subsidiary_of'

echo 'by SQL:'
{
	cat <<-SQL
		BEGIN;
		CREATE TEMP TABLE maven_account (${account//,/ text,} text);
		CREATE TEMP TABLE maven_product (product text, series text, sales_price text);
		CREATE TEMP TABLE maven_deal (${deal//,/ text,} text);
		CREATE TEMP TABLE maven_team (sales_agent text, manager text, regional_office text);
	SQL
	copy maven_account accounts.csv "$account"
	copy maven_product products.csv 'product, series, sales_price'
	copy maven_deal sales_pipeline.csv "$deal"
	copy maven_team sales_teams.csv 'sales_agent, manager, regional_office'
	cat "$here/maven.sql"
	cat <<-'SQL'
		COMMIT;
		SELECT crm.dashboard(tz => 'UTC') AS all,
		       crm.dashboard('2017-01-01 00:00+00', '2018-01-01 00:00+00', 'UTC', 'quarter') AS quarters
		\gset
	SQL
	cat "$here/maven_check.sql" "$here/maven_csv.sql" "$here/maven_published.sql" \
		"$here/maven_report.sql"
} | "${sql[@]}" -v truth="$truth"

if [[ $gateway ]]; then
	echo 'by HTTP:'
	[[ $token ]] || token=$(sign_in)
	all=$(get tz=UTC)
	quarters=$(get 'from=2017-01-01T00:00:00Z&to=2018-01-01T00:00:00Z&tz=UTC&bucket=quarter')
	"${sql[@]}" -v "all=$all" -v "quarters=$quarters" -f "$here/maven_check.sql"
fi
