-- Where days, weeks, months, quarters and years begin, in any time zone and calendar.
\set VERBOSITY terse
\set QUIET on
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SELECT saleshub.install() IS NOT NULL AS installed;
SELECT crm.org_create('Fiscal', 'Fay', 'fay@fiscal.example', 'EUR', 'Europe/Berlin') ->> 'org_id' AS org
\gset
SELECT crm.org_create('Other', 'Otto', 'otto@fiscal.example', 'USD') ->> 'org_id' AS other \gset
SELECT * FROM crm.periods('2026-01-01', '2026-02-01');
SELECT set_config('saleshub.org_id', :'org', false) = :'org' AS in_context;

-- months of the zone of the organisation; the bounds cut the first and the last
SELECT * FROM crm.periods('2026-01-15 00:00+00', '2026-04-02 00:00+00');
-- days are 23 and 25 hours long where clocks change, and begin at :15 in Kathmandu
SELECT label, starts, ends - starts AS length
FROM crm.periods('2026-03-27 23:00+00', '2026-03-30 22:00+00', 'Europe/Berlin', 'day');
SELECT label, starts, ends - starts AS length
FROM crm.periods('2026-10-24 13:30+00', '2026-10-25 15:00+00', 'Australia/Lord_Howe', 'day');
SELECT label, starts FROM crm.periods('2026-05-01 00:00+00', '2026-05-02 00:00+00', 'Asia/Kathmandu', 'day');
SELECT label, starts FROM crm.periods('2026-05-01 00:00+00', '2026-05-02 00:00+00', 'Asia/Kolkata', 'day');
-- midnight came twice, or not at all
SELECT label, starts, ends - starts AS length
FROM crm.periods('2026-10-31 12:00+00', '2026-11-02 12:00+00', 'America/Havana', 'day');
SELECT label, starts, ends - starts AS length
FROM crm.periods('2018-11-03 12:00+00', '2018-11-05 12:00+00', 'America/Sao_Paulo', 'day');
-- Samoa had no 30 December 2011
SELECT label, ends - starts AS length
FROM crm.periods('2011-12-29 10:00+00', '2012-01-01 10:00+00', 'Pacific/Apia', 'day');
-- weeks of ISO 8601 have the number of their Thursday's year; others are called by their first day
SELECT label, starts FROM crm.periods('2020-12-27', '2021-01-12', 'UTC', 'week');
SELECT label, starts FROM crm.periods('2020-12-27', '2021-01-12', 'UTC', 'week', week_start => 7);
SELECT label, starts, ends FROM crm.periods('2025-11-01', '2026-07-01', 'UTC', 'quarter');
SELECT label, starts, ends FROM crm.periods('2025-11-01', '2026-07-01', 'UTC', 'year');
-- whatever the period, zone and bucket: the parts follow one another and are the whole
SELECT count(*) AS tried,
       count(*) FILTER (WHERE p.first = f.at AND p.last = f.at + length AND p.joined) AS whole
FROM unnest('{UTC,Asia/Kathmandu,Europe/Berlin,America/St_Johns,Pacific/Apia,America/Havana}'::text[]) AS tz,
     unnest('{day,week,month,quarter,year}'::text[]) AS bucket,
     unnest('{gregorian,2,11}'::text[]) AS fiscal,
     (VALUES (timestamptz '2011-12-20 03:17'), ('2026-10-31 23:59:59.5')) AS f (at),
     unnest('{1 day,45 days,400 days}'::interval[]) AS length,
     LATERAL (SELECT min(q.starts) AS first, max(q.ends) AS last, bool_and(q.follows) AS joined
              FROM (SELECT s.*, s.starts = coalesce(lag(s.ends) OVER (ORDER BY s.period_no), s.starts)
                                AS follows
                    FROM crm.periods(f.at, f.at + length, tz, bucket, fiscal) s) q) p;

-- a year from February
SELECT label, starts::date, ends::date
FROM crm.periods('2017-01-01', '2018-03-01', 'UTC', 'quarter', '2');
SELECT label, starts::date, ends::date FROM crm.periods('2017-01-01', '2018-03-01', 'UTC', 'year', '02');

-- years of weeks: those of American retail, from the Sunday nearest to 1 February; 2017 had 53 weeks
INSERT INTO crm.fiscal_calendar (name, kind, start_month, week_start, year_start, year_label)
VALUES ('Retail', '4-5-4', 2, 7, 'nearest', 'start'), ('Thirteen', '13x4', 1, 1, 'last', 'end'),
       ('Long first', '5-4-4', 9, 6, 'last', 'end'), ('Long last', '4-4-5', 2, 7, 'nearest', 'start');
SELECT label, starts::date, ends::date, (ends::date - starts::date) / 7 AS weeks
FROM crm.periods('2016-01-31', '2019-02-03', 'UTC', 'year', 'retail');
SELECT label, starts::date, ends::date, (ends::date - starts::date) / 7 AS weeks
FROM crm.periods('2017-01-29', '2018-02-04', 'UTC', 'month', 'Retail');
SELECT label, starts::date, ends::date, (ends::date - starts::date) / 7 AS weeks
FROM crm.periods('2017-01-29', '2018-02-04', 'UTC', 'quarter', 'Long last');
SELECT max(label) AS last, max(starts)::date AS "from", count(*) AS weeks
FROM crm.periods('2017-01-29', '2018-02-04', 'UTC', 'week', 'Retail');
SELECT count(*) AS periods, max(label) AS last, min((ends::date - starts::date) / 7) AS least,
       max((ends::date - starts::date) / 7) AS most
