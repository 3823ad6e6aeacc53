-- What people do with the queue: look at it, take leads from it, have a batch of leads routed.

CREATE FUNCTION crm.routing_queue_list(
    limit_ integer DEFAULT NULL, cursor_ text DEFAULT NULL, kind text DEFAULT NULL,
    pool_id uuid DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    page integer := saleshub.list_limit(limit_);
    stamp text := md5(concat_ws(' ', 'routing_queue', kind, pool_id));
    hidden text[] := saleshub.hidden_fields('lead');
    place jsonb := '[null, null]';
BEGIN
    IF kind NOT IN ('waiting', 'manager') THEN
        PERFORM saleshub.bad_parameter('kind', 'not_allowed', 'is waiting or manager');
    END IF;
    IF cursor_ IS NOT NULL THEN
        place := saleshub.list_place(cursor_, stamp, '[{"cast": "timestamptz", "not_null": true},
                                                       {"cast": "uuid", "not_null": true}]');
    END IF;
    RETURN saleshub.page_json((
        SELECT jsonb_agg(jsonb_build_object(
                   'place', jsonb_build_array(saleshub.utc(w.since), w.lead_id),
                   'doc', jsonb_build_object(
                       'lead_id', w.lead_id, 'kind', w.kind, 'pool_id', w.pool_id, 'reason', w.reason,
                       'since', saleshub.utc(w.since),
                       'age_seconds', floor(extract(epoch FROM now() - w.since))::bigint,
                       'tried_at', saleshub.utc(w.tried_at),
                       'next_try_at', CASE WHEN w.kind = 'waiting' AND isfinite(w.next_try_at)
                                           THEN saleshub.utc(w.next_try_at) END,
                       'candidates', w.candidates, 'lead', w.lead - hidden))
                   ORDER BY w.since, w.lead_id)
          FROM (
            SELECT q.*, CASE WHEN l.lead_id IS NOT NULL THEN jsonb_build_object(
                       'first_name', l.first_name, 'last_name', l.last_name,
                       'company_name', l.company_name, 'source', l.source, 'country', l.country,
                       'state', l.state, 'city', l.city, 'score', l.score, 'grade', l.grade) END AS lead
              FROM crm.routing_queue AS q
              LEFT JOIN crm.lead AS l ON l.org_id = q.org_id AND l.lead_id = q.lead_id
             WHERE q.org_id = saleshub.org_id()
               AND (routing_queue_list.kind IS NULL OR q.kind = routing_queue_list.kind)
               AND (routing_queue_list.pool_id IS NULL OR q.pool_id = routing_queue_list.pool_id)
               AND (cursor_ IS NULL
                    OR (q.since, q.lead_id) > ((place ->> 0)::timestamptz, (place ->> 1)::uuid))
             ORDER BY q.since, q.lead_id
             LIMIT page + 1) AS w), page, stamp);
END
$$;
COMMENT ON FUNCTION crm.routing_queue_list(integer, text, text, uuid) IS
    'A page of the leads that nobody got, the longest waiting first, each with the reason and everybody''s exclusion. Admins and managers see all of them, others those of their pools; what a lead says only who sees the lead';

CREATE FUNCTION crm.routing_claim(lead uuid) RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
    me uuid := saleshub.member_id();
    entry record;
    owner uuid;
BEGIN
    PERFORM saleshub.need_member();
    PERFORM saleshub.record_require_write();
    PERFORM saleshub.score_keep_rules();
    SELECT l.owner_id INTO owner FROM crm.lead AS l
     WHERE l.org_id = org AND l.lead_id = lead AND l.deleted_at IS NULL FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM saleshub.record_missing('lead', lead);
    END IF;
    SELECT q.kind, q.pool_id INTO entry FROM crm.routing_queue AS q
     WHERE q.org_id = org AND q.lead_id = lead;
    IF NOT FOUND THEN
        PERFORM saleshub.raise('SH409', 'the lead does not wait in the queue',
            jsonb_build_object('code', CASE WHEN owner IS NULL THEN 'not_waiting' ELSE 'already_assigned' END));
    ELSIF NOT (saleshub.may_manage()
               OR entry.kind = 'waiting' AND entry.pool_id = ANY (saleshub.member_pools())) THEN
        PERFORM saleshub.record_missing('lead', lead);
    END IF;
    UPDATE crm.lead AS l SET owner_id = me WHERE l.org_id = org AND l.lead_id = lead;
    RETURN crm.lead_get(lead);
END
$$;
ALTER FUNCTION crm.routing_claim(uuid) OWNER TO saleshub_owner;
COMMENT ON FUNCTION crm.routing_claim(uuid) IS
    'Takes a lead out of the queue for the member who asks: one of those who may see it there. Who comes second gets SH409';

CREATE FUNCTION saleshub.route_batch_schema() RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN '{
    "type": "object", "additionalProperties": false,
    "properties": {
        "ids": {"type": "array", "maxItems": 1000, "items": {"type": "string", "format": "uuid"}},
        "limit": {"type": "integer", "minimum": 1, "maximum": 1000}}}'::jsonb;
COMMENT ON FUNCTION saleshub.route_batch_schema() IS 'JSON Schema of the body of crm.lead_route_batch';

CREATE FUNCTION crm.lead_route_batch(body jsonb DEFAULT '{}') RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    wanted uuid[];
    leads uuid[];
    results jsonb := '[]';
    lead uuid;
