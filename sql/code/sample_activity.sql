-- What the team of the sample organisation did and plans to do.

CREATE FUNCTION saleshub.sample_lead_activities(
    anchor timestamptz,
    OUT activity_id uuid, OUT created_at timestamptz, OUT type text, OUT subject text,
    OUT body text, OUT due_at timestamptz, OUT done_at timestamptz, OUT outcome text,
    OUT owner_id uuid, OUT lead_id uuid)
RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, crm, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH touch AS (
        SELECT l.lead_id, l.owner_id, l.lead_id || ' touch ' || n AS key, n,
               l.created_at + interval '4 days' * (n - 1)
               + saleshub.sample_delay(l.lead_id || ' touch ' || n, '5 hours', 0.8) AS at
        FROM crm.lead l
        CROSS JOIN LATERAL generate_series(1, CASE l.status WHEN 'new' THEN 0
                                                            WHEN 'unqualified' THEN 1
                                                            ELSE 2 END) AS n
        WHERE l.org_id = saleshub.org_id()
    ), told AS (
        SELECT t.*, CASE WHEN saleshub.sample_draw(t.key || ' by phone') < 0.45
                         THEN 'call' ELSE 'email' END AS type
        FROM touch t
        WHERE t.at < anchor AND (t.n = 1 OR saleshub.sample_draw(t.key || ' asks') < 0.6)
    )
    SELECT saleshub.sample_id(t.at, t.key), t.at, t.type,
           CASE WHEN t.n = 1 THEN 'Introduction'
                ELSE saleshub.sample_pick(ARRAY['Follow-up', 'Answers to questions',
                                                'Invitation to a demo', 'Price list'],
                                          t.key || ' subject') END,
           NULL::text, NULL::timestamptz, t.at,
           CASE t.type WHEN 'call'
                THEN saleshub.sample_pick(ARRAY['reached', 'reached', 'voicemail', 'no answer'],
                                          t.key || ' outcome') END,
           t.owner_id, t.lead_id
    FROM told t
    UNION ALL
    SELECT saleshub.sample_id(d.made, d.key), d.made, 'task',
           saleshub.sample_pick(ARRAY['Call again', 'Send case study', 'Ask for a meeting',
                                      'Check budget'], d.key || ' subject'),
           NULL, d.due, NULL, NULL, l.owner_id, l.lead_id
    FROM crm.lead l
    CROSS JOIN LATERAL (
        SELECT key, due, greatest(l.created_at, least(due, anchor) - interval '3 days') AS made
        FROM (SELECT l.lead_id || ' todo' AS key,
                     anchor + interval '9 hours' + interval '1 day'
                     * floor(16 * saleshub.sample_draw(l.lead_id || ' due') - 4) AS due) x) d
    WHERE l.org_id = saleshub.org_id() AND l.status IN ('working', 'qualified')
      AND saleshub.sample_draw(l.lead_id || ' has todo') < 0.4;
END
$$;
COMMENT ON FUNCTION saleshub.sample_lead_activities(timestamptz) IS
    'First contact and follow-up with every lead worked on, and tasks that are due around now';

CREATE FUNCTION saleshub.sample_deal_activities(
    anchor timestamptz,
    OUT activity_id uuid, OUT created_at timestamptz, OUT type text, OUT subject text,
    OUT body text, OUT due_at timestamptz, OUT done_at timestamptz, OUT outcome text,
    OUT owner_id uuid, OUT deal_id uuid)
RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, crm, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH step AS (
        SELECT h.deal_id, h.owner_id, s.name AS stage, h.stage_history_id || ' work' AS key,
               date_trunc('second', h.entered_at
                   + (coalesce(h.left_at, anchor) - h.entered_at)
                     * saleshub.sample_draw(h.stage_history_id || ' when')) AS at
        FROM crm.stage_history h
        JOIN crm.stage s ON s.org_id = h.org_id AND s.stage_id = h.stage_id
        WHERE h.org_id = saleshub.org_id() AND h.status = 'open'
    ), done AS (
        SELECT e.*, saleshub.sample_pick(ARRAY['meeting', 'meeting', 'call', 'email', 'note'],
                                         e.key || ' type') AS type
        FROM step e
        WHERE e.at < anchor
    )
    SELECT saleshub.sample_id(e.at, e.key), e.at, e.type,
           CASE e.type WHEN 'meeting' THEN 'Meeting: ' WHEN 'call' THEN 'Call: '
                       WHEN 'email' THEN 'E-mail: ' ELSE 'Note: ' END || lower(e.stage),
           CASE e.type WHEN 'note'
                THEN saleshub.sample_pick(ARRAY[
                    'Wants references from the same industry.',
                    'Decision is made by the board, next meeting in two weeks.',
                    'Compares us with one other offer; price matters less than the roll-out.',
                    'Asked for data residency in the EU and single sign-on.'], e.key || ' body') END,
           NULL::timestamptz, e.at,
           CASE e.type WHEN 'meeting' THEN 'held' WHEN 'call' THEN 'reached' END,
           e.owner_id, e.deal_id
    FROM done e
    UNION ALL
    SELECT saleshub.sample_id(t.made, t.key), t.made, 'task', t.subject, NULL, t.due,
           CASE WHEN d.status = 'won' AND t.due < anchor THEN t.due END, NULL, d.owner_id, d.deal_id
    FROM crm.deal d
    CROSS JOIN LATERAL (
        SELECT d.deal_id || ' todo' AS key, due, subject,
               CASE d.status WHEN 'won' THEN d.closed_at
                             ELSE greatest(d.opened_at, least(due, anchor) - interval '4 days')
               END AS made
        FROM (SELECT CASE d.status
                     WHEN 'won' THEN d.closed_at + interval '26 hours'
                     ELSE anchor + interval '10 hours' + interval '1 day'
                          * floor(18 * saleshub.sample_draw(d.deal_id || ' due') - 4) END AS due,
                     CASE d.status
                     WHEN 'won' THEN 'Hand over to onboarding'
                     ELSE saleshub.sample_pick(ARRAY['Send offer', 'Prepare demo', 'Negotiate terms',
                                                     'Get legal review', 'Agree next step'],
                                               d.deal_id || ' subject') END AS subject) x) t
    WHERE d.org_id = saleshub.org_id()
      AND (d.status = 'won'
           OR d.status = 'open' AND saleshub.sample_draw(d.deal_id || ' has todo') < 0.75);
END
$$;
COMMENT ON FUNCTION saleshub.sample_deal_activities(timestamptz) IS
    'Work in every stage a deal was in, hand-over of won deals, tasks of open ones';

CREATE FUNCTION saleshub.sample_insert_activities(anchor timestamptz)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    INSERT INTO crm.activity (activity_id, created_at, type, subject, body, due_at, done_at,
                              outcome, owner_id)
    SELECT a.activity_id, a.created_at, a.type, a.subject, a.body, a.due_at, a.done_at,
           a.outcome, a.owner_id
    FROM saleshub.sample_lead_activities(anchor) a
    UNION ALL
    SELECT a.activity_id, a.created_at, a.type, a.subject, a.body, a.due_at, a.done_at,
           a.outcome, a.owner_id
    FROM saleshub.sample_deal_activities(anchor) a
    ORDER BY 2, 1;

    INSERT INTO crm.activity_link (activity_id, entity, entity_id)
    SELECT a.activity_id, e.entity, e.entity_id
    FROM saleshub.sample_lead_activities(anchor) a
    JOIN crm.lead l ON l.org_id = saleshub.org_id() AND l.lead_id = a.lead_id
    CROSS JOIN LATERAL (VALUES ('lead', l.lead_id), ('contact', l.converted_contact_id),
                               ('company', l.converted_company_id),
                               ('deal', l.converted_deal_id)) AS e (entity, entity_id)
    WHERE e.entity_id IS NOT NULL
    UNION ALL
    SELECT a.activity_id, e.entity, e.entity_id
    FROM saleshub.sample_deal_activities(anchor) a
    JOIN crm.deal d ON d.org_id = saleshub.org_id() AND d.deal_id = a.deal_id
    CROSS JOIN LATERAL (VALUES ('deal', d.deal_id), ('contact', d.contact_id),
                               ('company', d.company_id)) AS e (entity, entity_id)
    WHERE e.entity_id IS NOT NULL;
    ANALYZE crm.activity, crm.activity_link;
END
$$;
COMMENT ON FUNCTION saleshub.sample_insert_activities(timestamptz) IS
    'Write the activities, linked to the lead, contact, company and deal they are about';
