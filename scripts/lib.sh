# shellcheck shell=bash
# shellcheck disable=SC2034
# What the scripts share: where the parts of one private stack live, how to start and stop them.
# STACK_DIR names the folder of the stack, by default .local in the tree.

set -euo pipefail
shopt -s nullglob

tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
local_dir=${STACK_DIR:-$tree/.local}
[[ $local_dir = /* ]] || local_dir=$PWD/$local_dir
umask 022

say()
{
	printf '%s\n' "$*" >&2
}

die()
{
	say "${0##*/}: $*"
	exit 1
}

# PostgreSQL refuses to run as root; the servers then run as this user.
server_user=$(id -un)
as_server=()
if ((EUID == 0)); then
	server_user=postgres
	as_server=(setpriv --reuid=postgres --regid=postgres --init-groups
		env HOME=/tmp USER=postgres LOGNAME=postgres)
fi

# The newest PostgreSQL that has both a server and what is needed to build for it.
pg_config=${PG_CONFIG:-}
if [[ -z $pg_config ]]; then
	pg_config=pg_config
	for candidate in $(printf '%s\n' /usr/lib/postgresql/*/bin/pg_config | sort -V); do
		if [[ -x ${candidate%/*}/postgres ]]; then
			pg_config=$candidate
		fi
	done
fi

# $base holds the private PostgreSQL, the data and the logs. It is $local_dir itself, or a folder
# in /var/tmp when the server user cannot reach the tree (a clone under /root). $sock holds the
# sockets, whose paths may have 107 bytes at most.
locate()
{
	mkdir -p "$local_dir"
	local_dir=$(cd "$local_dir" && pwd -P)
	base=$local_dir
	if ((EUID == 0)); then
		id -u postgres >/dev/null 2>&1 || die "PostgreSQL is not installed: try make run"
		if ! "${as_server[@]}" test -x "$local_dir"; then
			base=$(readlink "$local_dir/server") || base=''
			[[ $base && -d $base ]] || outside_base
		fi
		chmod 755 "$base"
	fi
	data=$base/data
	sock=$base/sock
	if ((${#sock} > 85)); then
		sock=/tmp/saleshub-$EUID-$(printf '%s' "$base" | cksum | cut -d' ' -f1)
	fi
	private_folder "$sock" 700 "$server_user"
	log=$base/log
	private_folder "$log" 755 "$server_user"
	root=$base/root
	# Debian's pg_config is the same for all programs of one major version.
	pg_bin=$root$("$pg_config" --bindir)
	state=$base/state
	read_state
}

# A new folder in /var/tmp; those of trees that are gone are removed.
outside_base()
{
	local owner
	for owner in /var/tmp/saleshub-*/owner; do
		base=${owner%/owner}
		data=$base/data
		if [[ -O $owner && $(readlink "$(<"$owner")/server") != "$base" ]] && ! cluster_processes; then
			rm -rf "$base"
		fi
	done
	base=$(mktemp -d /var/tmp/saleshub-XXXXXX)
	printf '%s\n' "$local_dir" >"$base/owner"
	ln -sfn "$base" "$local_dir/server"
}

# Makes a folder with this mode and owner; one that somebody else made in /tmp is refused.
private_folder()
{
	local path=$1 mode=$2 owner=$3
	if [[ -L $path ]]; then
		die "$path is a link: remove it"
	fi
	if [[ ! -d $path ]]; then
		mkdir -m 700 "$path"
		chown "$owner" "$path"
	fi
	[[ $(stat -c %U "$path") = "$owner" ]] || die "$path belongs to $(stat -c %U "$path")"
	chmod "$mode" "$path"
}

# The ports and passwords of this stack stay the same over restarts.
read_state()
{
	pg_port='' gw_port='' admin_port='' pg_password='' gw_password='' loaded_sql=''
	sample='' demo_email='' demo_password=''
	if [[ -f $state ]]; then
		# shellcheck disable=SC1090
		. "$state"
	fi
}

