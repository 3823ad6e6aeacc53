-- References by name: what the rows at hand call other records is looked up, once for each name.

CREATE FUNCTION saleshub.import_find_one(target text, value text) RETURNS uuid[]
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
    called text := lower(saleshub.clean(value));
BEGIN
    IF target = 'company' THEN
        RETURN ARRAY(SELECT l.id FROM saleshub.import_lookup('company', 'name', ARRAY[value]) l
                     WHERE NOT l.deleted ORDER BY l.id LIMIT 2);
    ELSIF target = 'member' THEN
        RETURN ARRAY(
            SELECT m.member_id FROM crm.member m
            WHERE m.org_id = org AND (lower(m.name) = called OR m.email = called)
                AND m.deleted_at IS NULL AND m.active
            ORDER BY m.member_id LIMIT 2);
    ELSIF target = 'team' THEN
        RETURN ARRAY(SELECT l.id FROM saleshub.import_lookup('team', 'name', ARRAY[value]) l
                     WHERE NOT l.deleted ORDER BY l.id LIMIT 2);
    ELSIF target = 'product' THEN
        RETURN ARRAY(
            SELECT p.product_id FROM crm.product p
            WHERE p.org_id = org AND p.deleted_at IS NULL
                AND (lower(p.name) = called OR lower(p.sku) = called)
            ORDER BY p.product_id LIMIT 2);
    ELSIF target = 'pipeline' THEN
        RETURN ARRAY(
            SELECT p.pipeline_id FROM crm.pipeline p
            WHERE p.org_id = org AND lower(p.name) = called AND p.deleted_at IS NULL);
    ELSIF target = 'contact' THEN
        RETURN ARRAY(
            SELECT c.contact_id FROM crm.contact c
            WHERE c.org_id = org AND c.deleted_at IS NULL AND CASE WHEN called LIKE '%@%'
                THEN c.email = called
                ELSE c.last_name = saleshub.last_word(value)
                    AND c.first_name IS NOT DISTINCT FROM saleshub.first_names(value) END
            ORDER BY c.contact_id LIMIT 2);
    ELSIF target = 'lead' THEN
        RETURN ARRAY(
            SELECT l.lead_id FROM crm.lead l
            WHERE l.org_id = org AND l.email = called AND l.deleted_at IS NULL
            ORDER BY l.lead_id LIMIT 2);
    ELSIF target = 'deal' THEN
        RETURN ARRAY(SELECT l.id FROM saleshub.import_lookup('deal', 'name', ARRAY[value]) l
                     WHERE NOT l.deleted ORDER BY l.id LIMIT 2);
    END IF;
    RETURN '{}';
END;
$$;
COMMENT ON FUNCTION saleshub.import_find_one(text, text) IS
    'Up to two live records that are called so, as far as the member sees them: by name; members, contacts and leads also or only by e-mail, products by sku.';

CREATE FUNCTION saleshub.import_find(target text, value text) RETURNS uuid[]
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    ids uuid[] := saleshub.import_find_one(target, value);
BEGIN
    IF ids = '{}' AND value ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN
        RETURN CASE WHEN CASE target
            WHEN 'member' THEN EXISTS (SELECT FROM crm.member m WHERE m.org_id = saleshub.org_id()
                                       AND m.member_id = value::uuid AND m.deleted_at IS NULL)
            WHEN 'product' THEN EXISTS (SELECT FROM crm.product p WHERE p.org_id = saleshub.org_id()
                                        AND p.product_id = value::uuid AND p.deleted_at IS NULL)
            ELSE target IN ('lead', 'contact', 'company', 'deal')
                AND saleshub.reference_faults(saleshub.org_id(), '', target, value::uuid) = '[]' END
            THEN ARRAY[value::uuid] ELSE '{}' END;
    ELSIF ids = '{}' AND target = 'company' AND value LIKE '%.%' THEN
        RETURN ARRAY(SELECT l.id FROM saleshub.import_lookup('company', 'domain', ARRAY[value]) l
                     WHERE NOT l.deleted ORDER BY l.id LIMIT 2);
    END IF;
    RETURN ids;
END;
$$;
COMMENT ON FUNCTION saleshub.import_find(text, text) IS
    'Up to two records that a name, id or domain means.';

CREATE FUNCTION saleshub.import_suggest(target text, value text) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
    names text[];
