-- To whom a lead was given, and why.

CREATE FUNCTION crm.lead_assignments_get(id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM crm.lead AS l
                   WHERE l.org_id = saleshub.org_id() AND l.lead_id = lead_assignments_get.id
                       AND l.deleted_at IS NULL) THEN
        PERFORM saleshub.record_missing('lead', id);
    END IF;
    RETURN jsonb_build_object('assignments', coalesce((
        SELECT jsonb_agg(jsonb_build_object(
                   'member_id', g.member_id, 'reason', g.reason, 'pool_id', g.pool_id,
                   'rule_id', g.rule_id, 'by_hand', g.by_hand, 'at', saleshub.utc(g.at),
                   'candidates', coalesce(g.candidates, (
                       SELECT c.candidates FROM crm.assignment_candidates AS c
                       WHERE c.org_id = g.org_id
                           AND c.assignment_candidates_id = g.assignment_candidates_id)))
                   ORDER BY g.assignment_id DESC)
          FROM (SELECT * FROM crm.assignment_log AS a
                WHERE a.org_id = saleshub.org_id() AND a.lead_id = lead_assignments_get.id
                ORDER BY a.assignment_id DESC LIMIT 100) AS g), '[]'));
END
$$;
COMMENT ON FUNCTION crm.lead_assignments_get(uuid) IS
    'To whom a lead was given and why, by routing or by hand, or why to nobody, the latest hundred, newest first; candidates: who was thought of, with the reason of each exclusion';

CREATE FUNCTION saleshub.routes_assignment() RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route('GET /v1/leads/{id}/assignments', 'crm.lead_assignments_get(uuid)',
        'Explain to whom a lead was given', 'leads', cache => 'strict',
        answer => '{"assignments": ["object"]}');
END
$$;
COMMENT ON FUNCTION saleshub.routes_assignment() IS 'Registers the routes of assignments';