write_state()
{
	local name
	(
		umask 077
		for name in pg_port gw_port admin_port pg_password gw_password loaded_sql \
			sample demo_email demo_password; do
			printf '%s=%q\n' "$name" "${!name}"
		done >"$state.new"
	)
	mv "$state.new" "$state"
}

secret()
{
	od -An -N "$1" -tx1 /dev/urandom | tr -d ' \n'
}

# Prints a loopback port that nobody listens on, the given one when it is free.
free_port()
{
	# shellcheck disable=SC2016
	perl -MSocket -e '
		my @try = (grep({$_} @ARGV), map { 20000 + int(rand(12000)) } 1 .. 200);
		for my $port (@try) {
			socket(my $s, PF_INET, SOCK_STREAM, 0) or die;
			setsockopt($s, SOL_SOCKET, SO_REUSEADDR, 1);
			next unless bind($s, sockaddr_in($port, INADDR_LOOPBACK));
			print $port;
			exit;
		}
		die "no free port\n"' -- "$@"
}

# Waits for the lock of this stack and keeps it until unlock or the end of the script.
lock()
{
	[[ -z $lock_fd ]] || return 0
	exec {lock_fd}>"$local_dir/stack.lock"
	if ! flock -n "$lock_fd"; then
		say "waiting for another run in $local_dir"
		flock -w 600 "$lock_fd" || die "could not get the lock $local_dir/stack.lock"
	fi
	locks+=("$lock_fd")
	# What the other one may have changed.
	read_state
}
lock_fd=''
locks=()

unlock()
{
	if [[ $lock_fd ]]; then
		exec {lock_fd}>&-
		lock_fd=''
	fi
}

# Runs a command that outlives this script: without our locks, away from our terminal.
daemon()
{
	local fd
	for fd in "${locks[@]}"; do
		eval "exec $fd>&-"
	done
	exec setsid "${as_server[@]}" "$@" </dev/null
}

# The number of the process in a pid file, if it lives and runs the given program.
living()
{
	local pid exe
	[[ -f $1 ]] || return 1
	read -r pid <"$1" || [[ -n $pid ]] || return 1
	exe=$(readlink "/proc/$pid/exe" 2>/dev/null) || return 1
	[[ $exe = *"$2"* ]] || return 1
	printf '%s' "$pid"
}

pg_pid()
{
	living "$data/postmaster.pid" /postgres
}

redis_pid()
{
	living "$base/redis.pid" redis
}

gateway_pid()
{
	living "$base/gateway.pid" "$base/saleshub-gateway"
}

sql()
{
	"$pg_bin/psql" -X -q -A -t -v ON_ERROR_STOP=1 -h "$sock" -p "$pg_port" -U postgres \
		-d "${database:-saleshub}" "$@"
}

# ---- building and installing ---------------------------------------------------------------

build()
{
	local jobs what=(all) options=(COPT=-Werror)
	if [[ ${COVERAGE:-} ]]; then
		options=(COPT='-O0 --coverage -fprofile-update=atomic' SHLIB_LINK=--coverage)
	fi
	jobs=$(nproc)
	((jobs <= 4)) || jobs=4
	if [[ -f $tree/gateway/main.c ]]; then
		what+=(gateway)
	fi
	mkdir -p "$tree/build"
	(
		exec {fd}>"$tree/build/.lock"
		flock "$fd"
		env -u MAKEFLAGS -u MAKELEVEL make -C "$tree" -j "$jobs" --no-print-directory \
			PG_CONFIG="$pg_config" with_llvm=no "${options[@]}" "${what[@]}" >"$tree/build/log" 2>&1 {fd}>&- ||
			{
				cat "$tree/build/log" >&2
				die "the build failed"
			}
	)
}

