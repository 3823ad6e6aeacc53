CREATE FUNCTION saleshub.defaults_pipeline(org uuid) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    sales uuid;
BEGIN
    IF EXISTS (SELECT FROM crm.pipeline p WHERE p.org_id = org) THEN
        RETURN;
    END IF;
    INSERT INTO crm.pipeline (org_id, name, is_default)
    VALUES (org, 'Sales', true)
    RETURNING pipeline_id INTO sales;
    INSERT INTO crm.stage (org_id, pipeline_id, name, kind, position, probability)
    VALUES (org, sales, 'Prospecting', 'open', 1, 10),
           (org, sales, 'Engaging', 'open', 2, 50),
           (org, sales, 'Won', 'won', 3, 100),
           (org, sales, 'Lost', 'lost', 4, 0);
END;
$$;
COMMENT ON FUNCTION saleshub.defaults_pipeline(uuid) IS
    'Gives a new organisation the pipeline "Sales"; nothing if it has one already.';

CREATE FUNCTION crm.pipeline_list() RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN jsonb_build_object('next_cursor', NULL, 'data', coalesce((
        SELECT jsonb_agg(jsonb_build_object(
            'id', p.pipeline_id,
            'name', p.name,
            'is_default', p.is_default,
            'position', p.position,
            'version', p.version,
            'created_at', saleshub.utc(p.created_at),
            'updated_at', saleshub.utc(p.updated_at),
            'stages', coalesce((
                SELECT jsonb_agg(jsonb_build_object(
                    'id', s.stage_id,
                    'name', s.name,
                    'kind', s.kind,
                    'position', s.position,
                    'probability', s.probability) ORDER BY s.position, s.stage_id)
                FROM crm.stage s
                WHERE s.org_id = p.org_id AND s.pipeline_id = p.pipeline_id
                    AND s.deleted_at IS NULL
            ), '[]')) ORDER BY p.position, p.pipeline_id)
        FROM crm.pipeline p
        WHERE p.org_id = saleshub.org_id() AND p.deleted_at IS NULL
    ), '[]'));
END;
$$;
COMMENT ON FUNCTION crm.pipeline_list() IS
    'The pipelines of the organisation with their stages, in order.';
