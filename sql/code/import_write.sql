-- Writing the rows at hand: one statement for all that make records and one for all that change
-- them; where it fails, the rows are parted until those that cannot be written stand alone.

CREATE FUNCTION saleshub.import_expression(layout jsonb, col text, type text) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    value text := saleshub.import_value(layout, col);
    country text := saleshub.import_value(layout, 'link_phone_country');
BEGIN
    IF col = 'phone' AND country IS NOT NULL THEN
        RETURN format('coalesce(saleshub.phone_normal(%1$s, upper(%2$s)), %1$s)', value, country);
    ELSIF type = 'text' THEN
        RETURN value;
    END IF;
    RETURN format('%s::%s', value, type);
END;
$$;
COMMENT ON FUNCTION saleshub.import_expression(jsonb, text, text) IS
    'SQL text of what a row writes into a column.';

CREATE FUNCTION saleshub.import_columns(entity text, layout jsonb)
    RETURNS TABLE (name text, expr text, place bigint)
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT c.v ->> 'column', saleshub.import_expression(layout, c.v ->> 'column', c.v ->> 'type'), c.n
    FROM jsonb_array_elements(layout -> 'columns') WITH ORDINALITY AS c (v, n)
    WHERE c.v ->> 'type' IS NOT NULL AND c.v ->> 'column' <> entity || '_id';
END;
$$;
COMMENT ON FUNCTION saleshub.import_columns(text, jsonb) IS
    'The columns that rows write, and SQL text of what.';

CREATE FUNCTION saleshub.import_insert(entity text, layout jsonb, low integer, high integer) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    columns text;
    exprs text;
    target jsonb;
