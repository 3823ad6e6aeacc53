#!/bin/bash
# The gateway calls functions; it names no table.
cd "$(dirname "$0")/../.." || exit 1
shopt -s nullglob
tables=$(sed -nE 's/^CREATE TABLE IF NOT EXISTS (crm|saleshub)\.([a-z_]+).*/\1.\2/p' sql/schema/*.sql | sort -u)
found=$(
	for table in $tables; do
		# A table and a function may share a name: saleshub.route( is the function.
		grep -nE "(^|[^a-z_.])${table/./\\.}([^a-z_(]|\$)" gateway/*.c gateway/*.h
	done
	grep -niE '"[^"]*\b(insert into|delete from|update [a-z_]+\.[a-z_]+ set|from crm\.[a-z_]+[^a-z_(])' gateway/*.c
)
if [[ $found ]]; then
	printf 'the gateway names tables:\n%s\n' "$found"
	exit 1
fi
