#!/bin/bash
# No TODO and its kin: an issue, or nothing.
cd "$(dirname "$0")/../.." || exit 1
! grep -rnE '\b(TODO|FIXME|XXX|HACK)\b' extension/*.[ch] gateway sql test/*/*.sql test/*/*.mjs test/*/*.c docs \
	bench README.md 2>/dev/null
