-- Saved filters: kept by name, shared, used by lists and as segments, and counted.

CREATE FUNCTION saleshub.filter_fields() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '[
        {"name": "id", "column": "saved_filter_id", "type": "uuid", "read_only": true,
         "not_null": true},
        {"name": "noun", "type": "enum", "required": true, "sort": true, "not_null": true,
         "values": ["lead", "contact", "company", "deal", "activity", "product"]},
        {"name": "name", "type": "text", "required": true, "sort": true, "not_null": true},
        {"name": "filter", "type": "object", "required": true,
         "set": {"filter": "(%s)::jsonb"}},
        {"name": "sort", "type": "text", "filter": false},
        {"name": "columns", "type": "tags", "filter": false},
        {"name": "visibility", "type": "enum", "sort": true, "not_null": true,
         "values": ["private", "team", "org"]},
        {"name": "owner_id", "type": "uuid", "read_only": true},
        {"name": "used_count", "type": "integer", "read_only": true,
         "sql": "saleshub.filter_uses(t.org_id, t.saved_filter_id) -> ''used_count''"},
        {"name": "last_used_at", "type": "timestamp", "read_only": true,
         "sql": "saleshub.filter_uses(t.org_id, t.saved_filter_id) -> ''last_used_at''"}
    ]'::jsonb;
COMMENT ON FUNCTION saleshub.filter_fields() IS
    'The fields of a saved filter in the API.';

CREATE FUNCTION saleshub.filter_meta() RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.record_meta('filter', 'filters', saleshub.filter_fields(),
                                jsonb_build_object('owner', saleshub.member_included('owner_id')))
        || '{"table": "crm.saved_filter", "key": "saved_filter_id"}';
END;
$$;
COMMENT ON FUNCTION saleshub.filter_meta() IS
    'What the record functions need to know about saved filters.';

CREATE FUNCTION saleshub.filtered_meta(noun text) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN CASE noun
        WHEN 'lead' THEN saleshub.lead_meta()
        WHEN 'contact' THEN saleshub.contact_meta()
        WHEN 'company' THEN saleshub.company_meta()
        WHEN 'deal' THEN saleshub.deal_meta()
        WHEN 'activity' THEN saleshub.activity_meta()
        WHEN 'product' THEN saleshub.product_meta()
        END;
END;
$$;
COMMENT ON FUNCTION saleshub.filtered_meta(text) IS
    'What is known about a noun that filters can be saved for; NULL when there is no such noun.';

CREATE FUNCTION saleshub.shares_team(member uuid) RETURNS boolean
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
    me uuid := saleshub.member_id();
BEGIN
    RETURN EXISTS (
        SELECT FROM crm.team t
        WHERE t.org_id = org AND t.deleted_at IS NULL
            AND (t.manager_id = member OR EXISTS (
                SELECT FROM crm.team_member m
                WHERE m.org_id = org AND m.team_id = t.team_id AND m.member_id = member))
            AND (t.manager_id = me OR EXISTS (
                SELECT FROM crm.team_member m
                WHERE m.org_id = org AND m.team_id = t.team_id AND m.member_id = me)));
END;
$$;
COMMENT ON FUNCTION saleshub.shares_team(uuid) IS
    'Whether there is a team that both this member and the acting one are in or manage.';

-- What a filter may be

CREATE FUNCTION saleshub.filter_sort_faults(meta jsonb, sort text) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    names text[] := ARRAY(SELECT ltrim(btrim(t), '+-') FROM string_to_table(sort, ',') t);
BEGIN
    RETURN CASE
        WHEN cardinality(names) > 3 THEN
            saleshub.fault('/sort', 'too_many', 'sorts by three keys at most')
        WHEN EXISTS (SELECT FROM unnest(names) n WHERE NOT meta -> 'sort' ? n AND n <> 'id') THEN
            saleshub.fault('/sort', 'invalid', 'must be of ' || (
                SELECT string_agg(k, ', ') FROM jsonb_object_keys(meta -> 'sort') k))
        ELSE '[]' END;
END;
$$;
COMMENT ON FUNCTION saleshub.filter_sort_faults(jsonb, text) IS
    'What is wrong with the order of a saved filter.';

CREATE FUNCTION saleshub.filter_check() RETURNS trigger
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    meta jsonb := saleshub.visible_meta(saleshub.filtered_meta(NEW.noun));
    faults jsonb := '[]';