BEGIN
    names := CASE target
        WHEN 'product' THEN ARRAY(SELECT p.name FROM crm.product p
            WHERE p.org_id = org AND p.deleted_at IS NULL LIMIT 2000)
        WHEN 'member' THEN ARRAY(SELECT m.name FROM crm.member m
            WHERE m.org_id = org AND m.deleted_at IS NULL LIMIT 2000)
        WHEN 'pipeline' THEN ARRAY(SELECT p.name FROM crm.pipeline p
            WHERE p.org_id = org AND p.deleted_at IS NULL)
        WHEN 'stage' THEN ARRAY(SELECT s.name FROM crm.stage s
            WHERE s.org_id = org AND s.deleted_at IS NULL)
        WHEN 'company' THEN ARRAY(SELECT c.name FROM crm.company c
            WHERE c.org_id = org AND c.deleted_at IS NULL
                AND lower(c.name) BETWEEN lower(left(value, 2)) AND lower(left(value, 2)) || '~'
            LIMIT 2000)
        ELSE '{}' END;
    RETURN coalesce(
        (SELECT n FROM unnest(names) n WHERE lower(n) = lower(saleshub.import_nearest(
            lower(value), ARRAY(SELECT lower(m) FROM unnest(names) m))) LIMIT 1),
        (SELECT n FROM unnest(names) n WHERE saleshub.match_fold(n) = saleshub.match_fold(value) LIMIT 1));
END;
$$;
COMMENT ON FUNCTION saleshub.import_suggest(text, text) IS
    'What a name that nothing has was probably meant to be; NULL for no idea.';

CREATE FUNCTION saleshub.import_make(target text, value text) RETURNS uuid
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    found uuid[];
    body jsonb := CASE WHEN target = 'contact' THEN jsonb_build_object('email', value)
                       ELSE jsonb_build_object('name', value) END;
BEGIN
    -- Whoever makes the same one comes before or after; names are made in one order.
    PERFORM pg_advisory_xact_lock(hashtextextended(
        'saleshub.import:' || saleshub.org_id() || target || lower(value), 0));
    found := saleshub.import_find(target, value);
    IF cardinality(found) > 0 THEN
        RETURN found[1];
    END IF;
    IF target IN ('company', 'contact') THEN
        body := body || '{"on_duplicate": "allow"}';
    END IF;
    RETURN (saleshub.run(format('SELECT crm.%I($1)', target || '_create'), body) ->> 'id')::uuid;
END;
$$;
COMMENT ON FUNCTION saleshub.import_make(text, text) IS
    'Makes the company, contact or product that rows refer to, unless somebody just did.';

CREATE FUNCTION saleshub.import_stages(layout jsonb, target jsonb) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    n integer[];
    value text;
    stage uuid;
BEGIN
    FOR n, value, stage IN EXECUTE format(
        'SELECT array_agg(r.n) AS n, r.value, s.stage_id FROM ('
        '  SELECT r.n, r.c%1$s AS value, %2$s AS pipeline FROM saleshub.import_rows(''new'') %3$s) r'
        ' LEFT JOIN LATERAL (SELECT s.stage_id FROM crm.stage s JOIN crm.pipeline p'
        '   ON p.org_id = s.org_id AND p.pipeline_id = s.pipeline_id AND p.deleted_at IS NULL'
        '  WHERE s.org_id = saleshub.org_id() AND s.deleted_at IS NULL'
        '   AND (lower(s.name) = lower(r.value) OR s.stage_id::text = r.value)'
        '   AND (r.pipeline IS NULL OR p.pipeline_id::text = r.pipeline)'
        '  ORDER BY p.is_default DESC, p.position, s.position LIMIT 1) s ON true'
        ' WHERE r.value IS NOT NULL GROUP BY r.value, s.stage_id',
        target ->> 'out', coalesce(saleshub.import_value(layout, 'pipeline_id'), 'NULL::text'),
        saleshub.import_shape(layout))
    LOOP
        IF stage IS NOT NULL THEN
            PERFORM saleshub.import_put((target ->> 'out')::integer, n,
                                        array_fill(stage::text, ARRAY[cardinality(n)]));
        ELSE
            PERFORM saleshub.import_unfound(target, 'stage', value, n);
        END IF;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION saleshub.import_stages(jsonb, jsonb) IS
    'Looks stages up: in the pipeline of the row, else in the default one first.';

CREATE FUNCTION saleshub.import_unfound(target jsonb, kind text, value text, n integer[]) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    near text := saleshub.import_suggest(kind, value);
    message text := format('names no %s', kind) || coalesce('; is it "' || near || '"?', '');
BEGIN
    PERFORM saleshub.import_note(true, 'not_found', target ->> 'column', n,
                                 array_fill(message, ARRAY[cardinality(n)]),
                                 array_fill(value, ARRAY[cardinality(n)]));
END;
$$;
COMMENT ON FUNCTION saleshub.import_unfound(jsonb, text, text, integer[]) IS
    'Notes that rows name what is not there, with what it was probably meant to be.';

