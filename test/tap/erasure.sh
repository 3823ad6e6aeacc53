#!/bin/bash
# What was erased stays erased when an older backup is restored: the ledger, kept apart, is loaded
# and replayed, and until then check() says that it is missing.
# shellcheck disable=SC2034
conf="saleshub.databases = 'nothing'"
# shellcheck source=test/tap/server.bash disable=SC2154
. "$SCRATCH/server.bash"

# mentions database: the rows of all tables that hold what was erased
mentions()
{
	local table total=0
	for table in $(sql_in "$1" -c "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
			WHERE schemaname IN ('crm', 'saleshub') ORDER BY 1"); do
		total=$((total + $(sql_in "$1" -c "SELECT count(*) FROM $table t WHERE t::text ~* 'quux'")))
	done
	echo "$total"
}

erasure_ok()
{
	sql_in "$1" -c "SELECT ok FROM saleshub.check() WHERE item = 'erasure'"
}

init_server
start_server
sql_in postgres -c 'CREATE DATABASE one' -c 'CREATE DATABASE two'
sql_in one -c 'CREATE EXTENSION saleshub' -c 'SELECT saleshub.install()' \
	-c "SELECT crm.org_create('Forgetful', 'Ann', 'ann@forgetful.example')" >/dev/null
as_admin="SELECT set_config('saleshub.org_id', m.org_id::text, false), set_config('saleshub.member_id', m.member_id::text, false),
	set_config('saleshub.member_role', 'admin', false) FROM crm.member m"
sql_in one -c "$as_admin" \
	-c "SELECT crm.lead_create('{\"first_name\": \"Zelda\", \"last_name\": \"Quuxberg\", \"email\": \"zelda@quux.example\"}')" \
	-c "SELECT crm.contact_create('{\"last_name\": \"Quuxberg\", \"email\": \"zelda@quux.example\"}')" \
	-c "SELECT crm.contact_create('{\"last_name\": \"Keeper\", \"email\": \"keeper@else.example\"}')" \
	-c 'SELECT saleshub.run_maintenance()' >/dev/null
ok "$(erasure_ok one)" t 'nothing is to be erased again'
"$PG_BIN/pg_dump" -h "$sock" -U postgres one >"$SCRATCH/backup.sql"

# One record is only in the backup's future: it is erased, too, and known again by nothing but its address.
sql_in one -c "$as_admin" -c "SELECT crm.subject_erase('{\"email\": \"zelda@quux.example\"}')" >/dev/null
ok "$(mentions one)" 0 'the person is gone'
"$PG_BIN/pg_dump" -h "$sock" -U postgres --data-only -t crm.erasure one >"$SCRATCH/ledger.sql"

sql_in two -f "$SCRATCH/backup.sql" >/dev/null
ok "$( (($(mentions two) > 3)) && echo back)" back 'the older backup brings the person back'
ok "$(sql_in two -c 'SELECT saleshub.install()' >/dev/null && erasure_ok two)" f 'check() demands the replay'
sql_in two -c 'DELETE FROM crm.erasure' -f "$SCRATCH/ledger.sql" >/dev/null
ok "$(grep -c quux "$SCRATCH/ledger.sql")" 0 'the ledger names nobody'
# The ids are not enough: a record with the address that the ledger does not list.
org=$(sql_in two -c 'SELECT org_id FROM crm.org')
sql_in two -c "INSERT INTO crm.lead (org_id, last_name, email) VALUES ('$org', 'Quuxberg again', 'zelda@quux.example')"
ok "$(sql_in two -c 'SELECT saleshub.erasure_replay()')" 1 'one erasure is done again'
ok "$(mentions two)" 0 'the person is gone again'
ok "$(erasure_ok two)" t 'check() is content'
ok "$(sql_in two -c "SELECT count(*) FROM crm.contact WHERE last_name = 'Keeper'")" 1 'others are still there'
ok "$(sql_in two -c 'SELECT saleshub.erasure_replay()' -c 'SELECT count(*) FROM saleshub.rollup_check()' | tr '\n' ' ')" '1 0 ' 'once more changes no figure'

done_testing
