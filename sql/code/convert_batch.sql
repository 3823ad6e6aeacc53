-- Converting many leads with one call: one savepoint and one result each.

CREATE FUNCTION saleshub.convert_lock(ids uuid[]) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS 'MODULE_PATHNAME', 'sh_convert_lock';
COMMENT ON FUNCTION saleshub.convert_lock(uuid[]) IS
    'Takes the locks that conversions of these leads need to find their company and person, in one order';

CREATE FUNCTION saleshub.convert_lock_records(leads uuid[], wanted jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
    domains text[];
    names text[];
    emails text[];
    phones text[];
BEGIN
    SELECT array_agg(saleshub.lead_domain(l.website, l.email)), array_agg(saleshub.company_key(l.company_name)),
           array_agg(l.email), array_agg(l.phone)
      INTO domains, names, emails, phones
      FROM crm.lead AS l WHERE l.org_id = org AND l.lead_id = ANY (leads) AND l.deleted_at IS NULL;
    -- By type and id, as a conversion of one lead locks them. A few too many do no harm.
    PERFORM FROM crm.company AS c
      WHERE c.org_id = org AND c.deleted_at IS NULL
        AND (c.domain = ANY (domains) OR saleshub.company_key(c.name) = ANY (names)
             OR c.company_id = ANY (ARRAY(SELECT (w #>> '{company,id}')::uuid FROM jsonb_array_elements(wanted) AS w)))
      ORDER BY c.company_id FOR NO KEY UPDATE;
    PERFORM FROM crm.contact AS c
      WHERE c.org_id = org AND c.deleted_at IS NULL
        AND (c.email = ANY (emails) OR c.phone = ANY (phones)
             OR c.contact_id = ANY (ARRAY(SELECT (w #>> '{contact,id}')::uuid FROM jsonb_array_elements(wanted) AS w)))
      ORDER BY c.contact_id FOR NO KEY UPDATE;
    PERFORM FROM crm.deal AS d
      WHERE d.org_id = org AND d.deleted_at IS NULL
        AND d.deal_id = ANY (ARRAY(SELECT (w #>> '{deal,id}')::uuid FROM jsonb_array_elements(wanted) AS w))
      ORDER BY d.deal_id FOR NO KEY UPDATE;
END
$$;
COMMENT ON FUNCTION saleshub.convert_lock_records(uuid[], jsonb) IS
    'Locks the records that conversions of these leads may find or are told to link, and what is linked with the leads, in one order for all batches';

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
    PERFORM saleshub.convert_lock_records(
        array_agg((i ->> 'id')::uuid),
        jsonb_agg(coalesce(nullif(i -> 'opts', 'null'), nullif(body -> 'opts', 'null'), '{}')))
       FROM jsonb_array_elements(body -> 'items') AS i;
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
