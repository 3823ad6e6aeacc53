-- Sums of leads, deals and activities: folded ones by quarter hour, coarser ones made of them, and
-- the signed changes not yet folded. All follow from the records, so older shapes are not altered
-- but made anew.
SELECT saleshub.rollup_renew();

CREATE TABLE IF NOT EXISTS saleshub.rollup (
    org_id      uuid NOT NULL,
    fact        text NOT NULL,
    bucket      timestamptz NOT NULL,
    dim         uuid NOT NULL,
    owner_id    uuid NOT NULL,
    label       text NOT NULL,
    detail      text NOT NULL,
    n           bigint NOT NULL,
    amount      numeric NOT NULL,
    weighted    numeric NOT NULL,
    seconds     numeric NOT NULL,
    PRIMARY KEY (org_id, fact, bucket, owner_id, dim, label, detail)
);
COMMENT ON TABLE saleshub.rollup IS 'Folded sums by quarter hour; the exact figure is this plus rollup_delta.';
COMMENT ON COLUMN saleshub.rollup.bucket IS 'Start of the UTC quarter hour; -infinity for facts about the present state.';
COMMENT ON COLUMN saleshub.rollup.dim IS 'Stage of a deal; zero otherwise.';
COMMENT ON COLUMN saleshub.rollup.owner_id IS 'Owner; zero when there is none.';
COMMENT ON COLUMN saleshub.rollup.label IS 'Source of a lead or deal, type of an activity.';
COMMENT ON COLUMN saleshub.rollup.detail IS 'Product of a deal, outcome of an activity that is done.';
COMMENT ON COLUMN saleshub.rollup.amount IS 'Sum of amounts in the organisation''s base currency.';
COMMENT ON COLUMN saleshub.rollup.weighted IS 'Sum of amount × probability.';
COMMENT ON COLUMN saleshub.rollup.seconds IS 'Sum of the seconds from opening to closing.';
SELECT saleshub.protect('saleshub.rollup', 'SELECT');

CREATE TABLE IF NOT EXISTS saleshub.rollup_level (
    org_id      uuid NOT NULL,
    level       smallint NOT NULL CHECK (level BETWEEN 1 AND 7),
    fact        text NOT NULL,
    owner_id    uuid NOT NULL,
    bucket      timestamptz NOT NULL,
    dim         uuid NOT NULL,
    label       text NOT NULL,
    detail      text NOT NULL,
    n           bigint NOT NULL,
    amount      numeric NOT NULL,
    weighted    numeric NOT NULL,
    seconds     numeric NOT NULL,
    PRIMARY KEY (org_id, level, fact, owner_id, bucket, dim, label, detail)
);
COMMENT ON TABLE saleshub.rollup_level IS 'Coarser sums of rollup, changed only together with it.';
COMMENT ON COLUMN saleshub.rollup_level.level IS
    '1 day and 2 month, with all that rollup tells apart; 3 quarter hour, 4 day and 5 month of all owners, 6 day and 7 month of each, by type of activity only.';
COMMENT ON COLUMN saleshub.rollup_level.bucket IS
    'Start of the day or month by rollup_zone, of the quarter hour in level 3; -infinity, in levels 2, 5 and 7 only, for the present state.';
COMMENT ON COLUMN saleshub.rollup_level.owner_id IS 'All bits set: all owners together.';
SELECT saleshub.protect('saleshub.rollup_level', 'SELECT');

CREATE TABLE IF NOT EXISTS saleshub.rollup_zone (
    org_id      uuid PRIMARY KEY,
    timezone    text NOT NULL
);
COMMENT ON TABLE saleshub.rollup_zone IS 'By whose midnights the days and months of rollup_level begin; without a row, those of UTC. Follows the time zone of the organisation.';
SELECT saleshub.protect('saleshub.rollup_zone', 'SELECT');

CREATE TABLE IF NOT EXISTS saleshub.rollup_delta (
    org_id      uuid NOT NULL,
    delta_id    uuid NOT NULL DEFAULT crm.uuid_v7(),
    fact        text NOT NULL,
    bucket      timestamptz NOT NULL,
    dim         uuid NOT NULL,
    owner_id    uuid NOT NULL,
    label       text NOT NULL,
    detail      text NOT NULL,
    n           bigint NOT NULL,
    amount      numeric NOT NULL,
    weighted    numeric NOT NULL,
    seconds     numeric NOT NULL,
    PRIMARY KEY (org_id, delta_id)
);
COMMENT ON TABLE saleshub.rollup_delta IS 'Signed changes of the sums since they were last folded.';
SELECT saleshub.protect('saleshub.rollup_delta', 'SELECT');
