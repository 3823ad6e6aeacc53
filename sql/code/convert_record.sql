-- One record of a conversion: its values by the mapping, and writing them.

CREATE FUNCTION saleshub.mapping_of(options jsonb, version_ integer) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    own jsonb := coalesce(options -> 'mapping', '[]');
BEGIN
    RETURN coalesce((
        SELECT jsonb_agg(r ORDER BY n) FROM jsonb_array_elements(saleshub.mapping_rows(version_)) WITH ORDINALITY AS x (r, n)
         WHERE NOT own @> jsonb_build_array(jsonb_build_object('target_entity', r -> 'target_entity',
                                                               'target_field', r -> 'target_field'))), '[]') || own;
END
$$;
COMMENT ON FUNCTION saleshub.mapping_of(jsonb, integer) IS
    'The mapping of a conversion: that of the organisation, with the rows of the options in place of those for the same field';

CREATE FUNCTION saleshub.mapping_pick(policy text, kind text, old jsonb, new jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF old IS NULL OR old IN ('null', '[]') OR policy = 'overwrite' THEN
        RETURN new;
    END IF;
    CASE policy
        WHEN 'append' THEN
            IF kind = 'tags' THEN
                RETURN to_jsonb(saleshub.tags_normal(ARRAY(SELECT jsonb_array_elements_text(old || new))));
            ELSIF strpos(old #>> '{}', new #>> '{}') > 0 THEN
                RETURN old;
            END IF;
            RETURN to_jsonb((old #>> '{}') || E'\n' || (new #>> '{}'));
        WHEN 'max', 'min' THEN
            -- Numbers and dates of ISO 8601: as JSON they sort like what they mean.
            RETURN CASE WHEN (new > old) = (policy = 'max') THEN new ELSE old END;
        ELSE
            RETURN old;
    END CASE;
END
$$;
COMMENT ON FUNCTION saleshub.mapping_pick(text, text, jsonb, jsonb) IS
    'What a policy makes of the value that is there and the one that comes';

CREATE FUNCTION saleshub.mapping_value(lead jsonb, entry jsonb, kind text) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    source text := entry ->> 'source';
    value jsonb := CASE WHEN source ~ '^custom\..' THEN lead -> 'custom' -> substr(source, 8) ELSE lead -> source END;
BEGIN
    IF value IS NULL OR value IN ('null', '""', '[]') THEN
        RETURN NULL;
    ELSIF kind = 'text' AND jsonb_typeof(value) NOT IN ('array', 'object') THEN
        RETURN to_jsonb(value #>> '{}');
    ELSIF kind = 'text' THEN
        RETURN NULL;
    ELSIF kind = 'tags' AND jsonb_typeof(value) <> 'array' THEN
        RETURN jsonb_build_array(value);
    END IF;
    RETURN value;
END
$$;
COMMENT ON FUNCTION saleshub.mapping_value(jsonb, jsonb, text) IS
    'What a lead says for a row of the mapping, in the type of the target; NULL when nothing';

CREATE FUNCTION saleshub.convert_mapped(entity text, lead jsonb, current jsonb, mapping jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    entry jsonb;
    target text;
    field jsonb;
    value jsonb;
    old jsonb;
    money text;
    columns jsonb := '{}';
BEGIN
    FOR entry IN SELECT e FROM jsonb_array_elements(mapping) WITH ORDINALITY AS x (e, n)
                  WHERE e ->> 'target_entity' = entity ORDER BY n LOOP
        target := entry ->> 'target_field';
        field := saleshub.mapping_field(entity, target);
        value := saleshub.mapping_value(lead, entry, field ->> 'kind');
        CONTINUE WHEN value IS NULL OR field IS NULL;
        IF field ->> 'type' = 'custom' THEN
            target := substr(target, 8);
            columns := columns || jsonb_build_object('custom', coalesce(columns -> 'custom', current -> 'custom', '{}')
                || jsonb_build_object(target, saleshub.mapping_pick(entry ->> 'policy', field ->> 'kind',
                                                                    current -> 'custom' -> target, value)));
            CONTINUE;
        END IF;
        old := current -> target;
        IF field ->> 'type' = 'money' THEN
            -- An amount comes with its currency; of two currencies none is more.
            money := saleshub.mapping_field('lead', entry ->> 'source') ->> 'currency';
            IF coalesce(old, 'null') = 'null' OR entry ->> 'policy' = 'overwrite'
               OR entry ->> 'policy' IN ('max', 'min') AND current -> (field ->> 'currency') = lead -> money
                  AND saleshub.mapping_pick(entry ->> 'policy', 'money', old, value) <> old THEN
                columns := columns || jsonb_build_object(target, value, field ->> 'currency', lead -> money);
            END IF;
            CONTINUE;
        END IF;
        columns := columns || jsonb_build_object(target, saleshub.mapping_pick(entry ->> 'policy', field ->> 'type', old, value));
    END LOOP;
    RETURN columns;
END
$$;
COMMENT ON FUNCTION saleshub.convert_mapped(text, jsonb, jsonb, jsonb) IS
    'The columns that a mapping writes into a record: copied into a new one (current is NULL), by policy into one that is there';

CREATE FUNCTION saleshub.convert_given(entity text, given jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    name text;
    value jsonb;
    field jsonb;
    columns jsonb := '{}';
BEGIN
    FOR name, value IN SELECT e.key, e.value FROM jsonb_each(coalesce(given, '{}')) AS e LOOP
        field := saleshub.mapping_field(entity, name);
        IF field ->> 'type' = 'money' THEN
            columns := columns || jsonb_build_object(name, saleshub.money_amount(value));
            IF value ? 'currency' THEN
                columns := columns || jsonb_build_object(field ->> 'currency', value -> 'currency');
            END IF;
        ELSE
            columns := columns || jsonb_build_object(name, value);
        END IF;
    END LOOP;
    RETURN columns;
END
$$;
COMMENT ON FUNCTION saleshub.convert_given(text, jsonb) IS 'The columns of the values that the options give for a record';

CREATE FUNCTION saleshub.convert_values_schema() RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN jsonb_build_object('type', 'object', 'additionalProperties', false, 'properties', (
        SELECT jsonb_object_agg(n, saleshub.body_schema(
                   (SELECT jsonb_agg(f.value) FROM jsonb_each(saleshub.mapping_fields(n)) AS f)
                   || '[{"name": "custom", "type": "object"}]', true))
          FROM unnest(ARRAY['company', 'contact', 'deal']) AS n));
END
$$;
COMMENT ON FUNCTION saleshub.convert_values_schema() IS
    'JSON Schema of the values that the options of a conversion give: fields of company, contact, deal';

CREATE FUNCTION saleshub.owner_in_sight(entity text, owner uuid) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.sees_all(entity) OR coalesce(owner = ANY (saleshub.visible_owners(entity)), false);
END
$$;
COMMENT ON FUNCTION saleshub.owner_in_sight(text, uuid) IS
    'Whether the member would see a record of this owner';

CREATE FUNCTION saleshub.convert_fixed(entity text, lead jsonb, current jsonb, options jsonb, ids jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    refuses boolean;
    channel text;
    columns jsonb := '{}';
BEGIN
    IF current IS NULL THEN
        columns := jsonb_build_object('owner_id', coalesce(options ->> 'owner',
            CASE WHEN saleshub.owner_in_sight(entity, (lead ->> 'owner_id')::uuid) THEN lead ->> 'owner_id' END,
            saleshub.member_id()::text));
    END IF;
    IF entity <> 'company' AND coalesce(current ->> 'company_id', '') = '' THEN
        columns := columns || jsonb_build_object('company_id', ids -> 'company');
    END IF;
    IF entity = 'contact' THEN
        -- Of two consents the stricter one stays, as a refusal is never undone.
        FOREACH channel IN ARRAY ARRAY['consent_email', 'consent_phone'] LOOP
            refuses := 'false' IN (coalesce(lead ->> channel, ''), coalesce(current ->> channel, ''));
            columns := columns || jsonb_build_object(channel, CASE WHEN refuses THEN 'false'::jsonb
                ELSE coalesce(nullif(current -> channel, 'null'), lead -> channel) END);
        END LOOP;
    ELSIF entity = 'deal' THEN
        columns := columns || CASE WHEN coalesce(current ->> 'contact_id', '') = ''
                                   THEN jsonb_build_object('contact_id', ids -> 'contact') ELSE '{}' END
                           || CASE WHEN coalesce(current ->> 'lead_id', '') = ''
                                   THEN jsonb_build_object('lead_id', lead -> 'lead_id') ELSE '{}' END;
    END IF;
    RETURN columns;
END
$$;
COMMENT ON FUNCTION saleshub.convert_fixed(text, jsonb, jsonb, jsonb, jsonb) IS
    'The columns that no mapping decides: owner, references to each other, consent';

CREATE FUNCTION saleshub.convert_new_deal(lead jsonb, options jsonb, ids jsonb, columns jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
    wish jsonb := options -> 'deal';
    company record;
    contact record;
BEGIN
    SELECT c.name INTO company FROM crm.company AS c WHERE c.org_id = org AND c.company_id = (ids ->> 'company')::uuid;
    SELECT nullif(concat_ws(' ', c.first_name, c.last_name), '') AS name, c.email,
           CASE WHEN saleshub.reference_faults(org, '', 'company', c.company_id) = '[]' THEN c.company_id END AS company_id INTO contact
      FROM crm.contact AS c WHERE c.org_id = org AND c.contact_id = (ids ->> 'contact')::uuid;
    -- An amount in another currency than the one asked for is not the deal's.
    IF wish ? 'currency' AND NOT wish ? 'amount' AND columns ->> 'currency' <> wish ->> 'currency' THEN
        columns := columns - 'amount';
    END IF;
    -- Stage, pipeline, probability and currency are filled in by the deal's own trigger.
    RETURN jsonb_build_object('close_date', saleshub.quarter_end(org)) || columns || jsonb_strip_nulls(jsonb_build_object(
        'name', left(coalesce(wish ->> 'name', columns ->> 'name', company.name, contact.name, contact.email, lead ->> 'company_name',
                              nullif(concat_ws(' ', lead ->> 'first_name', lead ->> 'last_name'), ''), lead ->> 'email'), 200),
        'company_id', coalesce(ids ->> 'company', contact.company_id::text),
        'pipeline_id', wish -> 'pipeline', 'stage_id', wish -> 'stage', 'close_date', wish -> 'close_date'))
        || CASE WHEN wish ? 'amount' THEN jsonb_build_object('amount', (wish ->> 'amount')::numeric) ELSE '{}' END
        || CASE WHEN wish ? 'currency' THEN jsonb_build_object('currency', wish -> 'currency') ELSE '{}' END;
END
$$;
COMMENT ON FUNCTION saleshub.convert_new_deal(jsonb, jsonb, jsonb, jsonb) IS
    'The columns of the deal to be created: what the mapping says, then the options, with the usual name, day and stage';

CREATE FUNCTION saleshub.convert_create(entity text, columns jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    names text;
    values_ text;
BEGIN
    columns := jsonb_strip_nulls(columns);
    SELECT string_agg(quote_ident(k), ', ' ORDER BY k), string_agg('r.' || quote_ident(k), ', ' ORDER BY k)
      INTO names, values_ FROM jsonb_object_keys(columns) AS k;
    RETURN saleshub.run(format(
        'INSERT INTO crm.%1$I AS t (%2$s) SELECT %3$s FROM jsonb_populate_record(NULL::crm.%1$I, $1 -> ''columns'') AS r'
        ' RETURNING jsonb_build_object(''type'', %1$L, ''id'', t.%4$I, ''version'', t.version)',
        entity, names, values_, entity || '_id'), jsonb_build_object('columns', columns));
END
$$;
COMMENT ON FUNCTION saleshub.convert_create(text, jsonb) IS
    'Creates a record of a conversion and answers {type, id, version}';

CREATE FUNCTION saleshub.convert_fill(entity text, id uuid, old jsonb, columns jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    names text[] := ARRAY(SELECT k FROM jsonb_object_keys(columns) AS k WHERE columns -> k IS DISTINCT FROM old -> k);
    new jsonb;
    fields jsonb;
BEGIN
    IF names = '{}' THEN
        RETURN NULL;
    END IF;
    IF NOT saleshub.record_put(entity, id, (SELECT jsonb_object_agg(n, columns -> n) FROM unnest(names) AS n)) THEN
        PERFORM saleshub.raise('42501', format('the %s %s may not be changed', entity, id), '{"code": "forbidden"}');
    END IF;
    new := saleshub.record_locked(entity, id);
    -- Custom fields one by one: each can be restored on its own.
    fields := saleshub.field_changes(old, new, names) - 'custom' || coalesce((
        SELECT jsonb_object_agg('custom.' || k, jsonb_build_array(old -> 'custom' -> k, new -> 'custom' -> k))
          FROM jsonb_object_keys(columns -> 'custom') AS k
         WHERE old -> 'custom' -> k IS DISTINCT FROM new -> 'custom' -> k), '{}');
    RETURN CASE WHEN fields <> '{}' THEN jsonb_build_object(
        'type', entity, 'id', id, 'version', new -> 'version', 'fields', fields) END;
END
$$;
COMMENT ON FUNCTION saleshub.convert_fill(text, uuid, jsonb, jsonb) IS
    'Writes columns of a record that was found and answers {type, id, version, fields: {field: [old, new]}}; NULL when nothing changed';

CREATE FUNCTION saleshub.convert_record(
    entity text, id uuid, lead uuid, options jsonb, version_ integer, ids jsonb,
    OUT record_id uuid, OUT note jsonb)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    lead_row jsonb;
    current jsonb;
    columns jsonb;
    given jsonb := saleshub.convert_given(entity, options -> 'values' -> entity);
BEGIN
    SELECT to_jsonb(l) || jsonb_build_object('domain', saleshub.lead_domain(l.website, l.email)) INTO lead_row
      FROM crm.lead AS l WHERE l.org_id = saleshub.org_id() AND l.lead_id = lead;
    IF id IS NOT NULL THEN
        current := saleshub.record_locked(entity, id);
    END IF;
    columns := saleshub.convert_mapped(entity, lead_row, current, saleshub.mapping_of(options, version_));
    IF given ? 'custom' THEN
        given := given || jsonb_build_object('custom', coalesce(columns -> 'custom', current -> 'custom', '{}') || (given -> 'custom'));
    END IF;
    columns := columns || given || saleshub.convert_fixed(entity, lead_row, current, options, ids);
    record_id := id;
    IF id IS NOT NULL THEN
        note := saleshub.convert_fill(entity, id, current, columns);
        RETURN;
    END IF;
    CASE entity
        WHEN 'company' THEN
            columns := columns || jsonb_build_object('name', coalesce(columns ->> 'name', columns ->> 'domain'));
            IF columns ->> 'name' IS NULL THEN
                RETURN;
            END IF;
        WHEN 'contact' THEN
            IF coalesce(columns ->> 'first_name', columns ->> 'last_name', columns ->> 'email') IS NULL THEN
                RETURN;
            END IF;
        ELSE
            columns := saleshub.convert_new_deal(lead_row, options, ids, columns);
    END CASE;
    note := saleshub.convert_create(entity, columns);
    record_id := note ->> 'id';
END
$$;
COMMENT ON FUNCTION saleshub.convert_record(text, uuid, uuid, jsonb, integer, jsonb) IS
    'Creates a record of a conversion, or fills the one given: its id and what to note for undoing; no id when nothing names what was to be created';

CREATE FUNCTION saleshub.link_tables(OUT tab regclass, OUT name text, OUT key text) RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT r.oid::regclass, r.relname::text, (array_agg(a.attname::text) FILTER (WHERE a.attname NOT IN ('org_id', 'entity', 'entity_id')))[1]
      FROM pg_class AS r
      JOIN pg_index AS i ON i.indrelid = r.oid AND i.indisprimary
      JOIN pg_attribute AS a ON a.attrelid = r.oid AND a.attnum = ANY (i.indkey)
     WHERE r.relnamespace = 'crm'::regnamespace AND r.relkind IN ('r', 'p') AND r.relname <> 'activity_link'
       AND has_table_privilege('saleshub_user', r.oid, 'INSERT') AND has_table_privilege('saleshub_user', r.oid, 'DELETE')
     GROUP BY r.oid, r.relname
    HAVING count(*) = 4 AND count(*) FILTER (WHERE a.attname IN ('org_id', 'entity', 'entity_id')) = 3
     ORDER BY r.relname;
END
$$;
COMMENT ON FUNCTION saleshub.link_tables() IS
    'Tables, besides activity_link, that link things of one kind with records of any kind, by the catalogue: their primary key is org_id, a key, entity, entity_id';

CREATE FUNCTION saleshub.convert_carry(lead uuid, company uuid, contact uuid, deal uuid) RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    place record;
    added jsonb;
    links jsonb := '[]';
BEGIN
    FOR place IN SELECT * FROM saleshub.link_tables() LOOP
        EXECUTE format(
            'WITH added AS (INSERT INTO %1$s (org_id, %2$I, entity, entity_id)'
            ' SELECT t.org_id, t.%2$I, x.type, x.id FROM %1$s AS t'
            ' JOIN (VALUES (''company'', $2), (''contact'', $3), (''deal'', $4)) AS x (type, id) ON x.id IS NOT NULL'
            ' WHERE t.org_id = saleshub.org_id() AND t.entity = ''lead'' AND t.entity_id = $1%3$s'
            ' ON CONFLICT DO NOTHING RETURNING %2$I AS key, entity, entity_id)'
            ' SELECT jsonb_agg(jsonb_build_object(''table'', %4$L, ''key'', key, ''type'', entity, ''id'', entity_id)) FROM added',
            place.tab, place.key, saleshub.row_is_live(place.tab), place.name)
           INTO added USING lead, company, contact, deal;
        links := links || coalesce(added, '[]');
    END LOOP;
    RETURN links;
END
$$;
COMMENT ON FUNCTION saleshub.convert_carry(uuid, uuid, uuid, uuid) IS
    'Links whatever is linked with a lead with its records as well, table by table of the catalogue; the links added, for undoing them';
