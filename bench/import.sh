#!/bin/bash
# How fast leads come in from a file: generates CSV, sends it through POST /v1/imports into a new
# organisation, with all triggers on, and prints rows a second, the most memory that the gateway and
# the workers held meanwhile, and the processor time of each, which tells what rows cost where other
# programs have the processors too.
#   bench/import.sh [rows] [options as JSON]      1,000,000 rows, matched by e-mail
# DATABASE_URL names the database, as superuser, URL the gateway; scripts/stack up says both in .local/env.
set -euo pipefail
shopt -s inherit_errexit

rows=${1:-1000000}
options=${2:-'{"match": {"key": "email"}}'}
database=${DATABASE_URL:?which database} url=${URL:?which gateway}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sql=(psql -X -q -A -t -v ON_ERROR_STOP=1 -d "$database")

generate()
{
	awk -v rows="$1" 'BEGIN {
		split("Anna Boris Clara David Emma Felix Greta Henry Ida Jonas Karla Leon Mia Noah Olga Paul", first, " ")
		split("Adler Bauer Clark Dietz Evans Fuchs Gray Huber Irwin Jung Koch Lang Moore Neumann Otto Peters", last, " ")
		split("Berlin Hamburg Wien Bern Paris London Madrid Roma", city, " ")
		split("technology retail finance medical software", trade, " ")
		print "First name,Last name,E-mail,Phone,Company,Job title,Source,Country,City,Industry,Employees"
		for (i = 1; i <= rows; i++) {
			f = first[i % 16 + 1]; l = last[int(i / 16) % 16 + 1]
			printf "%s,%s%d,%s.%s%d@example%d.test,+4930%07d,%s %d GmbH,Head of %s,web,DE,%s,%s,%d\n", f, l, i, tolower(f), tolower(l),
				i, i % 5000, i, l, i % 50000, trade[i % 5 + 1], city[i % 8 + 1], trade[i % 5 + 1], i % 900 + 1
		}
	}'
}

# Peak memory of a process that it does not share, in MB.
peak()
{
	awk '/^RssAnon/ { print int($2 / 1024) }' "/proc/$1/status" 2>/dev/null || echo 0
}

# Processor time that a process has taken so far, in ticks of 10 ms.
ticks()
{
	sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | awk '{ print $12 + $13 }'
}

watch()
{
	local gateway=$1 pid type
	while sleep 0.4; do
		grep -s VmHWM "/proc/$gateway/status" | awk '{ print "gateway", int($2 / 1024) }'
		echo "time gateway $gateway $(ticks "$gateway")"
		"${sql[@]}" -F ' ' <<<"SELECT pid, replace(backend_type, ' ', '_') FROM pg_stat_activity
			WHERE backend_type IN ('saleshub import', 'saleshub worker', 'checkpointer', 'walwriter', 'autovacuum worker', 'background writer')
				OR query LIKE '%upload_append%'" | while read -r pid type; do
			[[ $type != saleshub_import && $type != client_backend ]] || echo "backend $(peak "$pid")"
			echo "time $type $pid $(ticks "$pid")"
		done
	done >"$work/watched"
}

mail=bench-$RANDOM$RANDOM@import.example
password=$(od -An -N 12 -tx1 /dev/urandom | tr -d ' \n')
hash=$(printf '%s' "$password" | "${GATEWAY_PROGRAM:-$here/../build/saleshub-gateway}" --hash-password)
"${sql[@]}" -v mail="$mail" -v hash="$hash" >/dev/null <<-'SQL'
	SELECT crm.org_create('Import Bench', 'Bench', :'mail', 'EUR', 'UTC', 'DE');
	SELECT saleshub.set_password(:'mail', :'hash');
	-- five among whom the leads are shared out
	INSERT INTO crm.member (org_id, name, email, role)
	SELECT m.org_id, 'Rep ' || n, n || '-' || m.email, 'rep'
	FROM crm.member m, generate_series(1, 5) n WHERE m.email = :'mail';
SQL
token=$(curl -fsS -H 'Content-Type: application/json' "$url/v1/auth/sign-in" \
	-d "{\"email\":\"$mail\",\"password\":\"$password\"}" | jq -r .access_token)
generate "$rows" >"$work/leads.csv"
size=$(stat -c %s "$work/leads.csv")
port=${url##*:}
gateway=$(ss -ltnpH "sport = :$port" | sed -n 's/.*pid=\([0-9]*\).*/\1/p' | head -n 1)
watch "${gateway:-0}" &
watcher=$!

started=$(date +%s.%N)
curl -sS -H "Authorization: Bearer $token" -H 'Content-Type: text/csv' -T "$work/leads.csv" -X POST \
	--url-query "options=$options" "$url/v1/imports?type=leads" >"$work/answer" 2>"$work/error" ||
	curl -sS -G -H "Authorization: Bearer $token" -H 'Content-Type: text/csv' -T "$work/leads.csv" -X POST \
		--data-urlencode "options=$options" --data-urlencode type=leads "$url/v1/imports" >"$work/answer"
id=$(jq -er .id "$work/answer") || {
	cat "$work/answer" >&2
	exit 1
}
sent=$(date +%s.%N)
while :; do
	answer=$(curl -sS -H "Authorization: Bearer $token" "$url/v1/imports/$id")
	state=$(jq -r .state <<<"$answer")
	[[ $state = queued || $state = running ]] || break
	sleep 0.5
done
ended=$(date +%s.%N)
kill "$watcher" 2>/dev/null || true
wait "$watcher" 2>/dev/null || true

[[ $state = 'done' ]] || {
	printf '%s\n' "$answer" >&2
	exit 1
}
jq -c .counts <<<"$answer"
awk -v rows="$rows" -v size="$size" -v a="$started" -v b="$sent" -v c="$ended" '
	$1 == "gateway" && $2 > gateway { gateway = $2 }
	$1 == "backend" && $2 > backend { backend = $2 }
	END {
		printf "%d rows, %.1f MB: sent in %.1f s, imported in %.1f s: %d rows/s, %d rows/s with the sending\n",
			rows, size / 1e6, b - a, c - b, rows / (c - b), rows / (c - a)
		printf "most memory: gateway %d MB, a backend %d MB of its own\n", gateway, backend
	}' "$work/watched"
awk -v rows="$rows" '
	$1 == "time" && NF == 4 {
		type[$3] = $2
		# what is not new has worked for others before
		if (!($3 in last) && $2 != "saleshub_import") first[$3] = $4
		last[$3] = $4
	}
	END { for (p in last) printf "%-18s %6d: %5.1f us of processor time a row\n", type[p], p, (last[p] - first[p]) * 10000 / rows }
	' "$work/watched" | sort
