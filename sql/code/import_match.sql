-- What becomes of the rows at hand: which records they mean, and what is strange about them.

CREATE FUNCTION saleshub.import_key_value(layout jsonb, field text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF field LIKE 'custom.%' THEN
        RETURN format('(%s::jsonb ->> %L)', saleshub.import_value(layout, 'custom'), substr(field, 8));
    END IF;
    RETURN 'r.c' || (SELECT t ->> 'out' FROM jsonb_array_elements(layout -> 'targets') t
                     WHERE t ->> 'field' = field LIMIT 1);
END;
$$;
COMMENT ON FUNCTION saleshub.import_key_value(jsonb, text) IS
    'SQL text of what a row gives for a field that tells records apart.';

CREATE FUNCTION saleshub.import_meet(entity text, layout jsonb, options jsonb, place integer) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    field text := layout -> 'keys' ->> place;
    value text := saleshub.import_key_value(layout, field);
    on_match text := coalesce(options #>> '{match,on_match}', 'update');
    given integer[];
    texts text[];
    many integer[];
    binned integer[];
    one integer[];
    ids uuid[];
BEGIN
    EXECUTE format('SELECT array_agg(r.n), array_agg(%1$s) FROM saleshub.import_rows(''new'') %2$s WHERE %1$s IS NOT NULL',
                   value, saleshub.import_shape(layout)) INTO given, texts;
    IF given IS NULL THEN
        RETURN;
    END IF;
    SELECT array_agg(given[m.n]) FILTER (WHERE cardinality(m.ids) > 1),
           array_agg(given[m.n]) FILTER (WHERE cardinality(m.ids) = 1),
           array_agg(m.ids[1]) FILTER (WHERE cardinality(m.ids) = 1),
           array_agg(given[m.n]) FILTER (WHERE m.ids = '{}')
    INTO many, one, ids, binned
    FROM (SELECT l.n, coalesce(array_agg(l.id) FILTER (WHERE NOT l.deleted), '{}') AS ids
          FROM saleshub.import_lookup(entity, field, texts) l GROUP BY l.n) m;
    IF many IS NOT NULL THEN
        PERFORM saleshub.import_mark(CASE on_match WHEN 'create' THEN 'create' ELSE 'conflict' END, many, NULL);
        PERFORM saleshub.import_note(true, 'ambiguous', saleshub.import_header(layout, field), many,
            array_fill(format('more than one %s has this %s', entity, field), ARRAY[cardinality(many)]), NULL)
        WHERE on_match <> 'create';
    END IF;
    IF binned IS NOT NULL THEN
        PERFORM saleshub.import_note(false, 'deleted_match', saleshub.import_header(layout, field), binned,
            array_fill(format('a deleted %s has this %s; it is left alone', entity, field), ARRAY[cardinality(binned)]), NULL);
    END IF;
    IF one IS NOT NULL THEN
        PERFORM saleshub.import_mark(CASE on_match WHEN 'skip' THEN 'skip' WHEN 'create' THEN 'create' ELSE 'update' END,
                                     one, CASE WHEN on_match <> 'create' THEN ids END);
    END IF;
    PERFORM saleshub.import_unmet(layout, options, value, field);
END;
$$;
COMMENT ON FUNCTION saleshub.import_meet(text, jsonb, jsonb, integer) IS
    'Looks up the records of rows by the field of that place among the keys, and says what becomes of those that have it.';

CREATE FUNCTION saleshub.import_header(layout jsonb, field text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT t.value ->> 'column' FROM jsonb_array_elements(import_header.layout -> 'targets') t
    WHERE t.value ->> 'field' = import_header.field LIMIT 1;
END;
COMMENT ON FUNCTION saleshub.import_header(jsonb, text) IS
    'The header of the column that gives a field.';

CREATE FUNCTION saleshub.import_unmet(layout jsonb, options jsonb, value text, field text) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    what text := coalesce(options #>> '{match,on_missing}', 'create');
    n integer[];
BEGIN
    EXECUTE format('SELECT array_agg(r.n) FROM saleshub.import_rows(''new'') %s WHERE %s IS NOT NULL',
                   saleshub.import_shape(layout), value) INTO n;
    IF n IS NULL OR coalesce((options #>> '{match,fuzzy}')::boolean, false) THEN
        RETURN;
    ELSIF what = 'error' OR field = 'id' THEN
        PERFORM saleshub.import_note(true, 'not_found', saleshub.import_header(layout, field), n,
                                     array_fill('names no record'::text, ARRAY[cardinality(n)]), NULL);
    ELSE
        PERFORM saleshub.import_mark(what, n, NULL);
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.import_unmet(jsonb, jsonb, text, text) IS
    'What becomes of rows whose key no record has.';

CREATE FUNCTION saleshub.import_meet_fuzzy(entity text, layout jsonb, options jsonb) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    on_match text := coalesce(options #>> '{match,on_match}', 'update');
    rules jsonb;
    n integer;
    doc jsonb;
    hits jsonb;
BEGIN
    IF entity NOT IN ('lead', 'contact', 'company') THEN
        PERFORM saleshub.import_fault('/match/fuzzy', 'not_allowed', 'goes with leads, contacts and companies');
    END IF;
    rules := saleshub.match_rules(saleshub.org_id(), entity);
    FOR n, doc IN EXECUTE format(
        'SELECT r.n, jsonb_strip_nulls(jsonb_build_object(%s)) AS doc FROM saleshub.import_rows(''new'') %s',
        (SELECT string_agg(format('%L, r.c%s', c.v ->> 'column', c.n - 1), ', ')
         FROM jsonb_array_elements(layout -> 'columns') WITH ORDINALITY AS c (v, n)
         WHERE c.v ->> 'type' IS NOT NULL AND c.v ->> 'column' <> 'custom'), saleshub.import_shape(layout))
    LOOP
        hits := saleshub.duplicate_find(entity, doc, NULL, rules, 13, 3);
        IF hits = '[]' THEN
            PERFORM saleshub.import_mark('create', ARRAY[n], NULL);
        ELSIF hits -> 0 ->> 'band' = 'block' AND coalesce(hits -> 1 ->> 'band', '') <> 'block' THEN
            PERFORM saleshub.import_mark(
                CASE on_match WHEN 'skip' THEN 'skip' WHEN 'create' THEN 'create' ELSE 'update' END,
                ARRAY[n], CASE WHEN on_match <> 'create' THEN ARRAY[(hits -> 0 ->> 'id')::uuid] END);
        ELSE
            PERFORM saleshub.import_mark('conflict', ARRAY[n], NULL);
            PERFORM saleshub.import_note(true, 'ambiguous', NULL, ARRAY[n], ARRAY[format(
                'may be %s', (SELECT string_agg(format('%s (%s)', h ->> 'name', h ->> 'id'), ', ' ORDER BY place)
                              FROM jsonb_array_elements(hits) WITH ORDINALITY AS e (h, place)))], NULL);
        END IF;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION saleshub.import_meet_fuzzy(text, jsonb, jsonb) IS
    'Looks up the records that the remaining rows look like: one that is surely meant is taken, of several none.';

CREATE FUNCTION saleshub.import_meet_all(entity text, layout jsonb, options jsonb) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    n integer[];
BEGIN
    FOR place IN 0 .. jsonb_array_length(layout -> 'keys') - 1
    LOOP
        PERFORM saleshub.import_meet(entity, layout, options, place);
    END LOOP;
    IF coalesce((options #>> '{match,fuzzy}')::boolean, false) THEN
        PERFORM saleshub.import_meet_fuzzy(entity, layout, options);
    END IF;
    EXECUTE format('SELECT array_agg(r.n) FROM saleshub.import_rows(''new'') %s', saleshub.import_shape(layout)) INTO n;
    IF n IS NOT NULL THEN
        PERFORM saleshub.import_mark('create', n, NULL);
    END IF;
    -- Rows that name one record by different keys: which of them is to count, nobody said.
    EXECUTE format('SELECT array_agg(d.n) FROM (SELECT r.n, row_number() OVER (PARTITION BY r.id ORDER BY r.n) AS k'
                   ' FROM saleshub.import_rows(''update'') %s) d WHERE d.k > 1', saleshub.import_shape(layout)) INTO n;
    IF n IS NOT NULL THEN
        PERFORM saleshub.import_mark('conflict', n, NULL);
        PERFORM saleshub.import_note(true, 'repeated', NULL, n, array_fill(
            'means the record of a row above, by another key'::text, ARRAY[cardinality(n)]), NULL);
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.import_meet_all(text, jsonb, jsonb) IS
    'Decides for every row at hand whether it makes a record, changes one, or is left out.';

-- What is strange, but no error

CREATE FUNCTION saleshub.import_industries() RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '{accounting,advertising,aerospace,agriculture,automotive,aviation,banking,biotechnology,chemicals,construction,consulting,consumer goods,defense,education,electronics,employment,energy,engineering,entertainment,fashion,finance,food,government,healthcare,hospitality,insurance,legal,logistics,manufacturing,marketing,media,medical,mining,nonprofit,pharmaceuticals,publishing,real estate,recruiting,retail,services,software,sports,technologies,technology,telecommunications,tourism,transportation,travel,utilities,wholesale}'::text[];
COMMENT ON FUNCTION saleshub.import_industries() IS
    'Industries as they are usually written, to tell what is misspelt.';

CREATE FUNCTION saleshub.import_warn_industry(layout jsonb) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    value text := saleshub.import_value(layout, 'industry');
    said text;
    n integer[];
    near text;
BEGIN
    IF value IS NULL THEN
        RETURN;
    END IF;
    FOR said, n IN EXECUTE format('SELECT %1$s AS value, array_agg(r.n) AS n FROM saleshub.import_rows(''new'') %2$s'
                               ' WHERE length(%1$s) > 4 GROUP BY 1 ORDER BY 1', value, saleshub.import_shape(layout))
    LOOP
        CONTINUE WHEN lower(said) = ANY (saleshub.import_industries());
        near := saleshub.import_nearest(lower(said), saleshub.import_industries());
        IF near IS NOT NULL THEN
            PERFORM saleshub.import_note(
                false, 'looks_like', saleshub.import_header(layout, 'industry'), n,
                array_fill(format('looks like "%s"', near), ARRAY[cardinality(n)]),
                array_fill(said, ARRAY[cardinality(n)]));
        END IF;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION saleshub.import_warn_industry(jsonb) IS
    'Warns of industries that are probably misspelt.';

CREATE FUNCTION saleshub.import_warn_lost(layout jsonb) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    n integer[];
BEGIN
    IF saleshub.import_value(layout, 'amount') IS NULL OR saleshub.import_value(layout, 'stage_id') IS NULL THEN
        RETURN;
    END IF;
    EXECUTE format(
        'SELECT array_agg(r.n ORDER BY r.n) FROM saleshub.import_rows(''new'') %s'
        ' JOIN crm.stage s ON s.org_id = saleshub.org_id() AND s.stage_id::text = %s AND s.kind = ''lost'''
        ' WHERE %s::numeric = 0', saleshub.import_shape(layout), saleshub.import_value(layout, 'stage_id'),
        saleshub.import_value(layout, 'amount')) INTO n;
    IF n IS NOT NULL THEN
        PERFORM saleshub.import_note(false, 'lost_for_nothing', saleshub.import_header(layout, 'amount'), n,
            array_fill('is 0: what the lost deal would have been worth is unknown'::text, ARRAY[cardinality(n)]), NULL);
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.import_warn_lost(jsonb) IS
    'Warns of lost deals with an amount of 0.';

CREATE FUNCTION saleshub.import_list_price(layout jsonb) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    amount text := saleshub.import_value(layout, 'amount');
    product text := saleshub.import_value(layout, 'product');
    n integer[];
    prices text[];
    currencies text[];
BEGIN
    IF amount IS NULL OR product IS NULL THEN
        RETURN;
    END IF;
    EXECUTE format(
        'SELECT array_agg(r.n), array_agg(p.price::text), array_agg(p.currency)'
        ' FROM saleshub.import_rows(''new'') %s'
        ' JOIN crm.product p ON p.org_id = saleshub.org_id() AND p.name = %s AND p.deleted_at IS NULL'
        ' WHERE %s IS NULL AND p.price IS NOT NULL', saleshub.import_shape(layout), product, amount)
    INTO n, prices, currencies;
    IF n IS NOT NULL THEN
        PERFORM saleshub.import_put(saleshub.import_place(layout -> 'columns', 'column', 'amount'), n, prices);
        PERFORM saleshub.import_put(saleshub.import_place(layout -> 'columns', 'column', 'currency'), n, currencies);
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.import_list_price(jsonb) IS
    'Gives deals without an amount the list price of their product.';

CREATE FUNCTION saleshub.import_owners(entity text, layout jsonb) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    value text := saleshub.import_value(layout, 'owner_id');
    n integer[];
BEGIN
    IF value IS NULL OR saleshub.sees_all(entity) THEN
        RETURN;
    END IF;
    EXECUTE format('SELECT array_agg(r.n) FROM saleshub.import_rows(''new'') %s WHERE %s::uuid <> ALL ($1)',
                   saleshub.import_shape(layout), value)
    INTO n USING saleshub.visible_owners(entity);
    IF n IS NOT NULL THEN
        PERFORM saleshub.import_note(true, 'not_visible', coalesce(
            saleshub.import_header(layout, 'owner'), saleshub.import_header(layout, 'owner_id')), n,
            array_fill('must be a member whose records you see'::text, ARRAY[cardinality(n)]), NULL);
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.import_owners(text, jsonb) IS
    'Refuses owners whose records the member does not see.';
