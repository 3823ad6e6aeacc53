-- Policies of response times, and how leads stand.

CREATE FUNCTION crm.sla_get() RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN jsonb_build_object('policies', coalesce((
        SELECT jsonb_agg(jsonb_build_object(
                   'id', p.sla_policy_id, 'name', p.name, 'pool_id', p.routing_pool_id,
                   'rule_id', p.routing_rule_id, 'grades', to_jsonb(p.grades),
                   'target_minutes', p.target_minutes, 'notify_minutes', p.notify_minutes,
                   'calendar', p.calendar, 'pause_statuses', to_jsonb(p.pause_statuses),
                   'max_hops', p.max_hops, 'active', p.active)
                   ORDER BY p.position, p.sla_policy_id)
          FROM crm.sla_policy AS p
         WHERE p.org_id = saleshub.org_id()), '[]'));
END
$$;
COMMENT ON FUNCTION crm.sla_get() IS 'How soon leads are to be answered: the policies in their order';

CREATE FUNCTION saleshub.sla_schema() RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN '{
    "type": "object", "additionalProperties": false, "required": ["policies"],
    "properties": {"policies": {"type": "array", "maxItems": 100, "items": {
        "type": "object", "additionalProperties": false, "required": ["name", "target_minutes"],
        "properties": {
            "id": {"type": "string", "format": "uuid"},
            "name": {"type": "string", "minLength": 1, "maxLength": 200},
            "pool_id": {"type": ["string", "null"], "format": "uuid"},
            "rule_id": {"type": ["string", "null"], "format": "uuid"},
            "grades": {"type": "array", "maxItems": 5,
                       "items": {"type": "string", "enum": ["A", "B", "C", "D", "E"]}},
            "target_minutes": {"type": "integer", "minimum": 1, "maximum": 525600},
            "notify_minutes": {"type": ["integer", "null"], "minimum": 1, "maximum": 525600},
            "calendar": {"type": "string", "enum": ["member", "pool", "always"]},
            "pause_statuses": {"type": "array", "maxItems": 4, "items": {
                "type": "string", "enum": ["new", "working", "nurturing", "qualified"]}},
            "max_hops": {"type": ["integer", "null"], "minimum": 0, "maximum": 100},
            "active": {"type": "boolean"}}}}}}'::jsonb;
COMMENT ON FUNCTION saleshub.sla_schema() IS 'JSON Schema of the body of crm.sla_put';

