-- Converting many leads with one call: one savepoint and one result each.

CREATE FUNCTION saleshub.convert_lock(ids uuid[]) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS 'MODULE_PATHNAME', 'sh_convert_lock';
COMMENT ON FUNCTION saleshub.convert_lock(uuid[]) IS
    'Takes the locks that conversions of these leads need to find their company and person, in one order';

CREATE FUNCTION saleshub.convert_batch_schema() RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN jsonb_build_object(
        'type', 'object', 'additionalProperties', false, 'required', '["items"]'::jsonb,
        'properties', jsonb_build_object(
            'atomic', '{"type": "boolean"}'::jsonb,
            'opts', saleshub.convert_schema(),
            'items', jsonb_build_object('type', 'array', 'maxItems', 1000, 'items', jsonb_build_object(
                'type', 'object', 'additionalProperties', false, 'required', '["id"]'::jsonb,
                'properties', jsonb_build_object('id', '{"type": "string", "format": "uuid"}'::jsonb,
                                                 'opts', saleshub.convert_schema())))));
END
$$;
COMMENT ON FUNCTION saleshub.convert_batch_schema() IS 'JSON Schema of the body of crm.lead_convert_batch';

CREATE FUNCTION saleshub.convert_one(lead uuid, opts jsonb, atomic boolean) RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    done jsonb;
    state text;
    message text;
    detail text;
    problem jsonb := '{}';
BEGIN
    done := crm.lead_convert(lead, opts);
    RETURN jsonb_build_object(
        'lead_id', lead, 'ok', true, 'conversion_id', done -> 'conversion_id', 'replayed', done -> 'replayed',
        'company_id', done #> '{company,id}', 'contact_id', done #> '{contact,id}', 'deal_id', done #> '{deal,id}');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
    IF detail LIKE '{%' THEN
        problem := detail::jsonb;
    END IF;
    -- What is wrong with the lead or its options is its result; all else ends the batch.
    IF atomic OR NOT (left(state, 2) IN ('22', '23', 'SH', 'P0', '40') OR state = '42501') THEN
        PERFORM saleshub.raise(state, message, problem || jsonb_build_object('lead_id', lead));
    END IF;
    RETURN problem || jsonb_build_object('lead_id', lead, 'ok', false, 'sqlstate', state, 'detail', message,
        'code', coalesce(problem ->> 'code', CASE left(state, 2) WHEN '40' THEN 'conflict' ELSE 'invalid' END));
END
$$;
COMMENT ON FUNCTION saleshub.convert_one(uuid, jsonb, boolean) IS
    'Converts a lead of a batch and answers its result: the ids, or code, detail and errors';

CREATE FUNCTION crm.lead_convert_batch(body jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    atomic boolean;
    item jsonb;
    results jsonb[] := '{}';
BEGIN
    PERFORM saleshub.record_require_write();
    PERFORM saleshub.check_body(saleshub.convert_batch_schema(), body);
    atomic := coalesce((body ->> 'atomic')::boolean, false);
    PERFORM saleshub.convert_lock(coalesce((SELECT array_agg((i ->> 'id')::uuid)
                                             FROM jsonb_array_elements(body -> 'items') AS i), '{}'));
    FOR item IN SELECT i FROM jsonb_array_elements(body -> 'items') WITH ORDINALITY AS e (i, n) ORDER BY n LOOP
        results := results || saleshub.convert_one((item ->> 'id')::uuid,
            coalesce(nullif(item -> 'opts', 'null'), nullif(body -> 'opts', 'null'), '{}'), atomic);
    END LOOP;
    -- The tag and the status of the last lead are not those of the batch.
    PERFORM saleshub.reply(status => 200, etag => '');
    RETURN jsonb_build_object(
        'converted', (SELECT count(*) FROM unnest(results) AS r WHERE (r ->> 'ok')::boolean),
        'failed', (SELECT count(*) FROM unnest(results) AS r WHERE NOT (r ->> 'ok')::boolean),
        'data', to_jsonb(results));
END
$$;
COMMENT ON FUNCTION crm.lead_convert_batch(jsonb) IS
    'Converts up to 1,000 leads: {"items": [{"id", "opts"}], "opts", "atomic"}. Each succeeds or fails on its own and has its result in data, in the order given; with atomic the first failure undoes all';
