-- Many records of a noun with one call: one transaction, and a savepoint for each item.

CREATE FUNCTION saleshub.batch_schema() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '{
        "type": "object", "additionalProperties": false, "required": ["items"],
        "properties": {
            "atomic": {"type": "boolean"},
            "items": {"type": "array", "maxItems": 1000, "items": {
                "type": "object", "additionalProperties": false, "required": ["op"],
                "properties": {
                    "op": {"type": "string", "enum": ["create", "update", "delete"]},
                    "id": {"type": "string", "format": "uuid"},
                    "if_match": {"type": ["string", "integer", "null"]},
                    "body": {"type": "object"}}}}}
    }'::jsonb;
COMMENT ON FUNCTION saleshub.batch_schema() IS
    'JSON Schema of the body of crm.record_batch; what the items hold is checked item by item.';

CREATE FUNCTION saleshub.problem_status(state text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE
        WHEN state OPERATOR(pg_catalog.~) '^SH[45]\d\d$' THEN pg_catalog.substr(state, 3)::integer
        WHEN state IN ('SH001', 'SH002', 'SH003', '55P03') THEN 409
        WHEN state = '42501' THEN 403
        WHEN state IN ('P0002', '02000') THEN 404
        WHEN state IN ('23502', '23514') THEN 422
        WHEN state OPERATOR(pg_catalog.~) '^23' THEN 409
        WHEN state OPERATOR(pg_catalog.~) '^(22|P0001)' THEN 422
    END;
COMMENT ON FUNCTION saleshub.problem_status(text) IS
    'The HTTP status of what is wrong with an item; NULL for an error that is not the item''s fault.';

CREATE FUNCTION saleshub.batch_problem(state text, message text, detail text) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    status integer := saleshub.problem_status(state);
    code text := CASE status WHEN 403 THEN 'forbidden' WHEN 404 THEN 'not_found'
                             WHEN 409 THEN 'conflict' ELSE 'invalid_value' END;
    problem jsonb := jsonb_build_object('code', code, 'detail', message);
BEGIN
    -- What the machinery says of itself (keys, constraints) is for nobody outside.
    IF detail LIKE '{%' THEN
        problem := problem || detail::jsonb;
    ELSIF state = '23505' THEN
        problem := problem || '{"detail": "Another record has the same value."}';
    ELSIF state LIKE '23%' OR state = '42501' THEN
        problem := problem || '{"detail": "The change breaks a rule of the data."}';
    END IF;
    RETURN problem || jsonb_build_object('status', status);
END;
$$;
COMMENT ON FUNCTION saleshub.batch_problem(text, text, text) IS
    'The problem of one item: {status, code, detail, errors}.';

CREATE FUNCTION saleshub.batch_run(noun text, item jsonb) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    op text := item ->> 'op';
    was bigint;
    before jsonb;
    doc jsonb;
    id uuid;
BEGIN
    IF op = 'create' AND item ? 'id' THEN
        PERFORM saleshub.batch_fault('/id', 'unknown_member', 'goes with update and delete');
    ELSIF op <> 'create' AND NOT item ? 'id' THEN
        PERFORM saleshub.batch_fault('/id', 'required', 'is required');
    ELSIF op <> 'delete' AND NOT item ? 'body' THEN
        PERFORM saleshub.batch_fault('/body', 'required', 'is required');
    END IF;
    IF op = 'update' THEN
        id := coalesce(saleshub.redirected(noun, (item ->> 'id')::uuid), (item ->> 'id')::uuid);
        was := saleshub.batch_version(noun, id);
        before := saleshub.batch_parts(noun, id, item -> 'body');
    END IF;
    doc := saleshub.run(
        CASE op
            WHEN 'create' THEN format('SELECT crm.%I($1 -> ''body'')', noun || '_create')
            WHEN 'update' THEN format(
                'SELECT crm.%I(($1 ->> ''id'')::uuid, $1 -> ''body'', $1 ->> ''if_match'')',
                noun || '_update')
            ELSE format('SELECT ''{}''::jsonb FROM crm.%I(($1 ->> ''id'')::uuid, $1 ->> ''if_match'')',
                        noun || '_delete')
        END, item);
    id := coalesce(doc ->> 'id', item ->> 'id');
    RETURN jsonb_strip_nulls(jsonb_build_object(
        'status', CASE op WHEN 'create' THEN 201 WHEN 'update' THEN 200 ELSE 204 END,
        'id', id, 'version', doc -> 'version', 'duplicates', doc -> 'duplicates'))
        || jsonb_build_object('done', jsonb_strip_nulls(jsonb_build_object(
            'op', op, 'id', id, 'was', was,
            'version', coalesce((doc ->> 'version')::bigint, saleshub.batch_version(noun, id))))
            || CASE WHEN before IS NULL THEN '{}' ELSE jsonb_build_object('parts', jsonb_build_array(
                before, saleshub.batch_parts(noun, id, item -> 'body'))) END);
END;
$$;
COMMENT ON FUNCTION saleshub.batch_run(text, jsonb) IS
    'Does one item and answers {status, id, version}, and in done what taking it back needs to know.';

CREATE FUNCTION saleshub.batch_fault(pointer text, code text, detail text) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.raise(
        '22023', format('%s %s', pointer, detail),
        jsonb_build_object('code', 'invalid_item', 'at', 'item',
                           'errors', saleshub.fault(pointer, code, detail)));
END;
$$;
COMMENT ON FUNCTION saleshub.batch_fault(text, text, text) IS
    'Raises 22023 for an item that says too little or too much.';

CREATE FUNCTION saleshub.batch_item(noun text, item jsonb, place integer) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    state text;
    message text;
    detail text;
    problem jsonb;
    at text := '/items/' || place;
BEGIN
    RETURN saleshub.batch_run(noun, item);
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
                            detail = PG_EXCEPTION_DETAIL;
    IF saleshub.problem_status(state) IS NULL THEN
        RAISE;
    END IF;
    problem := saleshub.batch_problem(state, message, detail);
    problem := (problem - 'at') || jsonb_build_object('errors', CASE
        WHEN jsonb_typeof(problem -> 'errors') = 'array' THEN (
            SELECT coalesce(jsonb_agg(e || CASE WHEN e ? 'pointer' THEN jsonb_build_object(
                'pointer', at || CASE WHEN problem ->> 'at' = 'item' THEN '' ELSE '/body' END
                           || (e ->> 'pointer')) ELSE '{}' END ORDER BY n), '[]')
            FROM jsonb_array_elements(problem -> 'errors') WITH ORDINALITY AS f (e, n))
        ELSE saleshub.fault(
            at || CASE problem ->> 'status' WHEN '404' THEN '/id' WHEN '412' THEN '/if_match'
                  ELSE '' END,
            problem ->> 'code', problem ->> 'detail') END);
    RETURN jsonb_strip_nulls(jsonb_build_object(
        'status', problem -> 'status', 'id', item -> 'id', 'problem', problem));
END;
$$;
COMMENT ON FUNCTION saleshub.batch_item(text, jsonb, integer) IS
    'Does one item in a savepoint of its own and answers {status, id, version}, or {status, id,
problem}, whose pointers lead into the body of the batch.';

