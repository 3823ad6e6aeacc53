-- Who of a pool may have a lead: what members can take, places, absence, owners of a company.

CREATE FUNCTION saleshub.routing_points(org uuid) RETURNS integer[]
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    points jsonb := (SELECT s.points FROM crm.routing_setting AS s WHERE s.org_id = org);
BEGIN
    RETURN ARRAY(SELECT coalesce((points ->> g)::integer, 1)
                   FROM unnest(ARRAY['A', 'B', 'C', 'D', 'E', 'none']) WITH ORDINALITY AS u (g, n)
                  ORDER BY n);
END
$$;
COMMENT ON FUNCTION saleshub.routing_points(uuid) IS
    'What leads of the grades A to E and of none weigh where a capacity is in points: 1 unless set';

CREATE FUNCTION saleshub.routing_load(org uuid, member uuid, most integer, points integer[])
RETURNS bigint
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT coalesce(sum(CASE WHEN points IS NULL THEN 1
                                 ELSE points[coalesce(ascii(open.grade) - 64, 6)] END), 0)
          FROM (SELECT l.grade FROM crm.lead AS l
                 WHERE l.org_id = routing_load.org AND l.owner_id = member AND l.deleted_at IS NULL
                   AND l.status IN ('new', 'working', 'nurturing', 'qualified')
                 LIMIT most) AS open);
END
$$;
COMMENT ON FUNCTION saleshub.routing_load(uuid, uuid, integer, integer[]) IS
    'How many open leads a member has, or their points, counted up to so many leads';

CREATE FUNCTION saleshub.routing_last(org uuid, member uuid) RETURNS timestamptz
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    -- Leads that came with their owner, and those given later, by hand or not.
    RETURN greatest(
        (SELECT max(l.created_at) FROM crm.lead AS l
          WHERE l.org_id = routing_last.org AND l.owner_id = member AND l.created_at <= now()),
        (SELECT max(g.at) FROM crm.assignment_log AS g
          WHERE g.org_id = routing_last.org AND g.member_id = member),
        (SELECT max(o.last_assigned_at) FROM crm.routing_pool_member AS o
          WHERE o.org_id = routing_last.org AND o.member_id = member));
END
$$;
COMMENT ON FUNCTION saleshub.routing_last(uuid, uuid) IS
    'When a member got a lead last, from any pool or by hand';

CREATE FUNCTION saleshub.routing_members(org uuid, pool uuid)
RETURNS TABLE (
    member_id uuid, weight integer, current bigint, last_turn bigint, last_at timestamptz,
    in_pool boolean, employed boolean, role text, absent boolean, skills text, territorial boolean,
    capacity bigint, load bigint, quota bigint, today bigint, opens_at timestamptz,
    points integer[])
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT p.member_id, p.weight, p.current, p.last_turn,
           CASE WHEN q.method <> 'weighted_round_robin'
                THEN saleshub.routing_last(p.org_id, p.member_id) END,
           p.active, m.active AND m.deleted_at IS NULL, m.role,
           EXISTS (SELECT FROM crm.absence AS a
                    WHERE a.org_id = p.org_id AND a.member_id = p.member_id
                      AND a.starts_at <= now() AND a.ends_at > now()),
           '|' || array_to_string(nullif(r.skills, '{}'), '|') || '|',
           EXISTS (SELECT FROM crm.routing_territory AS t
                    WHERE t.org_id = p.org_id AND t.member_id = p.member_id),
           r.capacity::bigint,
           CASE WHEN r.capacity IS NOT NULL OR q.method = 'load_balance' THEN
               saleshub.routing_load(p.org_id, p.member_id, coalesce(r.capacity, 100), w.points) END,
           r.daily_quota::bigint,
           CASE WHEN r.daily_quota IS NOT NULL THEN (
               SELECT count(*) FROM (
                   SELECT FROM crm.assignment_log AS g
                    WHERE g.org_id = p.org_id AND g.member_id = p.member_id
                      AND g.at >= date_trunc('day', now(), m.timezone) AND NOT g.by_hand
                    LIMIT r.daily_quota) AS given) END,
           CASE WHEN c.hours IS NOT NULL THEN
               saleshub.business_opens(now(), c.hours, c.holidays, coalesce(c.timezone, m.timezone))
           END,
           w.points
      FROM crm.routing_pool AS q
      JOIN crm.routing_pool_member AS p
        ON p.org_id = q.org_id AND p.routing_pool_id = q.routing_pool_id
      JOIN crm.member AS m ON m.org_id = p.org_id AND m.member_id = p.member_id
      LEFT JOIN crm.routing_member AS r ON r.org_id = p.org_id AND r.member_id = p.member_id
      LEFT JOIN LATERAL (SELECT saleshub.routing_points(p.org_id) AS points
                          WHERE r.capacity_unit = 'points') AS w ON true
      LEFT JOIN crm.routing_calendar AS c
        ON c.org_id = p.org_id
       AND c.routing_calendar_id = coalesce(r.routing_calendar_id, q.routing_calendar_id)
     WHERE q.org_id = routing_members.org AND q.routing_pool_id = routing_members.pool
     ORDER BY p.member_id;
