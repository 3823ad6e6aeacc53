-- Scores of now and of the past, and whether those that are stored are right.

CREATE FUNCTION saleshub.score_now(lead uuid, at timestamptz) RETURNS jsonb
LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_score_now';
COMMENT ON FUNCTION saleshub.score_now(uuid, timestamptz) IS
    'The score that present fields, rules and events give a lead at an instant, with its reasons; NULL when whoever calls does not see it';

CREATE FUNCTION saleshub.score_of(lead record, definition jsonb, at timestamptz) RETURNS jsonb
LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_score_of';
COMMENT ON FUNCTION saleshub.score_of(record, jsonb, timestamptz) IS
    'The score that these fields and rules and the events of an instant give a lead then; NULL when whoever calls does not see it';

CREATE FUNCTION crm.score_at(lead uuid, at timestamptz) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    past record;
    rules record;
BEGIN
    PERFORM saleshub.score_shown();
    PERFORM saleshub.as_of_check('lead', at, NULL);
    PERFORM saleshub.as_of_check('activity', at, NULL);
    SELECT r.* INTO past
      FROM crm.lead AS c
      LEFT JOIN LATERAL saleshub.records_before('lead', at, c.lead_id) AS b ON true
     CROSS JOIN LATERAL jsonb_populate_record(c, coalesce(b.doc, '{}')) AS r
     WHERE c.org_id = saleshub.org_id() AND c.lead_id = score_at.lead
       AND b.existed IS DISTINCT FROM false;
    IF NOT FOUND OR past.deleted_at IS NOT NULL THEN
        RETURN NULL;
    END IF;
    SELECT v.version, v.definition INTO rules FROM crm.score_version AS v
     WHERE v.org_id = saleshub.org_id() AND v.at <= score_at.at ORDER BY v.version DESC LIMIT 1;
    RETURN CASE past.status
        -- What it was converted with.
        WHEN 'converted' THEN jsonb_build_object('score', past.score, 'fit', past.fit,
            'engagement', past.engagement, 'grade', past.grade, 'reasons', past.score_reasons)
        ELSE saleshub.score_of(past, coalesce(rules.definition, '{}'), at) END
        || jsonb_build_object('as_of', saleshub.utc(at), 'version', rules.version);
END
$$;
COMMENT ON FUNCTION crm.score_at(uuid, timestamptz) IS
    'The score that a lead had at an instant: its fields, its events and the rules of then; NULL when it was not there. Of a converted lead the one it was converted with';

CREATE FUNCTION saleshub.score_faults(sample integer DEFAULT NULL)
RETURNS TABLE (org_id uuid, lead_id uuid, fault text)
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT l.org_id, l.lead_id, f.fault
      FROM crm.org AS o
     CROSS JOIN LATERAL (SELECT * FROM crm.lead AS x WHERE x.org_id = o.org_id
                          ORDER BY x.updated_at DESC LIMIT sample) AS l
     CROSS JOIN LATERAL (VALUES (l.deleted_at IS NULL AND l.status <> 'converted')) AS s (is_open)
     CROSS JOIN LATERAL (VALUES
         ('score', s.is_open AND NOT saleshub.score_is_current(l)),
         ('amounts', (s.is_open AND l.engagement IS NOT NULL)
             <> EXISTS (SELECT FROM crm.lead_engagement AS e WHERE e.org_id = l.org_id AND e.lead_id = l.lead_id))
     ) AS f (fault, there)
     WHERE f.there;
END
$$;
COMMENT ON FUNCTION saleshub.score_faults(integer) IS
    'Leads whose stored score or amounts are not what rules and events give; of the latest so many leads of each organisation, or of all. Superuser only';
