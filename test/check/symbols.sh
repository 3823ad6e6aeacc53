#!/bin/bash
# The library is loaded into every backend: it may export only sh_ names and what PostgreSQL looks up.
cd "$(dirname "$0")/../.." || exit 1
library=saleshub.so
[[ -f $library ]] || {
	echo "$library is not built"
	exit 1
}
found=$(nm -D --defined-only "$library" | awk '{ print $3 }' |
	grep -vE '^(sh_.*|_PG_init|Pg_magic_func|pg_finfo_.*|_init|_fini)$')
if [[ $found ]]; then
	printf 'exported without sh_:\n%s\n' "$found"
	exit 1
fi
