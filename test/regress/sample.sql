-- The sample data is believable, consistent, and the same for the same seed and day.
\set VERBOSITY terse
\set QUIET on
SET client_min_messages = warning;
-- the zone of the session must not matter
SET TimeZone = 'America/St_Johns';
SELECT saleshub.install() IS NOT NULL AS installed;
SELECT crm.sample_data(600, 'seed', '2025-03-03', 'Sample A') AS a \gset
SET TimeZone = 'Asia/Kolkata';
SELECT crm.sample_data(600, 'seed', '2025-03-03', 'Sample B') AS b \gset
SELECT crm.sample_data(600, 'other seed', '2025-03-03', 'Sample C') AS c \gset
SET TimeZone = 'UTC';
SELECT :'a'::jsonb ->> 'org_id' AS a_org, :'b'::jsonb ->> 'org_id' AS b_org,
       :'c'::jsonb ->> 'org_id' AS c_org \gset
SELECT :'a'::jsonb -> 'leads' AS leads, :'a'::jsonb -> 'members' AS members,
       :'a'::jsonb ->> 'email' AS email, :'a'::jsonb - 'org_id' = :'b'::jsonb - 'org_id' AS equal;

-- a second call loads nothing, whatever its arguments
SELECT crm.sample_data(50, 'seed', '2024-01-01', 'Sample A') = :'a'::jsonb AS as_it_was;
SELECT saleshub.org_id() IS NULL AS context_is_put_back;

-- same seed: the same rows, ids included; another seed: others
CREATE FUNCTION pg_temp.digest(org uuid, tab regclass, leave text[]) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    found text;
BEGIN
    EXECUTE format($q$
        SELECT CASE WHEN count(*) > 0 THEN 'some ' END || md5(string_agg(r, '|' ORDER BY r COLLATE "C"))
        FROM (SELECT (to_jsonb(t) - $2)::text AS r FROM %s t WHERE org_id = $1) x $q$, tab)
    INTO found
    USING org, leave || ARRAY['org_id', 'updated_at'];
    RETURN found;
END
$$;
SELECT t.tab,
       pg_temp.digest(:'a_org', t.tab, t.leave) = pg_temp.digest(:'b_org', t.tab, t.leave) AS same,
       pg_temp.digest(:'a_org', t.tab, t.leave) <> pg_temp.digest(:'c_org', t.tab, t.leave) AS other
FROM (VALUES ('crm.lead'::regclass, '{}'::text[]), ('crm.company', '{}'), ('crm.contact', '{}'),
             ('crm.deal', '{pipeline_id,stage_id}'), ('crm.activity', '{}'),
             ('crm.activity_link', '{}'), ('crm.conversion', '{}'),
             ('crm.stage_history', '{pipeline_id,stage_id,recorded_at}')) AS t (tab, leave);

SELECT set_config('saleshub.org_id', :'a_org', false) = :'a_org' AS in_context;
CREATE FUNCTION pg_temp.org() RETURNS uuid LANGUAGE sql STABLE AS 'SELECT saleshub.org_id()';

-- every row went through the triggers
SELECT count(*) FILTER (WHERE owner_id IS NULL) AS without_owner,
       count(*) FILTER (WHERE score <> coalesce((SELECT sum((r ->> 'points')::int)
                                                 FROM jsonb_array_elements(score_reasons) r), 0))
           AS score_without_reason,
       count(DISTINCT owner_id) AS owners, count(DISTINCT grade) > 3 AS several_grades,
       count(DISTINCT source) AS sources, count(DISTINCT country) > 8 AS many_countries
FROM crm.lead WHERE org_id = pg_temp.org();
SELECT (SELECT count(*) FROM crm.assignment_log WHERE org_id = pg_temp.org()) AS assignments,
       (SELECT count(*) FROM crm.change_log WHERE org_id = pg_temp.org() AND entity = 'lead'
                                              AND op = 'insert') AS lead_inserts;
SELECT * FROM saleshub.rollup_check() WHERE org_id = pg_temp.org();
-- weights 3:3:2:1 in one team, 3:2:2:1 in the others, give each its share
SELECT m.name, m.role, count(l.lead_id) AS leads
FROM crm.member m
LEFT JOIN crm.lead l ON l.org_id = m.org_id AND l.owner_id = m.member_id
WHERE m.org_id = pg_temp.org()
GROUP BY m.member_id, m.name, m.role, m.email
ORDER BY m.email COLLATE "C";

-- nothing happened after the anchor day, only tasks are due later
SELECT max(l.created_at) < '2025-03-03' AS leads, max(l.converted_at) < '2025-03-03' AS conversions,
       min(l.created_at) < '2023-10-01' AS eighteen_months
FROM crm.lead l WHERE org_id = pg_temp.org();
SELECT max(closed_at) < '2025-03-03' AS deals,
       count(*) FILTER (WHERE closed_at <= opened_at) AS closed_before_opened,
       count(*) FILTER (WHERE status = 'lost' AND lost_reason IS NULL) AS lost_without_reason
