# A PostgreSQL server of a test's own, and TAP. The caller may set conf (lines of
# postgresql.conf) before start_server.
set -euo pipefail
data=$SCRATCH/data
sock=$SCRATCH
tests=0
failed=0
conf=${conf:-}

# ok got expected name
ok()
{
	tests=$((tests + 1))
	if [[ $1 == "$2" ]]; then
		echo "ok $tests - $3"
	else
		failed=1
		echo "not ok $tests - $3"
		printf '# expected: %s\n# got:      %s\n' "$2" "$1" | head -n 40
	fi
}

done_testing()
{
	echo "1..$tests"
	exit "$failed"
}

# sql_in database psql-arguments...
sql_in()
{
	local database=$1
	shift
	"$PG_BIN/psql" -X -q -A -t -v ON_ERROR_STOP=1 -h "$sock" -U postgres -d "$database" "$@"
}

sql()
{
	sql_in saleshub "$@"
}

init_server()
{
	"$PG_BIN/initdb" -D "$data" -A trust -U postgres --no-locale -E UTF8 >/dev/null
	trap '"$PG_BIN/pg_ctl" -D "$data" -m immediate stop >/dev/null 2>&1 || true' EXIT
	cat >>"$data/postgresql.conf" <<-CONF
		listen_addresses = ''
		unix_socket_directories = '$sock'
		shared_preload_libraries = 'saleshub'
		saleshub.databases = 'saleshub'
		$conf
	CONF
}

# Also after a kill, whose children must go first.
start_server()
{
	for _ in $(seq 300); do
		if "$PG_BIN/pg_ctl" -D "$data" -l "$SCRATCH/server.log" -w start >/dev/null 2>&1; then
			return
		fi
		sleep 0.1
	done
	echo 'Bail out! the server does not start'
	exit 1
}

# A server with the database saleshub and the tables in it.
new_server()
{
	init_server
	start_server
	sql_in postgres -c 'CREATE DATABASE saleshub'
	sql -c 'CREATE EXTENSION saleshub' -c 'SELECT saleshub.install()' >/dev/null
}

# until_sql query expected: waits up to 20 s, prints the last answer.
until_sql()
{
	local got=''
	for _ in $(seq 200); do
		got=$(sql -c "$1" 2>/dev/null || true)
		[[ $got != "$2" ]] || break
		sleep 0.1
	done
	echo "$got"
}