BEGIN
    NEW.name := saleshub.clean(NEW.name);
    NEW.sort := saleshub.clean(NEW.sort);
    NEW.columns := coalesce(NEW.columns, '{}');
    NEW.visibility := coalesce(NEW.visibility, 'private');
    IF NEW.name IS NULL THEN
        faults := faults || saleshub.fault('/name', 'required', 'is required');
    END IF;
    faults := faults || saleshub.too_long('/name', NEW.name, 200);
    IF TG_OP = 'UPDATE' AND NEW.noun IS DISTINCT FROM OLD.noun THEN
        faults := faults || saleshub.fault('/noun', 'read_only', 'stays what it is');
    ELSIF meta IS NULL THEN
        faults := faults || saleshub.fault('/noun', 'not_allowed', 'is nothing that can be filtered');
    ELSIF TG_OP = 'INSERT' OR (NEW.filter, NEW.sort, NEW.columns)
                               IS DISTINCT FROM (OLD.filter, OLD.sort, OLD.columns) THEN
        faults := faults
            || saleshub.faults_at('/filter', saleshub.filter_compile(
                   meta -> 'filter', coalesce(NEW.filter, 'null')) -> 'errors')
            || saleshub.filter_sort_faults(meta, NEW.sort)
            || coalesce((
                SELECT jsonb_agg(f.fault)
                FROM unnest(NEW.columns) WITH ORDINALITY AS c (name, n),
                     LATERAL jsonb_array_elements(saleshub.fault(
                         '/columns/' || n - 1, 'invalid', 'is no field of it')) AS f (fault)
                WHERE NOT meta -> 'json' ? c.name), '[]');
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.owner_id IS DISTINCT FROM OLD.owner_id
       AND saleshub.member_role() <> 'admin'
    THEN
        PERFORM saleshub.raise('42501', 'only admins give a filter another owner',
                               jsonb_build_object('code', 'forbidden'));
    END IF;
    IF faults <> '[]' THEN
        PERFORM saleshub.refuse_row('filter', faults);
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION saleshub.filter_check() IS
    'Trigger: refuses a saved filter whose conditions, order or columns its noun does not have.';

-- Records

CREATE FUNCTION saleshub.filter_require_change(id uuid) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF saleshub.member_role() NOT IN ('admin', 'manager') AND EXISTS (
        SELECT FROM crm.saved_filter f
        WHERE f.org_id = saleshub.org_id() AND f.saved_filter_id = filter_require_change.id
            AND f.owner_id IS DISTINCT FROM saleshub.member_id())
    THEN
        PERFORM saleshub.raise('42501', 'only its owner, managers and admins change a shared filter',
                               jsonb_build_object('code', 'forbidden'));
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.filter_require_change(uuid) IS
    'Raises 42501 for a filter that the member sees but may not change; row security alone would hide it.';

CREATE FUNCTION crm.filter_create(body jsonb) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.record_create(saleshub.filter_meta(), body);
END;
$$;
COMMENT ON FUNCTION crm.filter_create(jsonb) IS
    'Saves a filter of the acting member: {noun, name, filter, sort, columns, visibility}';

