CREATE FUNCTION saleshub.routes_import() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    page jsonb := saleshub.page_args();
    file jsonb := jsonb_build_object('upload', jsonb_build_object(
        'types', '["text/csv", "text/plain", "text/tab-separated-values", "application/csv",
                   "application/vnd.ms-excel", "application/octet-stream"]'::jsonb, 'max', 1073741824));
BEGIN
    PERFORM saleshub.route('GET /v1/imports', 'crm.import_list(integer, text)', 'List imports', 'imports', args => page,
        answer => saleshub.page_shape('"Import"'));
    PERFORM saleshub.route(
        'POST /v1/imports', 'crm.import_create(text, uuid, jsonb, boolean)',
        'Import a CSV file, or say what would come of it', 'imports', success => 201, timeout_ms => 300000,
        args => file || jsonb_build_object('type', '{"description":
            "leads, contacts, companies, deals, activities, products or members"}'::jsonb),
        accepted => true, answer => '"Import"');
    PERFORM saleshub.route('GET /v1/imports/{id}', 'crm.import_get(uuid)', 'Read an import and its progress', 'imports',
        answer => '"Import"');
    PERFORM saleshub.route(
        'GET /v1/imports/{id}/issues', 'crm.import_issues(uuid, text, integer, text)',
        'What was wrong or strange, row by row', 'imports',
        args => page || '{"level": {"enum": ["error", "warning"]}}',
        answer => saleshub.page_shape('"ImportIssue"'));
    PERFORM saleshub.route('GET /v1/imports/{id}/errors.csv', 'crm.import_errors(uuid)',
                           'The rows that failed, with what was wrong', 'imports',
                           answer => '{"=": {"text/csv": {"schema": {"type": "string"}}}}');
    PERFORM saleshub.route('POST /v1/imports/{id}/run', 'crm.import_run(uuid)', 'Do what a dry run planned', 'imports',
                           timeout_ms => 300000,
                           accepted => true, answer => '"Import"');
    PERFORM saleshub.route('POST /v1/imports/{id}/cancel', 'crm.import_cancel(uuid)', 'Stop an import', 'imports',
        answer => '"Import"');
    PERFORM saleshub.route('POST /v1/imports/{id}/undo', 'crm.import_undo(uuid)', 'Take an import back', 'imports',
                           timeout_ms => 300000,
                           accepted => true, answer => '"Import"');
    PERFORM saleshub.route(
        'POST /v1/imports/{id}/retry', 'crm.import_retry(uuid, uuid, boolean)',
        'Import a corrected file for the rows that failed', 'imports', success => 201, timeout_ms => 300000,
        accepted => true, answer => '"Import"');
END;
$$;
COMMENT ON FUNCTION saleshub.routes_import() IS
    'Registers the routes of imports.';
