#!/bin/bash
# Merging records and taking it apart gives everything back, over random records, policies and
# members: merges of two to five, merges of what was merged, mixed with conversions.
# shellcheck disable=SC2034
conf="saleshub.databases = 'nothing'
fsync = off"
# shellcheck source=test/tap/server.bash disable=SC2154
. "$SCRATCH/server.bash"
# shellcheck source=test/tap/property.bash
. "$SCRATCH/property.bash"
property_server
property 30 0.7 >"$SCRATCH/report"
ok "$(grep -v '^done ' "$SCRATCH/report")" '' "merges taken apart leave nothing (PROPERTY_SEED=$seed)"
for kind in merge_lead merge_contact merge_company convert; do
	ok "$(done_often $kind 3)" yes "often enough: $kind"
done
tail -n 1 "$SCRATCH/report" | sed 's/^/# /'
ok "$(sql -c 'SELECT count(*) FROM saleshub.rollup_check()')" 0 'the figures are right'
done_testing
