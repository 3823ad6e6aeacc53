-- The routes of the records: one function per noun, which install() finds by its name.

CREATE FUNCTION saleshub.record_routes(meta jsonb) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    noun text := meta ->> 'noun';
    plural text := meta ->> 'plural';
    base text := '/v1/' || plural;
    a text := CASE WHEN noun ~ '^[aeiou]' THEN 'an ' ELSE 'a ' END || noun;
    page jsonb := saleshub.page_args();
    sorts text := 'Up to three of '
        || (SELECT string_agg(k, ', ') FROM jsonb_object_keys(meta -> 'sort') k)
        || ' or custom.<key>; - before a name turns the order around. -created_at unless given';
    parts jsonb := jsonb_build_object(
        'fields', jsonb_build_object('description', 'Only these fields, a comma list'),
        'include', jsonb_build_object(
            'description', coalesce('Also the records it refers to, a comma list of '
            || (SELECT string_agg(k, ', ') FROM jsonb_object_keys(meta -> 'include') k),
            'It refers to no records that could be included')),
        'as_of', jsonb_build_object('description', 'As it was at this past instant'));
    filter_fields jsonb := (SELECT jsonb_object_agg(f.key, f.value -> 'schema')
                            FROM jsonb_each(meta -> 'filter') f)
        || '{"custom.*": {"type": "string", "description": "a custom field by its key, as custom.tier"}}';
    -- A note of a million characters, each escaped in six.
    most integer := CASE noun WHEN 'activity' THEN 8388608 ELSE 1048576 END;
    item jsonb := saleshub.record_answer(noun);
    -- Only activities come in series.
    scoped text := CASE noun WHEN 'activity' THEN ', text' ELSE '' END;
    scope jsonb := CASE noun WHEN 'activity' THEN '{"scope": {
        "enum": ["this", "following", "all"],
        "description": "Of what recurs: this occurrence, this and the following, or all"}}'
        ELSE '{}' END;
BEGIN
    PERFORM saleshub.route(
        'GET ' || base,
        format('crm.%s_list(integer, text, text, text, text, jsonb, boolean, timestamptz, text)', noun),
        'List ' || plural, plural, cache => 'strict', answer => saleshub.page_shape(item),
        args => page || parts || jsonb_build_object(
            'sort', jsonb_build_object('description', sorts),
            'filter', '{"maxLength": 8000, "description":
                "The id of a saved filter, or conditions in JSON, which hold besides the others"}'::jsonb,
            'filters', jsonb_build_object('fields', filter_fields)));
    PERFORM saleshub.route(
        'POST ' || base, format('crm.%s_create(jsonb)', noun), 'Create ' || a, plural,
        success => 201, idempotent => true, max_body => most, answer => item,
        args => jsonb_build_object('body', meta -> 'create'));
    PERFORM saleshub.route(
        'GET ' || base || '/{id}', format('crm.%s_get(uuid, text, text, timestamptz)', noun),
        'Read ' || a, plural, cache => 'strict', args => parts, answer => item);
    PERFORM saleshub.route(
        'PATCH ' || base || '/{id}', format('crm.%s_update(uuid, jsonb, text%s)', noun, scoped),
        'Change ' || a, plural, max_body => most, answer => item,
        args => scope || jsonb_build_object('patch', meta -> 'patch'));
    PERFORM saleshub.route(
        'DELETE ' || base || '/{id}', format('crm.%s_delete(uuid, text%s)', noun, scoped),
        'Delete ' || a, plural, success => 204, args => scope);
    PERFORM saleshub.route(
        'POST ' || base || '/{id}/restore', format('crm.%s_restore(uuid)', noun),
        'Restore a deleted ' || noun, plural, answer => item);
    PERFORM saleshub.route(
        'GET ' || base || '/{id}/history', format('crm.%s_history(uuid, integer, text)', noun),
        'Every change of ' || a, plural, cache => 'strict', args => page,
        answer => saleshub.page_shape('"Change"'));
    PERFORM saleshub.route(
        'GET ' || base || '/{id}/timeline', format('crm.%s_timeline(uuid, integer, text)', noun),
        'What happened around ' || a, plural, cache => 'strict', args => page,
        answer => saleshub.page_shape('"TimelineEntry"'));
    PERFORM saleshub.route(
        'POST ' || base || ':batch', format('crm.%s_batch(jsonb)', noun),
        'Create, change and delete up to 1,000 ' || plural, plural, idempotent => true,
        timeout_ms => 60000, args => jsonb_build_object('body', saleshub.batch_schema()),
        answer => '"BatchResult"');
END;
$$;
COMMENT ON FUNCTION saleshub.record_routes(jsonb) IS
    'Registers the routes of a noun.';

