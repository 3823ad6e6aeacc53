-- Setting up pipelines, by admins and managers.

CREATE FUNCTION saleshub.pipeline_stages() RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '(SELECT coalesce(jsonb_agg(jsonb_build_object(''id'', s.stage_id, ''name'', s.name,'
           ' ''kind'', s.kind, ''position'', s.position, ''probability'', s.probability,'
           ' ''forecast_category'', s.forecast_category,'
           ' ''required_fields'', s.required_fields, ''gate'', s.gate, ''version'', s.version)'
           ' ORDER BY s.position, s.stage_id), ''[]'') FROM crm.stage s'
           ' WHERE s.org_id = t.org_id AND s.pipeline_id = t.pipeline_id'
           ' AND s.deleted_at IS NULL)';
COMMENT ON FUNCTION saleshub.pipeline_stages() IS
    'SQL text of the stages of a pipeline.';

CREATE FUNCTION saleshub.pipeline_meta() RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.record_meta('pipeline', 'pipelines', jsonb_build_array(
        '{"name": "id", "column": "pipeline_id", "type": "uuid", "read_only": true}'::jsonb,
        '{"name": "name", "type": "text", "max": 100, "required": true}'::jsonb,
        '{"name": "is_default", "type": "boolean"}'::jsonb,
        '{"name": "position", "type": "integer"}'::jsonb,
        jsonb_build_object('name', 'stages', 'type', 'object', 'read_only', true,
                           'sql', saleshub.pipeline_stages())), '{}');
END;
$$;
COMMENT ON FUNCTION saleshub.pipeline_meta() IS
    'What the record functions need to know about pipelines.';

CREATE FUNCTION saleshub.pipeline_create_schema() RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN jsonb_set(saleshub.pipeline_meta() -> 'create', '{properties,stages}',
                     jsonb_build_object('type', 'array', 'maxItems', 100,
                                        'items', saleshub.stage_meta() -> 'create'));
END;
$$;
COMMENT ON FUNCTION saleshub.pipeline_create_schema() IS
    'JSON Schema of the body that creates a pipeline with its stages.';

CREATE FUNCTION saleshub.pipeline_make_default(id uuid) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    UPDATE crm.pipeline p
    SET is_default = false
    WHERE p.org_id = saleshub.org_id() AND p.is_default AND p.deleted_at IS NULL
        AND p.pipeline_id IS DISTINCT FROM pipeline_make_default.id;
END;
$$;
COMMENT ON FUNCTION saleshub.pipeline_make_default(uuid) IS
    'Makes room for another default pipeline.';

CREATE FUNCTION crm.pipeline_create(body jsonb) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    meta jsonb := saleshub.pipeline_meta();
    stage jsonb;
    doc jsonb;
    faults jsonb;
BEGIN
    PERFORM saleshub.record_require_write();
    PERFORM saleshub.check_body(saleshub.pipeline_create_schema(), body);
    SELECT coalesce(jsonb_agg(f || jsonb_build_object(
               'pointer', '/stages/' || (n - 1) || (f ->> 'pointer')) ORDER BY n), '[]')
    INTO faults
    FROM jsonb_array_elements(coalesce(nullif(body -> 'stages', 'null'), '[]'))
             WITH ORDINALITY AS s (stage, n),
         jsonb_array_elements(saleshub.gate_faults(
             ARRAY(SELECT jsonb_array_elements_text(
                 coalesce(nullif(s.stage -> 'required_fields', 'null'), '[]'))),
             nullif(s.stage -> 'gate', 'null'))) AS f;
    IF faults <> '[]' THEN
        PERFORM saleshub.refuse_row('pipeline', faults);
    END IF;
    IF body -> 'is_default' = 'true' THEN
        PERFORM saleshub.pipeline_make_default(NULL);
    END IF;
    doc := saleshub.record_create(meta, body - 'stages');
    FOR stage IN SELECT * FROM jsonb_array_elements(coalesce(nullif(body -> 'stages', 'null'), '[]'))
    LOOP
        PERFORM crm.stage_create((doc ->> 'id')::uuid, stage);
    END LOOP;
    doc := saleshub.record_get(meta, (doc ->> 'id')::uuid);
    PERFORM saleshub.record_created(meta, doc);
    RETURN doc;
END;
$$;
COMMENT ON FUNCTION crm.pipeline_create(jsonb) IS
    'Creates a pipeline, with stages if the body has some, and returns it.';

CREATE FUNCTION crm.pipeline_get(id uuid) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    doc jsonb := saleshub.record_get(saleshub.pipeline_meta(), id);
BEGIN
    -- The stages have versions of their own, of which the tag of the pipeline knows nothing.
    PERFORM saleshub.reply(etag => '');
    RETURN doc;
END;
$$;
COMMENT ON FUNCTION crm.pipeline_get(uuid) IS
    'A pipeline with its stages.';

CREATE FUNCTION crm.pipeline_update(id uuid, patch jsonb, if_match text DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF patch -> 'is_default' = 'true' THEN
        PERFORM saleshub.record_require_write();
        PERFORM saleshub.pipeline_make_default(id);
    ELSIF patch ? 'is_default' AND EXISTS (
        SELECT FROM crm.pipeline p
        WHERE p.org_id = saleshub.org_id() AND p.pipeline_id = pipeline_update.id AND p.is_default)
    THEN
        PERFORM saleshub.refuse_row('pipeline', saleshub.fault(
            '/is_default', 'invalid', 'stays true until another pipeline is the default'));
    END IF;
    RETURN saleshub.record_update(saleshub.pipeline_meta(), id, patch, if_match);
END;
$$;
COMMENT ON FUNCTION crm.pipeline_update(uuid, jsonb, text) IS
    'Changes a pipeline by a merge patch and returns it; a new default takes the place of the old.';

CREATE FUNCTION crm.pipeline_delete(id uuid, if_match text DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.record_require_write();
    PERFORM saleshub.record_match(saleshub.pipeline_meta(), id, if_match);
    UPDATE crm.pipeline t
    SET deleted_at = now()
    WHERE t.org_id = saleshub.org_id() AND t.pipeline_id = pipeline_delete.id;
    PERFORM saleshub.reply(204);
END;
$$;
COMMENT ON FUNCTION crm.pipeline_delete(uuid, text) IS
    'Removes a pipeline that is not the default and has no open deals.';