FROM crm.deal WHERE org_id = pg_temp.org();
SELECT max(created_at) <= '2025-03-03' AS made, max(done_at) < '2025-03-03' AS done,
       max(due_at) > '2025-03-10' AS due_later,
       count(*) FILTER (WHERE type = 'task' AND due_at IS NULL) AS tasks_without_date
FROM crm.activity WHERE org_id = pg_temp.org();

-- conversions are whole
SELECT count(*) > 50 AS some,
       count(*) FILTER (WHERE c.company_id IS NULL OR k.contact_id IS NULL OR d.deal_id IS NULL
                           OR d.lead_id <> l.lead_id OR d.company_id <> c.company_id
                           OR d.contact_id <> k.contact_id OR k.company_id <> c.company_id
                           OR d.owner_id <> l.owner_id OR c.name <> l.company_name) AS broken
FROM crm.lead l
LEFT JOIN crm.company c ON c.org_id = l.org_id AND c.company_id = l.converted_company_id
LEFT JOIN crm.contact k ON k.org_id = l.org_id AND k.contact_id = l.converted_contact_id
LEFT JOIN crm.deal d ON d.org_id = l.org_id AND d.deal_id = l.converted_deal_id
WHERE l.org_id = pg_temp.org() AND l.status = 'converted';

SELECT count(*) FILTER (WHERE c.lead_id IS NULL) AS without_record,
       count(*) FILTER (WHERE c.company_id <> l.converted_company_id OR c.at <> l.converted_at)
           AS other_record
FROM crm.lead l
LEFT JOIN crm.conversion c ON c.org_id = l.org_id AND c.lead_id = l.lead_id
WHERE l.org_id = pg_temp.org() AND l.status = 'converted';
-- converting once more is a replay, as after a real conversion
SELECT crm.lead_convert(lead_id, '{}') -> 'replayed' AS replayed
FROM (SELECT lead_id FROM crm.lead WHERE org_id = pg_temp.org() AND status = 'converted'
      ORDER BY lead_id LIMIT 1) l;

-- the history of stages begins with the deal, has no gap, and ends where the deal is
SELECT count(*) FILTER (WHERE h.first_at <> d.opened_at OR h.first_at IS NULL) AS late_start,
       count(*) FILTER (WHERE h.gaps > 0) AS gaps,
       count(*) FILTER (WHERE h.last_stage <> d.stage_id) AS other_end,
       max(h.entries) AS most_entries
FROM crm.deal d
LEFT JOIN (SELECT deal_id, min(entered_at) AS first_at, count(*) AS entries,
                  count(*) FILTER (WHERE left_at IS DISTINCT FROM next_at OR left_at <= entered_at)
                      AS gaps,
                  (array_agg(stage_id ORDER BY entered_at DESC))[1] AS last_stage
           FROM (SELECT *, lead(entered_at) OVER (PARTITION BY deal_id ORDER BY entered_at)
                           AS next_at
                 FROM crm.stage_history
                 WHERE org_id = pg_temp.org()) x
           GROUP BY deal_id) h ON h.deal_id = d.deal_id
WHERE d.org_id = pg_temp.org();

-- addresses lead nowhere, and nobody has the one of another
SELECT count(*) FILTER (WHERE email !~ '^[a-z0-9.]+@[a-z0-9]+\.example$') AS strange,
       count(email) - count(DISTINCT email) AS twice
FROM crm.lead WHERE org_id = pg_temp.org();
SELECT count(*) - count(DISTINCT name) AS names_twice,
       count(*) - count(DISTINCT domain) AS domains_twice
FROM crm.company WHERE org_id = pg_temp.org();

-- weekdays are busier than weekends, and the second autumn than the first
SELECT count(*) FILTER (WHERE extract(isodow FROM created_at) < 6) > 8 *
       count(*) FILTER (WHERE extract(isodow FROM created_at) > 5) AS weeks,
       count(*) FILTER (WHERE created_at BETWEEN '2024-09-10' AND '2024-12-01') >
       count(*) FILTER (WHERE created_at BETWEEN '2023-09-10' AND '2023-12-01') AS growth,
       count(*) FILTER (WHERE created_at BETWEEN '2024-10-01' AND '2024-11-01') >
       1.3 * count(*) FILTER (WHERE created_at BETWEEN '2024-08-01' AND '2024-09-01') AS summer
FROM crm.lead WHERE org_id = pg_temp.org();

-- what cannot be asked for
SELECT crm.sample_data(0);
SELECT crm.sample_data(10, NULL);
SELECT crm.sample_data(10, name => ' ');
SELECT crm.sample_data(10, anchor => 'infinity');
SET ROLE saleshub_user;
SELECT crm.sample_data(10);
RESET ROLE;