CREATE FUNCTION saleshub.routes_lead() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.record_routes(saleshub.lead_meta());
END;
$$;
COMMENT ON FUNCTION saleshub.routes_lead() IS
    'Registers the routes of leads.';

CREATE FUNCTION saleshub.routes_contact() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.record_routes(saleshub.contact_meta());
END;
$$;
COMMENT ON FUNCTION saleshub.routes_contact() IS
    'Registers the routes of contacts.';

CREATE FUNCTION saleshub.routes_company() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.record_routes(saleshub.company_meta());
END;
$$;
COMMENT ON FUNCTION saleshub.routes_company() IS
    'Registers the routes of companies.';

CREATE FUNCTION saleshub.routes_activity() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.record_routes(saleshub.activity_meta());
END;
$$;
COMMENT ON FUNCTION saleshub.routes_activity() IS
    'Registers the routes of activities.';

CREATE FUNCTION saleshub.routes_product() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.record_routes(saleshub.product_meta());
END;
$$;
COMMENT ON FUNCTION saleshub.routes_product() IS
    'Registers the routes of products.';

CREATE FUNCTION saleshub.routes_deal() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.record_routes(saleshub.deal_meta());
    PERFORM saleshub.route(
        'POST /v1/deals/{id}/stage', 'crm.deal_stage(uuid, jsonb, text)',
        'Move a deal to another stage', 'deals',
        args => jsonb_build_object('body', saleshub.deal_stage_schema()),
        answer => '"Deal"');
    PERFORM saleshub.route(
        'GET /v1/deals/{id}/lines/history', 'crm.deal_line_history(uuid, integer, text)',
        'Every change of the lines of a deal', 'deals', cache => 'strict',
        answer => saleshub.page_shape('"object"'));
END;
$$;
COMMENT ON FUNCTION saleshub.routes_deal() IS
    'Registers the routes of deals.';

CREATE FUNCTION saleshub.routes_pipeline() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route('GET /v1/pipelines', 'crm.pipeline_list()',
                           'List pipelines with their stages', 'pipelines', cache => 'strict',
                           answer => saleshub.page_shape('"Pipeline"'));
    PERFORM saleshub.route(
        'POST /v1/pipelines', 'crm.pipeline_create(jsonb)', 'Create a pipeline', 'pipelines',
        success => 201, idempotent => true,
        args => jsonb_build_object('body', saleshub.pipeline_create_schema()),
        answer => '"Pipeline"');
    PERFORM saleshub.route('GET /v1/pipelines/{id}', 'crm.pipeline_get(uuid)', 'Read a pipeline',
                           'pipelines', cache => 'strict',
                           answer => '"Pipeline"');
    PERFORM saleshub.route(
        'PATCH /v1/pipelines/{id}', 'crm.pipeline_update(uuid, jsonb, text)', 'Change a pipeline',
        'pipelines', args => jsonb_build_object('patch', saleshub.pipeline_meta() -> 'patch'),
        answer => '"Pipeline"');
    PERFORM saleshub.route('DELETE /v1/pipelines/{id}', 'crm.pipeline_delete(uuid, text)',
                           'Remove a pipeline', 'pipelines', success => 204);
    PERFORM saleshub.route(
        'GET /v1/pipelines/{id}/board', 'crm.pipeline_board(uuid, integer, uuid)',
        'The deals of a pipeline by stage, with totals', 'pipelines', cache => 'strict',
        args => '{"limit": {"minimum": 1, "maximum": 200,
                            "description": "Deals per stage, 50 unless given"},
                  "owner_id": {"description": "Only the deals of this member"}}',
        answer => '"Board"');
    PERFORM saleshub.route(
        'POST /v1/pipelines/{id}/stages', 'crm.stage_create(uuid, jsonb)',
        'Add a stage to a pipeline', 'pipelines', success => 201, idempotent => true,
        args => jsonb_build_object('body', saleshub.stage_meta() -> 'create'),
        answer => '"Stage"');
    PERFORM saleshub.route('GET /v1/stages/{id}', 'crm.stage_get(uuid)', 'Read a stage',
                           'pipelines', cache => 'strict',
                           answer => '"Stage"');
    PERFORM saleshub.route(
        'PATCH /v1/stages/{id}', 'crm.stage_update(uuid, jsonb, text)', 'Change a stage',
        'pipelines', args => jsonb_build_object('patch', saleshub.stage_meta() -> 'patch'),
        answer => '"Stage"');
    PERFORM saleshub.route('DELETE /v1/stages/{id}', 'crm.stage_delete(uuid, text)',
                           'Remove a stage', 'pipelines', success => 204);
END;
$$;
COMMENT ON FUNCTION saleshub.routes_pipeline() IS
    'Registers the routes of pipelines.';
