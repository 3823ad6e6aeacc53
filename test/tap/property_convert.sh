#!/bin/bash
# Converting leads and undoing it gives everything back, over random records, options and members:
# several conversions on each other, into records that the others made or filled.
# shellcheck disable=SC2034
conf="saleshub.databases = 'nothing'
fsync = off"
# shellcheck source=test/tap/server.bash disable=SC2154
. "$SCRATCH/server.bash"
# shellcheck source=test/tap/property.bash
. "$SCRATCH/property.bash"
property_server
property 30 0 >"$SCRATCH/report"
ok "$(grep -v '^done ' "$SCRATCH/report")" '' "undone conversions leave nothing (PROPERTY_SEED=$seed)"
ok "$(done_often convert 25)" yes "$(tail -n 1 "$SCRATCH/report")"
ok "$(sql -c 'SELECT count(*) FROM saleshub.rollup_check()')" 0 'the figures are right'
done_testing