END
$$;
COMMENT ON FUNCTION saleshub.routing_members(uuid, uuid) IS
    'The members of a pool with all that decides whether they get a lead now, for the routing in C';

CREATE FUNCTION saleshub.postal_normal(code text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN nullif(pg_catalog.upper(pg_catalog.regexp_replace(code, '[^[:alnum:]]', '', 'g')), '');
COMMENT ON FUNCTION saleshub.postal_normal(text) IS 'A postal code in upper case, letters and digits only';

CREATE FUNCTION saleshub.routing_territories(
    org uuid, pool uuid, country text, state text, city text, postal_code text)
RETURNS TABLE (member_id uuid, closeness integer)
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    in_country text := upper(routing_territories.country);
    in_state text := lower(routing_territories.state);
    code text := saleshub.postal_normal(routing_territories.postal_code);
BEGIN
    IF in_state IS NULL AND routing_territories.city IS NOT NULL THEN
        SELECT CASE WHEN count(DISTINCT lower(t.state)) = 1 THEN lower(min(t.state)) END INTO in_state
          FROM crm.routing_territory AS t
         WHERE t.org_id = routing_territories.org AND t.country = in_country
           AND lower(t.city) = lower(routing_territories.city) AND t.state IS NOT NULL;
    END IF;
    RETURN QUERY
    SELECT t.member_id,
           max(CASE WHEN t.postal_from IS NOT NULL THEN 40 + length(t.postal_from)
                    WHEN t.city IS NOT NULL THEN 30 WHEN t.state IS NOT NULL THEN 20
                    WHEN t.country <> '*' THEN 10 ELSE 1 END)
      FROM crm.routing_territory AS t
     WHERE t.org_id = routing_territories.org AND t.country IN (in_country, '*')
       AND (t.state IS NULL OR lower(t.state) = in_state)
       AND (t.city IS NULL OR lower(t.city) = lower(routing_territories.city))
       AND (t.postal_from IS NULL OR left(code, length(t.postal_from)) COLLATE "C"
                                     BETWEEN t.postal_from AND t.postal_to)
       AND EXISTS (SELECT FROM crm.routing_pool_member AS p
                    WHERE p.org_id = t.org_id AND p.routing_pool_id = routing_territories.pool
                      AND p.member_id = t.member_id)
     GROUP BY t.member_id;
END
$$;
COMMENT ON FUNCTION saleshub.routing_territories(uuid, uuid, text, text, text, text) IS
    'Whose territories hold a place, and how closely: over 40 postal codes, the longer the closer, 30 city, 20 state, 10 country, 1 any; for the routing in C';

CREATE FUNCTION saleshub.routing_sticky(
    org uuid, email text, company_name text, website text, others uuid[],
    OUT member_id uuid, OUT candidates jsonb) RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    lead_domain text := coalesce(
        CASE WHEN NOT saleshub.domain_is_free(saleshub.domain_normal(website))
             THEN saleshub.domain_normal(website) END,
        CASE WHEN NOT saleshub.domain_is_free(saleshub.domain_normal(email))
             THEN saleshub.domain_normal(email) END);
    companies uuid[];
BEGIN
    companies := ARRAY(
        SELECT c.company_id FROM crm.company AS c
         WHERE c.org_id = org AND c.deleted_at IS NULL AND c.domain = lead_domain
         ORDER BY c.company_id LIMIT 20);
    IF companies = '{}' AND company_name IS NOT NULL THEN
        companies := ARRAY(
            SELECT c.company_id FROM crm.company AS c
             WHERE c.org_id = org AND c.deleted_at IS NULL AND lower(c.name) = lower(company_name)
             ORDER BY c.company_id LIMIT 20);
    END IF;
    IF companies = '{}' AND NOT EXISTS (
        SELECT FROM crm.contact AS c
         WHERE c.org_id = org AND c.email = routing_sticky.email AND c.deleted_at IS NULL)
    THEN
        RETURN;
    END IF;
    RETURN QUERY
    WITH owned AS (
        (SELECT d.owner_id, 1 AS rank, d.updated_at AS at FROM crm.deal AS d
          WHERE d.org_id = org AND d.company_id = ANY (companies) AND d.status = 'open'
            AND d.deleted_at IS NULL AND d.owner_id IS NOT NULL
          ORDER BY d.updated_at DESC LIMIT 20)
        UNION ALL
        (SELECT c.owner_id, 2, c.updated_at FROM crm.contact AS c
          WHERE c.org_id = org AND c.email = routing_sticky.email AND c.deleted_at IS NULL
            AND c.owner_id IS NOT NULL
          ORDER BY c.updated_at DESC LIMIT 20)
        UNION ALL
        (SELECT c.owner_id, 3, c.updated_at FROM crm.contact AS c
          WHERE c.org_id = org AND c.company_id = ANY (companies) AND c.deleted_at IS NULL
            AND c.owner_id IS NOT NULL
          ORDER BY c.updated_at DESC LIMIT 20)
    ), owner AS (
        SELECT o.owner_id, min(o.rank) AS rank, max(o.at) AS at FROM owned AS o GROUP BY o.owner_id
    ), judged AS (
        SELECT o.*, CASE
                   WHEN NOT m.active OR m.deleted_at IS NOT NULL THEN 'member is not active'
                   WHEN m.role = 'readonly' THEN 'member may only read'
                   WHEN m.member_id = ANY (others) THEN 'had this lead before'
                   WHEN EXISTS (SELECT FROM crm.absence AS a
                                 WHERE a.org_id = org AND a.member_id = m.member_id
                                   AND a.starts_at <= now() AND a.ends_at > now()) THEN 'absent'
               END AS reason
          FROM owner AS o
          JOIN crm.member AS m ON m.org_id = org AND m.member_id = o.owner_id
    )
    SELECT (array_agg(j.owner_id ORDER BY j.rank, j.at DESC, j.owner_id)
                FILTER (WHERE j.reason IS NULL))[1],
           jsonb_agg(jsonb_build_object('member_id', j.owner_id, 'eligible', j.reason IS NULL,
                                        'reason', j.reason,
                                        'owner_of', CASE j.rank WHEN 1 THEN 'deal' ELSE 'contact' END)
                     ORDER BY j.rank, j.at DESC, j.owner_id)
      FROM judged AS j
    HAVING count(*) > 0;
END
$$;
COMMENT ON FUNCTION saleshub.routing_sticky(uuid, text, text, text, uuid[]) IS
    'Owners of open deals, then of contacts, at the company a lead comes from; member_id is the first who can work. No row when there are none';

CREATE FUNCTION saleshub.routing_rule_check() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.score_predicate_check(NEW.predicate);
    NEW.skills := saleshub.routing_skills(NEW.skills);
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION saleshub.routing_rule_check() IS 'Trigger: the condition of a rule is valid, its skills are in order';

CREATE FUNCTION saleshub.routing_member_check() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    NEW.skills := saleshub.routing_skills(NEW.skills);
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION saleshub.routing_member_check() IS 'Trigger: the skills of a member are in order';

CREATE FUNCTION saleshub.routing_skills(skills text[]) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ARRAY(SELECT DISTINCT pg_catalog.lower(saleshub.clean(pg_catalog.translate(s, '|', '/'))) COLLATE "C"
               FROM pg_catalog.unnest(skills) AS s WHERE saleshub.clean(s) IS NOT NULL ORDER BY 1);
COMMENT ON FUNCTION saleshub.routing_skills(text[]) IS 'Skills in lower case, each once, in order';

CREATE FUNCTION crm.routing_members_get() RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN jsonb_build_object('members', coalesce((
        SELECT jsonb_agg(jsonb_build_object(
                   'member_id', m.member_id, 'name', m.name, 'active', m.active,
                   'timezone', m.timezone, 'skills', coalesce(to_jsonb(r.skills), '[]'),
                   'capacity', r.capacity,
                   'capacity_unit', coalesce(r.capacity_unit, 'leads'), 'daily_quota', r.daily_quota,
                   'calendar_id', r.routing_calendar_id,
                   'territories', coalesce((
                       SELECT jsonb_agg(jsonb_build_object(
                                  'country', t.country, 'state', t.state, 'city', t.city,
                                  'postal_from', t.postal_from, 'postal_to', t.postal_to)
                                  ORDER BY t.country, t.state NULLS FIRST, t.city NULLS FIRST,
                                           t.postal_from NULLS FIRST, t.postal_to)
                         FROM crm.routing_territory AS t
                        WHERE t.org_id = m.org_id AND t.member_id = m.member_id), '[]'),
                   'absences', coalesce((
                       SELECT jsonb_agg(jsonb_build_object(
                                  'starts_at', saleshub.utc(a.starts_at),
                                  'ends_at', saleshub.utc(a.ends_at), 'note', a.note)
                                  ORDER BY a.starts_at, a.absence_id)
                         FROM crm.absence AS a
                        WHERE a.org_id = m.org_id AND a.member_id = m.member_id
                          AND a.ends_at > now()), '[]'))
                   ORDER BY m.name, m.member_id)
          FROM crm.member AS m
          LEFT JOIN crm.routing_member AS r ON r.org_id = m.org_id AND r.member_id = m.member_id
         WHERE m.org_id = saleshub.org_id() AND m.deleted_at IS NULL), '[]'));
END
$$;
COMMENT ON FUNCTION crm.routing_members_get() IS
    'What each member can take: skills, territories, capacity, quota, working hours, present and coming absences';

CREATE FUNCTION saleshub.routing_member_schema() RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN '{
    "type": "object", "additionalProperties": false,
    "properties": {
        "skills": {"type": "array", "maxItems": 100,
                   "items": {"type": "string", "minLength": 1, "maxLength": 100}},
        "capacity": {"type": ["integer", "null"], "minimum": 0, "maximum": 100000},
        "capacity_unit": {"type": "string", "enum": ["leads", "points"]},
        "daily_quota": {"type": ["integer", "null"], "minimum": 0, "maximum": 100000},
        "calendar_id": {"type": ["string", "null"], "format": "uuid"},
        "territories": {"type": "array", "maxItems": 1000, "items": {
            "type": "object", "additionalProperties": false, "required": ["country"],
            "properties": {
                "country": {"type": "string", "minLength": 1, "maxLength": 2},
                "state": {"type": ["string", "null"], "maxLength": 100},
                "city": {"type": ["string", "null"], "maxLength": 100},
                "postal_from": {"type": ["string", "null"], "maxLength": 20},
                "postal_to": {"type": ["string", "null"], "maxLength": 20}}}},
        "absences": {"type": "array", "maxItems": 100, "items": {
            "type": "object", "additionalProperties": false, "required": ["starts_at", "ends_at"],
            "properties": {
                "starts_at": {"type": "string", "format": "date-time"},
                "ends_at": {"type": "string", "format": "date-time"},
                "note": {"type": ["string", "null"], "maxLength": 1000}}}}}}'::jsonb;
