-- Putting a whole set at once: rules, calendars, policies. Items with a known id are changed, items
-- without one added, and what is not named is removed.

CREATE FUNCTION saleshub.set_items(body jsonb, list text, OUT item jsonb, OUT n bigint)
    RETURNS SETOF record
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT e, i - 1
    FROM jsonb_array_elements(CASE jsonb_typeof(body -> list) WHEN 'array' THEN body -> list
                              ELSE '[]' END) WITH ORDINALITY AS x (e, i)
    WHERE jsonb_typeof(e) = 'object';
END;
$$;
COMMENT ON FUNCTION saleshub.set_items(jsonb, text) IS
    'The objects in a list of a body, each with its place from 0.';

CREATE FUNCTION saleshub.set_known(tab text, id text) RETURNS boolean
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    found_row boolean;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT FROM crm.%I AS t WHERE t.org_id = saleshub.org_id()'
                   ' AND t.%I::text = lower($1))', tab, tab || '_id')
    INTO found_row USING id;
    RETURN found_row;
END;
$$;
COMMENT ON FUNCTION saleshub.set_known(text, text) IS
    'Whether a row of a table has this id, written in whichever case.';

CREATE FUNCTION saleshub.set_check(tab text, list text, schema jsonb, body jsonb,
                                   further jsonb DEFAULT '[]')
    RETURNS uuid[]
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    faults jsonb := saleshub.schema_errors(schema, body, '') || further;
    at text;
    entry record;
    seen text[] := '{}';
    id text;
BEGIN
    FOR entry IN SELECT * FROM saleshub.set_items(body, list) LOOP
        at := format('/%s/%s', list, entry.n);
        id := lower(entry.item ->> 'id');
        IF entry.item ? 'id' AND coalesce(NOT saleshub.set_known(tab, id), true) THEN
            faults := faults || saleshub.fault(at || '/id', 'not_found', 'is not in the set');
        ELSIF id = ANY (seen) THEN
            faults := faults || saleshub.fault(at || '/id', 'duplicate', 'is given twice');
        END IF;
        seen := seen || id;
        IF jsonb_typeof(entry.item -> 'predicate') = 'object' THEN
            faults := faults || CASE WHEN entry.item -> 'per_event' = 'true'
                THEN saleshub.event_faults(at || '/predicate', entry.item -> 'predicate')
                ELSE saleshub.predicate_faults(at || '/predicate', entry.item -> 'predicate') END;
        END IF;
    END LOOP;
    IF faults <> '[]' THEN
        PERFORM saleshub.raise('22023', format('the %s are not valid', list),
                               jsonb_build_object('code', 'invalid_body', 'errors', faults));
    END IF;
    RETURN ARRAY(SELECT s::uuid FROM unnest(seen) s WHERE s IS NOT NULL);
END;
$$;
COMMENT ON FUNCTION saleshub.set_check(text, text, jsonb, jsonb, jsonb) IS
    'Raises 22023 with every fault of a body that puts a whole set: against its schema, of ids and predicates, and the further ones given. Else the ids that stay.';
