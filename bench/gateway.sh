#!/bin/bash
# What HTTP costs: requests a second through the gateway, with and without its cache, against pgbench
# sending the same statements (context, function, finish) down a pipeline. Client, gateway and
# database share the machine.
# shellcheck source=bench/common.bash
. "$(dirname "$0")/common.bash"
need wrk
need curl
need pgbench postgresql-contrib
gateway=${URL:?set URL to the address of the gateway}
program=${GATEWAY_PROGRAM:-$(dirname "$0")/../build/saleshub-gateway}
clients=${BENCH_CLIENTS:-16}

org=$(sql -c "SELECT org_id FROM crm.org WHERE name = 'Bench' LIMIT 1")
if [[ -z $org ]]; then
	sql -c "SELECT crm.sample_data(1000, name => 'Bench')" >/dev/null
	org=$(sql -c "SELECT org_id FROM crm.org WHERE name = 'Bench' LIMIT 1")
fi
sql -c "UPDATE crm.member SET email = 'bench@saleshub.example' WHERE org_id = '$org' AND role = 'admin'"
lead=$(sql -c "SELECT lead_id FROM crm.lead WHERE org_id = '$org' ORDER BY lead_id LIMIT 1")

password=$(od -An -N 12 -tx1 /dev/urandom | tr -d ' \n')
sql -v hash="$(printf '%s' "$password" | "$program" --hash-password)" >/dev/null \
	<<<"SELECT saleshub.set_password('bench@saleshub.example', :'hash')"
token=$(curl -fsS -H 'Content-Type: application/json' "$gateway/v1/auth/sign-in" \
	-d "{\"email\":\"bench@saleshub.example\",\"password\":\"$password\"}" |
	sed -n 's/.*"access_token": *"\([^"]*\)".*/\1/p')
# the session is named in the token's second part
session=$(cut -d. -f2 <<<"$token" | tr '_-' '/+' | awk '{ while (length($0) % 4) $0 = $0 "="; print }' |
	base64 -d | sed -n 's/.*"sid":"\([^"]*\)".*/\1/p')

# rps <path> [header]: requests a second; any answer but 200 is a failure
rps()
{
	local path=$1 out
	shift
	out=$(wrk -t 2 -c "$clients" -d "${seconds}s" -H "Authorization: Bearer $token" "$@" "$gateway$path")
	if grep -q -e Non-2xx -e 'Socket errors' <<<"$out"; then
		say "$out"
		return 1
	fi
	awk '/^Requests\/sec/ { print $2 }' <<<"$out"
}

pipeline()
{
	cat <<-SQL
		\\startpipeline
		SELECT * FROM saleshub.ctx('$org', '$session', 'bench', true, 5000, true);
		SELECT $1;
		SELECT * FROM saleshub.finish();
		\\endpipeline
	SQL
}

printf '%-12s %10s %10s %10s %16s %16s\n' route pgbench no-cache cached no-cache/pgbench cached/pgbench
while read -r name path call; do
	direct=$(tps "$clients" "$(pipeline "$call")")
	bypass=$(rps "$path" -H 'Cache-Control: no-cache')
	cached=$(rps "$path")
	printf '%-12s %10.0f %10.0f %10.0f %16s %16s\n' "$name" "$direct" "$bypass" "$cached" \
		"$(ratio "$bypass" "$direct")" "$(ratio "$cached" "$direct")"
done <<END
lead /v1/leads/$lead crm.lead_get(id => '$lead')
list /v1/leads?limit=50 crm.lead_list(limit_ => 50)
dashboard /v1/dashboard crm.dashboard_get()
END