COMMENT ON FUNCTION saleshub.routing_member_schema() IS
    'JSON Schema of the body of crm.routing_member_put';

CREATE FUNCTION saleshub.territory_faults(territories jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    faults jsonb := '[]';
    place jsonb;
    n bigint;
    low text;
    high text;
BEGIN
    FOR place, n IN SELECT e, i - 1 FROM jsonb_array_elements(coalesce(territories, '[]'))
                                         WITH ORDINALITY AS x (e, i)
    LOOP
        low := saleshub.postal_normal(place ->> 'postal_from');
        high := coalesce(saleshub.postal_normal(place ->> 'postal_to'), low);
        IF upper(place ->> 'country') !~ '^([A-Z]{2}|\*)$' THEN
            faults := faults || saleshub.fault(format('/territories/%s/country', n), 'invalid',
                                               'is a country code of two letters, or *');
        END IF;
        IF low IS NULL AND high IS NOT NULL
           OR length(low) <> length(high) OR low COLLATE "C" > high COLLATE "C" THEN
            faults := faults || saleshub.fault(format('/territories/%s/postal_to', n), 'invalid',
                                               'is as long as postal_from and not before it');
        END IF;
    END LOOP;
    RETURN faults;
END
$$;
COMMENT ON FUNCTION saleshub.territory_faults(jsonb) IS
    'What is wrong with the territories of a member, as errors of a problem document';

CREATE FUNCTION crm.routing_member_put(id uuid, body jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    faults jsonb := saleshub.schema_errors(saleshub.routing_member_schema(), body, '');
    calendar uuid;
    one jsonb;
BEGIN
    IF NOT EXISTS (SELECT FROM crm.member AS m WHERE m.org_id = saleshub.org_id()
                      AND m.member_id = routing_member_put.id AND m.deleted_at IS NULL) THEN
        PERFORM saleshub.record_missing('member', id);
    END IF;
    IF faults = '[]' THEN
        calendar := (body ->> 'calendar_id')::uuid;
        IF calendar IS NOT NULL AND NOT EXISTS (
            SELECT FROM crm.routing_calendar AS c
             WHERE c.org_id = saleshub.org_id() AND c.routing_calendar_id = calendar) THEN
            faults := faults || saleshub.fault('/calendar_id', 'not_found', 'names no calendar');
        END IF;
        SELECT faults || coalesce(jsonb_agg(f), '[]') INTO faults
          FROM jsonb_array_elements(coalesce(body -> 'absences', '[]')) WITH ORDINALITY AS x (a, n),
               jsonb_array_elements(saleshub.fault(
                   format('/absences/%s/ends_at', n - 1), 'invalid', 'must be later than starts_at')) AS f
         WHERE (a ->> 'starts_at')::timestamptz >= (a ->> 'ends_at')::timestamptz;
        faults := faults || saleshub.territory_faults(body -> 'territories');
    END IF;
    IF faults <> '[]' THEN
        PERFORM saleshub.raise('22023', 'what the member can take is not valid',
            jsonb_build_object('code', 'invalid_body', 'errors', faults));
    END IF;
    INSERT INTO crm.routing_member AS r
           (org_id, member_id, skills, capacity, capacity_unit, daily_quota, routing_calendar_id)
    VALUES (saleshub.org_id(), id,
            ARRAY(SELECT jsonb_array_elements_text(coalesce(body -> 'skills', '[]'))),
            (body ->> 'capacity')::integer, coalesce(body ->> 'capacity_unit', 'leads'), (body ->> 'daily_quota')::integer, calendar)
    ON CONFLICT (org_id, member_id) DO UPDATE
       SET skills = excluded.skills, capacity = excluded.capacity,
           capacity_unit = excluded.capacity_unit, daily_quota = excluded.daily_quota, routing_calendar_id = excluded.routing_calendar_id;
    DELETE FROM crm.routing_territory AS t
     WHERE t.org_id = saleshub.org_id() AND t.member_id = routing_member_put.id;
    INSERT INTO crm.routing_territory
           (org_id, member_id, country, state, city, postal_from, postal_to)
    SELECT saleshub.org_id(), id, upper(t ->> 'country'), saleshub.clean(t ->> 'state'),
           saleshub.clean(t ->> 'city'), saleshub.postal_normal(t ->> 'postal_from'),
           coalesce(saleshub.postal_normal(t ->> 'postal_to'),
                    saleshub.postal_normal(t ->> 'postal_from'))
      FROM jsonb_array_elements(coalesce(body -> 'territories', '[]')) AS t
    ON CONFLICT DO NOTHING;
    DELETE FROM crm.absence AS a
     WHERE a.org_id = saleshub.org_id() AND a.member_id = routing_member_put.id AND a.ends_at > now();
    INSERT INTO crm.absence (org_id, member_id, starts_at, ends_at, note)
    SELECT saleshub.org_id(), id, (a ->> 'starts_at')::timestamptz, (a ->> 'ends_at')::timestamptz,
           saleshub.clean(a ->> 'note')
      FROM jsonb_array_elements(coalesce(body -> 'absences', '[]')) AS a;
    SELECT e INTO one FROM jsonb_array_elements(crm.routing_members_get() -> 'members') AS e
     WHERE e ->> 'member_id' = id::text;
    RETURN one;
END
$$;
COMMENT ON FUNCTION crm.routing_member_put(uuid, jsonb) IS
    'Sets what a member can take; what the body leaves out has no limit. Past absences stay';
