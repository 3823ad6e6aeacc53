#!/bin/bash
# pg_dump | psql brings everything over: rows, a column and an index that a user added, sums
# counted once; and the restored database goes on working.
# shellcheck disable=SC2034
conf="saleshub.databases = 'nothing'"
# shellcheck source=test/tap/server.bash disable=SC2154
. "$SCRATCH/server.bash"

# Every row of every table of ours, without what a new incarnation must change.
fingerprint()
{
	local table
	for table in $(sql_in "$1" -c "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
			WHERE schemaname IN ('crm', 'saleshub')
			  AND tablename NOT IN ('event_state', 'schema_version') ORDER BY 1"); do
		sql_in "$1" -c "SELECT '$table', count(*), md5(string_agg(t::text, E'\n' ORDER BY t::text)) FROM $table t"
	done
}

init_server
start_server
sql_in postgres -c 'CREATE DATABASE one' -c 'CREATE DATABASE two'
sql_in one -c 'CREATE EXTENSION saleshub' -c 'SELECT saleshub.install()' \
	-c 'SELECT crm.sample_data(leads => 200)' >/dev/null
sql_in one -c 'SELECT saleshub.run_maintenance()' >/dev/null
org=$(sql_in one -c 'SELECT org_id FROM crm.org LIMIT 1')
# Custom fields: one ready, one whose index is still to be built, values that must be unique.
define()
{
	sql_in one -c "SELECT set_config('saleshub.org_id', '$org', false)" \
		-c "SELECT crm.custom_field_create('{\"entity\": \"lead\", $1}')" >/dev/null
}
build()
{
	local n
	for n in 1 2 3 4 5 6 7 8 9; do
		sql_in "$1" -c 'SELECT saleshub.custom_build()' >/dev/null
	done
}
define '"key": "tier", "type": "enum", "indexed": true, "options": [{"key": "gold"}, {"key": "tin"}]'
define '"key": "code", "type": "text", "unique": true'
sql_in one -c "UPDATE crm.lead SET custom = jsonb_build_object('tier', CASE WHEN score > 50 THEN 'gold' ELSE 'tin' END, 'code', lead_id::text) WHERE status <> 'converted'"
build one
define '"key": "size", "type": "number", "indexed": true'
sql_in one -c 'SELECT saleshub.custom_build()' >/dev/null
sql_in one -c 'ALTER TABLE crm.deal ADD COLUMN renewal_on date' \
	-c 'CREATE INDEX deal_renewal_idx ON crm.deal (org_id, renewal_on)' \
	-c "UPDATE crm.deal SET renewal_on = '2027-01-31' WHERE deal_id = (SELECT min(deal_id::text)::uuid FROM crm.deal)"
# Deltas that are not yet folded and events that are not yet published travel too.
ok "$(sql_in one -c 'SELECT count(*) > 0 FROM saleshub.outbox')" t 'something waits in the outbox'

errors=$("$PG_BIN/pg_dump" -h "$sock" -U postgres one 2>&1 >"$SCRATCH/dump.sql") || true
ok "$errors" '' 'pg_dump is silent'
errors=$(sql_in two -f "$SCRATCH/dump.sql" 2>&1 >/dev/null) || true
ok "$errors" '' 'psql restores without an error'
ok "$(fingerprint two)" "$(fingerprint one)" 'every row of every table is there, once'
ok "$(sql_in two -c 'SELECT count(*) FROM crm.deal WHERE renewal_on IS NOT NULL')" 1 "the user's column has its value"
ok "$(sql_in two -c "SELECT to_regclass('crm.deal_renewal_idx') IS NOT NULL")" t "the user's index is there"
ok "$(sql_in two -c 'SELECT count(*) FROM saleshub.rollup_check()')" 0 'the sums equal the rows'

ok "$(sql_in two -c 'SELECT string_agg(f.key || b.state, chr(32) ORDER BY f.key) FROM saleshub.custom_build b JOIN crm.custom_field f USING (org_id, custom_field_id)')" \
	'codeready sizebuilding tierready' 'the states of the indexes came over'

# Life goes on: the same epoch is not claimed for another database, new rows get all they should.
ok "$(sql_in two -c 'SELECT saleshub.run_maintenance()' -c "SELECT count(*) FROM saleshub.outbox" | tail -1)" 0 'the outbox is published after the restore'
epoch_one=$(sql_in one -c 'SELECT epoch FROM saleshub.event_state')
epoch_two=$(sql_in two -c 'SELECT epoch FROM saleshub.event_state')
ok "$([[ $epoch_one != "$epoch_two" ]] && echo other)" other 'the restored log is another epoch'
sql_in two -c "INSERT INTO crm.lead (org_id, last_name, email) VALUES ('$org', 'Restored', 'new@restored.example')"
ok "$(sql_in two -c "SELECT version, score_reasons <> '[]', owner_id IS NOT NULL FROM crm.lead WHERE last_name = 'Restored'")" '1|t|t' 'a new lead is scored and assigned'
ok "$(sql_in two -c 'SELECT count(*) FROM saleshub.rollup_check()')" 0 'and counted'
ok "$(sql_in two -c 'SELECT saleshub.install()' -c 'SELECT count(*) FROM saleshub.rollup_check()' | tail -1)" 0 'install() over it changes nothing'

# Custom fields are there and work; the build goes on, whatever transactions the new cluster had.
build two
ok "$(sql_in two -c "SELECT b.state FROM saleshub.custom_build b JOIN crm.custom_field f USING (org_id, custom_field_id) WHERE f.key = 'size'")" \
	ready 'the index is built after the restore'
refused=$(sql_in two -c "INSERT INTO crm.lead (org_id, last_name, custom) SELECT org_id, 'Twin', custom FROM crm.lead WHERE custom ? 'code' LIMIT 1" 2>&1) || true
ok "$(grep -c 'another lead has the same "code"' <<<"$refused")" 1 'a unique value stays unique'
refused=$(sql_in two -c "INSERT INTO crm.lead (org_id, last_name, custom) VALUES ('$org', 'Bad', '{\"size\": \"big\"}')" 2>&1) || true
ok "$(grep -c 'custom/size must be number' <<<"$refused")" 1 'values are checked'

# The extension cannot be lost by accident.
refused=$(sql_in two -c 'DROP EXTENSION saleshub' 2>&1) || true
ok "$(grep -c 'cannot drop extension saleshub because other objects depend on it' <<<"$refused")" 1 'DROP EXTENSION is refused while there is data'
refused=$(sql_in two -c 'CREATE EXTENSION saleshub' 2>&1) || true
ok "$(grep -c 'already exists' <<<"$refused")" 1 'CREATE EXTENSION is refused while it is there'
ok "$(fingerprint one | md5sum)" "$(fingerprint one | md5sum)" 'the fingerprint is stable'

done_testing
