-- Stages: how they are set up, and the gate a deal passes on its way into one.

CREATE FUNCTION saleshub.stage_fields() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '[
        {"name": "id", "column": "stage_id", "type": "uuid", "read_only": true, "not_null": true},
        {"name": "pipeline_id", "type": "uuid", "read_only": true, "not_null": true},
        {"name": "name", "type": "text", "max": 100, "required": true, "not_null": true},
        {"name": "kind", "type": "enum", "values": ["open", "won", "lost"], "not_null": true},
        {"name": "position", "type": "integer", "not_null": true},
        {"name": "probability", "type": "number", "not_null": true, "schema": {"maximum": 100}},
        {"name": "forecast_category", "type": "enum",
         "values": ["pipeline", "best_case", "commit", "omitted"]},
        {"name": "required_fields", "type": "tags", "not_null": true},
        {"name": "gate", "type": "object", "set": {"gate": "(%s)::jsonb"}}
    ]'::jsonb;
COMMENT ON FUNCTION saleshub.stage_fields() IS
    'The fields of a stage in the API.';

CREATE FUNCTION saleshub.stage_meta() RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.record_meta('stage', 'stages', saleshub.stage_fields(), '{}');
END;
$$;
COMMENT ON FUNCTION saleshub.stage_meta() IS
    'What the record functions need to know about stages.';

CREATE FUNCTION saleshub.gate_field_ok(field text) RETURNS boolean
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    fields jsonb := CASE WHEN field ~ '^custom\.[^.]+$' THEN saleshub.custom_fields('deal') END;
BEGIN
    RETURN coalesce(fields = '[]', false) OR EXISTS (
        SELECT FROM jsonb_array_elements(coalesce(fields, saleshub.deal_fields())) f
        WHERE f ->> 'name' = field AND f -> 'read_only' IS NULL AND f ->> 'type' <> 'lines');
END;
$$;
COMMENT ON FUNCTION saleshub.gate_field_ok(text) IS
    'Whether a stage can require the field: one of a deal that can be written, or custom.<key> of a custom field that is defined, when any is.';

CREATE FUNCTION saleshub.gate_fields() RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (saleshub.deal_meta() -> 'filter') || saleshub.custom_filters('deal', false);
END;
$$;
COMMENT ON FUNCTION saleshub.gate_fields() IS
    'The fields that the condition of a stage can name.';