CREATE FUNCTION saleshub.import_link(layout jsonb, target jsonb, made jsonb, makes boolean)
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    link jsonb := target -> 'link';
    kind text := link ->> 'to';
    value text;
    n integer[];
    ids uuid[];
    id uuid;
BEGIN
    FOR value, n IN EXECUTE format(
        'SELECT r.c%s AS value, array_agg(r.n ORDER BY r.n) AS n FROM saleshub.import_rows(''new'') %s'
        ' WHERE r.c%1$s IS NOT NULL GROUP BY 1 ORDER BY lower(r.c%1$s), 1',
        target ->> 'out', saleshub.import_shape(layout))
    LOOP
        ids := saleshub.import_find(kind, value);
        id := ids[1];
        IF cardinality(ids) > 1 THEN
            PERFORM saleshub.import_note(
                true, 'ambiguous', target ->> 'column', n,
                array_fill(format('names more than one %s', kind), ARRAY[cardinality(n)]),
                array_fill(value, ARRAY[cardinality(n)]));
            CONTINUE;
        ELSIF id IS NULL AND link ? 'later' THEN
            CONTINUE; -- maybe a row below; looked up at the end of the file
        ELSIF id IS NULL AND kind IN ('company', 'contact', 'product') AND makes
            AND (kind <> 'contact' OR saleshub.email_ok(lower(value)))
        THEN
            id := saleshub.import_make(kind, value);
            made := made || jsonb_build_object('entity', kind, 'id', id);
        ELSIF id IS NULL THEN
            PERFORM saleshub.import_unfound(target, kind, value, n);
            CONTINUE;
        END IF;
        PERFORM saleshub.import_put(
            (target ->> 'out')::integer, n,
            array_fill(CASE WHEN link ? 'by_name' THEN (
                SELECT p.name FROM crm.product p WHERE p.org_id = saleshub.org_id() AND p.product_id = id)
                ELSE id::text END, ARRAY[cardinality(n)]));
    END LOOP;
    RETURN made;
END;
$$;
COMMENT ON FUNCTION saleshub.import_link(jsonb, jsonb, jsonb, boolean) IS
    'Looks up what a column of the rows at hand refers to, and makes what is missing where that was asked for; returns what was made before and now.';

CREATE FUNCTION saleshub.import_later(layout jsonb) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    target jsonb;
    open_ jsonb;
    later jsonb := '[]';
BEGIN
    FOR target IN SELECT t FROM jsonb_array_elements(layout -> 'targets') t WHERE t #> '{link}' ? 'later'
    LOOP
        EXECUTE format(
            'SELECT coalesce(jsonb_agg(jsonb_build_object(''n'', r.n, ''line'', r.line, ''value'', r.c%1$s)), ''[]'')'
            ' FROM saleshub.import_rows(''new'') %2$s'
            ' WHERE r.c%1$s !~* ''^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$''',
            target ->> 'out', saleshub.import_shape(layout)) INTO open_;
        IF open_ <> '[]' THEN
            PERFORM saleshub.import_put(
                (target ->> 'out')::integer, ARRAY(SELECT (o ->> 'n')::integer FROM jsonb_array_elements(open_) o),
                array_fill(NULL::text, ARRAY[jsonb_array_length(open_)]));
            later := later || open_;
        END IF;
    END LOOP;
    RETURN later;
END;
$$;
COMMENT ON FUNCTION saleshub.import_later(jsonb) IS
    'Takes references that may be to rows of the same file out of the rows: [{n, line, value}].';

CREATE FUNCTION saleshub.import_link_all(entity text, layout jsonb, options jsonb) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    target jsonb;
    made jsonb := '[]';
    kind text;
BEGIN
    FOR target IN SELECT t FROM jsonb_array_elements(layout -> 'targets') t WHERE t ? 'link'
                  -- a stage is one of the row's pipeline
                  ORDER BY t #>> '{link,to}' = 'stage', t #>> '{link,to}', t ->> 'field'
    LOOP
        kind := target #>> '{link,to}';
        IF kind = 'stage' THEN
            PERFORM saleshub.import_stages(layout, target);
        ELSIF kind <> 'product' OR EXISTS (SELECT FROM crm.product p WHERE p.org_id = saleshub.org_id()) THEN
            made := saleshub.import_link(
                layout, target, made, coalesce((target #>> '{link,create}')::boolean,
                                               coalesce(options -> 'create', '[]') ? kind));
        END IF;
    END LOOP;
    RETURN made;
END;
$$;
COMMENT ON FUNCTION saleshub.import_link_all(text, jsonb, jsonb) IS
    'Looks up all that the rows at hand refer to. Returns what was made for them: [{entity, id}].';
