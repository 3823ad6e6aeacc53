#!/bin/bash
# What the check for duplicates costs at insert: loads contacts into a database of its own, then
# inserts others with one client, of which half exist already: without a check, with a warning, and
# refusing what is there; and such as bear the commonest names. Names are as uneven as in life (the
# commonest last name one in a hundred), a third of the addresses are at one free-mail host, a
# fifth of the people have the number of their company's switchboard only. Prints percentiles in
# milliseconds, also of the check alone; exits non-zero when that takes the processor longer than
# the goal at the 99th.
#   bench/duplicate.sh [contacts [goal in ms]]       200000 and 5 unless given
# The environment of libpq says where the server is; the role must be a superuser.
# shellcheck source=bench/common.bash
. "$(dirname "$0")/common.bash"
need pgbench postgresql-contrib

contacts=${1:-${DUPLICATE_CONTACTS:-200000}}
goal=${2:-5}
base=saleshub_bench_duplicate
PGOPTIONS="-c client_min_messages=warning" psql -X -q -d postgres -c "DROP DATABASE IF EXISTS $base" -c "CREATE DATABASE $base TEMPLATE template0 ENCODING 'UTF8'"
# shellcheck disable=SC2016
cleanups+=('psql -X -q -d postgres -c "DROP DATABASE IF EXISTS $base WITH (FORCE)"')
export PGDATABASE=$base

org=$(sql -v contacts="$contacts" <<'SQL' | tail -n 1
SET client_min_messages = warning;
CREATE EXTENSION saleshub;
SELECT saleshub.install() \g /dev/null
CREATE FUNCTION public.word(n integer, syllables integer) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT string_agg(substr('banodirelumakosivetagupewiharyfomejunicalo', 1 + 2 * ((n / (20 ^ g)::integer) % 20), 2), '')
    FROM generate_series(0, syllables - 1) g
$$;
-- The rank of a name among this many, by a Zipf-Mandelbrot law.
CREATE FUNCTION public.rank_of(n integer) RETURNS integer LANGUAGE sql VOLATILE AS $$
    SELECT floor(8 * exp(random() * ln((n + 8) / 8.0)) - 8)::integer
$$;
CREATE FUNCTION public.person(i integer, first_rank integer, last_rank integer) RETURNS jsonb LANGUAGE sql VOLATILE AS $$
    SELECT jsonb_build_object('first_name', initcap(public.word(first_rank * 97 % 160000, 3)), 'last_name', initcap(public.word(last_rank * 97 % 160000, 4)),
        'email', public.word(last_rank, 4) || i || '@' || CASE WHEN i % 3 = 0 THEN 'gmail.com' ELSE public.word(i % 8000, 3) || '.example' END,
        'phone', CASE WHEN i % 5 = 0 THEN '+4930' || 2000000 + i % 8000 ELSE '+4930' || 10000000 + i END)
$$;
SELECT o ->> 'org_id' AS org FROM crm.org_create('Bench', 'Ann', 'ann@bench.example', country => 'DE') o \gset
SET session_replication_role = replica;
INSERT INTO crm.contact (org_id, first_name, last_name, email, phone)
SELECT :'org', p ->> 'first_name', p ->> 'last_name', p ->> 'email', p ->> 'phone'
FROM generate_series(1, :contacts) i, public.person(i, public.rank_of(2000), public.rank_of(100000)) p;
RESET session_replication_role;
SELECT saleshub.match_rebuild(:'org', 'contact') \g /dev/null
VACUUM ANALYZE crm.contact, saleshub.match_key;
SELECT :'org';
SQL
)
psql -X -q -c "ALTER ROLE CURRENT_USER IN DATABASE $base SET saleshub.org_id = '$org'"

# shellcheck disable=SC2016
show='{ t[NR] = $1 }
	END { p99 = t[int(NR * 0.99) + 1]
		printf "%-22s %-5s %6d done, p50 %.2f p95 %.2f p99 %.2f max %.2f ms\n", name, what, NR,
			t[int(NR * 0.5) + 1], t[int(NR * 0.95) + 1], p99, t[NR]
		exit goal && p99 > goal }'

# percentiles <name> <statement> [goal]: runs it for some seconds, i is one who may be there already.
# What the clock says counts what else the machine does; the goal is for the processor's time.
percentiles()
{
	local name=$1 goal=${3:-0} file n
	printf '\\set i random(1, %s)\n%s;\n' $((contacts * 2)) "$2" >"$work/$name.sql"
	pgbench -n -M prepared -c 1 -T "$seconds" -f "$work/$name.sql" --log --log-prefix="$work/$name" >/dev/null 2>"$work/err" || {
		cat "$work/err" >&2
		return 1
	}
	file=$(echo "$work/$name".[0-9]*)
	awk '{ print $3 / 1000 }' "$file" | sort -n | awk -v name="$name" -v what=clock -v goal=0 "$show"
	{
		echo 'SET log_statement_stats = on; SET client_min_messages = log;'
		for ((n = 0; n < 520; n++)); do
			printf '%s;\n' "${2//:i,/$(((RANDOM * 32768 + RANDOM) % (contacts * 2) + 1)),}"
		done
	} | sql 2>&1 >/dev/null | sed -n 's/^!\s*\([0-9.]*\) s user, \([0-9.]*\) s system, .* elapsed$/\1 \2/p' |
		tail -n 500 | awk '{ print ($1 + $2) * 1000 }' | sort -n | awk -v name="$name" -v what=cpu -v goal="$goal" "$show"
}

declare -A people=(
	[anybody]='public.person(:i, public.rank_of(2000), public.rank_of(100000))'
	[commonest]='public.person(:i, floor(random() * 3)::integer, floor(random() * 3)::integer)'
)
# The refusal is an answer, too.
sql <<'SQL'
CREATE FUNCTION public.try(person jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM crm.contact_create(person);
    RETURN 'created';
EXCEPTION WHEN SQLSTATE 'SH409' THEN
    RETURN 'refused';
END
$$;
SQL
bad=0
printf '%s contacts\n' "$contacts"
for who in anybody commonest; do
	percentiles "check_$who" "SELECT saleshub.duplicate_find('contact', ${people[$who]}, NULL, saleshub.match_rules('$org', 'contact'), 13, 5)" "$goal" || bad=1
	for policy in allow warn block; do
		percentiles "${policy}_$who" "SELECT public.try(${people[$who]} || '{\"on_duplicate\": \"$policy\"}')"
	done
done
exit "$bad"