# A copy of the installed PostgreSQL that finds its files by its own place, renewed when the
# installed one changes.
make_root()
{
	local bin lib share stamp
	bin=$("$pg_config" --bindir)
	lib=$("$pg_config" --pkglibdir)
	share=$("$pg_config" --sharedir)
	stamp="$("$pg_config" --version) $(stat -c '%Y %s' "$bin/postgres" | tr '\n' ' ')$(
		stat -c '%Y' "$share/extension")"
	if [[ -f $root/stamp && $(<"$root/stamp") = "$stamp" ]]; then
		return
	fi
	say "copying PostgreSQL to $root"
	rm -rf "$root"
	mkdir -p "$root$bin" "$root$lib" "$root$share"
	cp -a "$bin/." "$root$bin"
	tar -C "$lib" --exclude=./bitcode --exclude=./pgxs -cf - . | tar -C "$root$lib" -xf -
	tar -C "$share" --exclude=./man -cf - . | tar -C "$root$share" -xf -
	printf '%s\n' "$stamp" >"$root/stamp"
}

# Installs what was built. Sets new_library, new_sql and new_gateway where something changed.
install_parts()
{
	local lib share version
	new_library='' new_sql='' new_gateway=''
	lib=$root$("$pg_config" --pkglibdir)/saleshub.so
	version=$(sed -n "s/^default_version *= *'\(.*\)'/\1/p" "$tree/extension/saleshub.control")
	share=$root$("$pg_config" --sharedir)/extension/saleshub--$version.sql
	cmp -s "$tree/saleshub.so" "$lib" || new_library=yes
	cmp -s "$tree/build/saleshub--$version.sql" "$share" || new_sql=yes
	if [[ $new_library || $new_sql ]]; then
		env -u MAKEFLAGS -u MAKELEVEL make -C "$tree" --no-print-directory -s \
			PG_CONFIG="$pg_config" with_llvm=no install DESTDIR="$root" >/dev/null
	fi
	sql_sum=$(cksum <"$share" | cut -d' ' -f1)
	if [[ -f $tree/gateway/main.c ]] &&
		! cmp -s "$tree/build/saleshub-gateway" "$base/saleshub-gateway"; then
		new_gateway=yes
	fi
}

# ---- PostgreSQL ----------------------------------------------------------------------------

make_cluster()
{
	[[ -f $data/PG_VERSION ]] && return
	rm -rf "$data"
	mkdir -m 700 "$data"
	chown "$server_user" "$data"
	"${as_server[@]}" "$pg_bin/initdb" -D "$data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 \
		--no-sync --no-instructions >"$log/initdb.log" 2>&1 || {
		cat "$log/initdb.log" >&2
		rm -rf "$data"
		die "initdb failed"
	}
	[[ $pg_password ]] || pg_password=$(secret 16)
	[[ $gw_password ]] || gw_password=$(secret 16)
	write_state
}

# The sockets lie in a folder that only we can enter; over TCP a password is asked.
configure_cluster()
{
	local durable=on
	if [[ ${STACK_THROWAWAY:-} ]]; then
		durable=off
	fi
	cat >"$data/pg_hba.conf" <<-HBA
		local all all trust
		local replication all trust
		host all all 127.0.0.1/32 scram-sha-256
	HBA
	cat >"$data/postgresql.auto.conf" <<-CONF
		listen_addresses = '127.0.0.1'
		port = $pg_port
		unix_socket_directories = '$sock'
		shared_preload_libraries = 'saleshub'
		saleshub.databases = 'saleshub'
		max_connections = 150
		max_prepared_transactions = 5
		fsync = $durable
		jit = off
		timezone = 'UTC'
		log_timezone = 'UTC'
		log_line_prefix = '%m [%p] %q%u@%d '
		client_encoding = 'UTF8'
		lc_messages = 'C'
	CONF
	chown "$server_user" "$data/pg_hba.conf" "$data/postgresql.auto.conf"
}

