-- Records that only reports read, quotas and costs: created, read, listed, changed and taken away,
-- and nothing more. Both are called alike, so that is written once.

CREATE FUNCTION saleshub.plain_delete(meta jsonb, id uuid, if_match text) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.record_require_write();
    PERFORM saleshub.record_match(meta, id, if_match);
    PERFORM saleshub.run('UPDATE ' || (meta ->> 'table') || ' AS t SET deleted_at = now()'
                         || saleshub.record_where(meta), jsonb_build_object('id', id));
    PERFORM saleshub.reply(204);
END;
$$;
COMMENT ON FUNCTION saleshub.plain_delete(jsonb, uuid, text) IS
    'Takes away a living row; nothing hangs on it.';

CREATE FUNCTION saleshub.plain_routes(meta jsonb, said text[]) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    noun constant text := meta ->> 'noun';
    base constant text := '/v1/' || (meta ->> 'plural');
    item constant jsonb := saleshub.record_answer(noun);
BEGIN
    PERFORM saleshub.route(
        'GET ' || base, format('crm.%s_list(integer, text, text, jsonb, boolean)', noun), said[1],
        'analytics', cache => 'strict', answer => saleshub.page_shape(item),
        args => saleshub.page_args() || jsonb_build_object('filters', jsonb_build_object(
            'fields', (SELECT jsonb_object_agg(f.key, f.value -> 'schema')
                       FROM jsonb_each(meta -> 'filter') f))));
    PERFORM saleshub.route('POST ' || base, format('crm.%s_create(jsonb)', noun), said[2],
                           'analytics', success => 201, idempotent => true, answer => item,
                           args => jsonb_build_object('body', meta -> 'create'));
    PERFORM saleshub.route('GET ' || base || '/{id}', format('crm.%s_get(uuid)', noun), said[3],
                           'analytics', cache => 'strict', answer => item);
    PERFORM saleshub.route('PATCH ' || base || '/{id}',
                           format('crm.%s_update(uuid, jsonb, text)', noun), said[4],
                           'analytics', answer => item, args => jsonb_build_object('patch', meta -> 'patch'));
    PERFORM saleshub.route('DELETE ' || base || '/{id}', format('crm.%s_delete(uuid, text)', noun),
                           said[5], 'analytics', success => 204);
END;
$$;
COMMENT ON FUNCTION saleshub.plain_routes(jsonb, text[]) IS
    'Registers the routes of a noun of this kind; said is what they do: list, create, read, change, delete';

DO $do$
DECLARE
    call record;
BEGIN
    FOR call IN
        SELECT n.noun, v.*, n.said[v.i] AS comment
        FROM (VALUES
            ('quota', ARRAY[
                'Sets a quota: {member_id or team_id, period_from, period_to (exclusive), amount, currency}; the period is a month, quarter or year of the fiscal calendar. For admins and managers',
                'A quota', 'A page of quotas', 'Changes a quota by a merge patch and returns it',
                'Takes a quota away']),
            ('source_cost', ARRAY[
                'Says what a source, or a campaign of it, cost in a period: {source, campaign, period_from, period_to (exclusive), amount, currency, note}. For admins and managers',
                'What a source cost in a period', 'A page of what sources cost',
                'Changes a cost by a merge patch and returns it', 'Takes a cost out of all reports'])
        ) AS n (noun, said)
        CROSS JOIN (VALUES
            (1, 'create', 'body jsonb', 'jsonb', 'VOLATILE', 'record_create', 'body'),
            (2, 'get', 'id uuid', 'jsonb', 'STABLE', 'record_get', 'id'),
            (3, 'list', 'limit_ integer DEFAULT NULL, cursor_ text DEFAULT NULL,'
                ' sort text DEFAULT NULL, filters jsonb DEFAULT NULL, count_ boolean DEFAULT NULL',
             'jsonb', 'STABLE', 'record_list', 'limit_, cursor_, sort, NULL, NULL, filters, count_'),
            (4, 'update', 'id uuid, patch jsonb, if_match text DEFAULT NULL', 'jsonb', 'VOLATILE',
             'record_update', 'id, patch, if_match'),
            (5, 'delete', 'id uuid, if_match text DEFAULT NULL', 'void', 'VOLATILE',
             'plain_delete', 'id, if_match')
        ) AS v (i, verb, args, result, volatility, called, passed)
    LOOP
        EXECUTE format(
            'CREATE FUNCTION crm.%1$s_%2$s(%3$s) RETURNS %4$s LANGUAGE plpgsql %5$s PARALLEL UNSAFE'
            ' SET search_path = pg_catalog, crm, pg_temp'
            ' AS $$ BEGIN %6$s saleshub.%7$s(saleshub.%1$s_meta(), %8$s); END; $$',
            call.noun, call.verb, call.args, call.result, call.volatility,
            CASE call.result WHEN 'void' THEN 'PERFORM' ELSE 'RETURN' END, call.called, call.passed);
        EXECUTE format('COMMENT ON FUNCTION crm.%s_%s IS %L', call.noun, call.verb, call.comment);
    END LOOP;
END;
$do$;
