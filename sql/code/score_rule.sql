-- The scoring rules of an organisation: checks, versions, and what clients call.

CREATE FUNCTION saleshub.score_change_begin(org uuid) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF saleshub.member_role() IN ('rep', 'readonly') THEN
        PERFORM saleshub.raise('42501', 'only admins and managers change scoring rules');
    END IF;
    PERFORM saleshub.score_lock_rules(org);
END
$$;
COMMENT ON FUNCTION saleshub.score_change_begin(uuid) IS
    'Raises 42501 unless the caller may change scoring rules, and keeps writers of leads out until that is done';

CREATE FUNCTION saleshub.score_rule_check() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.score_change_begin(CASE TG_OP WHEN 'DELETE' THEN OLD.org_id ELSE NEW.org_id END);
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    IF NEW.per_event THEN
        PERFORM saleshub.score_predicate_check(
            NEW.predicate, errors => saleshub.score_event_errors(NEW.predicate));
    ELSE
        PERFORM saleshub.score_predicate_check(NEW.predicate);
    END IF;
    RETURN NEW;
END
$$;
ALTER FUNCTION saleshub.score_rule_check() OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.score_rule_check() IS 'Trigger: checks a scoring rule and who changes it';

CREATE FUNCTION saleshub.score_model_check() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.score_change_begin(CASE TG_OP WHEN 'DELETE' THEN OLD.org_id ELSE NEW.org_id END);
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    IF to_jsonb(NEW) ? 'thresholds' THEN
        PERFORM saleshub.score_thresholds_check(to_jsonb(NEW) -> 'thresholds');
    END IF;
    RETURN NEW;
END
$$;
ALTER FUNCTION saleshub.score_model_check() OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.score_model_check() IS
    'Trigger: checks what holds for all scoring rules or a group of them, and who changes it';

