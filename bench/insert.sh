#!/bin/bash
# Many leads at once, with everything that follows a lead (check, score, routing, keys, history,
# events, rollups, cache), beside the same rows into a copy of the table with the same indexes and
# no trigger. Two sessions, each INSERT a transaction of BENCH_BATCH rows, into a new organisation
# with five members who share the leads; the worker publishes meanwhile. Given is the rate of both
# sessions together, that of the second half of the rows, and how long the worker took to catch up.
# shellcheck source=bench/common.bash
. "$(dirname "$0")/common.bash"

rows=${BENCH_ROWS:-40000}
batch=${BENCH_BATCH:-5000}
columns="first_name, last_name, email, phone, company_name, title, website, source, country, city,
	industry, employees, annual_revenue"

cleanups+=('sql -c "DROP SCHEMA IF EXISTS bench CASCADE" 2>/dev/null')
say "making $rows rows"
sql -v rows="$rows" <<'SQL'
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS bench CASCADE;
CREATE SCHEMA bench;
CREATE TABLE bench.bare (LIKE crm.lead INCLUDING ALL);
CREATE UNLOGGED TABLE bench.source AS
SELECT n,
       (ARRAY['Anna', 'Ben', 'Carla', 'David', 'Eva', 'Felix', 'Greta', 'Hugo', 'Ines', 'Jan', 'Karla',
              'Leon', 'Mia', 'Noah', 'Olga', 'Paul', 'Rita', 'Sven', 'Tina', 'Uwe'])[1 + a % 20] AS first_name,
       initcap(surname) AS last_name,
       lower(surname) || '.' || n || '@' || firm || c % 1000 || '.example' AS email,
       '+4930' || 10000000 + n AS phone,
       initcap(firm) || ' ' || c % 1000 || ' ' || (ARRAY['GmbH', 'AG', 'Ltd', 'Inc', 'KG'])[1 + b % 5] AS company_name,
       (ARRAY['CEO', 'Buyer', 'Engineer', 'Head of Sales', NULL])[1 + b % 5] AS title,
       CASE WHEN b % 2 = 0 THEN 'https://www.' || firm || c % 1000 || '.example/' END AS website,
       (ARRAY['web', 'referral', 'trade fair', 'search ads', 'partner'])[1 + c % 5] AS source,
       (ARRAY['DE', 'AT', 'US', 'GB', 'FR'])[1 + a % 5] AS country,
       (ARRAY['Berlin', 'Wien', 'Boston', 'London', 'Lyon'])[1 + a % 5] AS city,
       (ARRAY['Software', 'Manufacturing', 'Retail', 'Logistics', 'Health'])[1 + b % 5] AS industry,
       (c % 5000)::integer AS employees,
       CASE WHEN a % 3 = 0 THEN (c % 100000) * 100::numeric END AS annual_revenue
  FROM (SELECT n, abs(hashint4(n)::bigint) AS a, abs(hashint4(n + 7777777)::bigint) AS b,
               abs(hashint4(n / 4 + 5555555)::bigint) AS c
          FROM generate_series(1, :rows) n) h,
       LATERAL (SELECT (ARRAY['ber', 'hal', 'kro', 'mei', 'sto', 'wal', 'zim', 'fra', 'gru', 'lan', 'tor', 'vil',
                              'ost', 'eck', 'bau', 'har', 'rid', 'som', 'ken', 'pal', 'nor', 'sul'])[1 + a % 22]
                       || (ARRAY['ta', 'ne', 'mi', 'lo', 'ru', 'va', 'ke', 'so', 'di', 'ga'])[1 + a / 22 % 10]
                       || (ARRAY['mann', 'berg', 'stein', 'er', 'son', 'ling', 'hoff', 'ski'])[1 + b % 8] AS surname,
                       (ARRAY['acme', 'north', 'blue', 'delta', 'ever', 'fox', 'iron', 'jade', 'kite'])[1 + c % 9]
                       || (ARRAY['soft', 'works', 'metal', 'trade', 'logic', 'food', 'tech'])[1 + c / 9 % 7] AS firm) w;
ALTER TABLE bench.source ADD PRIMARY KEY (n);
VACUUM ANALYZE bench.source;
GRANT USAGE ON SCHEMA bench TO saleshub_user;
GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA bench TO saleshub_user;
CHECKPOINT;
SQL

made=$(sql -F ' ' -c "SELECT o ->> 'org_id', o ->> 'member_id'
	FROM crm.org_create('Bench', 'Ada', 'ada@bench.example', 'EUR', 'Europe/Berlin', 'DE') o")
org=${made% *}
sql -c "INSERT INTO crm.member (org_id, name, email, role)
	SELECT '$org', 'Rep ' || n, 'rep' || n || '@bench.example', 'rep' FROM generate_series(1, 5) n"
cleanups+=("say 'the leads stay in organisation $org'")

# session <table> <first> <last>: the rows from after first up to last
session()
{
	local n
	{
		printf "SET saleshub.org_id = '%s'; SET saleshub.member_id = '%s';
			SET saleshub.member_role = 'admin'; SET ROLE saleshub_user;\n" "$org" "${made#* }"
		for ((n = $2; n < $3; n += batch)); do
			printf 'INSERT INTO %s (%s) SELECT %s FROM bench.source WHERE n > %d AND n <= %d;\n' \
				"$1" "$columns" "$columns" "$n" $((n + batch < $3 ? n + batch : $3))
		done
	} | sql >/dev/null
}

# rate <table> <first> <last>: rows a second of two sessions
rate()
{
	local begin end middle=$((($2 + $3) / 2)) one two
	begin=$(date +%s%N)
	session "$1" "$2" "$middle" &
	one=$!
	session "$1" "$middle" "$3" &
	two=$!
	wait "$one"
	wait "$two"
	end=$(date +%s%N)
	awk -v n=$(($3 - $2)) -v ns=$((end - begin)) 'BEGIN { printf "%.0f", n / ns * 1e9 }'
}

half=$((rows / 2))
bare_first=$(rate bench.bare 0 "$half")
lead_first=$(rate crm.lead 0 "$half")
bare_second=$(rate bench.bare "$half" "$rows")
lead_second=$(rate crm.lead "$half" "$rows")
begin=$(date +%s%N)
until [[ $(sql -c "SELECT NOT EXISTS (SELECT FROM saleshub.outbox WHERE org_id = '$org')") == t ]]; do
	sleep 0.1
done
lag=$((($(date +%s%N) - begin) / 1000000))
printf '%10s %14s %14s %10s\n' rows 'bare rows/s' 'leads rows/s' leads/bare
printf '%10s %14s %14s %10s\n' "1st half" "$bare_first" "$lead_first" "$(ratio "$lead_first" "$bare_first")" \
	"2nd half" "$bare_second" "$lead_second" "$(ratio "$lead_second" "$bare_second")"
printf 'events published %d ms after the last insert; leads by member: %s\n' "$lag" \
	"$(sql -c "SELECT string_agg(n::text, ' ') FROM (SELECT count(*) AS n FROM crm.lead
		WHERE org_id = '$org' GROUP BY owner_id) x")"