BEGIN
    SELECT coalesce(string_agg(format(', %I', c.name), '' ORDER BY c.place), ''),
           coalesce(string_agg(', ' || CASE
               -- members who do not see all own what they import
               WHEN c.name = 'owner_id' AND NOT saleshub.sees_all(entity)
               THEN format('coalesce(%s, saleshub.member_id())', c.expr) ELSE c.expr END, '' ORDER BY c.place), '')
    INTO columns, exprs
    FROM saleshub.import_columns(entity, layout) c;
    IF entity <> 'product' AND NOT saleshub.sees_all(entity)
        AND saleshub.import_value(layout, 'owner_id') IS NULL
    THEN
        columns := columns || ', owner_id';
        exprs := exprs || ', saleshub.member_id()';
    END IF;
    EXECUTE format(
        'INSERT INTO crm.%1$I AS t (%2$I%3$s) SELECT r.id%4$s FROM saleshub.import_rows(''create'') %5$s'
        ' WHERE r.n BETWEEN $1 AND $2 ORDER BY r.n',
        entity, entity || '_id', columns, exprs, saleshub.import_shape(layout))
    USING low, high;
    FOR target IN SELECT t FROM jsonb_array_elements(layout -> 'targets') t WHERE t #> '{link}' ? 'linked'
    LOOP
        EXECUTE format(
            'INSERT INTO crm.activity_link (activity_id, entity, entity_id)'
            ' SELECT r.id, %L, r.c%s::uuid FROM saleshub.import_rows(''create'') %s'
            ' WHERE r.n BETWEEN $1 AND $2 AND r.c%2$s IS NOT NULL ON CONFLICT DO NOTHING',
            target #>> '{link,to}', target ->> 'out', saleshub.import_shape(layout))
        USING low, high;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION saleshub.import_insert(text, jsonb, integer, integer) IS
    'Makes the records of rows low to high, with one statement.';

CREATE FUNCTION saleshub.import_new_value(col text, expr text, on_match text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE
        WHEN col = 'custom' AND on_match = 'update'
            THEN pg_catalog.format('t.custom || coalesce(%s, ''{}'')', expr)
        WHEN col = 'custom' THEN pg_catalog.format('coalesce(%s, ''{}'') || t.custom', expr)
        WHEN on_match = 'update' THEN pg_catalog.format('coalesce(%s, t.%I)', expr, col)
        WHEN col = 'tags' THEN pg_catalog.format(
            'CASE WHEN t.tags = ''{}'' THEN coalesce(%s, ''{}'') ELSE t.tags END', expr)
        ELSE pg_catalog.format('coalesce(t.%I, %s)', col, expr) END;
COMMENT ON FUNCTION saleshub.import_new_value(text, text, text) IS
    'SQL text of a column''s new value: empty cells change nothing, and filling blanks changes nothing that is there.';

CREATE FUNCTION saleshub.import_update(entity text, layout jsonb, on_match text, low integer, high integer)
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    key text := entity || '_id';
    sets text;
    news text;
    olds text;
    doc text;
    before jsonb;
    changed jsonb;
BEGIN
    IF entity = 'lead' THEN
        PERFORM saleshub.score_keep_rules();
    END IF;
    SELECT string_agg(format('%I = %s', c.name, v.new), ', ' ORDER BY c.place),
           string_agg(v.new, ', ' ORDER BY c.place),
           string_agg(format('t.%I', c.name), ', ' ORDER BY c.place),
           saleshub.build_object(array_agg(format('%1$L, t.%1$I', c.name) ORDER BY c.place))
    INTO sets, news, olds, doc
    FROM saleshub.import_columns(entity, layout) c,
         LATERAL (SELECT saleshub.import_new_value(c.name, c.expr, on_match) AS new) v;
    EXECUTE format(
        'SELECT jsonb_object_agg(x.id, x.doc) FROM (SELECT t.%1$I AS id, %2$s AS doc FROM crm.%3$I t'
        ' WHERE t.org_id = saleshub.org_id() AND t.%1$I IN (SELECT r.id'
        '  FROM saleshub.import_rows(''update'') %4$s WHERE r.n BETWEEN $1 AND $2)'
        ' ORDER BY t.%1$I FOR NO KEY UPDATE) x', key, doc, entity, saleshub.import_shape(layout))
    INTO before USING low, high;
    EXECUTE format(
        'WITH done AS (UPDATE crm.%1$I t SET %2$s FROM saleshub.import_rows(''update'') %3$s'
        ' WHERE t.org_id = saleshub.org_id() AND t.%4$I = r.id AND r.n BETWEEN $1 AND $2'
        ' AND ROW(%5$s) IS DISTINCT FROM ROW(%6$s)'
        ' RETURNING t.%4$I AS id, t.version, %7$s AS doc)'
        ' SELECT jsonb_agg(jsonb_build_object(''id'', d.id, ''version'', d.version, ''changed'', c.changed))'
        ' FROM done d, LATERAL (SELECT jsonb_object_agg(e.key, jsonb_build_array($3 -> d.id::text -> e.key, e.value)) AS changed'
        ' FROM jsonb_each(d.doc) e WHERE e.value <> $3 -> d.id::text -> e.key) c WHERE c.changed IS NOT NULL',
        entity, sets, saleshub.import_shape(layout), key, olds, news, doc)
    INTO changed USING low, high, before;
    RETURN coalesce(changed, '[]');
END;
$$;
COMMENT ON FUNCTION saleshub.import_update(text, jsonb, text, integer, integer) IS
    'Changes the records of rows low to high, with one statement. Returns what changed: [{id, version, changed: {column: [old, new]}}].';

CREATE FUNCTION saleshub.import_columns_named(layout jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT coalesce(jsonb_object_agg(n.name, n.header), '{}')
        FROM (SELECT DISTINCT ON (name) name, t ->> 'column' AS header
              FROM jsonb_array_elements(layout -> 'targets') t,
                   jsonb_array_elements_text((t -> 'columns') || jsonb_build_array(t -> 'field')) name) n);
END;
$$;
COMMENT ON FUNCTION saleshub.import_columns_named(jsonb) IS
    'The header of the file behind each column and field.';

CREATE FUNCTION saleshub.import_refuse(layout jsonb, n integer, state text, message text, detail text)
    RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    problem jsonb := saleshub.batch_problem(state, message, detail);
    headers jsonb := saleshub.import_columns_named(layout);
    fault jsonb;
BEGIN
    IF problem ->> 'code' IN ('duplicate', 'lead_converted') THEN
        PERFORM saleshub.import_mark('conflict', ARRAY[n], NULL);
    END IF;
    FOR fault IN
        SELECT f FROM jsonb_array_elements(CASE jsonb_typeof(problem -> 'errors')
            WHEN 'array' THEN problem -> 'errors' ELSE jsonb_build_array(problem) END) f
    LOOP
        PERFORM saleshub.import_note(
            true, coalesce(fault ->> 'code', problem ->> 'code'),
            coalesce(headers ->> ltrim(fault ->> 'pointer', '/'),
                     headers ->> split_part(ltrim(fault ->> 'pointer', '/'), '/', 1)),
            ARRAY[n], ARRAY[coalesce(fault ->> 'detail', message)], NULL);
    END LOOP;
END;
$$;
COMMENT ON FUNCTION saleshub.import_refuse(jsonb, integer, text, text, text) IS
    'Notes why the database did not take a row, with the columns that it names.';

CREATE FUNCTION saleshub.import_write(verb text, entity text, layout jsonb, on_match text, low integer, high integer)
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    state text;
    message text;
    detail text;
    middle integer := (low + high) / 2;
    alone boolean;
BEGIN
    BEGIN
        IF verb = 'create' THEN
            PERFORM saleshub.import_insert(entity, layout, low, high);
            RETURN '[]';
        END IF;
        RETURN saleshub.import_update(entity, layout, on_match, low, high);
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
                                detail = PG_EXCEPTION_DETAIL;
        IF saleshub.problem_status(state) IS NULL THEN
            RAISE;
        END IF;
    END;
    EXECUTE format('SELECT count(*) = 1, min(r.n) FROM saleshub.import_rows($3) %s WHERE r.n BETWEEN $1 AND $2',
                   saleshub.import_shape(layout)) INTO alone, middle USING low, high, verb;
    IF alone THEN
        PERFORM saleshub.import_refuse(layout, middle, state, message, detail);
        RETURN '[]';
    END IF;
    middle := (low + high) / 2;
    RETURN saleshub.import_write(verb, entity, layout, on_match, low, middle)
        || saleshub.import_write(verb, entity, layout, on_match, middle + 1, high);
END;
$$;
COMMENT ON FUNCTION saleshub.import_write(text, text, jsonb, text, integer, integer) IS
    'Makes (create) or changes (update) the records of rows low to high, as far as the database takes them; returns what changed.';
