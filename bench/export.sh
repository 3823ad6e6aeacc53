#!/bin/bash
# What an export costs: loads leads into a database of its own and takes them out, as CSV and as
# lines of JSON, by crm.export and by COPY of the same expressions, in turns, both as a member under
# row security. Prints the best seconds of each and the ratio of the speeds.
#   bench/export.sh [leads]       1000000 unless given
# The environment of libpq says where the server is; the role must be a superuser.
# shellcheck source=bench/common.bash
. "$(dirname "$0")/common.bash"
need psql postgresql-client

leads=${1:-${EXPORT_LEADS:-1000000}}
base=saleshub_bench_export
PGOPTIONS="-c client_min_messages=warning" psql -X -q -d postgres -c "DROP DATABASE IF EXISTS $base" -c "CREATE DATABASE $base TEMPLATE template0 ENCODING 'UTF8'"
# shellcheck disable=SC2016
cleanups+=('psql -X -q -d postgres -c "DROP DATABASE IF EXISTS $base WITH (FORCE)"')
export PGDATABASE=$base

ids=$(sql -v leads="$leads" <<'SQL' | tail -n 1
SET client_min_messages = warning;
CREATE EXTENSION saleshub;
SELECT saleshub.install() \g /dev/null
SELECT o ->> 'org_id' AS org, o ->> 'member_id' AS member FROM crm.org_create('Bench', 'Ann', 'ann@bench.example') o \gset
SET session_replication_role = replica;
INSERT INTO crm.lead (org_id, first_name, last_name, email, phone, company_name, title, source, country,
                      city, industry, employees, annual_revenue, annual_revenue_currency, owner_id, tags,
                      custom, consent_email, score, grade, created_at, updated_at)
SELECT :'org', 'First' || i % 997, 'Last' || i % 9973, 'mail' || i || '@firm' || i % 8000 || '.example',
       '+4930' || 1000000 + i, 'Firm ' || i % 8000 || ', Ltd.', 'Head of "Sales"', 'website', 'DE', 'Köln',
       'Manufacturing', i % 5000, i * 1.5, 'EUR', :'member', CASE WHEN i % 4 = 0 THEN '{hot,trade fair}'::text[] ELSE '{}' END,
       CASE WHEN i % 3 = 0 THEN '{"size": "L"}'::jsonb ELSE '{}' END, i % 2 = 0, i % 101, 'C',
       now() - i * interval '1 second', now() - i * interval '1 second'
FROM generate_series(1, :leads) i;
RESET session_replication_role;
VACUUM ANALYZE crm.lead;
SELECT :'org' || ' ' || :'member';
SQL
)
read -r org member <<<"$ids"

as_member="SELECT set_config('saleshub.org_id', '$org', false), set_config('saleshub.member_id', '$member', false),
	set_config('saleshub.member_role', 'rep', false) \\g /dev/null
SET ROLE saleshub_user;"

# What COPY is to write: the columns or the JSON that crm.export writes.
expression()
{
	printf '%s\n' "$as_member" "SELECT $1 FROM (SELECT saleshub.visible_meta(saleshub.lead_meta()) AS meta) m;" | sql | tail -n 1
}
columns=$(expression "(saleshub.export_chosen(meta, NULL)).sql")
document=$(expression "meta ->> 'select'")

copy_of()
{
	printf '%s\n' "$as_member" "COPY (SELECT $1 FROM crm.lead t WHERE t.org_id = saleshub.org_id() AND t.deleted_at IS NULL ORDER BY t.lead_id) TO STDOUT$2;"
}

# Four pieces at a time, as the gateway takes them.
export_as()
{
	printf '%s\n' "$as_member" 'BEGIN;' "SELECT crm.export('leads', format => '$1') \\g /dev/null"
	yes 'FETCH 4 FROM export;' | head -n $((leads * 1200 / 262144 + 10)) || true
	printf '%s\n' "DO \$\$ BEGIN IF EXISTS (SELECT FROM crm.export_log WHERE member_id = saleshub.member_id() AND at = now()
		AND (NOT complete OR \"rows\" <> $leads)) THEN RAISE 'not all was fetched'; END IF; END \$\$;" 'COMMIT;'
}

# seconds <name>: how long the script takes
time_of()
{
	local from=$EPOCHREALTIME
	sql -f "$work/$1.sql" >/dev/null
	awk -v a="$from" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.2f", b - a }'
}

copy_of "$columns" ' (FORMAT csv, HEADER)' >"$work/copy_csv.sql"
copy_of "$document" '' >"$work/copy_ndjson.sql"
export_as csv >"$work/export_csv.sql"
export_as ndjson >"$work/export_ndjson.sql"
printf '%s leads\n' "$leads"
for format in csv ndjson; do
	for ((round = 0; round < rounds; round++)); do
		for name in copy export; do
			got=$(time_of "${name}_$format")
			best[$name]=$(printf '%s\n' "$got" "${best[$name]:-1000000}" | sort -g | head -n 1)
		done
	done
	printf '%-7s COPY %6.2f s   export %6.2f s   speed of COPY %s\n' "$format" "${best[copy]}" "${best[export]}" "$(ratio "${best[copy]}" "${best[export]}")"
	best=()
done
