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
                    'probability', s.probability,
                    'forecast_category', s.forecast_category,
                    'required_fields', s.required_fields,
                    'gate', s.gate,
                    'version', s.version) ORDER BY s.position, s.stage_id)
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

CREATE FUNCTION saleshub.setup_check() RETURNS trigger
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF saleshub.member_role() NOT IN ('admin', 'manager') THEN
        PERFORM saleshub.raise('42501', 'role ' || saleshub.member_role()
                               || ' may not change how the organisation sells',
                               jsonb_build_object('code', 'forbidden'));
    END IF;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION saleshub.setup_check() IS
    'Trigger: pipelines, stages and rates are set up by admins and managers.';

CREATE FUNCTION saleshub.pipeline_check() RETURNS trigger
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    faults jsonb := '[]';
BEGIN
    NEW.name := saleshub.clean(NEW.name);
    NEW.is_default := coalesce(NEW.is_default, false);
    NEW.position := coalesce(NEW.position, 1);
    IF NEW.name IS NULL THEN
        faults := faults || saleshub.fault('/name', 'required', 'is required');
    END IF;
    faults := faults || saleshub.too_long('/name', NEW.name, 100);
    IF NEW.deleted_at IS NOT NULL AND NEW.is_default THEN
        faults := faults || saleshub.fault('/deleted_at', 'in_use',
                                           'cannot be set for the default pipeline');
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.deleted_at IS NOT NULL AND EXISTS (
        SELECT FROM crm.deal d
        WHERE d.org_id = OLD.org_id AND d.pipeline_id = OLD.pipeline_id AND d.status = 'open'
            AND d.deleted_at IS NULL)
    THEN
        faults := faults || saleshub.fault('/deleted_at', 'in_use',
                                           'cannot be set while deals in it are open');
    END IF;
    IF faults <> '[]' THEN
        PERFORM saleshub.refuse_row('pipeline', faults);
    END IF;
    RETURN NEW;
END;
$$;
ALTER FUNCTION saleshub.pipeline_check() OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.pipeline_check() IS
    'Trigger: a pipeline has a name, and stays while deals are open in it.';

CREATE FUNCTION saleshub.stage_check() RETURNS trigger
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    faults jsonb := '[]';
    dropped boolean := TG_OP = 'UPDATE' AND NEW.deleted_at IS NOT NULL;
BEGIN
    NEW.name := saleshub.clean(NEW.name);
    NEW.kind := coalesce(NEW.kind, 'open');
    NEW.position := coalesce(NEW.position, 1);
    NEW.probability := coalesce(NEW.probability, 0);
    NEW.required_fields := saleshub.tags_normal(NEW.required_fields);
    faults := saleshub.gate_faults(NEW.required_fields, NEW.gate);
    IF NEW.name IS NULL THEN
        faults := faults || saleshub.fault('/name', 'required', 'is required');
    END IF;
    faults := faults || saleshub.too_long('/name', NEW.name, 100);
    IF TG_OP = 'UPDATE' AND (NEW.kind <> OLD.kind OR NEW.pipeline_id <> OLD.pipeline_id)
       AND EXISTS (SELECT FROM crm.deal d
                   WHERE d.org_id = OLD.org_id AND d.pipeline_id = OLD.pipeline_id
                       AND d.stage_id = OLD.stage_id)
    THEN
        faults := faults || saleshub.fault(
            CASE WHEN NEW.kind <> OLD.kind THEN '/kind' ELSE '/pipeline_id' END, 'in_use',
            'cannot change once deals are in the stage');
    END IF;
    IF dropped AND EXISTS (
        SELECT FROM crm.deal d
        WHERE d.org_id = OLD.org_id AND d.pipeline_id = OLD.pipeline_id
            AND d.stage_id = OLD.stage_id AND d.status = 'open' AND d.deleted_at IS NULL)
    THEN
        faults := faults || saleshub.fault('/deleted_at', 'in_use',
                                           'cannot be set while deals in it are open');
    END IF;
    IF faults <> '[]' THEN
        PERFORM saleshub.refuse_row('stage', faults);
    END IF;
    RETURN NEW;
END;
$$;
ALTER FUNCTION saleshub.stage_check() OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.stage_check() IS
    'Trigger: a stage has a name and a gate that can be passed, keeps its kind and pipeline once deals are in it, and stays while
they are open.';