CREATE FUNCTION saleshub.gate_faults(required_fields text[], gate jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    faults jsonb;
BEGIN
    SELECT coalesce(jsonb_agg(saleshub.fault('/required_fields/' || (n - 1), 'unknown',
                                             format('"%s" is no field of deals', f)) -> 0
                              ORDER BY n), '[]')
    INTO faults
    FROM unnest(required_fields) WITH ORDINALITY AS r (f, n)
    WHERE NOT saleshub.gate_field_ok(f);
    IF gate IS NOT NULL THEN
        faults := faults || saleshub.faults_at(
            '/gate', saleshub.filter_compile(saleshub.gate_fields(), gate) -> 'errors');
    END IF;
    RETURN faults;
END;
$$;
COMMENT ON FUNCTION saleshub.gate_faults(text[], jsonb) IS
    'What is wrong with the gate of a stage.';

CREATE FUNCTION saleshub.stage_gate_faults(org_id uuid, stage_id uuid, deal jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    stage record;
    field text;
    value jsonb;
    compiled jsonb;
    faults jsonb := '[]';
BEGIN
    SELECT s.name, s.required_fields, s.gate INTO stage
    FROM crm.stage s
    WHERE s.org_id = stage_gate_faults.org_id AND s.stage_id = stage_gate_faults.stage_id;
    FOR field IN SELECT * FROM unnest(stage.required_fields)
    LOOP
        value := deal #> string_to_array(field, '.', NULL);
        IF coalesce(value, 'null') IN ('null', '[]', '{}')
           OR jsonb_typeof(value) = 'string' AND saleshub.clean(value #>> '{}') IS NULL
        THEN
            faults := faults || saleshub.fault('/' || replace(field, '.', '/'), 'required',
                                               format('is required in stage "%s"', stage.name));
        END IF;
    END LOOP;
    IF stage.gate IS NOT NULL THEN
        compiled := saleshub.filter_compile(saleshub.gate_fields(), stage.gate);
        IF NOT compiled ? 'sql' OR saleshub.run(
            'SELECT to_jsonb(coalesce(' || (compiled ->> 'sql') || ', false))'
            ' FROM jsonb_populate_record(NULL::crm.deal, $1 -> ''deal'') t',
            jsonb_build_object('f', compiled -> 'args', 'deal', deal)) <> 'true'
        THEN
            faults := faults || saleshub.fault('/stage_id', 'stage_gate', format(
                'does not let the deal in: the condition of stage "%s" is not met', stage.name));
        END IF;
    END IF;
    RETURN faults;
END;
$$;
COMMENT ON FUNCTION saleshub.stage_gate_faults(uuid, uuid, jsonb) IS
    'What keeps a deal, given as it would be written, out of a stage: every missing field, and its
condition.';

CREATE FUNCTION saleshub.refuse_gate(faults jsonb) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.raise(
        '22023', format('%s %s', ltrim(faults -> 0 ->> 'pointer', '/'), faults -> 0 ->> 'detail'),
        jsonb_build_object('code', 'stage_gate', 'errors', faults),
        'Give what the stage asks for in the same change.');
END;
$$;
COMMENT ON FUNCTION saleshub.refuse_gate(jsonb) IS
    'Raises 22023: a deal may not enter its stage.';

CREATE FUNCTION crm.stage_create(id uuid, body jsonb) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    meta jsonb := saleshub.stage_meta();
    stage record;
    doc jsonb;
BEGIN
    PERFORM saleshub.record_require_write();
    PERFORM saleshub.check_body(meta -> 'create', body);
    PERFORM saleshub.record_match(saleshub.pipeline_meta(), id, NULL);
    SELECT * INTO stage
    FROM jsonb_to_record(body) AS b (name text, kind text, position integer, probability numeric,
                                     forecast_category text, required_fields text[], gate jsonb);
    INSERT INTO crm.stage (pipeline_id, name, kind, position, probability, forecast_category,
                           required_fields, gate)
    VALUES (id, stage.name, coalesce(stage.kind, 'open'),
            coalesce(stage.position, (
                SELECT coalesce(max(s.position), 0) + 1 FROM crm.stage s
                WHERE s.org_id = saleshub.org_id() AND s.pipeline_id = stage_create.id
                    AND s.deleted_at IS NULL)),
            coalesce(stage.probability, CASE stage.kind WHEN 'won' THEN 100 ELSE 0 END),
            stage.forecast_category, coalesce(stage.required_fields, '{}'), nullif(stage.gate, 'null'))
    RETURNING jsonb_build_object('id', stage_id) INTO doc;
    doc := saleshub.record_get(meta, (doc ->> 'id')::uuid);
    PERFORM saleshub.record_created(meta, doc);
    RETURN doc;
END;
$$;
COMMENT ON FUNCTION crm.stage_create(uuid, jsonb) IS
    'Adds a stage to a pipeline, the last one unless it says where, and returns it.';

CREATE FUNCTION crm.stage_get(id uuid) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.record_get(saleshub.stage_meta(), id);
END;
$$;
COMMENT ON FUNCTION crm.stage_get(uuid) IS
    'A stage of a pipeline.';

CREATE FUNCTION crm.stage_update(id uuid, patch jsonb, if_match text DEFAULT NULL) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.record_update(saleshub.stage_meta(), id, patch, if_match);
END;
$$;
COMMENT ON FUNCTION crm.stage_update(uuid, jsonb, text) IS
    'Changes a stage by a merge patch and returns it; deals that are in it stay.';

CREATE FUNCTION crm.stage_delete(id uuid, if_match text DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.record_require_write();
    PERFORM saleshub.record_match(saleshub.stage_meta(), id, if_match);
    UPDATE crm.stage t
    SET deleted_at = now()
    WHERE t.org_id = saleshub.org_id() AND t.stage_id = stage_delete.id;
    PERFORM saleshub.reply(204);
END;
$$;
COMMENT ON FUNCTION crm.stage_delete(uuid, text) IS
    'Takes a stage without open deals out of its pipeline.';
