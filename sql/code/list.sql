-- Lists: filters, keyset pages, projection and count in one statement. The text of the statement
-- depends on the shape of the request only; its values are all in $1.

CREATE FUNCTION saleshub.cursor_encode(state jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN pg_catalog.translate(pg_catalog.rtrim(pg_catalog.encode(
        pg_catalog.convert_to(state::text, 'UTF8'), 'base64'), '='), E'+/\n', '-_');
COMMENT ON FUNCTION saleshub.cursor_encode(jsonb) IS
    'A place in a list as text that clients pass back: base64url of JSON.';

CREATE FUNCTION saleshub.cursor_decode(cursor_ text) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF cursor_ !~ '^[A-Za-z0-9_-]+$' OR length(cursor_) > 4000 THEN
        RETURN NULL;
    END IF;
    RETURN convert_from(
        decode(translate(cursor_, '-_', '+/') || repeat('=', (4 - length(cursor_) % 4) % 4),
               'base64'), 'UTF8')::jsonb;
EXCEPTION
    WHEN data_exception THEN
        RETURN NULL;
END;
$$;
COMMENT ON FUNCTION saleshub.cursor_decode(text) IS
    'What cursor_encode made into text; NULL when it is nothing of the kind.';

CREATE FUNCTION saleshub.list_order(meta jsonb, sort text) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    term text;
    name text;
    keys jsonb := '[]';
    descending boolean;
BEGIN
    FOR term IN SELECT btrim(t)
                FROM string_to_table(coalesce(nullif(sort, ''), '-created_at'), ',') t
    LOOP
        descending := term LIKE '-%';
        name := ltrim(term, '+-');
        CONTINUE WHEN name = 'id' AND keys <> '[]';
        IF NOT meta -> 'sort' ? name AND name <> 'id' THEN
            PERFORM saleshub.bad_parameter('sort', 'unknown', format(
                'There is no sorting by "%s"; try %s.', name,
                (SELECT string_agg(k, ', ') FROM jsonb_object_keys(meta -> 'sort') k)));
        ELSIF jsonb_array_length(keys) = 3 THEN
            PERFORM saleshub.bad_parameter('sort', 'too_many',
                                           'A list sorts by three keys at most.');
        END IF;
        EXIT WHEN name = 'id';
        keys := keys || ((meta -> 'sort' -> name)
                         || jsonb_build_object('name', name, 'desc', descending));
    END LOOP;
    RETURN keys || jsonb_build_object(
        'name', 'id', 'sql', 't.' || (meta ->> 'key'), 'cast', 'uuid', 'not_null', true,
        'desc', coalesce((keys -> -1 ->> 'desc')::boolean, descending));
END;
$$;
COMMENT ON FUNCTION saleshub.list_order(jsonb, text) IS
    'The keys a list is sorted by, the id last so that the order is total.';

CREATE FUNCTION saleshub.list_after(keys jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    last integer := jsonb_array_length(keys) - 1;
    same text := '';
    terms text[] := '{}';
    key jsonb;
    value text;
BEGIN
    -- Keys of one direction without NULLs compare as a row, which an index can answer.
    IF (SELECT bool_and((k ->> 'not_null')::boolean) AND count(DISTINCT k -> 'desc') = 1
        FROM jsonb_array_elements(keys) k)
    THEN
        RETURN (
            SELECT format('ROW(%s) %s ROW(%s)', string_agg(k ->> 'sql', ', ' ORDER BY n),
                          CASE WHEN (keys -> 0 ->> 'desc')::boolean THEN '<' ELSE '>' END,
                          string_agg(format('($1 #>> ''{after,%s}'')::%s', n - 1, k ->> 'cast'),
                                     ', ' ORDER BY n))
            FROM jsonb_array_elements(keys) WITH ORDINALITY AS e (k, n));
    END IF;
    FOR place IN 0 .. last
    LOOP
        key := keys -> place;
        value := format('($1 #>> ''{after,%s}'')::%s', place, key ->> 'cast');
        terms := terms || (same || CASE
            WHEN (key ->> 'not_null')::boolean THEN format('%s %s %s', key ->> 'sql',
                CASE WHEN (key ->> 'desc')::boolean THEN '<' ELSE '>' END, value)
            ELSE format('(%1$s %2$s %3$s OR %1$s IS NULL AND %3$s IS NOT NULL)', key ->> 'sql',
                CASE WHEN (key ->> 'desc')::boolean THEN '<' ELSE '>' END, value)
            END);
        same := same || format('%s IS NOT DISTINCT FROM %s AND ', key ->> 'sql', value);
    END LOOP;
    RETURN '(' || array_to_string(terms, ' OR ') || ')';
END;
$$;
COMMENT ON FUNCTION saleshub.list_after(jsonb) IS
    'SQL text of: the row comes after that of the sort values in $1 -> after; NULLs are last.';

CREATE FUNCTION saleshub.filter_value_ok(filter jsonb, value text) RETURNS boolean
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    CASE filter ->> 'cast'
        WHEN 'numeric' THEN RETURN value ~ '^-?\d{1,40}(\.\d{1,80})?$';
        WHEN 'boolean' THEN RETURN value IN ('true', 'false');
        WHEN 'uuid' THEN RETURN saleshub.format_ok('uuid', value);
        WHEN 'date' THEN RETURN saleshub.format_ok('date', value);
        WHEN 'timestamptz' THEN
            RETURN saleshub.format_ok('date-time', value) OR saleshub.format_ok('date', value);
        ELSE
            RETURN filter ->> 'type' IS DISTINCT FROM 'enum'
                OR filter -> 'schema' -> 'enum' @> jsonb_build_array(value);
    END CASE;
END;
$$;
COMMENT ON FUNCTION saleshub.filter_value_ok(jsonb, text) IS
    'Whether a text is a value that the field of a filter can have.';

CREATE FUNCTION saleshub.list_filter_faults(names text[], errors jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    -- A parameter is one condition, so its name says it all; conditions given whole have pointers.
    SELECT jsonb_agg(CASE WHEN name IN ('filter', 'filters')
        THEN e.value || jsonb_build_object('parameter', name, 'pointer',
                                           regexp_replace(e.value ->> 'pointer', '^/and/\d+', ''))
        ELSE jsonb_build_object('parameter', coalesce(name, 'filters'), 'code', 'invalid',
                                'detail', e.value ->> 'detail') END ORDER BY e.n)
    FROM jsonb_array_elements(list_filter_faults.errors) WITH ORDINALITY AS e (value, n),
         LATERAL (SELECT list_filter_faults.names[1 + substring(
             e.value ->> 'pointer' FROM '^/and/(\d+)')::integer] AS name) p;
END;
COMMENT ON FUNCTION saleshub.list_filter_faults(text[], jsonb) IS
    'Faults of the conditions of a list as errors of the parameters that state them.';

CREATE FUNCTION saleshub.list_filters(meta jsonb, filters jsonb, whole jsonb,
                                      OUT sql text, OUT args jsonb)
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    item jsonb;
    op text;
    parts jsonb := '[]';
    names text[] := '{}';
    compiled jsonb;
BEGIN
    IF whole IS NOT NULL THEN
        parts := parts || jsonb_build_array(whole);
        names := names || 'filter'::text;
    END IF;
    IF jsonb_typeof(filters) = 'array' THEN
        FOR item IN SELECT * FROM jsonb_array_elements(filters)
        LOOP
            op := coalesce(item ->> 'op', 'eq');
            parts := parts || saleshub.filter_condition(
                meta -> 'filter' -> (item ->> 'field'), item -> 'field', op, item -> 'value');
            names := names || concat(item ->> 'field',
                                     CASE WHEN op <> 'eq' THEN '[' || op || ']' END);
        END LOOP;
    ELSIF filters <> 'null' THEN
        parts := parts || jsonb_build_array(filters);
        names := names || 'filters'::text;
    END IF;
    sql := '';
    args := '[]';
    IF parts = '[]' THEN
        RETURN;
    END IF;
    compiled := saleshub.filter_compile(meta -> 'filter', jsonb_build_object('and', parts));
    IF compiled ? 'errors' THEN
        compiled := saleshub.list_filter_faults(names, compiled -> 'errors');
        PERFORM saleshub.raise(
            '22023', format('invalid parameter "%s"', compiled -> 0 ->> 'parameter'),
            jsonb_build_object('code', 'invalid_parameter', 'errors', compiled));
    END IF;
    sql := ' AND ' || (compiled ->> 'sql');
    args := compiled -> 'args';
END;
$$;
COMMENT ON FUNCTION saleshub.list_filters(jsonb, jsonb, jsonb) IS
    'SQL text of all filters, led by AND, and the values; or 22023. filters are [{field, op, value}] as parameters state them or conditions, whole are conditions that hold besides.';

CREATE FUNCTION saleshub.list_place(cursor_ text, stamp text, keys jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    state jsonb := saleshub.cursor_decode(cursor_);
    place jsonb := CASE jsonb_typeof(state -> 'k') WHEN 'array' THEN state -> 'k' ELSE '[]' END;
BEGIN
    IF state ->> 's' IS DISTINCT FROM stamp OR jsonb_array_length(place) <> jsonb_array_length(keys)
       OR EXISTS (
            SELECT FROM jsonb_array_elements(keys) WITH ORDINALITY AS e (k, n)
            WHERE NOT CASE place -> (n - 1)::integer
                WHEN 'null' THEN NOT (k ->> 'not_null')::boolean
                ELSE saleshub.filter_value_ok(k, place ->> (n - 1)::integer) END)
    THEN
        PERFORM saleshub.bad_parameter('cursor', 'invalid', CASE WHEN state ? 's'
            THEN 'The cursor belongs to a list of another order or with other filters.'
            ELSE 'This is no cursor of a list.' END);
    END IF;
    RETURN place;
END;
$$;
COMMENT ON FUNCTION saleshub.list_place(text, text, jsonb) IS
    'The sort values in a cursor, of this very list (stamp) and fit for its keys; else 22023.';

CREATE FUNCTION saleshub.list_limit(limit_ integer) RETURNS integer
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF limit_ NOT BETWEEN 1 AND 200 THEN
        PERFORM saleshub.bad_parameter('limit', 'range', 'must be from 1 to 200');
    END IF;
    RETURN coalesce(limit_, 50);
END;
$$;
COMMENT ON FUNCTION saleshub.list_limit(integer) IS
    'The length of a page: 1 to 200, 50 unless given.';

CREATE FUNCTION saleshub.page_args() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '{
        "limit": {"minimum": 1, "maximum": 200, "description": "Rows per page, 50 unless given"},
        "cursor": {"description": "The next_cursor of the page before"}}'::jsonb;
COMMENT ON FUNCTION saleshub.page_args() IS
    'What the parameters of a page may hold, for the args of its route.';

CREATE FUNCTION saleshub.record_list(
    meta jsonb, limit_ integer, cursor_ text, sort text, fields text, include text, filters jsonb,
    count_ boolean, as_of timestamptz DEFAULT NULL,
    filter_ text DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    page integer := saleshub.list_limit(limit_);
    given record;
    keys jsonb;
    stamp text;
    wanted record;
    args jsonb;
    base text;
    after text := '';
    in_order text;
BEGIN
    meta := saleshub.visible_meta(meta);
    SELECT * INTO given FROM saleshub.filter_given(meta, filter_);
    sort := coalesce(nullif(sort, ''), given.sort);
    keys := saleshub.list_order(meta, sort);
    in_order := saleshub.list_order_by(keys);
    IF as_of IS NOT NULL THEN
        PERFORM saleshub.as_of_check(meta ->> 'noun', as_of, include);
        meta := saleshub.custom_unindexed(meta);
    END IF;
    SELECT * INTO wanted FROM saleshub.list_filters(meta, filters, given.conditions);
    args := jsonb_build_object('f', wanted.args, 'as_of', as_of);
    stamp := md5((meta ->> 'noun') || coalesce(sort, '') || wanted.sql || args::text);
    IF cursor_ IS NOT NULL THEN
        args := args || jsonb_build_object(
            'after', saleshub.list_place(cursor_, stamp, keys));
        after := ' AND ' || saleshub.list_after(keys);
    END IF;

    base := saleshub.record_from(meta, as_of, false)
        || ' WHERE t.org_id = saleshub.org_id() AND t.deleted_at IS NULL'
        || saleshub.as_of_sql(wanted.sql, as_of)
        || CASE WHEN as_of IS NULL THEN saleshub.visible_where(meta ->> 'noun') ELSE '' END;
    -- The whole answer is made by the statement: a page is too long to be copied again.
    args := args || jsonb_build_object('stamp', stamp);
    RETURN saleshub.run(
        'SELECT jsonb_build_object(''data'', coalesce(jsonb_agg(p.doc ORDER BY p.n)'
        || ' FILTER (WHERE p.n <= ' || page || '), ''[]''),'
        || ' ''next_cursor'', CASE WHEN count(*) > ' || page
        || ' THEN saleshub.cursor_encode(jsonb_build_object(''s'', $1 -> ''stamp'', ''k'','
        || ' min(p.place::text) FILTER (WHERE p.n = ' || page || ')::jsonb)) END'
        || CASE WHEN count_ THEN ', ''total'', (SELECT count(*)' || base || ')' ELSE '' END
        || ') FROM (SELECT '
        || saleshub.as_of_sql(saleshub.record_projection(meta, fields, include), as_of)
        || ' AS doc,'
        || ' jsonb_build_array(' || (
            SELECT string_agg(k ->> 'sql', ', ' ORDER BY n)
            FROM jsonb_array_elements(keys) WITH ORDINALITY AS e (k, n)) || ') AS place,'
        || ' row_number() OVER (' || in_order || ') AS n'
        || base || after || in_order || ' LIMIT ' || (page + 1) || ') p',
        args);
END;
$$;
COMMENT ON FUNCTION
    saleshub.record_list(jsonb, integer, text, text, text, text, jsonb, boolean, timestamptz,
                         text) IS
    'A page of records: {"data", "next_cursor"} and "total" when asked to count; as of an instant when given, which reads all rows of the kind and their changes since.';

CREATE FUNCTION saleshub.list_order_by(keys jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT ' ORDER BY ' || string_agg(
        (key ->> 'sql')
        || CASE WHEN (key ->> 'desc')::boolean THEN ' DESC' ELSE '' END
        || CASE WHEN (key ->> 'desc')::boolean AND NOT (key ->> 'not_null')::boolean
                THEN ' NULLS LAST' ELSE '' END, ', ' ORDER BY n)
    FROM jsonb_array_elements(list_order_by.keys) WITH ORDINALITY AS e (key, n);
END;
COMMENT ON FUNCTION saleshub.list_order_by(jsonb) IS
    'SQL text of the order of a list; NULLs are last whichever way it goes.';
