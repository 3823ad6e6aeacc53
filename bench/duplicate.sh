#!/bin/bash
# What the check for duplicates costs at insert: loads contacts into a database of its own, then
# inserts others, of which half exist already, with the check and without it, one client. Names are
# as uneven as in life. Prints percentiles in milliseconds.
#   bench/duplicate.sh [contacts]       200000 unless given
# The environment of libpq says where the server is; the role must be a superuser.
# shellcheck source=bench/common.bash
. "$(dirname "$0")/common.bash"
need pgbench postgresql-contrib

contacts=${1:-${DUPLICATE_CONTACTS:-200000}}
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
CREATE FUNCTION public.person(i integer) RETURNS jsonb LANGUAGE sql VOLATILE AS $$
    SELECT jsonb_build_object('first_name', public.word((400 * random() ^ 2)::integer, 2),
        'last_name', public.word((160000 * random() ^ 2)::integer, 4),
        'email', 'mail' || i || '@' || public.word(i % 8000, 3) || '.example',
        'phone', '+4930' || 1000000 + i)
$$;
SELECT o ->> 'org_id' AS org FROM crm.org_create('Bench', 'Ann', 'ann@bench.example', country => 'DE') o \gset
SET session_replication_role = replica;
INSERT INTO crm.contact (org_id, first_name, last_name, email, phone)
SELECT :'org', p ->> 'first_name', p ->> 'last_name', p ->> 'email', p ->> 'phone'
FROM generate_series(1, :contacts) i, public.person(i) p;
RESET session_replication_role;
SELECT saleshub.match_rebuild(:'org', 'contact') \g /dev/null
VACUUM ANALYZE crm.contact, saleshub.match_key;
SELECT :'org';
SQL
)
psql -X -q -c "ALTER ROLE CURRENT_USER IN DATABASE $base SET saleshub.org_id = '$org'"

percentiles()
{
	local name=$1 file
	pgbench -n -M prepared -c 1 -T "$seconds" -f "$work/$name.sql" --log --log-prefix="$work/$name" >/dev/null
	file=$(echo "$work/$name".[0-9]*)
	cut -d' ' -f3 "$file" | sort -n | awk -v name="$name" '
		{ t[NR] = $1 / 1000 }
		END { printf "%-22s %6d done, p50 %.2f p95 %.2f p99 %.2f max %.2f ms\n", name, NR,
			t[int(NR * 0.5) + 1], t[int(NR * 0.95) + 1], t[int(NR * 0.99) + 1], t[NR] }'
}

for policy in allow warn; do
	cat >"$work/insert_$policy.sql" <<-SQL
		\\set i random(1, $((contacts * 2)))
		SELECT crm.contact_create(public.person(:i) || '{"on_duplicate": "$policy"}');
	SQL
done
cat >"$work/check_only.sql" <<-SQL
	\\set i random(1, $((contacts * 2)))
	SELECT saleshub.duplicate_find('contact', public.person(:i), NULL, saleshub.match_rules('$org', 'contact'), 13, 5);
SQL
printf '%s contacts\n' "$contacts"
for name in check_only insert_allow insert_warn; do
	percentiles "$name"
done
