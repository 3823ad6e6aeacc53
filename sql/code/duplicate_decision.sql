-- What people decide about two records that look like one.

CREATE FUNCTION saleshub.match_levels(rules jsonb, a jsonb, b jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (SELECT coalesce(jsonb_object_agg(f ->> 'field', f -> 'level'), '{}')
            FROM jsonb_array_elements(saleshub.match_explain(rules, a, b) -> 'fields') f);
END;
$$;
COMMENT ON FUNCTION saleshub.match_levels(jsonb, jsonb, jsonb) IS
    'How the fields of two records compare: {field: differ|close|same}, without those that one of them lacks.';

CREATE FUNCTION saleshub.decision_merged(noun text, docs jsonb, merge uuid) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
    rules jsonb := saleshub.match_rules(org, noun);
    winner uuid := docs -> 0 ->> (noun || '_id');
BEGIN
    INSERT INTO crm.duplicate_decision (org_id, entity, low_id, high_id, same, levels, merge_id)
    SELECT org, noun, least(winner, l.id), greatest(winner, l.id), true,
           saleshub.match_levels(rules, docs -> 0, l.doc), merge
    FROM (SELECT d AS doc, (d ->> (noun || '_id'))::uuid AS id
          FROM jsonb_array_elements(docs - 0) d) l
    ON CONFLICT DO NOTHING;
END;
$$;
COMMENT ON FUNCTION saleshub.decision_merged(text, jsonb, uuid) IS
    'Notes that the records of a merge are the same.';

CREATE FUNCTION saleshub.decision_pair(ids jsonb, OUT low uuid, OUT high uuid)
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    low := least((ids ->> 0)::uuid, (ids ->> 1)::uuid);
    high := greatest((ids ->> 0)::uuid, (ids ->> 1)::uuid);
    IF jsonb_array_length(ids) <> 2 OR low = high THEN
        PERFORM saleshub.raise(
            '22023', '/ids must be two records', jsonb_build_object(
                'code', 'invalid_body', 'errors',
                saleshub.fault('/ids', 'not_allowed', 'must be two different records')));
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.decision_pair(jsonb) IS 'Two ids in order; 22023 when they are not two.';

CREATE FUNCTION crm.duplicate_decide(body jsonb) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
    noun text;
    pair record;
    a jsonb;
    b jsonb;
BEGIN
    PERFORM saleshub.record_require_write();
    PERFORM saleshub.check_body(saleshub.decision_schema(), body);
    noun := saleshub.duplicate_noun(body ->> 'type');
    pair := saleshub.decision_pair(body -> 'ids');
    a := saleshub.duplicate_doc(noun, pair.low);
    b := saleshub.duplicate_doc(noun, pair.high);
    IF a IS NULL OR b IS NULL THEN
        PERFORM saleshub.record_missing(noun, CASE WHEN a IS NULL THEN pair.low ELSE pair.high END);
    END IF;
    IF coalesce((body ->> 'duplicates')::boolean, false) THEN
        -- That they are the same is decided by merging them; here only the denial is taken back.
        DELETE FROM crm.duplicate_decision d
        WHERE d.org_id = org AND d.entity = noun AND d.low_id = pair.low AND d.high_id = pair.high
            AND NOT d.same;
    ELSE
        INSERT INTO crm.duplicate_decision (org_id, entity, low_id, high_id, same, levels)
        VALUES (org, noun, pair.low, pair.high, false,
                saleshub.match_levels(saleshub.match_rules(org, noun), a, b))
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN jsonb_build_object('type', noun, 'ids', jsonb_build_array(pair.low, pair.high),
                              'duplicates', coalesce((body ->> 'duplicates')::boolean, false));
END;
$$;
COMMENT ON FUNCTION crm.duplicate_decide(jsonb) IS
    'Says that two records are no duplicates: {"type", "ids": [a, b], "duplicates": false}; then neither scans nor warnings mention them together any more. With true they may be mentioned again';

CREATE FUNCTION saleshub.decision_schema() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '{
        "type": "object", "additionalProperties": false, "required": ["type", "ids"],
        "properties": {
            "type": {"type": "string",
                     "enum": ["contact", "contacts", "company", "companies", "lead", "leads"]},
            "ids": {"type": "array", "maxItems": 2, "items": {"type": "string", "format": "uuid"}},
            "duplicates": {"type": ["boolean", "null"]}}}'::jsonb;
COMMENT ON FUNCTION saleshub.decision_schema() IS 'JSON Schema of the body of crm.duplicate_decide.';

CREATE FUNCTION saleshub.routes_duplicate_decision() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route(
        'POST /v1/duplicates/decisions', 'crm.duplicate_decide(jsonb)',
        'Say that two records are no duplicates', 'duplicates',
        args => jsonb_build_object('body', saleshub.decision_schema()),
        answer => '{"type": "text", "ids": ["uuid"], "duplicates": "boolean?"}');
END;
$$;
COMMENT ON FUNCTION saleshub.routes_duplicate_decision() IS
    'Registers the route of decisions about duplicates.';