start_postgres()
{
	local tries=0 lines
	if pg_pid >/dev/null; then
		return
	fi
	forget_dead_postmaster
	while :; do
		pg_port=$(free_port "$pg_port")
		write_state
		configure_cluster
		if (
			cd /
			for fd in "${locks[@]}"; do
				eval "exec $fd>&-"
			done
			"${as_server[@]}" "$pg_bin/pg_ctl" -D "$data" -l "$log/postgres.log" -w -t 60 -s start
		) >"$log/pg_ctl.log" 2>&1 </dev/null; then
			break
		fi
		tries=$((tries + 1))
		lines=$(tail -n 30 "$log/postgres.log" 2>/dev/null || true)
		# After a kill -9 the old server's children may need a moment to notice.
		if ((tries < 30)) && [[ $lines =~ "still in use"|"already in use" ]]; then
			sleep 0.5
			continue
		fi
		cat "$log/pg_ctl.log" >&2
		say "$lines"
		die "PostgreSQL does not start ($log/postgres.log)"
	done
	database=postgres sql -c "ALTER ROLE postgres PASSWORD '$pg_password'"
}

# A killed postmaster that nobody waits for stays a zombie, and its number in the lock files keeps
# PostgreSQL from starting. Its children must be gone before the files may go.
forget_dead_postmaster()
{
	local pid i
	[[ -f $data/postmaster.pid ]] || return 0
	read -r pid <"$data/postmaster.pid" || [[ $pid ]] || return 0
	for ((i = 0; i < 200; i++)); do
		if ! cluster_processes; then
			rm -f "$data/postmaster.pid" "$sock"/.s.PGSQL.*
			return
		fi
		sleep 0.05
	done
}

# True while any process works in the data folder.
cluster_processes()
{
	local cwd
	for cwd in /proc/[0-9]*/cwd; do
		if [[ $(readlink "$cwd" 2>/dev/null) = "$data" ]]; then
			return 0
		fi
	done
	return 1
}

stop_postgres()
{
	if pg_pid >/dev/null; then
		(cd / && "${as_server[@]}" "$pg_bin/pg_ctl" -D "$data" -m fast -w -t 60 -s stop) || true
	fi
}

# The database with the extension. When the SQL changed since it was made, it is made anew, or
# brought along when it holds sample data.
make_database()
{
	local there
	there=$(database=postgres sql -c "SELECT 1 FROM pg_database WHERE datname = 'saleshub'")
	if [[ $there && $loaded_sql = "$sql_sum" ]]; then
		return
	fi
	if [[ $there && $loaded_sql && $sample ]]; then
		update_database
	else
		loaded_sql='' sample='' demo_email='' demo_password=''
		write_state
		database=postgres sql -c 'DROP DATABASE IF EXISTS saleshub WITH (FORCE)' \
			-c 'CREATE DATABASE saleshub' 2>&1 | { grep -v 'does not exist, skipping' >&2 || true; }
		sql -c 'CREATE EXTENSION saleshub' -c 'SELECT saleshub.install()' >/dev/null
	fi
	sql -c "ALTER ROLE saleshub_gateway PASSWORD '$gw_password'"
	loaded_sql=$sql_sum
	write_state
}

