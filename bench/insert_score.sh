#!/bin/bash
# What scoring adds to the insert of a lead: the same rows with the triggers of scoring and without
# them, all else that follows a lead in both, in turns in one run; BENCH_RULES rules (20) in two
# groups with caps. Many rows a statement, then one row a transaction. Given is the CPU time of the
# backend and the time passed, each the median of BENCH_ROUNDS rounds, and with / without.
# shellcheck source=bench/common.bash
. "$(dirname "$0")/common.bash"

rules=${BENCH_RULES:-20}
rows=${BENCH_ROWS:-4000}
rounds=${BENCH_ROUNDS:-7}
triggers="lead_05_score_lock lead_20_score lead_60_score_insert"
columns="first_name, last_name, email, phone, company_name, title, website, source, country, city,
	industry, employees"

made=$(sql -c "SELECT crm.org_create('Bench', 'Ada', 'ada@bench.example', 'EUR', 'Europe/Berlin', 'DE') ->> 'org_id'")
cleanups+=("say 'the leads stay in organisation $made'")
sql -v org="$made" -v rules="$rules" <<'SQL' >/dev/null
SELECT set_config('saleshub.org_id', :'org', false);
SELECT crm.score_rules_put(jsonb_build_object(
    'groups', '[{"name": "Person", "kind": "fit", "cap": 60}, {"name": "Company", "kind": "fit", "cap": 60}]'::jsonb,
    'rules', (SELECT jsonb_agg(jsonb_build_object('label', 'rule ' || n, 'points', n % 7 - 2,
        'group', CASE n % 2 WHEN 0 THEN 'Person' ELSE 'Company' END,
        'predicate', (ARRAY['{"field": "email", "op": "matches_domain", "value": "business"}',
            '{"or": [{"field": "title", "op": "contains", "value": "head"}, {"field": "title", "op": "=", "value": "ceo"}]}',
            '{"and": [{"field": "employees", "op": ">=", "value": 50}, {"field": "employees", "op": "<", "value": 2000}]}',
            '{"field": "source", "op": "in", "value": ["referral", "partner"]}',
            '{"not": {"field": "country", "op": "=", "value": "US"}}'])[1 + n % 5]::jsonb))
      FROM generate_series(1, :rules) AS n)));
SQL

# batch <first> <rows> <rows a statement>: statements that insert those rows
batch()
{
	local n
	printf "SET saleshub.org_id = '%s'; SET synchronous_commit = off; SET ROLE saleshub_user;\n" "$made"
	for ((n = $1; n < $1 + $2; n += $3)); do
		printf "INSERT INTO crm.lead (%s) SELECT (ARRAY['Anna', 'Ben', 'Carla'])[1 + n %% 3], 'Person ' || n,
			'p' || n || '@firm' || n %% 9973 || '.example', '+4930' || 10000000 + n, 'Firm ' || n %% 9973,
			(ARRAY['CEO', 'Buyer', 'Head of Sales', NULL])[1 + n %% 4], 'https://firm' || n %% 9973 || '.example',
			(ARRAY['web', 'referral', 'partner'])[1 + n %% 3], (ARRAY['DE', 'US', 'FR'])[1 + n %% 3], 'Berlin',
			(ARRAY['Software', 'Retail'])[1 + n %% 2], n %% 5000 FROM generate_series(%d, %d) AS n;\n" \
			"$columns" "$n" $((n + $3 - 1))
	done
}

# run <with|without> <first> <rows> <rows a statement>: CPU and wall milliseconds of the backend
run()
{
	if [[ $1 == with ]]; then switch ENABLE; else switch DISABLE; fi
	{
		echo 'SELECT 1;'
		batch "${@:2}"
		cat <<'SQL'
RESET ROLE;
CREATE TEMP TABLE stat (line text);
SELECT format('COPY stat FROM %L', '/proc/' || pg_backend_pid() || '/stat') \gexec
SELECT ((f)[12]::bigint + (f)[13]::bigint) * 10, round(extract(epoch FROM clock_timestamp() - b.backend_start) * 1000)
  FROM stat, regexp_split_to_array(substr(line, strpos(line, ') ') + 2), ' ') AS f,
       pg_stat_activity AS b WHERE b.pid = pg_backend_pid();
SQL
	} | sql -F ' ' | tail -n 1
}

# switch <ENABLE|DISABLE>
switch()
{
	local t
	for t in $triggers; do sql -c "ALTER TABLE crm.lead $1 TRIGGER $t"; done
}

cleanups+=('switch ENABLE')
next=1
for size in "$rows" 1; do
	rm -f "$work"/with "$work"/without
	run without "$next" 200 "$((size < 200 ? size : 200))" >/dev/null
	next=$((next + 200))
	for ((r = 0; r < rounds; r++)); do
		order="with without"
		((r % 2)) || order="without with"
		for which in $order; do
			run "$which" "$next" "$rows" "$size" >>"$work/$which"
			next=$((next + rows))
		done
	done
	for field in 1 2; do
		a=$(cut -d ' ' -f $field "$work/with" | median)
		b=$(cut -d ' ' -f $field "$work/without" | median)
		printf '%5d rows a statement, %s: with %6.0f ms, without %6.0f ms, ratio %s\n' "$size" \
			"$([[ $field == 1 ]] && echo 'CPU ' || echo time)" "$a" "$b" "$(ratio "$a" "$b")"
	done
done