CREATE FUNCTION crm.record_batch(noun text, body jsonb) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    item jsonb;
    place integer := 0;
    result jsonb;
    results jsonb[] := '{}';
    done jsonb[] := '{}';
    errors jsonb;
    failed integer;
BEGIN
    IF noun IS NULL OR noun NOT IN ('lead', 'contact', 'company', 'deal', 'activity', 'product') THEN
        PERFORM saleshub.bad_parameter('noun', 'not_allowed', 'is no kind of record');
    END IF;
    PERFORM saleshub.record_require_write();
    PERFORM saleshub.check_body(saleshub.batch_schema(), body);
    FOR item IN SELECT i FROM jsonb_array_elements(body -> 'items') WITH ORDINALITY AS e (i, n)
                ORDER BY n
    LOOP
        result := saleshub.batch_item(noun, item, place);
        results := results || (result - 'done');
        IF result ? 'done' THEN
            done := done || (result -> 'done');
        END IF;
        place := place + 1;
    END LOOP;
    SELECT count(*) INTO failed FROM unnest(results) r WHERE r ? 'problem';
    IF failed > 0 AND coalesce((body ->> 'atomic')::boolean, false) THEN
        SELECT jsonb_agg(e ORDER BY n, m) INTO errors
        FROM unnest(results) WITH ORDINALITY AS r (result, n),
             jsonb_array_elements(r.result #> '{problem,errors}') WITH ORDINALITY AS f (e, m);
        PERFORM saleshub.raise(
            'SH422', format('%s of %s items cannot be done, so none was', failed, place),
            jsonb_build_object('code', 'batch_failed', 'errors', errors));
    END IF;
    -- The tag and place of the last item are not those of the batch.
    PERFORM saleshub.reply(200, '', '');
    RETURN jsonb_build_object('succeeded', place - failed, 'failed', failed,
                              'batch_id', CASE WHEN done <> '{}' THEN saleshub.batch_keep(noun, done) END,
                              'data', to_jsonb(results));
END;
$$;
COMMENT ON FUNCTION crm.record_batch(text, jsonb) IS
    'Creates, changes and deletes up to 1,000 records of a noun: {"items": [{"op", "id", "if_match",
"body"}], "atomic"}. Each item succeeds or fails on its own and has its result in data, in the order
given; with atomic any fault undoes all, and all faults of all items are told. batch_id is for
crm.batch_undo.';

DO $do$
DECLARE
    noun text;
    plural text;
BEGIN
    FOR noun, plural IN
        VALUES ('lead', 'leads'), ('contact', 'contacts'), ('company', 'companies'),
               ('deal', 'deals'), ('activity', 'activities'), ('product', 'products')
    LOOP
        EXECUTE format(
            'CREATE FUNCTION crm.%1$s_batch(body jsonb) RETURNS jsonb'
            ' LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE'
            ' SET search_path = pg_catalog, crm, pg_temp'
            ' AS $$ BEGIN RETURN crm.record_batch(%1$L, body); END; $$', noun);
        EXECUTE format('COMMENT ON FUNCTION crm.%s_batch(jsonb) IS %L', noun, format(
            'Creates, changes and deletes up to 1,000 %s at once, as crm.record_batch says', plural));
    END LOOP;
END;
$do$;