# Replaces the functions by those of the tree and brings the tables along. The version stays the
# same between releases, so the way leads over a version that exists only here.
update_database()
{
	local extensions version
	extensions=$root$("$pg_config" --sharedir)/extension
	version=$(sed -n "s/^default_version *= *'\(.*\)'/\1/p" "$tree/extension/saleshub.control")
	say "the SQL of the tree has changed: updating the database"
	# What the tree no longer has was not written by this transaction; asked before the grants,
	# which write every function.
	sed -E 's/^CREATE (FUNCTION|PROCEDURE|AGGREGATE|VIEW)/CREATE OR REPLACE \1/
		s/^CREATE SCHEMA /&IF NOT EXISTS /' "$tree/build/saleshub--$version.sql" |
		awk -v drop="DO \$\$
			DECLARE
			    old regprocedure;
			BEGIN
			    FOR old IN
			        SELECT p.oid
			          FROM pg_proc p
			          JOIN pg_depend d
			            ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
			          JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'saleshub'
			         WHERE p.xmin <> pg_current_xact_id()::xid
			    LOOP
			        EXECUTE format('DROP ROUTINE %s CASCADE', old);
			    END LOOP;
			END
			\$\$;" '/^REVOKE ALL ON ALL FUNCTIONS/ { print drop } { print }' \
			>"$extensions/saleshub--$version--${version}tree.sql"
	echo 'SELECT;' >"$extensions/saleshub--${version}tree--$version.sql"
	if ! sql -1 -c "ALTER EXTENSION saleshub UPDATE TO '${version}tree'" \
		-c "ALTER EXTENSION saleshub UPDATE TO '$version'" -c 'SELECT saleshub.install()' >/dev/null; then
		die "the data of an older tree cannot be brought along. To begin anew: scripts/stack wipe"
	fi
}

# ---- Redis ---------------------------------------------------------------------------------

start_redis()
{
	local tries=0
	redis_pid >/dev/null && return
	rm -f "$sock/redis.sock"
	(
		daemon redis-server --port 0 --unixsocket "$sock/redis.sock" --unixsocketperm 700 \
			--save '' --appendonly no --dir "$log" --daemonize no --maxmemory 256mb \
			--maxmemory-policy allkeys-lru >>"$log/redis.log" 2>&1
	) &
	echo $! >"$base/redis.pid"
	disown
	until redis-cli -s "$sock/redis.sock" ping 2>/dev/null | grep -q PONG; do
		tries=$((tries + 1))
		if ((tries > 100)) || ! kill -0 "$(<"$base/redis.pid")" 2>/dev/null; then
			tail -n 20 "$log/redis.log" >&2
			die "Redis does not start"
		fi
		sleep 0.05
	done
}

# Ends a process: TERM, then KILL after the given seconds.
end_process()
{
	local pid=$1 seconds=$2 i
	kill -TERM "$pid" 2>/dev/null || return 0
	for ((i = 0; i < seconds * 20; i++)); do
		[[ -e /proc/$pid ]] && [[ $(cut -d' ' -f3 "/proc/$pid/stat" 2>/dev/null) != Z ]] || return 0
		sleep 0.05
	done
	kill -KILL "$pid" 2>/dev/null || true
}

stop_redis()
{
	local pid
	if pid=$(redis_pid); then
		end_process "$pid" 5
	fi
	rm -f "$base/redis.pid"
}

# ---- the gateway ---------------------------------------------------------------------------

start_gateway()
{
	local tries=0 ready=$base/ready.json
	[[ -f $tree/gateway/main.c ]] || return 0
	gateway_pid >/dev/null && return
	if ! cmp -s "$tree/build/saleshub-gateway" "$base/saleshub-gateway"; then
		cp "$tree/build/saleshub-gateway" "$base/saleshub-gateway.new"
		chmod 755 "$base/saleshub-gateway.new"
		mv "$base/saleshub-gateway.new" "$base/saleshub-gateway"
	fi
	private_folder "$base/gateway" 755 "$server_user"
	rm -rf "$base/gateway/web"
	cp -r "$tree/gateway/web" "$base/gateway/web"
	chmod -R u=rwX,go=rX "$base/gateway/web"
	if [[ ! -f $base/gateway/jwt.key ]]; then
		(umask 077 && secret 32 >"$base/gateway/jwt.key")
		chown "$server_user" "$base/gateway/jwt.key"
	fi
	ready=$base/gateway/ready.json
	while :; do
		rm -f "$ready"
		gw_port=$(free_port "$gw_port" "${STACK_PORT:-}")
		admin_port=$(free_port "$admin_port")
		write_state
		(
			export SALESHUB_LISTEN=127.0.0.1:$gw_port SALESHUB_ADMIN_LISTEN=127.0.0.1:$admin_port
			export SALESHUB_DATABASE="host=$sock port=$pg_port dbname=saleshub user=saleshub_gateway"
			export SALESHUB_REDIS=unix:$sock/redis.sock SALESHUB_WEB_ROOT=$base/gateway/web
			export SALESHUB_JWT_SECRET_FILE=$base/gateway/jwt.key SALESHUB_READY_FILE=$ready
			cd "$base/gateway"
			daemon "$base/saleshub-gateway" >>"$log/gateway.log" 2>&1
		) &
		echo $! >"$base/gateway.pid"
		disown
		while [[ ! -s $ready ]]; do
			tries=$((tries + 1))
			if ((tries > 600)) || ! kill -0 "$(<"$base/gateway.pid")" 2>/dev/null; then
				tail -n 20 "$log/gateway.log" >&2
				die "the gateway does not start ($log/gateway.log)"
			fi
			sleep 0.05
		done
		return
	done
}

