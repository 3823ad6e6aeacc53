#!/bin/bash
# Loads the Maven CRM sales data (accounts.csv, products.csv, sales_pipeline.csv, sales_teams.csv)
# through the SQL functions and compares the dashboard with the published figures.
#   bench/maven.sh <folder> <database url> [<gateway url> <access token>]
# The database role must be a superuser. With a gateway, the same figures are read by HTTP as well;
# the token is that of a member of the organisation "Maven Sales". A second run only compares.
set -euo pipefail

if (($# != 2 && $# != 4)); then
	sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
	exit 2
fi
folder=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
sql=(psql -X -q -v ON_ERROR_STOP=1 -d "$2")

copy()
{
	printf "\\\\copy %s FROM '%s/%s' WITH (FORMAT csv, HEADER, FORCE_NOT_NULL (%s))\n" \
		"$1" "${folder//\'/\'\'}" "$2" "$3"
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
	cat "$here/maven_check.sql"
} | "${sql[@]}"

if (($# == 4)); then
	echo 'by HTTP:'
	get()
	{
		curl -fsS -H "Authorization: Bearer $token" "$gateway/v1/dashboard?$1"
	}
	gateway=$3 token=$4
	all=$(get tz=UTC)
	quarters=$(get 'from=2017-01-01T00:00:00Z&to=2018-01-01T00:00:00Z&tz=UTC&bucket=quarter')
	"${sql[@]}" -v "all=$all" -v "quarters=$quarters" -f "$here/maven_check.sql"
fi