CREATE FUNCTION saleshub.sla_faults(body jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    faults jsonb := saleshub.pool_faults(body, 'policies');
    policy record;
BEGIN
    FOR policy IN SELECT * FROM saleshub.set_items(body, 'policies') LOOP
        IF policy.item ->> 'rule_id' IS NOT NULL
           AND NOT saleshub.set_known('routing_rule', policy.item ->> 'rule_id') THEN
            faults := faults || saleshub.fault(format('/policies/%s/rule_id', policy.n), 'not_found',
                                               'names no rule');
        END IF;
        IF jsonb_typeof(policy.item -> 'notify_minutes') = 'number'
           AND jsonb_typeof(policy.item -> 'target_minutes') = 'number'
           AND policy.item -> 'notify_minutes' >= policy.item -> 'target_minutes' THEN
            faults := faults || saleshub.fault(format('/policies/%s/notify_minutes', policy.n), 'range',
                                               'is less than target_minutes');
        END IF;
    END LOOP;
    RETURN faults;
END
$$;
COMMENT ON FUNCTION saleshub.sla_faults(jsonb) IS
    'What the schema does not say about policies: their pools, rules and times';

CREATE FUNCTION crm.sla_put(body jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    kept uuid[] := saleshub.set_check('sla_policy', 'policies', saleshub.sla_schema(), body,
                                      saleshub.sla_faults(body));
BEGIN
    DELETE FROM crm.sla_policy AS p
     WHERE p.org_id = saleshub.org_id() AND p.sla_policy_id <> ALL (kept);
    INSERT INTO crm.sla_policy AS p
           (org_id, sla_policy_id, name, routing_pool_id, routing_rule_id, grades, target_minutes,
            notify_minutes, calendar, pause_statuses, max_hops, position, active)
    SELECT saleshub.org_id(), coalesce((e ->> 'id')::uuid, crm.uuid_v7()), btrim(e ->> 'name'),
           (e ->> 'pool_id')::uuid, (e ->> 'rule_id')::uuid,
           ARRAY(SELECT jsonb_array_elements_text(coalesce(e -> 'grades', '[]'))),
           (e ->> 'target_minutes')::integer, (e ->> 'notify_minutes')::integer,
           coalesce(e ->> 'calendar', 'member'),
           ARRAY(SELECT jsonb_array_elements_text(coalesce(e -> 'pause_statuses', '["nurturing"]'))),
           (e ->> 'max_hops')::integer, i, coalesce((e ->> 'active')::boolean, true)
      FROM jsonb_array_elements(body -> 'policies') WITH ORDINALITY AS x (e, i)
    ON CONFLICT (org_id, sla_policy_id) DO UPDATE
       SET name = excluded.name, routing_pool_id = excluded.routing_pool_id,
           routing_rule_id = excluded.routing_rule_id, grades = excluded.grades,
           target_minutes = excluded.target_minutes, notify_minutes = excluded.notify_minutes,
           calendar = excluded.calendar, pause_statuses = excluded.pause_statuses,
           max_hops = excluded.max_hops, position = excluded.position, active = excluded.active;
    RETURN crm.sla_get();
END
$$;
COMMENT ON FUNCTION crm.sla_put(jsonb) IS
    'Replaces the policies of response times by those of body.policies, in that order. Assignments keep the terms under which they began';

CREATE FUNCTION saleshub.sla_json(timer jsonb) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE
RETURN pg_catalog.jsonb_build_object(
    'id', timer -> 'sla_timer_id', 'lead_id', timer -> 'lead_id', 'member_id', timer -> 'member_id',
    'policy_id', timer -> 'sla_policy_id', 'policy', timer -> 'policy', 'hop', timer -> 'hop',
    'state', timer -> 'state', 'assigned_at', saleshub.utc((timer ->> 'assigned_at')::timestamptz),
    'due_at', saleshub.utc((timer ->> 'due_at')::timestamptz),
    'breached_at', saleshub.utc((timer ->> 'breached_at')::timestamptz),
    'responded_at', saleshub.utc((timer ->> 'responded_at')::timestamptz),
    'response_seconds', pg_catalog.round((timer ->> 'response_seconds')::numeric),
    'activity_id', timer -> 'activity_id', 'end_reason', timer -> 'end_reason');
COMMENT ON FUNCTION saleshub.sla_json(jsonb) IS 'A row of crm.sla_timer as the API writes it';

CREATE FUNCTION crm.lead_sla_get(id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    timers jsonb;
    waiting jsonb;
BEGIN
    PERFORM saleshub.record_exists(saleshub.lead_meta(), id);
    timers := (
        SELECT jsonb_agg(saleshub.sla_json(to_jsonb(t)) ORDER BY t.sla_timer_id DESC)
          FROM (SELECT * FROM crm.sla_timer AS s
                 WHERE s.org_id = saleshub.org_id() AND s.lead_id = lead_sla_get.id
                 ORDER BY s.sla_timer_id DESC LIMIT 100) AS t);
    waiting := (
        SELECT jsonb_build_object('kind', q.kind, 'reason', q.reason, 'since', saleshub.utc(q.since))
          FROM crm.routing_queue AS q
         WHERE q.org_id = saleshub.org_id() AND q.lead_id = lead_sla_get.id);
    RETURN jsonb_build_object(
        'state', CASE WHEN waiting IS NOT NULL THEN 'waiting' ELSE coalesce(timers -> 0 ->> 'state', 'none') END,
        'due_at', CASE WHEN timers -> 0 ->> 'state' = 'running' THEN timers -> 0 -> 'due_at' END,
        'queue', waiting, 'assignments', coalesce(timers, '[]'));
END
$$;
COMMENT ON FUNCTION crm.lead_sla_get(uuid) IS
    'Whether a lead is to be answered and when, and all its assignments that a policy covered, newest first';

CREATE FUNCTION crm.sla_breach_list(
    limit_ integer DEFAULT NULL, cursor_ text DEFAULT NULL, from_ timestamptz DEFAULT NULL,
    to_ timestamptz DEFAULT NULL, member_id uuid DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    page integer := saleshub.list_limit(limit_);
    stamp text := md5(concat_ws(' ', 'sla_breach', saleshub.utc(from_), '-', saleshub.utc(to_), member_id));
    place jsonb := '[null, null]';
BEGIN
    IF cursor_ IS NOT NULL THEN
        place := saleshub.list_place(cursor_, stamp, '[{"cast": "timestamptz", "not_null": true},
                                                       {"cast": "uuid", "not_null": true}]');
    END IF;
    RETURN saleshub.page_json((
        SELECT jsonb_agg(jsonb_build_object(
                   'place', jsonb_build_array(saleshub.utc(b.breached_at), b.sla_timer_id),
                   'doc', saleshub.sla_json(to_jsonb(b))) ORDER BY b.breached_at DESC, b.sla_timer_id DESC)
          FROM (
            SELECT * FROM crm.sla_timer AS t
             WHERE t.org_id = saleshub.org_id() AND t.breached_at IS NOT NULL
               AND (from_ IS NULL OR t.breached_at >= from_) AND (to_ IS NULL OR t.breached_at < to_)
               AND (sla_breach_list.member_id IS NULL OR t.member_id = sla_breach_list.member_id)
               AND (cursor_ IS NULL OR (t.breached_at, t.sla_timer_id)
                                       < ((place ->> 0)::timestamptz, (place ->> 1)::uuid))
             ORDER BY t.breached_at DESC, t.sla_timer_id DESC
             LIMIT page + 1) AS b), page, stamp);
END
$$;
COMMENT ON FUNCTION crm.sla_breach_list(integer, text, timestamptz, timestamptz, uuid) IS
    'A page of what was not answered in time, the newest first, of leads that the member sees';

CREATE FUNCTION saleshub.routes_sla() RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route('GET /v1/routing/sla', 'crm.sla_get()',
        'List the policies of response times', 'routing',
        answer => '{"policies": ["SlaPolicy"]}');
    PERFORM saleshub.route('PUT /v1/routing/sla', 'crm.sla_put(jsonb)',
        'Replace the policies of response times', 'routing', role => 'manager',
        args => jsonb_build_object('body', saleshub.sla_schema()),
        answer => '{"policies": ["SlaPolicy"]}');
    PERFORM saleshub.route('GET /v1/routing/sla/breaches',
        'crm.sla_breach_list(integer, text, timestamptz, timestamptz, uuid)',
        'List what was not answered in time', 'routing',
        answer => saleshub.page_shape('"object"'));
    PERFORM saleshub.route('GET /v1/leads/{id}/sla', 'crm.lead_sla_get(uuid)',
        'Say when a lead is to be answered', 'leads',
        answer => '"Sla"');
END
$$;
COMMENT ON FUNCTION saleshub.routes_sla() IS 'Registers the routes of response times';
