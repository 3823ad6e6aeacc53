-- Figures of records that were there before their rollups.
SELECT saleshub.rollup_begin();