CREATE FUNCTION saleshub.score_threshold_faults(at text, thresholds jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    faults jsonb := '[]';
    kind text;
    list jsonb;
BEGIN
    IF jsonb_typeof(thresholds) <> 'object' OR coalesce(thresholds ->> 'by' NOT IN ('points', 'percentile'), true) THEN
        RETURN saleshub.fault(at || '/by', 'invalid', 'must be points or percentile');
    END IF;
    FOREACH kind IN ARRAY ARRAY['fit', 'engagement'] LOOP
        list := thresholds -> kind;
        IF jsonb_typeof(list) IS DISTINCT FROM 'array' OR jsonb_array_length(list) NOT BETWEEN 1 AND 4
           OR EXISTS (SELECT FROM jsonb_array_elements(list) AS e WHERE jsonb_typeof(e) <> 'number') THEN
            faults := faults || saleshub.fault(at || '/' || kind, 'type', 'must be one to four numbers');
        ELSIF EXISTS (
            SELECT FROM jsonb_array_elements_text(list) WITH ORDINALITY AS a (v, n)
              LEFT JOIN jsonb_array_elements_text(list) WITH ORDINALITY AS b (v, n) ON b.n = a.n + 1
             WHERE b.v::numeric >= a.v::numeric OR abs(a.v::numeric) > 1000
                OR thresholds ->> 'by' = 'percentile' AND a.v::numeric NOT BETWEEN 0 AND 100) THEN
            faults := faults || saleshub.fault(at || '/' || kind, 'range', CASE thresholds ->> 'by'
                WHEN 'percentile' THEN 'must fall, from 0 to 100' ELSE 'must fall, from -1000 to 1000' END);
        END IF;
    END LOOP;
    RETURN faults;
END
$$;
COMMENT ON FUNCTION saleshub.score_threshold_faults(text, jsonb) IS
    'What is wrong with the thresholds of grades that stand at this JSON pointer';

CREATE FUNCTION saleshub.score_thresholds_check(thresholds jsonb) RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    faults jsonb := saleshub.score_threshold_faults('/thresholds', thresholds);
BEGIN
    IF faults <> '[]' THEN
        PERFORM saleshub.raise('22023', 'the thresholds are not valid',
                               jsonb_build_object('code', 'invalid_body', 'errors', faults));
    END IF;
END
$$;
COMMENT ON FUNCTION saleshub.score_thresholds_check(jsonb) IS
    'Raises 22023 with what is wrong with the thresholds of grades';

CREATE FUNCTION saleshub.score_epoch_now(half_life_hours integer) RETURNS integer
LANGUAGE sql STABLE PARALLEL SAFE
RETURN floor(extract(epoch FROM now() - '2000-01-01 00:00:00+00'::timestamptz) / (3600::numeric * half_life_hours))::integer;
COMMENT ON FUNCTION saleshub.score_epoch_now(integer) IS 'How many whole half-lives have passed since 2000';

CREATE FUNCTION saleshub.score_definition(org uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT saleshub.score_defaults() || jsonb_strip_nulls(jsonb_build_object(
                   'cap', s.cap, 'history_delta', s.history_delta, 'thresholds', s.thresholds))
               || jsonb_build_object(
                   'groups', coalesce((
                       SELECT jsonb_agg(jsonb_build_object('id', g.score_group_id, 'name', g.name,
                                                           'kind', g.kind, 'cap', g.cap)
                                        ORDER BY g.position, g.score_group_id)
                         FROM crm.score_group AS g WHERE g.org_id = score_definition.org), '[]'),
                   'rules', coalesce((
                       SELECT jsonb_agg(jsonb_build_object(
                                  'id', r.score_rule_id, 'label', r.label, 'predicate', r.predicate,
                                  'points', r.points, 'active', r.active, 'group', g.name,
                                  'per_event', r.per_event, 'max_n', r.max_n,
                                  'window_hours', r.window_hours, 'half_life_hours', r.half_life_hours)
                                  ORDER BY r.position, r.score_rule_id)
                         FROM crm.score_rule AS r
                         LEFT JOIN crm.score_group AS g
                           ON g.org_id = r.org_id AND g.score_group_id = r.score_group_id
                        WHERE r.org_id = score_definition.org), '[]'))
          FROM (SELECT) AS one
          LEFT JOIN crm.score_setting AS s ON s.org_id = score_definition.org);
END
$$;
COMMENT ON FUNCTION saleshub.score_definition(uuid) IS
    'The scoring rules of an organisation as one document, which is what a version keeps';

CREATE FUNCTION saleshub.score_cuts(org uuid, thresholds jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    fits numeric[];
    engagements numeric[];
BEGIN
    IF thresholds ->> 'by' = 'points' THEN
        RETURN thresholds - 'by';
    END IF;
    SELECT percentile_disc(ARRAY(SELECT t::float8 / 100 FROM jsonb_array_elements_text(thresholds -> 'fit') AS t))
               WITHIN GROUP (ORDER BY l.fit),
           percentile_disc(ARRAY(SELECT t::float8 / 100 FROM jsonb_array_elements_text(thresholds -> 'engagement') AS t))
               WITHIN GROUP (ORDER BY l.engagement) FILTER (WHERE l.engagement IS NOT NULL)
      INTO fits, engagements
      FROM crm.lead AS l
     WHERE l.org_id = score_cuts.org AND l.deleted_at IS NULL AND l.status <> 'converted';
    RETURN jsonb_build_object('fit', coalesce(to_jsonb(fits), thresholds -> 'fit'),
                              'engagement', coalesce(to_jsonb(engagements), thresholds -> 'engagement'));
END
$$;
COMMENT ON FUNCTION saleshub.score_cuts(uuid, jsonb) IS
    'Thresholds in points: those of percentiles by the open leads as they are now; where there are none the numbers themselves';

CREATE FUNCTION saleshub.score_changed(org uuid) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    new jsonb := saleshub.score_definition(org);
    last record;
    cuts jsonb;
BEGIN
    PERFORM saleshub.score_lock_rules(org);
    SELECT v.version, v.at, v.definition, v.xact INTO last FROM crm.score_version AS v
     WHERE v.org_id = score_changed.org ORDER BY v.version DESC LIMIT 1;
    IF last.definition - 'cuts' = new THEN
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM jsonb_array_elements(new -> 'rules') AS r
                 JOIN jsonb_array_elements(new -> 'groups') AS g ON g ->> 'name' = r ->> 'group'
                WHERE (g ->> 'kind' = 'engagement') <> (r ->> 'per_event')::boolean) THEN
        RAISE check_violation USING MESSAGE = 'rules per event belong to groups of engagement, the others to groups of fit';
    END IF;
    new := new || jsonb_build_object('cuts', CASE new -> 'thresholds'
        WHEN last.definition -> 'thresholds' THEN last.definition -> 'cuts'
        ELSE saleshub.score_cuts(org, new -> 'thresholds') END);
    IF last.xact = pg_current_xact_id() THEN
        UPDATE crm.score_version AS v SET definition = new
         WHERE v.org_id = score_changed.org AND v.version = last.version;
    ELSE
        INSERT INTO crm.score_version (org_id, version, at, member_id, definition)
        VALUES (org, coalesce(last.version, 0) + 1, greatest(now(), last.at), saleshub.member_id(), new);
    END IF;
    INSERT INTO crm.score_epoch (org_id, half_life_hours, epoch)
    SELECT DISTINCT score_changed.org, h, saleshub.score_epoch_now(h)
      FROM jsonb_array_elements(new -> 'rules') AS r, LATERAL (SELECT (r ->> 'half_life_hours')::integer) AS x (h)
     WHERE h IS NOT NULL
    ON CONFLICT DO NOTHING;
    PERFORM saleshub.score_rescore(org);
    IF new #>> '{thresholds,by}' = 'percentile' THEN
        -- Where the percentiles lie follows from the points that the new rules gave.
        cuts := saleshub.score_cuts(org, new -> 'thresholds');
        IF cuts <> new -> 'cuts' THEN
            UPDATE crm.score_version AS v SET definition = new || jsonb_build_object('cuts', cuts)
             WHERE v.org_id = score_changed.org AND v.xact = pg_current_xact_id();
            PERFORM saleshub.score_rescore(org);
        END IF;
    END IF;
END
$$;
COMMENT ON FUNCTION saleshub.score_changed(uuid) IS
    'Makes a version of the scoring rules if they differ from the latest one, and scores the open leads by it';

CREATE FUNCTION saleshub.score_rule_changed() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.score_changed(org_id) FROM (SELECT DISTINCT org_id FROM changed) AS o;
    RETURN NULL;
END
$$;
ALTER FUNCTION saleshub.score_rule_changed() OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.score_rule_changed() IS
    'Trigger: makes a version of the rules and scores the open leads anew in the commit that changes them';

CREATE FUNCTION crm.score_rules_get() RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    version integer;
    cuts jsonb;
BEGIN
    SELECT v.version, v.definition -> 'cuts' INTO version, cuts FROM crm.score_version AS v
     WHERE v.org_id = saleshub.org_id() ORDER BY v.version DESC LIMIT 1;
    RETURN saleshub.score_definition(saleshub.org_id())
        || jsonb_build_object('version', coalesce(version, 0), 'cuts', cuts);
END
$$;
COMMENT ON FUNCTION crm.score_rules_get() IS
    'The scoring rules in their order, their groups, caps and thresholds, and the version that holds';

CREATE FUNCTION saleshub.score_rules_schema() RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN '{
    "type": "object", "additionalProperties": false, "required": ["rules"],
    "properties": {
        "version": {"type": "integer"},
        "cap": {"type": "integer", "minimum": 1, "maximum": 1000},
        "history_delta": {"type": "number", "minimum": 0.001, "maximum": 1000},
        "thresholds": {
            "type": "object", "additionalProperties": false, "required": ["by", "fit", "engagement"],
            "properties": {
                "by": {"type": "string", "enum": ["points", "percentile"]},
                "fit": {"type": "array", "maxItems": 4, "items": {"type": "number"}},
                "engagement": {"type": "array", "maxItems": 4, "items": {"type": "number"}}}},
        "cuts": {"type": ["object", "null"]},
        "groups": {"type": "array", "maxItems": 50, "items": {
            "type": "object", "additionalProperties": false, "required": ["name", "kind"],
            "properties": {
                "id": {"type": "string", "format": "uuid"},
                "name": {"type": "string", "minLength": 1, "maxLength": 100},
                "kind": {"type": "string", "enum": ["fit", "engagement"]},
                "cap": {"type": ["integer", "null"], "minimum": 0, "maximum": 1000}}}},
        "rules": {"type": "array", "maxItems": 200, "items": {
            "type": "object", "additionalProperties": false,
            "required": ["label", "predicate", "points"],
            "properties": {
                "id": {"type": "string", "format": "uuid"},
                "label": {"type": "string", "minLength": 1, "maxLength": 200},
                "predicate": {"type": "object"},
                "points": {"type": "integer", "minimum": -100, "maximum": 100},
                "active": {"type": "boolean"},
                "group": {"type": ["string", "null"], "maxLength": 100},
                "per_event": {"type": "boolean"},
                "max_n": {"type": ["integer", "null"], "minimum": 1, "maximum": 10000},
                "window_hours": {"type": ["integer", "null"], "minimum": 1, "maximum": 87600},
                "half_life_hours": {"type": ["integer", "null"], "minimum": 1, "maximum": 87600}}}}}}'::jsonb;