stop_gateway()
{
	local pid
	if pid=$(gateway_pid); then
		end_process "$pid" 15
	fi
	rm -f "$base/gateway.pid"
}

# ---- all of it -----------------------------------------------------------------------------

# Brings everything up: builds, installs and starts what is missing or changed.
stack_up()
{
	lock
	build
	make_root
	install_parts
	make_cluster
	if [[ $new_library ]]; then
		stop_postgres
	fi
	start_postgres
	make_database
	start_redis
	if [[ $new_gateway || $new_sql || $new_library ]]; then
		stop_gateway
	fi
	start_gateway
	write_env
	unlock
}

stack_down()
{
	lock
	stop_gateway
	stop_redis
	stop_postgres
	unlock
}

# Stops everything and forgets the data.
stack_wipe()
{
	stack_down
	rm -rf "$data" "$state" "$log"
	private_folder "$log" 755 "$server_user"
	read_state
}

# Loads the sample data, once, and gives its first admin a password.
load_sample()
{
	local hash
	if [[ -z $sample ]]; then
		if [[ $(sql -c 'SELECT EXISTS (SELECT FROM crm.org)') = f ]]; then
			sql -c "SELECT crm.sample_data(leads => $1)" -c ANALYZE >/dev/null ||
				die "the sample data could not be loaded"
		fi
		sample=yes
		write_state
	fi
	if [[ -z $demo_password && -f $tree/gateway/main.c ]]; then
		demo_email=$(sql -c "SELECT email FROM crm.member WHERE active AND role = 'admin'
			ORDER BY created_at, member_id LIMIT 1")
		demo_password=$(secret 6)
		hash=$(printf '%s' "$demo_password" | "$base/saleshub-gateway" --hash-password) ||
			die "the password of the demo member could not be hashed"
		sql -v email="$demo_email" -v hash="$hash" >/dev/null \
			<<<"SELECT saleshub.set_password(:'email', :'hash')" ||
			die "the demo member got no password"
		write_state
	fi
}

# For people and scripts: `. .local/env` and psql just works.
write_env()
{
	(
		umask 077
		cat >"$local_dir/env.new" <<-ENV
			export PGHOST='$sock' PGPORT=$pg_port PGUSER=postgres PGDATABASE=saleshub
			export DATABASE_URL='postgresql://postgres:$pg_password@127.0.0.1:$pg_port/saleshub'
			export REDIS_URL='unix://$sock/redis.sock' REDIS_SOCKET='$sock/redis.sock'
			export URL='http://127.0.0.1:$gw_port' ADMIN_URL='http://127.0.0.1:$admin_port'
			export PATH='$pg_bin':"\$PATH"
		ENV
	)
	mv "$local_dir/env.new" "$local_dir/env"
}
