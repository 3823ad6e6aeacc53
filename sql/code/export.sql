-- Exports: the records that a list finds, all of them, as CSV or lines of JSON. The answer is a
-- cursor, whose rows are pieces of text of some 64 kB, made while they are fetched.

CREATE FUNCTION saleshub.export_chunks(rows_ text, format text, names text[], delimiter text,
                                       guard boolean, bom boolean, log uuid) RETURNS SETOF text
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 1000 AS 'MODULE_PATHNAME', 'sh_export_chunks';
COMMENT ON FUNCTION saleshub.export_chunks(text, text, text[], text, boolean, boolean, uuid) IS
    'The rows of a cursor as pieces of text: csv, with the names of its columns as a header, or ndjson, with the names as keys, which must come in the order of jsonb. The end is noted in the entry of the log';

CREATE FUNCTION saleshub.export_sent(OUT id uuid, OUT "rows" bigint, OUT bytes bigint)
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_export_sent';
COMMENT ON FUNCTION saleshub.export_sent() IS
    'What the latest export of this transaction gave out so far, even after a rollback to a savepoint; NULLs when there is none';

-- What is asked for

CREATE FUNCTION saleshub.export_noun(type text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    noun text := CASE type WHEN 'companies' THEN 'company' WHEN 'activities' THEN 'activity'
                 ELSE rtrim(type, 's') END;
BEGIN
    IF (noun = ANY ('{lead,contact,company,deal,activity,product}')) IS NOT TRUE THEN
        PERFORM saleshub.bad_parameter(
            'type', 'not_allowed',
            'must be leads, contacts, companies, deals, activities or products');
    END IF;
    RETURN noun;
END;
$$;
COMMENT ON FUNCTION saleshub.export_noun(text) IS
    'The noun of a parameter type, which may be its plural.';

CREATE FUNCTION saleshub.export_fields(noun text) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN CASE noun
        WHEN 'lead' THEN saleshub.lead_fields()
        WHEN 'contact' THEN saleshub.contact_fields()
        WHEN 'company' THEN saleshub.company_fields()
        WHEN 'deal' THEN saleshub.deal_fields()
        WHEN 'activity' THEN saleshub.activity_fields()
        WHEN 'product' THEN saleshub.product_fields()
        END || saleshub.record_fields();
END;
$$;
COMMENT ON FUNCTION saleshub.export_fields(text) IS
    'The fields of a noun in the order in which CSV has them.';

CREATE FUNCTION saleshub.export_accepts(accept text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN coalesce((
        SELECT CASE WHEN r.kind LIKE '%ndjson%' THEN 'ndjson' ELSE 'csv' END
        FROM string_to_table(lower(accept), ',') WITH ORDINALITY AS p (range, n),
             LATERAL (SELECT btrim(split_part(p.range, ';', 1)) AS kind,
                             coalesce(substring(p.range FROM ';\s*q=([01](\.\d{0,3})?)')::numeric,
                                      1) AS q) r
        WHERE r.kind IN ('text/csv', 'text/*', '*/*', 'application/x-ndjson', 'application/ndjson')
            AND r.q > 0
        ORDER BY r.q DESC, r.kind LIKE '%*%', p.n
        LIMIT 1), 'csv');
END;
$$;
COMMENT ON FUNCTION saleshub.export_accepts(text) IS
    'The format that a header Accept asks for, csv when it does not say.';

-- Columns of CSV

CREATE FUNCTION saleshub.export_flat(field jsonb, shown text, OUT name text, OUT sql text)
    RETURNS SETOF record
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    said text := field ->> 'name';
    col text := saleshub.field_column(field);
BEGIN
    CASE field ->> 'type'
        WHEN 'money' THEN
            RETURN QUERY VALUES
                (said, format('round(%1$s, greatest(2, min_scale(%1$s)))', col)),
                (coalesce(field ->> 'currency', said || '_currency'),
                 CASE WHEN field ? 'currency' THEN format('t.%I', field ->> 'currency')
                 ELSE format('CASE WHEN %s IS NOT NULL THEN'
                             ' (SELECT saleshub.org_currency(saleshub.org_id())) END', col) END);
        WHEN 'consent' THEN
            RETURN QUERY VALUES ('consent_email', 't.consent_email'),
                                ('consent_phone', 't.consent_phone');
        WHEN 'converted' THEN
            RETURN QUERY VALUES ('converted_at', 't.converted_at'),
                                ('converted_company_id', 't.converted_company_id'),
                                ('converted_contact_id', 't.converted_contact_id'),
                                ('converted_deal_id', 't.converted_deal_id');
        WHEN 'links' THEN
            RETURN QUERY SELECT said,
                '(SELECT array_agg(l.entity || '':'' || l.entity_id'
                ' ORDER BY l.entity, l.entity_id) FROM crm.activity_link l'
                ' WHERE l.org_id = t.org_id AND l.activity_id = t.activity_id)';
        WHEN 'lines' THEN
            RETURN QUERY SELECT said, format('nullif(%s, ''[]'')', saleshub.deal_lines());
        WHEN 'object' THEN
            RETURN QUERY SELECT said, format('nullif(nullif(%s, ''{}''), ''[]'')', shown);
        WHEN 'number' THEN
            RETURN QUERY SELECT said, format('trim_scale((%s)::numeric)', col);
        ELSE
            RETURN QUERY SELECT said, coalesce(field ->> 'sql', col);
    END CASE;
END;
$$;
COMMENT ON FUNCTION saleshub.export_flat(jsonb, text) IS
    'The columns of CSV that a field becomes, and the SQL text of their values; shown is that of its JSON, the row is called t.';

CREATE FUNCTION saleshub.export_custom_columns(meta jsonb, OUT name text, OUT sql text, OUT n bigint)
    RETURNS SETOF record
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    fields jsonb := '[]';
BEGIN
    IF meta -> 'json' ? 'custom' THEN
        fields := (SELECT coalesce(jsonb_agg(f.value ORDER BY f.n), '[]')
                   FROM jsonb_array_elements(saleshub.custom_fields(meta ->> 'noun'))
                        WITH ORDINALITY AS f (value, n)
                   WHERE meta -> 'filter' ? (f.value ->> 'name'));
        RETURN QUERY
        SELECT f.value ->> 'name', f.value ->> 'sql', f.n
        FROM jsonb_array_elements(fields) WITH ORDINALITY AS f (value, n)
        UNION ALL
        SELECT 'custom', format('nullif(%s%s, ''{}'')', meta #>> '{json,custom}', (
                   SELECT format(' - %L::text[]', array_agg(f ->> 'key'))
                   FROM jsonb_array_elements(fields) f HAVING count(*) > 0)),
               jsonb_array_length(fields) + 1::bigint;
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.export_custom_columns(jsonb) IS
    'The columns of CSV of the custom fields that the member sees, and of what else stands in custom.';

CREATE FUNCTION saleshub.export_columns(meta jsonb, OUT name text, OUT sql text, OUT field text,
                                        OUT place bigint)
    RETURNS SETOF record
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    hidden text[] := saleshub.hidden_fields(meta ->> 'noun');
BEGIN
    -- A currency may be a field of its own: each column is written once, where it comes first.
    RETURN QUERY
    SELECT DISTINCT ON (c.name) c.name, c.sql, f.value ->> 'name', f.n * 10000 + c.n
    FROM jsonb_array_elements(saleshub.export_fields(meta ->> 'noun')) WITH ORDINALITY AS f (value, n),
         LATERAL (SELECT x.name, x.sql, row_number() OVER () AS n
                  FROM saleshub.export_flat(f.value, meta -> 'json' ->> (f.value ->> 'name')) x
                  WHERE f.value ->> 'name' <> 'custom'
                  UNION ALL
                  SELECT x.* FROM saleshub.export_custom_columns(meta) x
                  WHERE f.value ->> 'name' = 'custom') c
    WHERE meta -> 'json' ? (f.value ->> 'name') AND c.name <> ALL (hidden)
    ORDER BY c.name, f.n, c.n;
END;
$$;
COMMENT ON FUNCTION saleshub.export_columns(jsonb) IS
    'The columns of CSV of a noun that the member sees.';

CREATE FUNCTION saleshub.export_custom(meta jsonb, name text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN pg_catalog.format('(%s) ->> %L', meta #>> '{json,custom}', pg_catalog.substr(name, 8));
COMMENT ON FUNCTION saleshub.export_custom(jsonb, text) IS
    'SQL text of the value of a custom field, custom.<key>, as far as the member sees it.';

CREATE FUNCTION saleshub.export_chosen(meta jsonb, fields text, OUT names text[], OUT sql text)
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    unknown text;
BEGIN
    IF nullif(fields, '') IS NULL THEN
        SELECT array_agg(c.name ORDER BY c.place), string_agg(c.sql, ', ' ORDER BY c.place)
        INTO names, sql
        FROM saleshub.export_columns(meta) c;
        RETURN;
    END IF;
    -- a field stands for all its columns; a column can be asked for alone
    WITH wanted AS (
        SELECT btrim(w) AS name, n FROM string_to_table(fields, ',') WITH ORDINALITY AS e (w, n)
        WHERE btrim(w) <> ''
    ), col AS MATERIALIZED (
        SELECT * FROM saleshub.export_columns(meta)
    ), hit AS (
        SELECT w.name AS asked, w.n, c.name, c.sql, c.place
        FROM wanted w LEFT JOIN col c
            ON w.name IN (c.name, c.field) OR w.name = 'custom.*' AND c.name LIKE 'custom.%'
        UNION ALL
        SELECT w.name, w.n, w.name, saleshub.export_custom(meta, w.name), 0
        FROM wanted w
        WHERE w.name LIKE 'custom._%' AND w.name <> 'custom.*'
            AND EXISTS (SELECT FROM col c WHERE c.name = 'custom')
            AND w.name <> ALL (saleshub.hidden_fields(meta ->> 'noun'))
            AND NOT EXISTS (SELECT FROM col c WHERE c.name = w.name)
    ), once AS (
        SELECT DISTINCT ON (h.name) h.* FROM hit h WHERE h.name IS NOT NULL
        ORDER BY h.name, h.n, h.place
    )
    SELECT array_agg(o.name ORDER BY o.n, o.place), string_agg(o.sql, ', ' ORDER BY o.n, o.place),
           (SELECT min(w.name) FROM wanted w
            WHERE NOT EXISTS (SELECT FROM hit h WHERE h.n = w.n AND h.name IS NOT NULL))
    INTO names, sql, unknown
    FROM once o;
    IF unknown IS NOT NULL OR names IS NULL THEN
        PERFORM saleshub.bad_parameter('fields', 'unknown',
                                       format('There is no field "%s".', unknown));
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.export_chosen(jsonb, text) IS
    'Header of CSV and SQL text of its columns: of all fields that the member sees, or of a comma list of fields, columns and custom.<key>.';

CREATE FUNCTION saleshub.export_keys(meta jsonb, fields text, OUT names text[], OUT sql text)
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    -- what records show may be made of them as JSON is; times are written faster from the column
    PERFORM saleshub.record_projection(meta, fields, NULL);
    SELECT array_agg(j.key ORDER BY length(j.key), j.key COLLATE "C"),
           string_agg(CASE WHEN j.value = format('saleshub.utc(t.%I)', j.key)
                      THEN format('t.%I', j.key) ELSE j.value END, ', '
                      ORDER BY length(j.key), j.key COLLATE "C")
    INTO names, sql
    FROM jsonb_each_text(meta -> 'json') j
    WHERE fields IS NULL OR j.key IN (
        SELECT btrim(f) FROM string_to_table('id,' || fields, ',') f);
END;
$$;
COMMENT ON FUNCTION saleshub.export_keys(jsonb, text) IS
    'Keys and SQL text of the values of lines of JSON: a record as the API shows it, or some fields of it, in the order of jsonb.';

-- The log

CREATE FUNCTION saleshub.export_note(entry jsonb) RETURNS uuid
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    id uuid;
BEGIN
    INSERT INTO crm.export_log (org_id, noun, format, fields, conditions, saved_filter_id, as_of,
                                member_id, request_id)
    VALUES (saleshub.org_id(), entry ->> 'noun', entry ->> 'format', entry ->> 'fields',
            nullif(entry -> 'conditions', 'null'), (entry ->> 'saved_filter_id')::uuid,
            (entry ->> 'as_of')::timestamptz, saleshub.member_id(), saleshub.request_id())
    RETURNING export_log_id INTO id;
    RETURN id;
END;
$$;
ALTER FUNCTION saleshub.export_note(jsonb) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.export_note(jsonb) IS
    'Notes that the acting member begins an export.';

CREATE FUNCTION saleshub.export_note_sent(id uuid, "rows" bigint, bytes bigint, complete boolean)
    RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    UPDATE crm.export_log l
    SET "rows" = export_note_sent."rows", bytes = export_note_sent.bytes,
        complete = export_note_sent.complete
    WHERE l.org_id = saleshub.org_id() AND l.export_log_id = export_note_sent.id
        AND l.member_id IS NOT DISTINCT FROM saleshub.member_id()
        -- what was begun in another transaction is settled
        AND l.at = now();
END;
$$;
ALTER FUNCTION saleshub.export_note_sent(uuid, bigint, bigint, boolean) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.export_note_sent(uuid, bigint, bigint, boolean) IS
    'Notes how much an export of this transaction gave out.';

CREATE FUNCTION saleshub.stream_cut() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.export_note_sent(s.id, s."rows", s.bytes, false)
    FROM saleshub.export_sent() s
    WHERE s.id IS NOT NULL;
END;
$$;
COMMENT ON FUNCTION saleshub.stream_cut() IS
    'For the gateway: the reader of the cursor that this transaction gives out left before its end.';

CREATE FUNCTION crm.export_log_list(limit_ integer DEFAULT 50, cursor_ text DEFAULT NULL,
                                    member_id uuid DEFAULT NULL) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    page integer := saleshub.list_limit(limit_);
    stamp text := md5('exports' || coalesce(export_log_list.member_id::text, ''));
    before uuid;
BEGIN
    PERFORM saleshub.need_member();
    IF cursor_ IS NOT NULL THEN
        before := saleshub.list_place(
            cursor_, stamp, '[{"cast": "uuid", "not_null": true}]') ->> 0;
    END IF;
    RETURN saleshub.page_json((
        SELECT jsonb_agg(jsonb_build_object(
            'place', jsonb_build_array(e.export_log_id),
            'doc', jsonb_build_object(
                'id', e.export_log_id, 'type', e.noun, 'format', e.format, 'fields', e.fields,
                'conditions', e.conditions, 'filter_id', e.saved_filter_id,
                'as_of', saleshub.utc(e.as_of), 'rows', e."rows", 'bytes', e.bytes,
                'complete', e.complete, 'member_id', e.member_id, 'request_id', e.request_id,
                'at', saleshub.utc(e.at))) ORDER BY e.export_log_id DESC)
        FROM (
            SELECT * FROM crm.export_log l
            WHERE l.org_id = saleshub.org_id() AND (before IS NULL OR l.export_log_id < before)
                AND (export_log_list.member_id IS NULL
                     OR l.member_id = export_log_list.member_id)
            ORDER BY l.export_log_id DESC
            LIMIT page + 1
        ) e
    ), page, stamp);
END;
$$;
COMMENT ON FUNCTION crm.export_log_list(integer, text, uuid) IS
    'A page of the exports that were taken, the newest first: for admins those of all members, for others their own';

-- The export

CREATE FUNCTION saleshub.disposition(name text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    clean text := left(btrim(regexp_replace(name, '[\x01-\x1f\x7f/\\:*?"<>|]+', '_', 'g')), 200);
    plain text := regexp_replace(clean, '[^ -~]|%', '_', 'g');
BEGIN
    IF plain = clean THEN
        RETURN format('attachment; filename="%s"', plain);
    END IF;
    RETURN format('attachment; filename="%s"; filename*=UTF-8''''%s', plain, (
        SELECT string_agg(CASE WHEN c ~ '^[A-Za-z0-9._~-]$' THEN c ELSE
                   regexp_replace(upper(encode(convert_to(c, 'UTF8'), 'hex')), '(..)', '%\1', 'g')
                   END, '' ORDER BY n)
        FROM string_to_table(clean, NULL) WITH ORDINALITY AS e (c, n)));
END;
$$;
COMMENT ON FUNCTION saleshub.disposition(text) IS
    'Content-Disposition of a file to be saved under a name (RFC 6266): with the name in UTF-8 (RFC 8187) when ASCII cannot say it.';

CREATE FUNCTION saleshub.export_headers(meta jsonb, format text, filter_ text) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    title text := meta ->> 'plural';
BEGIN
    IF saleshub.format_ok('uuid', filter_) THEN
        SELECT f.name INTO title FROM crm.saved_filter f
        WHERE f.org_id = saleshub.org_id() AND f.saved_filter_id = filter_::uuid;
    END IF;
    RETURN jsonb_build_object(
        'Content-Type', CASE format WHEN 'csv' THEN 'text/csv; charset=utf-8; header=present'
                        ELSE 'application/x-ndjson' END,
        'Content-Disposition', saleshub.disposition(format(
            '%s %s.%s', title, to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD'), format)));
END;
$$;
COMMENT ON FUNCTION saleshub.export_headers(jsonb, text, text) IS
    'What HTTP says of an export: media type and file name.';

CREATE FUNCTION saleshub.export_name(wanted text) RETURNS refcursor
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    free text := wanted;
    n integer := 1;
BEGIN
    WHILE EXISTS (SELECT FROM pg_cursors c WHERE c.name = free) LOOP
        n := n + 1;
        free := wanted || '_' || n;
    END LOOP;
    RETURN free;
END;
$$;
COMMENT ON FUNCTION saleshub.export_name(text) IS
    'A name that no cursor has: the wanted one, or with a number.';

CREATE FUNCTION crm.export(
    type text, format text DEFAULT NULL, fields text DEFAULT NULL, sort text DEFAULT NULL,
    filter_ text DEFAULT NULL, filters jsonb DEFAULT NULL, as_of timestamptz DEFAULT NULL,
    delimiter text DEFAULT ',', bom boolean DEFAULT false, formulas text DEFAULT 'guard',
    accept text DEFAULT NULL) RETURNS refcursor
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp SET cursor_tuple_fraction = 1
AS $$
DECLARE
    noun text := saleshub.export_noun(type);
    meta jsonb := saleshub.visible_meta(saleshub.filtered_meta(noun));
    given record;
    wanted record;
    chosen record;
    source refcursor := saleshub.export_name('export_rows');
    chunks refcursor := saleshub.export_name('export');
    log uuid;
BEGIN
    format := coalesce(format, saleshub.export_accepts(accept));
    PERFORM saleshub.export_check(format, delimiter, formulas);
    SELECT * INTO given FROM saleshub.filter_given(meta, filter_);
    IF as_of IS NOT NULL THEN
        PERFORM saleshub.as_of_check(noun, as_of, NULL);
        meta := saleshub.custom_unindexed(meta);
    END IF;
    SELECT * INTO wanted FROM saleshub.list_filters(meta, filters, given.conditions);
    IF format = 'csv' THEN
        SELECT * INTO chosen FROM saleshub.export_chosen(meta, fields);
    ELSE
        SELECT * INTO chosen FROM saleshub.export_keys(meta, nullif(fields, ''));
    END IF;
    OPEN source NO SCROLL FOR EXECUTE
        'SELECT ' || saleshub.as_of_sql(chosen.sql, as_of)
        || saleshub.record_from(meta, as_of, false)
        || ' WHERE t.org_id = saleshub.org_id() AND t.deleted_at IS NULL'
        || saleshub.as_of_sql(wanted.sql, as_of)
        || CASE WHEN as_of IS NULL THEN saleshub.visible_where(noun) ELSE '' END
        || saleshub.list_order_by(saleshub.list_order(
            meta, coalesce(nullif(sort, ''), given.sort, 'id')))
        USING jsonb_build_object('f', wanted.args, 'as_of', as_of);
    IF NOT current_setting('transaction_read_only')::boolean THEN
        log := saleshub.export_note(jsonb_build_object(
            'noun', noun, 'format', format, 'fields', fields, 'as_of', as_of,
            'conditions', CASE WHEN filter_ IS NULL OR saleshub.format_ok('uuid', filter_)
                THEN filters
                ELSE jsonb_build_object('filter', given.conditions, 'filters', filters) END,
            'saved_filter_id', CASE WHEN saleshub.format_ok('uuid', filter_) THEN filter_ END));
    END IF;
    OPEN chunks NO SCROLL FOR
        SELECT saleshub.export_chunks(
            source::text, format, chosen.names,
            CASE delimiter WHEN 'tab' THEN E'\t' ELSE delimiter END,
            formulas = 'guard', bom, log) AS chunk;
    PERFORM saleshub.reply(headers => saleshub.export_headers(meta, format, filter_));
    RETURN chunks;
END;
$$;
COMMENT ON FUNCTION crm.export(text, text, text, text, text, jsonb, timestamptz, text, boolean,
                               text, text) IS
    'All records that a list finds, as the member sees them: a cursor whose rows are pieces of text, csv or ndjson. BEGIN; SELECT crm.export(''leads''); FETCH ALL FROM export; COMMIT';

CREATE FUNCTION saleshub.export_check(format text, delimiter text, formulas text) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF format NOT IN ('csv', 'ndjson') THEN
        PERFORM saleshub.bad_parameter('format', 'not_allowed', 'must be csv or ndjson');
    ELSIF (delimiter IN (',', ';', '|', E'\t', 'tab')) IS NOT TRUE THEN
        PERFORM saleshub.bad_parameter('delimiter', 'not_allowed',
                                       'must be a comma, semicolon, bar or tab');
    ELSIF (formulas IN ('guard', 'keep')) IS NOT TRUE THEN
        PERFORM saleshub.bad_parameter('formulas', 'not_allowed', 'must be guard or keep');
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.export_check(text, text, text) IS
    'Refuses what exports do not know.';

CREATE FUNCTION saleshub.export_filters() RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    -- What a value may be depends on the type; the function itself looks closer.
    RETURN (
        SELECT jsonb_object_agg(f.name, CASE WHEN f.schemas = 1 THEN f.schema
                                ELSE '{"type": "string"}' END)
        FROM (
            SELECT e.key AS name, count(DISTINCT e.value -> 'schema') AS schemas,
                   (array_agg(e.value -> 'schema'))[1] AS schema
            FROM unnest(ARRAY['lead', 'contact', 'company', 'deal', 'activity', 'product']) noun,
                 jsonb_each(saleshub.filtered_meta(noun) -> 'filter') e
            GROUP BY 1) f);
END;
$$;
COMMENT ON FUNCTION saleshub.export_filters() IS
    'The fields that some type of record can be filtered by, with what their values may be.';

CREATE FUNCTION saleshub.routes_export() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route(
        'GET /v1/exports',
        'crm.export(text, text, text, text, text, jsonb, timestamptz, text, boolean, text, text)',
        'Export records as CSV or lines of JSON', 'exports', timeout_ms => 600000,
        answer => '{"=": {"text/csv": {"schema": {"type": "string"}},
                          "application/x-ndjson": {"schema": {"type": "string"}}}}',
        args => '{
            "type": {"enum": ["leads", "contacts", "companies", "deals", "activities", "products"]},
            "format": {"enum": ["csv", "ndjson"],
                "description": "As the header Accept says, csv unless given"},
            "fields": {"description":
                "Only these fields, columns and custom.<key>, a comma list"},
            "sort": {"description":
                "Up to three fields as lists have them; in the order of ids unless given"},
            "filter": {"maxLength": 8000, "description":
                "The id of a saved filter, or conditions in JSON, which hold besides the others"},
            "as_of": {"description": "As it was at this past instant"},
            "delimiter": {"enum": [",", ";", "|", "\t", "tab"],
                "description": "Between the cells of CSV, a comma unless given"},
            "bom": {"description": "Begin CSV with a byte order mark, as some spreadsheets want it"},
            "formulas": {"enum": ["guard", "keep"], "description":
                "guard: an apostrophe before text in CSV that a spreadsheet would run; keep: as it is"}
            }'::jsonb || jsonb_build_object('filters', jsonb_build_object(
                'fields', saleshub.export_filters())));
    PERFORM saleshub.route(
        'GET /v1/exports/log', 'crm.export_log_list(integer, text, uuid)',
        'Exports that were taken, and by whom', 'exports', cache => 'strict',
        args => saleshub.page_args()
            || '{"member_id": {"description": "Only those of this member"}}',
        answer => saleshub.page_shape('"ExportLog"'));
END;
$$;
COMMENT ON FUNCTION saleshub.routes_export() IS 'Registers the routes of exports.';
