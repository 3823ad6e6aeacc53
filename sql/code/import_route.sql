CREATE FUNCTION saleshub.routes_import() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    page jsonb := '{
        "limit": {"minimum": 1, "maximum": 200, "description": "Rows per page, 50 unless given"},
        "cursor": {"description": "The next_cursor of the page before"}}';
BEGIN
    PERFORM saleshub.route('GET /v1/imports', 'crm.import_list(integer, text)', 'List imports', 'imports', args => page);
    PERFORM saleshub.route('GET /v1/imports/{id}', 'crm.import_get(uuid)', 'Read an import and its progress', 'imports');
    PERFORM saleshub.route(
        'GET /v1/imports/{id}/issues', 'crm.import_issues(uuid, text, integer, text)',
        'What was wrong or strange, row by row', 'imports',
        args => page || '{"level": {"enum": ["error", "warning"]}}');
    PERFORM saleshub.route('POST /v1/imports/{id}/run', 'crm.import_run(uuid)', 'Do what a dry run planned', 'imports',
                           timeout_ms => 120000);
    PERFORM saleshub.route('POST /v1/imports/{id}/cancel', 'crm.import_cancel(uuid)', 'Stop an import', 'imports');
    PERFORM saleshub.route('POST /v1/imports/{id}/undo', 'crm.import_undo(uuid)', 'Take an import back', 'imports',
                           timeout_ms => 120000);
END;
$$;
COMMENT ON FUNCTION saleshub.routes_import() IS
    'Registers the routes of imports.';