COMMENT ON FUNCTION saleshub.score_rules_schema() IS 'JSON Schema of the body of crm.score_rules_put';

CREATE FUNCTION saleshub.score_group_faults(body jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    faults jsonb := '[]';
    kinds jsonb := coalesce((SELECT jsonb_object_agg(g.name, g.kind) FROM crm.score_group AS g
                              WHERE g.org_id = saleshub.org_id() AND NOT body ? 'groups'), '{}');
    entry record;
    name text;
    per_event boolean;
BEGIN
    FOR entry IN SELECT * FROM saleshub.set_items(body, 'groups') LOOP
        name := btrim(entry.item ->> 'name');
        IF kinds ? name THEN
            faults := faults || saleshub.fault(format('/groups/%s/name', entry.n), 'duplicate', 'is given twice');
        END IF;
        kinds := kinds || jsonb_build_object(coalesce(name, ''), entry.item -> 'kind');
    END LOOP;
    FOR entry IN SELECT * FROM saleshub.set_items(body, 'rules') LOOP
        name := btrim(entry.item ->> 'group');
        per_event := entry.item -> 'per_event' IS NOT DISTINCT FROM 'true';
        IF NOT kinds ? name THEN
            faults := faults || saleshub.fault(format('/rules/%s/group', entry.n), 'not_found', 'there is no such group');
        ELSIF (kinds ->> name = 'engagement') <> per_event THEN
            faults := faults || saleshub.fault(format('/rules/%s/group', entry.n), 'not_allowed', CASE
                WHEN per_event THEN 'a rule per event belongs to a group of engagement' ELSE 'this rule belongs to a group of fit' END);
        END IF;
        IF NOT per_event THEN
            faults := faults || coalesce((
                SELECT jsonb_agg(saleshub.fault(format('/rules/%s/%s', entry.n, k), 'not_allowed', 'is of rules per event') -> 0)
                  FROM unnest('{max_n,window_hours,half_life_hours}'::text[]) AS k
                 WHERE entry.item -> k <> 'null'), '[]');
        ELSIF coalesce(entry.item -> 'window_hours', 'null') <> 'null' AND coalesce(entry.item -> 'max_n', 'null') = 'null' THEN
            faults := faults || saleshub.fault(format('/rules/%s/window_hours', entry.n), 'not_allowed', 'needs max_n');
        END IF;
    END LOOP;
    IF jsonb_typeof(body -> 'thresholds') = 'object' THEN
        faults := faults || saleshub.score_threshold_faults('/thresholds', body -> 'thresholds');
    END IF;
    RETURN faults;
END
$$;
COMMENT ON FUNCTION saleshub.score_group_faults(jsonb) IS
    'What is wrong with groups, thresholds and rules per event of a body of crm.score_rules_put, apart from its schema';

CREATE FUNCTION saleshub.score_version_check(expected integer) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    present integer := coalesce((SELECT max(v.version) FROM crm.score_version AS v
                                  WHERE v.org_id = saleshub.org_id()), 0);
BEGIN
    IF present <> expected THEN
        PERFORM saleshub.raise('SH409', format('the scoring rules are at version %s, not %s', present, expected),
                               jsonb_build_object('code', 'version_mismatch', 'version', present));
    END IF;
END
$$;
COMMENT ON FUNCTION saleshub.score_version_check(integer) IS
    'Raises SH409 unless this is the version of the scoring rules that holds';

CREATE FUNCTION crm.score_rules_put(body jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    kept uuid[] := saleshub.set_check('score_rule', 'rules', saleshub.score_rules_schema(), body,
        CASE jsonb_typeof(body) WHEN 'object' THEN saleshub.score_group_faults(body) ELSE '[]' END);
BEGIN
    IF body ? 'version' THEN
        PERFORM saleshub.score_lock_rules_of_mine();
        PERFORM saleshub.score_version_check((body ->> 'version')::integer);
    END IF;
    -- One statement, so that there is one version and the leads are scored anew once.
    WITH setting AS (
        INSERT INTO crm.score_setting AS s (cap, thresholds, history_delta)
        SELECT (d ->> 'cap')::integer, d -> 'thresholds', (d ->> 'history_delta')::numeric
          FROM (SELECT saleshub.score_defaults() || body) AS x (d)
         WHERE body ?| '{cap,thresholds,history_delta}'
        ON CONFLICT (org_id) DO UPDATE
           SET cap = coalesce((body ->> 'cap')::integer, s.cap),
               thresholds = coalesce(body -> 'thresholds', s.thresholds),
               history_delta = coalesce((body ->> 'history_delta')::numeric, s.history_delta)
    ), ungrouped AS (
        DELETE FROM crm.score_group AS g
         WHERE g.org_id = saleshub.org_id() AND body ? 'groups'
           AND g.name <> ALL (ARRAY(SELECT btrim(e ->> 'name') FROM jsonb_array_elements(body -> 'groups') AS e))
    ), given AS (
        INSERT INTO crm.score_group AS g (org_id, name, kind, cap, position)
        SELECT saleshub.org_id(), btrim(e ->> 'name'), e ->> 'kind', (e ->> 'cap')::integer, i
          FROM jsonb_array_elements(coalesce(body -> 'groups', '[]')) WITH ORDINALITY AS x (e, i)
        ON CONFLICT (org_id, name) DO UPDATE
           SET kind = excluded.kind, cap = excluded.cap, position = excluded.position
        RETURNING g.score_group_id, g.name
    ), grouped AS (
        SELECT n.score_group_id, n.name FROM given AS n
        UNION ALL
        SELECT g.score_group_id, g.name FROM crm.score_group AS g
         WHERE g.org_id = saleshub.org_id() AND NOT body ? 'groups'
    ), gone AS (
        DELETE FROM crm.score_rule AS r
         WHERE r.org_id = saleshub.org_id() AND r.score_rule_id <> ALL (kept))
    INSERT INTO crm.score_rule AS r (org_id, score_rule_id, label, predicate, points, position, active,
                                     score_group_id, per_event, max_n, window_hours, half_life_hours)
    SELECT saleshub.org_id(), coalesce((e ->> 'id')::uuid, crm.uuid_v7()), btrim(e ->> 'label'),
           e -> 'predicate', (e ->> 'points')::integer, i, coalesce((e ->> 'active')::boolean, true),
           n.score_group_id, coalesce((e ->> 'per_event')::boolean, false), (e ->> 'max_n')::integer,
           (e ->> 'window_hours')::integer, (e ->> 'half_life_hours')::integer
      FROM jsonb_array_elements(body -> 'rules') WITH ORDINALITY AS x (e, i)
      LEFT JOIN grouped AS n ON n.name = btrim(e ->> 'group')
    ON CONFLICT (org_id, score_rule_id) DO UPDATE
       SET label = excluded.label, predicate = excluded.predicate, points = excluded.points,
           position = excluded.position, active = excluded.active,
           score_group_id = excluded.score_group_id, per_event = excluded.per_event,
           max_n = excluded.max_n, window_hours = excluded.window_hours,
           half_life_hours = excluded.half_life_hours;
    RETURN crm.score_rules_get();
END
$$;
COMMENT ON FUNCTION crm.score_rules_put(jsonb) IS
    'Replaces the scoring rules by those of body.rules: known ids are changed, others added, missing ones removed; groups, cap, thresholds and history_delta stay as they are unless given. Open leads are scored anew in the same commit; SH409 when body.version is not the one that holds';

CREATE FUNCTION saleshub.score_lock_rules_of_mine() RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.score_change_begin(saleshub.org_id());
END
$$;
ALTER FUNCTION saleshub.score_lock_rules_of_mine() OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.score_lock_rules_of_mine() IS
    'Keeps the scoring rules of the organisation as they are until this transaction, of an admin or manager, changes them';

CREATE FUNCTION crm.score_versions_list(limit_ integer DEFAULT 50, cursor_ text DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    page integer := saleshub.list_limit(limit_);
    stamp text := md5('score_version');
    before integer;
BEGIN
    IF cursor_ IS NOT NULL THEN
        before := saleshub.list_place(cursor_, stamp, '[{"cast": "integer", "not_null": true}]') ->> 0;
    END IF;
    RETURN saleshub.page_json((
        SELECT jsonb_agg(jsonb_build_object(
                   'place', jsonb_build_array(v.version),
                   'doc', jsonb_build_object('version', v.version, 'at', saleshub.utc(v.at),
                       'member_id', v.member_id, 'rules', jsonb_array_length(v.definition -> 'rules'),
                       'groups', jsonb_array_length(v.definition -> 'groups'))) ORDER BY v.version DESC)
          FROM (SELECT * FROM crm.score_version AS w
                 WHERE w.org_id = saleshub.org_id() AND (before IS NULL OR w.version < before)
                 ORDER BY w.version DESC LIMIT page + 1) AS v), page, stamp);
END
$$;
COMMENT ON FUNCTION crm.score_versions_list(integer, text) IS
    'The versions of the scoring rules, the latest first: since when, by whom, how many rules and groups';

CREATE FUNCTION crm.score_version_get(version integer) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (SELECT v.definition || jsonb_build_object('version', v.version, 'at', saleshub.utc(v.at), 'member_id', v.member_id)
              FROM crm.score_version AS v
             WHERE v.org_id = saleshub.org_id() AND v.version = score_version_get.version);
END
$$;
COMMENT ON FUNCTION crm.score_version_get(integer) IS
    'The scoring rules as they were in a version; NULL when there is none of that number';

CREATE FUNCTION saleshub.defaults_score(org uuid) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    INSERT INTO crm.score_rule (org_id, label, predicate, points, position)
    SELECT defaults_score.org, r.label, r.predicate, r.points, r.position
      FROM (VALUES
        (1, 'Business e-mail address', 15,
         '{"field": "email", "op": "matches_domain", "value": "business"}'::jsonb),
        (2, 'Phone number given', 10, '{"field": "phone", "op": "not_null"}'),
        (3, 'Decision maker', 20,
         '{"or": [{"field": "title", "op": "in", "value": ["ceo", "cto", "cfo", "coo", "cio", "cmo"]},
                  {"field": "title", "op": "starts_with", "value": "chief"},
                  {"field": "title", "op": "starts_with", "value": "vp"},
                  {"field": "title", "op": "contains", "value": "director"},
                  {"field": "title", "op": "contains", "value": "head of"},
                  {"field": "title", "op": "contains", "value": "founder"},
                  {"field": "title", "op": "contains", "value": "owner"},
                  {"field": "title", "op": "contains", "value": "president"}]}'),
        (4, '50 to 1,000 employees', 20,
         '{"and": [{"field": "employees", "op": ">=", "value": 50},
                   {"field": "employees", "op": "<=", "value": 1000}]}'),
        (5, 'More than 1,000 employees', 15, '{"field": "employees", "op": ">", "value": 1000}'),
        (6, 'Came by referral, partner or event', 15,
         '{"field": "source", "op": "in", "value": ["referral", "partner", "event", "webinar"]}'),
        (7, 'Works in a core industry', 10,
         '{"field": "industry", "op": "in",
           "value": ["software", "technology", "finance", "manufacturing", "healthcare"]}'),
        (8, 'In our home market', 10, jsonb_build_object('field', 'country', 'op', '=', 'value',
            (SELECT o.country::text FROM crm.org AS o WHERE o.org_id = defaults_score.org))),
        (9, 'Website known', 5, '{"field": "website", "op": "not_null"}'),
        (10, 'Does not want e-mail', -10, '{"field": "consent_email", "op": "=", "value": false}')
      ) AS r (position, label, points, predicate);
END
$$;
COMMENT ON FUNCTION saleshub.defaults_score(uuid) IS 'Scoring rules that a new organisation starts with';