FROM crm.periods('2025-12-29', '2026-12-28', 'UTC', 'month', 'Thirteen');
SELECT label, (ends::date - starts::date) / 7 AS weeks
FROM crm.periods('2025-12-29', '2026-12-28', 'UTC', 'quarter', 'Thirteen');
SELECT label, starts::date FROM crm.periods('2025-08-30', '2026-08-29', 'UTC', 'quarter', 'Long first');
-- every year has 52 or 53 weeks, and begins on its day of the week
SELECT c.name, array_agg(DISTINCT (y.ends - y.starts) / 7 ORDER BY (y.ends - y.starts) / 7) AS weeks,
       bool_and(extract(isodow FROM y.starts) = c.week_start) AS on_its_day,
       bool_and(CASE c.year_start WHEN 'nearest' THEN abs(y.starts - y.first) <= 3
                                  ELSE y.first - y.starts BETWEEN 0 AND 6 END) AS where_it_must
FROM crm.fiscal_calendar c, LATERAL (
    SELECT saleshub.fiscal_year_start(to_jsonb(c), n) AS starts,
           saleshub.fiscal_year_start(to_jsonb(c), n + 1) AS ends, make_date(n, c.start_month, 1) AS first
    FROM generate_series(1970, 2100) n) y
GROUP BY c.name ORDER BY c.name;

-- a table of periods, which may have any length but do not overlap
INSERT INTO crm.fiscal_calendar (name, kind, periods)
VALUES ('Seasons', 'table', '[{"label": "Spring", "year": 2026, "quarter": 1, "starts": "2026-02-10", "ends": "2026-05-03"},
                              {"label": "Summer", "year": 2026, "quarter": 1, "starts": "2026-05-03", "ends": "2026-09-01"},
                              {"label": "Winter", "year": 2026, "quarter": 2, "starts": "2026-09-01", "ends": "2027-01-15"}]');
SELECT label, starts::date, ends::date FROM crm.periods('2026-03-01', '2026-10-01', 'UTC', 'month', 'Seasons');
SELECT label, starts::date, ends::date FROM crm.periods('2026-03-01', '2026-10-01', 'UTC', 'quarter', 'Seasons');
SELECT label FROM crm.periods('2026-03-01', '2027-02-01', 'UTC', 'year', 'Seasons');
\set VERBOSITY default
UPDATE crm.fiscal_calendar SET periods = jsonb_set(periods, '{1,starts}', '"2026-05-02"')
WHERE name = 'Seasons';
INSERT INTO crm.fiscal_calendar (name, kind) VALUES ('12', 'table');
INSERT INTO crm.fiscal_calendar (name, kind, periods) VALUES ('Odd', 'table', '[{"starts": "yesterday"}]');
\set VERBOSITY terse

-- the default is taken unless another is asked for
UPDATE crm.fiscal_calendar SET is_default = true WHERE name = 'Retail';
SELECT label FROM crm.periods('2017-05-01', '2017-05-02', 'UTC', 'quarter');
SELECT label FROM crm.periods('2017-05-01', '2017-05-02', 'UTC', 'quarter', 'gregorian');

-- as the API has it
SELECT jsonb_path_query_array(crm.fiscal_calendars_get(), '$.calendars[*].name') AS names;
SELECT count(*) AS kept, bool_or(c ->> 'name' = 'Thirteen' AND c -> 'is_default' = 'true') AS swapped
FROM jsonb_array_elements(crm.fiscal_calendars_put(jsonb_build_object('calendars', (
    SELECT jsonb_agg(c || jsonb_build_object(
               'name', CASE c ->> 'name' WHEN 'Retail' THEN 'Thirteen' WHEN 'Thirteen' THEN 'Retail'
                       ELSE c ->> 'name' END))
    FROM jsonb_array_elements(crm.fiscal_calendars_get() -> 'calendars') c
    WHERE c ->> 'name' <> 'Seasons'))) -> 'calendars') c;
\set VERBOSITY default
SELECT crm.fiscal_calendars_put('{"calendars": [{"name": "A", "is_default": true, "kind": "moon"},
    {"name": "a", "is_default": true, "periods": [{"label": "x", "year": 1, "quarter": 1,
        "starts": "2026-01-02", "ends": "2026-01-01"}]}]}');

-- all that is wrong at once
SELECT * FROM crm.periods('2026-02-01', '2026-01-01', '+01:00', 'fortnight', 'no such', 8);
SELECT * FROM crm.periods('1800-01-01', '2026-01-01', 'UTC', 'day');
\set VERBOSITY terse

-- other organisations have their own; reps do not set them up
SELECT set_config('saleshub.org_id', :'other', false) = :'other' AS in_context;
BEGIN;
SET LOCAL ROLE saleshub_user;
SELECT crm.fiscal_calendars_get();
RESET ROLE;
SELECT set_config('saleshub.member_role', 'rep', true) AS role;
SET LOCAL ROLE saleshub_user;
SELECT crm.fiscal_calendars_put('{"calendars": [{"name": "Mine"}]}');
ROLLBACK;