CREATE FUNCTION crm.filter_get(id uuid, fields text DEFAULT NULL, include text DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    doc jsonb := saleshub.record_get(saleshub.filter_meta(), id, fields, include);
BEGIN
    -- Uses change the answer but not the version.
    PERFORM saleshub.reply(etag => concat_ws('.', doc ->> 'version', doc ->> 'used_count'));
    RETURN doc;
END;
$$;
COMMENT ON FUNCTION crm.filter_get(uuid, text, text) IS 'A saved filter';

CREATE FUNCTION crm.filter_list(
    limit_ integer DEFAULT 50, cursor_ text DEFAULT NULL, sort text DEFAULT NULL,
    fields text DEFAULT NULL, include text DEFAULT NULL, filters jsonb DEFAULT NULL,
    count_ boolean DEFAULT false) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.record_list(saleshub.filter_meta(), limit_, cursor_, sort, fields, include,
                                filters, count_);
END;
$$;
COMMENT ON FUNCTION crm.filter_list(integer, text, text, text, text, jsonb, boolean) IS
    'A page of the saved filters that the member sees: its own and those shared with it';

CREATE FUNCTION crm.filter_update(id uuid, patch jsonb, if_match text DEFAULT NULL) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.filter_require_change(id);
    -- The tag of a filter that was read counts its uses, too.
    RETURN saleshub.record_update(saleshub.filter_meta(), id, patch,
                                  regexp_replace(if_match, '\.\d+', '', 'g'));
END;
$$;
COMMENT ON FUNCTION crm.filter_update(uuid, jsonb, text) IS
    'Changes a saved filter by a merge patch, in which filter is replaced whole, and returns it';

CREATE FUNCTION crm.filter_delete(id uuid, if_match text DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.filter_require_change(id);
    PERFORM saleshub.record_require_write();
    PERFORM saleshub.record_match(saleshub.filter_meta(), id,
                                  regexp_replace(if_match, '\.\d+', '', 'g'));
    UPDATE crm.saved_filter f SET deleted_at = now()
    WHERE f.org_id = saleshub.org_id() AND f.saved_filter_id = filter_delete.id;
    PERFORM saleshub.reply(204);
END;
$$;
COMMENT ON FUNCTION crm.filter_delete(uuid, text) IS 'Removes a saved filter';

-- Use

CREATE FUNCTION saleshub.filter_given(meta jsonb, filter_ text, OUT conditions jsonb, OUT sort text)
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    found_noun text;
BEGIN
    IF filter_ IS NULL THEN
        RETURN;
    ELSIF NOT saleshub.format_ok('uuid', filter_) THEN
        BEGIN
            conditions := filter_::jsonb;
        EXCEPTION
            WHEN data_exception THEN
                PERFORM saleshub.bad_parameter(
                    'filter', 'invalid', 'must be the id of a saved filter, or conditions in JSON');
        END;
        RETURN;
    END IF;
    -- An order by what the member does not see is left out; a condition on it is a fault.
    SELECT f.filter, f.noun,
           CASE WHEN saleshub.filter_sort_faults(meta, f.sort) = '[]' THEN f.sort END
    INTO conditions, found_noun, sort
    FROM crm.saved_filter f
    WHERE f.org_id = saleshub.org_id() AND f.saved_filter_id = filter_::uuid
        AND f.deleted_at IS NULL;
    IF found_noun IS NULL THEN
        PERFORM saleshub.bad_parameter('filter', 'not_found', 'There is no saved filter of this id.');
    ELSIF found_noun <> meta ->> 'noun' THEN
        PERFORM saleshub.bad_parameter('filter', 'invalid',
                                       format('This is a filter for %s.', found_noun));
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.filter_given(jsonb, text) IS
    'Conditions and order of the parameter filter of a list: the id of a saved filter, or JSON.';

CREATE FUNCTION saleshub.filter_segment(id uuid, OUT tab text, OUT key text, OUT sql text, OUT args jsonb)
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    meta jsonb;
    conditions jsonb;
    wanted record;
BEGIN
    SELECT saleshub.visible_meta(saleshub.filtered_meta(f.noun)), f.filter INTO meta, conditions
    FROM crm.saved_filter f
    WHERE f.org_id = saleshub.org_id() AND f.saved_filter_id = filter_segment.id
        AND f.deleted_at IS NULL;
    IF meta IS NULL THEN
        PERFORM saleshub.record_missing('filter', id);
    END IF;
    SELECT * INTO wanted FROM saleshub.list_filters(meta, NULL, conditions);
    tab := meta ->> 'table';
    key := meta ->> 'key';
    sql := ' WHERE t.org_id = saleshub.org_id() AND t.deleted_at IS NULL' || wanted.sql;
    args := jsonb_build_object('f', wanted.args);
END;
$$;
COMMENT ON FUNCTION saleshub.filter_segment(uuid) IS
    'SQL text of the rows of a saved filter: table, key and WHERE, with the values.';

CREATE FUNCTION crm.filter_count(id uuid) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    rows_of record;
BEGIN
    SELECT * INTO rows_of FROM saleshub.filter_segment(id);
    RETURN saleshub.run(
        'SELECT jsonb_build_object(''count'', count(*)) FROM ' || rows_of.tab || ' t' || rows_of.sql,
        rows_of.args);
END;
$$;
COMMENT ON FUNCTION crm.filter_count(uuid) IS
    'How many records a saved filter finds now: {"count"}';

CREATE FUNCTION crm.filter_ids(id uuid, limit_ integer DEFAULT 1000, after_ uuid DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    rows_of record;
    ids jsonb;
BEGIN
    IF limit_ IS NULL OR limit_ NOT BETWEEN 1 AND 10000 THEN
        PERFORM saleshub.bad_parameter('limit', 'range', 'must be from 1 to 10000');
    END IF;
    SELECT * INTO rows_of FROM saleshub.filter_segment(id);
    ids := saleshub.run(
        'SELECT coalesce(jsonb_agg(r.id ORDER BY r.id), ''[]'') FROM (SELECT t.' || rows_of.key
        || ' AS id FROM ' || rows_of.tab || ' t' || rows_of.sql
        || CASE WHEN after_ IS NOT NULL
                THEN ' AND t.' || rows_of.key || ' > ($1 ->> ''after'')::uuid' ELSE '' END
        || ' ORDER BY 1 LIMIT ' || limit_ || ') r',
        rows_of.args || jsonb_build_object('after', after_));
    RETURN jsonb_build_object(
        'data', ids,
        'next_after', CASE WHEN jsonb_array_length(ids) = limit_ THEN ids -> -1 END);
END;
$$;
COMMENT ON FUNCTION crm.filter_ids(uuid, integer, uuid) IS
    'Ids of the records that a saved filter finds now, up to 10,000 in ascending order: {"data", "next_after"}; pass next_after as after_ until it is null';

CREATE FUNCTION crm.filter_use(id uuid) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    nobody CONSTANT uuid := '00000000-0000-0000-0000-000000000000';
BEGIN
    IF NOT EXISTS (SELECT FROM crm.saved_filter f
                   WHERE f.org_id = saleshub.org_id() AND f.saved_filter_id = filter_use.id
                       AND f.deleted_at IS NULL)
    THEN
        PERFORM saleshub.record_missing('filter', id);
    END IF;
    INSERT INTO crm.saved_filter_use (saved_filter_id, member_id)
    VALUES (id, coalesce(saleshub.member_id(), nobody));
    RETURN saleshub.filter_uses(saleshub.org_id(), id);
END;
$$;
COMMENT ON FUNCTION crm.filter_use(uuid) IS
    'Counts that the member applied a saved filter: {"used_count", "last_used_at"}';

CREATE FUNCTION saleshub.filter_uses(org uuid, id uuid) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    -- One statement, so that a use is seen in one of the two tables, whoever counts meanwhile.
    RETURN (
        SELECT jsonb_build_object('used_count', coalesce(sum(u.n), 0),
                                  'last_used_at', saleshub.utc(max(u.at)))
        FROM (
            SELECT d.n, d.last_at AS at FROM crm.saved_filter_use_day d
            WHERE d.org_id = org AND d.saved_filter_id = id
            UNION ALL
            SELECT 1, u.at FROM crm.saved_filter_use u
            WHERE u.org_id = org AND u.saved_filter_id = id
        ) u);
END;
$$;
COMMENT ON FUNCTION saleshub.filter_uses(uuid, uuid) IS
    'How often a saved filter was used, and when last.';

CREATE FUNCTION crm.filter_uses_get(id uuid) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.record_get(saleshub.filter_meta(), id, 'id');
    RETURN (
        WITH u AS (
            SELECT d.member_id, d.day, d.n, d.last_at AS at FROM crm.saved_filter_use_day d
            WHERE d.org_id = saleshub.org_id() AND d.saved_filter_id = filter_uses_get.id
            UNION ALL
            SELECT u.member_id, (u.at AT TIME ZONE 'UTC')::date, 1, u.at FROM crm.saved_filter_use u
            WHERE u.org_id = saleshub.org_id() AND u.saved_filter_id = filter_uses_get.id
        )
        SELECT jsonb_build_object(
            'used_count', coalesce(sum(u.n), 0), 'last_used_at', saleshub.utc(max(u.at)),
            'members', (
                SELECT coalesce(jsonb_agg(jsonb_build_object(
                    'member_id', m.member_id, 'used_count', m.n, 'last_used_at', saleshub.utc(m.at))
                    ORDER BY m.n DESC, m.member_id), '[]')
                FROM (SELECT u.member_id, sum(u.n) AS n, max(u.at) AS at FROM u GROUP BY 1) m),
            'days', (
                SELECT coalesce(jsonb_agg(jsonb_build_object('day', d.day, 'used_count', d.n)
                                          ORDER BY d.day DESC), '[]')
                FROM (SELECT u.day, sum(u.n) AS n FROM u GROUP BY 1 ORDER BY 1 DESC LIMIT 90) d))
        FROM u);
END;
$$;
COMMENT ON FUNCTION crm.filter_uses_get(uuid) IS
    'Who used a saved filter how often, and on which of the last ninety days (UTC) of use';

CREATE FUNCTION saleshub.filter_uses_fold(batch integer DEFAULT 20000) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    folded bigint := 0;
BEGIN
    -- Also a write that finds nothing would make cached lists of filters old.
    IF NOT EXISTS (SELECT FROM crm.saved_filter_use) THEN
        RETURN 0;
    END IF;
    WITH taken AS MATERIALIZED (
        DELETE FROM crm.saved_filter_use u
        WHERE u.ctid = ANY (ARRAY(SELECT i.ctid FROM crm.saved_filter_use i
                                  LIMIT filter_uses_fold.batch))
        RETURNING u.*
    ), merged AS (
        INSERT INTO crm.saved_filter_use_day AS d
            (org_id, saved_filter_id, member_id, day, n, last_at)
        SELECT t.org_id, t.saved_filter_id, t.member_id, (t.at AT TIME ZONE 'UTC')::date,
               count(*), max(t.at)
        FROM taken t
        GROUP BY 1, 2, 3, 4
        ORDER BY 1, 2, 3, 4
        ON CONFLICT (org_id, saved_filter_id, member_id, day) DO UPDATE
            SET n = d.n + excluded.n, last_at = greatest(d.last_at, excluded.last_at)
    )
    SELECT count(*) INTO folded FROM taken;
    RETURN folded;
END;
$$;
COMMENT ON FUNCTION saleshub.filter_uses_fold(integer) IS
    'Counts up to so many uses of saved filters by day; returns how many. Done by the worker every minute';

CREATE FUNCTION saleshub.routes_filter() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    meta jsonb := saleshub.filter_meta();
    page jsonb := saleshub.page_args();
BEGIN
    PERFORM saleshub.route(
        'GET /v1/filters', 'crm.filter_list(integer, text, text, text, text, jsonb, boolean)',
        'List saved filters', 'filters', cache => 'strict',
        args => page || jsonb_build_object('filters', jsonb_build_object('fields', (
            SELECT jsonb_object_agg(f.key, f.value -> 'schema') FROM jsonb_each(meta -> 'filter') f))),
        answer => saleshub.page_shape('"Filter"'));
    PERFORM saleshub.route(
        'POST /v1/filters', 'crm.filter_create(jsonb)', 'Save a filter', 'filters',
        success => 201, idempotent => true, args => jsonb_build_object('body', meta -> 'create'),
        answer => '"Filter"');
    PERFORM saleshub.route('GET /v1/filters/{id}', 'crm.filter_get(uuid, text, text)',
        'Read a saved filter', 'filters', cache => 'strict',
        answer => '"Filter"');
    PERFORM saleshub.route('PATCH /v1/filters/{id}', 'crm.filter_update(uuid, jsonb, text)',
        'Change a saved filter', 'filters', args => jsonb_build_object('patch', meta -> 'patch'),
        answer => '"Filter"');
    PERFORM saleshub.route('DELETE /v1/filters/{id}', 'crm.filter_delete(uuid, text)',
        'Remove a saved filter', 'filters', success => 204);
    PERFORM saleshub.route('POST /v1/filters/{id}/use', 'crm.filter_use(uuid)',
        'Count that a saved filter was applied', 'filters',
        answer => '"Filter"');
    PERFORM saleshub.route('GET /v1/filters/{id}/uses', 'crm.filter_uses_get(uuid)',
        'Who used a saved filter, and when', 'filters', cache => 'strict',
        answer => '{"used_count": "integer", "last_used_at": "time?", "days": ["object"], "members": ["object"]}');
    PERFORM saleshub.route('GET /v1/filters/{id}/count', 'crm.filter_count(uuid)',
        'Count what a saved filter finds', 'filters', cache => 'strict',
        answer => '{"count": "integer"}');
    PERFORM saleshub.route('GET /v1/filters/{id}/ids', 'crm.filter_ids(uuid, integer, uuid)',
        'Ids of what a saved filter finds', 'filters', cache => 'strict',
        args => '{"limit": {"minimum": 1, "maximum": 10000, "description": "Ids per page, 1000 unless given"},
                  "after": {"description": "The next_after of the page before"}}',
        answer => '{"data": ["uuid"], "next_after": "uuid?"}');
END;
$$;
COMMENT ON FUNCTION saleshub.routes_filter() IS
    'Registers the routes of saved filters.';
