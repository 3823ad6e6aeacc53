-- What clients call: crm.<noun>_create, _get, _list, _update, _delete, _restore, _history and
-- _timeline are alike for all nouns, so they are written once. An activity is created and changed
-- together with its links, a deal with its lines, and of activities that recur several may be changed
-- or deleted together: by functions of their own.
DO $do$
DECLARE
    noun text;
    plural text;
    call record;
BEGIN
    FOR noun, plural IN
        VALUES ('lead', 'leads'), ('contact', 'contacts'), ('company', 'companies'),
               ('deal', 'deals'), ('activity', 'activities'), ('product', 'products')
    LOOP
        FOR call IN
            SELECT * FROM (VALUES
                ('create', 'body jsonb', 'jsonb', 'VOLATILE', 'body',
                 'Creates a record of crm.%1$s and returns it'),
                ('get', 'id uuid, fields text DEFAULT NULL, include text DEFAULT NULL,'
                    ' as_of timestamptz DEFAULT NULL', 'jsonb',
                 'STABLE', 'id, fields, include, as_of',
                 'A record of crm.%1$s: all its fields or the comma list of fields; include adds what'
                    ' it refers to; as_of is the instant whose record is wanted'),
                ('list', 'limit_ integer DEFAULT 50, cursor_ text DEFAULT NULL,'
                    ' sort text DEFAULT NULL, fields text DEFAULT NULL, include text DEFAULT NULL,'
                    ' filters jsonb DEFAULT NULL, count_ boolean DEFAULT false,'
                    ' as_of timestamptz DEFAULT NULL, filter_ text DEFAULT NULL', 'jsonb', 'STABLE',
                 'limit_, cursor_, sort, fields, include, filters, count_, as_of, filter_',
                 'A page of %2$s: {"data", "next_cursor"}, "total" with count_; sort is like'
                    ' -created_at,id; filters are [{"field", "op", "value"}] or nested conditions,'
                    ' filter_ is the id of a saved filter or conditions as text'),
                ('update', 'id uuid, patch jsonb, if_match text DEFAULT NULL', 'jsonb', 'VOLATILE',
                 'id, patch, if_match',
                 'Changes a record of crm.%1$s by a JSON merge patch and returns it; SH412 when'
                    ' if_match names another version'),
                ('delete', 'id uuid, if_match text DEFAULT NULL', 'void', 'VOLATILE',
                 'id, if_match',
                 'Puts a record of crm.%1$s into the bin'),
                ('restore', 'id uuid', 'jsonb', 'VOLATILE', 'id',
                 'Takes a record of crm.%1$s out of the bin and returns it'),
                ('history', 'id uuid, limit_ integer DEFAULT 50, cursor_ text DEFAULT NULL',
                 'jsonb', 'STABLE', 'id, limit_, cursor_',
                 'Every change of a record of crm.%1$s, field by field, the newest first'),
                ('timeline', 'id uuid, limit_ integer DEFAULT 50, cursor_ text DEFAULT NULL',
                 'jsonb', 'STABLE', 'id, limit_, cursor_',
                 'Activities, conversions and changes of status, stage and owner of a record of'
                    ' crm.%1$s, the newest first')
            ) AS c (verb, args, result, volatility, passed, comment)
            WHERE NOT (noun IN ('activity', 'deal') AND verb IN ('create', 'update'))
                AND NOT (noun = 'activity' AND verb = 'delete')
        LOOP
            EXECUTE format(
                'CREATE OR REPLACE FUNCTION crm.%1$s_%2$s(%3$s) RETURNS %4$s'
                ' LANGUAGE plpgsql %5$s PARALLEL UNSAFE'
                ' SET search_path = pg_catalog, crm, pg_temp'
                ' AS $$ BEGIN %6$s saleshub.record_%2$s(saleshub.%1$s_meta(), %7$s); END; $$',
                noun, call.verb, call.args, call.result, call.volatility,
                CASE call.result WHEN 'void' THEN 'PERFORM' ELSE 'RETURN' END, call.passed);
            EXECUTE format('COMMENT ON FUNCTION crm.%s_%s IS %L', noun, call.verb,
                           format(call.comment, noun, plural));
        END LOOP;
    END LOOP;
END;
$do$;