BEGIN
    PERFORM saleshub.record_require_write();
    PERFORM saleshub.check_body(saleshub.route_batch_schema(), body);
    IF NOT saleshub.may_manage() THEN
        PERFORM saleshub.raise('42501', 'only admins and managers route many leads',
                               '{"code": "forbidden"}');
    END IF;
    IF body ? 'ids' THEN
        wanted := ARRAY(SELECT e::uuid FROM jsonb_array_elements_text(body -> 'ids') AS e);
    END IF;
    PERFORM FROM crm.routing_pool AS p WHERE p.org_id = saleshub.org_id()
      ORDER BY p.routing_pool_id FOR NO KEY UPDATE;
    leads := ARRAY(
        SELECT l.lead_id FROM crm.lead AS l
         WHERE l.org_id = saleshub.org_id() AND l.owner_id IS NULL AND l.deleted_at IS NULL
           AND l.status IN ('new', 'working', 'nurturing', 'qualified')
           AND (wanted IS NULL OR l.lead_id = ANY (wanted))
         ORDER BY l.score DESC, l.created_at, l.lead_id
         LIMIT coalesce((body ->> 'limit')::integer, 1000)
           FOR UPDATE SKIP LOCKED);
    FOREACH lead IN ARRAY leads LOOP
        results := results || (jsonb_build_object('lead_id', lead)
            || (crm.lead_route(lead) - 'candidates'));
    END LOOP;
    RETURN jsonb_build_object(
        'routed', (SELECT count(*) FROM jsonb_array_elements(results) AS r WHERE r ->> 'owner_id' IS NOT NULL),
        'waiting', (SELECT count(*) FROM jsonb_array_elements(results) AS r WHERE r ->> 'owner_id' IS NULL),
        'results', results);
END
$$;
COMMENT ON FUNCTION crm.lead_route_batch(jsonb) IS
    'Gives open leads without an owner to members, those with the best score first: all, those of body.ids, or at most body.limit of them';

CREATE FUNCTION saleshub.routing_setting_schema() RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN '{
    "type": "object", "additionalProperties": false,
    "properties": {
        "queue_order": {"type": "string", "enum": ["oldest", "score"]},
        "points": {"type": "object", "additionalProperties": false, "properties": {
            "A": {"type": "integer", "minimum": 1, "maximum": 1000},
            "B": {"type": "integer", "minimum": 1, "maximum": 1000},
            "C": {"type": "integer", "minimum": 1, "maximum": 1000},
            "D": {"type": "integer", "minimum": 1, "maximum": 1000},
            "E": {"type": "integer", "minimum": 1, "maximum": 1000},
            "none": {"type": "integer", "minimum": 1, "maximum": 1000}}}}}'::jsonb;
COMMENT ON FUNCTION saleshub.routing_setting_schema() IS 'JSON Schema of the body of crm.routing_setting_put';

CREATE FUNCTION crm.routing_setting_get() RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    setting record;
BEGIN
    SELECT s.queue_order, s.points, s.version INTO setting FROM crm.routing_setting AS s
     WHERE s.org_id = saleshub.org_id();
    PERFORM saleshub.reply(etag => coalesce(setting.version, 0)::text);
    RETURN jsonb_build_object('queue_order', coalesce(setting.queue_order, 'oldest'),
                              'points', coalesce(setting.points, '{}'));
END
$$;
COMMENT ON FUNCTION crm.routing_setting_get() IS
    'Which waiting lead comes first, and what leads weigh by grade where a capacity is in points';

CREATE FUNCTION crm.routing_setting_put(body jsonb, if_match text DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    current bigint;
BEGIN
    PERFORM saleshub.check_body(saleshub.routing_setting_schema(), body);
    PERFORM pg_advisory_xact_lock(hashtextextended('routing_setting ' || saleshub.org_id(), 0));
    current := (SELECT s.version FROM crm.routing_setting AS s WHERE s.org_id = saleshub.org_id());
    PERFORM saleshub.version_check(coalesce(current, 0), if_match, 'the setting of routing');
    INSERT INTO crm.routing_setting AS s (org_id, queue_order, points)
    VALUES (saleshub.org_id(), coalesce(body ->> 'queue_order', 'oldest'), coalesce(body -> 'points', '{}'))
    ON CONFLICT (org_id) DO UPDATE
       SET queue_order = excluded.queue_order, points = excluded.points;
    RETURN crm.routing_setting_get();
END
$$;
COMMENT ON FUNCTION crm.routing_setting_put(jsonb, text) IS
    'Sets how routing treats leads; what the body leaves out is as in the beginning';

CREATE FUNCTION saleshub.routes_routing_queue() RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route('GET /v1/routing/queue', 'crm.routing_queue_list(integer, text, text, uuid)',
        'List the leads that nobody got', 'routing',
        answer => saleshub.page_shape('"RoutingQueueEntry"'));
    PERFORM saleshub.route('POST /v1/routing/queue/{lead}/claim', 'crm.routing_claim(uuid)',
        'Take a lead out of the queue', 'routing',
        answer => '"Lead"');
    PERFORM saleshub.route('POST /v1/leads:route', 'crm.lead_route_batch(jsonb)',
        'Give the leads without an owner to members', 'leads', role => 'manager', timeout_ms => 60000,
        args => jsonb_build_object('body', saleshub.route_batch_schema()),
        answer => '{"routed": "integer", "waiting": "integer", "results": ["Routed"]}');
    PERFORM saleshub.route('GET /v1/routing/settings', 'crm.routing_setting_get()',
        'Read how routing treats leads', 'routing',
        answer => '{"queue_order": "text", "points": {"*": "number"}}');
    PERFORM saleshub.route('PUT /v1/routing/settings', 'crm.routing_setting_put(jsonb, text)',
        'Set how routing treats leads', 'routing', role => 'manager',
        args => jsonb_build_object('body', saleshub.routing_setting_schema()),
        answer => '{"queue_order": "text", "points": {"*": "number"}}');
END
$$;
COMMENT ON FUNCTION saleshub.routes_routing_queue() IS 'Registers the routes of the queue';
