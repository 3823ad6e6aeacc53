-- Taking a conversion back: the lead is as it was, fields are restored where nobody changed them
-- since, and what the conversion created goes into the bin unless somebody works with it.

CREATE FUNCTION saleshub.conversion_guard() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF current_setting('saleshub.converting', true) IS DISTINCT FROM 'on'
       AND NOT pg_has_role(current_user, 'saleshub_owner', 'USAGE') THEN
        PERFORM saleshub.raise('42501', 'a conversion is undone by crm.conversion_undo only',
                               '{"code": "forbidden"}');
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION saleshub.conversion_guard() IS
    'Trigger: what a conversion did is not changed by hand';

CREATE FUNCTION saleshub.conversion_versions(created jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
BEGIN
    RETURN (
        SELECT coalesce(jsonb_agg(e || jsonb_build_object('version', CASE e ->> 'type'
                   WHEN 'company' THEN (SELECT r.version FROM crm.company AS r
                       WHERE r.org_id = org AND r.company_id = (e ->> 'id')::uuid)
                   WHEN 'contact' THEN (SELECT r.version FROM crm.contact AS r
                       WHERE r.org_id = org AND r.contact_id = (e ->> 'id')::uuid)
                   ELSE (SELECT r.version FROM crm.deal AS r
                       WHERE r.org_id = org AND r.deal_id = (e ->> 'id')::uuid) END) ORDER BY n), '[]')
          FROM jsonb_array_elements(conversion_versions.created) WITH ORDINALITY AS c (e, n));
END
$$;
COMMENT ON FUNCTION saleshub.conversion_versions(jsonb) IS
    'What a conversion created, with the versions that it leaves behind: later ones are somebody''s work';

CREATE FUNCTION saleshub.activity_link_follow() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    orgs uuid[];
    activities uuid[];
    leads uuid[];
    held record;
    added jsonb;
BEGIN
    SELECT array_agg(l.org_id), array_agg(l.activity_id), array_agg(l.entity_id)
      INTO orgs, activities, leads
      FROM linkrows AS l WHERE l.entity = 'lead';
    FOR held IN
        SELECT v.org_id, v.conversion_id, v.company_id, v.contact_id, v.deal_id,
               array_agg(t.activity_id ORDER BY t.activity_id) AS activities
          FROM unnest(orgs, activities, leads) AS t (org_id, activity_id, lead_id)
          JOIN crm.conversion AS v ON v.org_id = t.org_id AND v.lead_id = t.lead_id AND v.undone_at IS NULL
         GROUP BY v.org_id, v.conversion_id ORDER BY v.conversion_id
    LOOP
        WITH fresh AS (
            INSERT INTO crm.activity_link (org_id, activity_id, entity, entity_id)
            SELECT held.org_id, a, t.type, t.id
              FROM unnest(held.activities) AS a,
                   (VALUES ('company', held.company_id), ('contact', held.contact_id),
                           ('deal', held.deal_id)) AS t (type, id)
             WHERE t.id IS NOT NULL
               AND saleshub.reference_faults(held.org_id, '', t.type, t.id) = '[]'
             ORDER BY t.type, a
            ON CONFLICT DO NOTHING RETURNING activity_id, entity, entity_id)
        SELECT jsonb_agg(jsonb_build_object('activity_id', f.activity_id, 'type', f.entity, 'id', f.entity_id))
          INTO added FROM fresh AS f;
        UPDATE crm.conversion AS v SET links = v.links || added
         WHERE v.org_id = held.org_id AND v.conversion_id = held.conversion_id AND added IS NOT NULL;
    END LOOP;
    RETURN NULL;
END
$$;
ALTER FUNCTION saleshub.activity_link_follow() OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.activity_link_follow() IS
    'Trigger: what is linked with a converted lead is linked with what became of it, also when the conversion was under way';

CREATE FUNCTION saleshub.record_referrers(org uuid, entity text, id uuid) RETURNS text[]
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    place record;
    hit boolean;
    found_in text[] := '{}';
BEGIN
    FOR place IN
        -- Parts of a record go with it (ON DELETE CASCADE); a conversion is a note about it.
        SELECT c.conrelid::regclass AS tab, r.relname::text AS name,
               format('t.%I = $2', a.attname) AS here
          FROM pg_constraint AS c
          JOIN pg_class AS r ON r.oid = c.conrelid
          CROSS JOIN LATERAL unnest(c.conkey, c.confkey) AS k (mine, theirs)
          JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = k.mine
          JOIN pg_attribute AS f ON f.attrelid = c.confrelid AND f.attnum = k.theirs
         WHERE c.contype = 'f' AND c.confrelid = to_regclass(format('crm.%I', record_referrers.entity))
           AND c.confdeltype <> 'c' AND r.relname <> 'conversion'
           AND f.attname = record_referrers.entity || '_id'
        UNION ALL
        -- What members link with records of any kind.
        SELECT r.oid::regclass, r.relname, 't.entity = $3 AND t.entity_id = $2'
          FROM pg_class AS r
         WHERE r.relnamespace = 'crm'::regnamespace AND r.relkind IN ('r', 'p')
           AND has_table_privilege('saleshub_user', r.oid, 'INSERT')
           AND 2 = (SELECT count(*) FROM pg_attribute AS a WHERE a.attrelid = r.oid
                       AND (a.attname, a.atttypid) IN (('entity', 'text'::regtype), ('entity_id', 'uuid'::regtype)))
         ORDER BY 2, 3
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s AS t WHERE t.org_id = $1 AND %s%s)', place.tab, place.here,
                       saleshub.row_is_live(place.tab))
           INTO hit USING org, id, entity;
        IF hit AND NOT place.name = ANY (found_in) THEN
            found_in := found_in || place.name;
        END IF;
    END LOOP;
    RETURN found_in;
END
$$;
ALTER FUNCTION saleshub.record_referrers(uuid, text, uuid) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.record_referrers(uuid, text, uuid) IS
    'The tables with living rows that refer to a record, by the catalogue of foreign keys and of links to any kind; also rows the caller may not see';

CREATE FUNCTION saleshub.row_is_live(tab regclass) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    has_bin boolean := EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = tab AND a.attname = 'deleted_at'
                                  AND NOT a.attisdropped);
BEGIN
    RETURN CASE WHEN has_bin THEN ' AND t.deleted_at IS NULL' ELSE '' END || coalesce((
        SELECT string_agg(format(' AND EXISTS (SELECT FROM %s.%I AS p WHERE p.org_id = t.org_id AND p.%I = t.%I'
                                 ' AND p.deleted_at IS NULL)', r.relnamespace::regnamespace, r.relname,
                                 f.attname, a.attname), '')
          FROM pg_constraint AS c
          JOIN pg_class AS r ON r.oid = c.confrelid
          CROSS JOIN LATERAL unnest(c.conkey, c.confkey) AS k (mine, theirs)
          JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = k.mine AND a.attname <> 'org_id'
          JOIN pg_attribute AS f ON f.attrelid = c.confrelid AND f.attnum = k.theirs
         WHERE c.contype = 'f' AND c.conrelid = tab AND c.confdeltype = 'c' AND array_length(c.conkey, 1) = 2
           AND EXISTS (SELECT FROM pg_attribute AS d WHERE d.attrelid = c.confrelid AND d.attname = 'deleted_at')), '');
END
$$;
COMMENT ON FUNCTION saleshub.row_is_live(regclass) IS
    'SQL text, to be appended to a condition: neither the row t nor what it is a part of is in the bin';

CREATE FUNCTION saleshub.conversion_row(entity text, id uuid) RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF entity NOT IN ('lead', 'company', 'contact', 'deal', 'activity', 'product') THEN
        PERFORM saleshub.raise('22023', format('"%s" is no kind of record', entity));
    END IF;
    RETURN saleshub.run(format(
        'SELECT to_jsonb(t) FROM crm.%1$I AS t WHERE t.org_id = saleshub.org_id()'
        ' AND t.%2$I = ($1 ->> ''id'')::uuid FOR UPDATE', entity, entity || '_id'),
        jsonb_build_object('id', id));
END
$$;
COMMENT ON FUNCTION saleshub.conversion_row(text, uuid) IS
    'A record as it is now, locked against changes and references; NULL when it is not to be seen';

CREATE FUNCTION saleshub.conversion_write(entity text, id uuid, fields jsonb) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.run(format(
        'UPDATE crm.%1$I AS t SET %3$s FROM jsonb_populate_record(NULL::crm.%1$I, $1 -> ''fields'') AS r'
        ' WHERE t.org_id = saleshub.org_id() AND t.%2$I = ($1 ->> ''id'')::uuid AND t.deleted_at IS NULL'
        ' RETURNING ''true''::jsonb', entity, entity || '_id',
        (SELECT string_agg(format('%1$I = r.%1$I', k), ', ' ORDER BY k) FROM jsonb_object_keys(fields) AS k)),
        jsonb_build_object('id', id, 'fields', fields)) IS NOT NULL;
END
$$;
COMMENT ON FUNCTION saleshub.conversion_write(text, uuid, jsonb) IS
    'Sets columns of a living record; false when it is not there for the caller';

CREATE FUNCTION saleshub.conversion_compare(
    now_ jsonb, fields jsonb, force boolean, OUT back jsonb, OUT names jsonb, OUT changed jsonb)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    field text;
    pair jsonb;
    path text[];
BEGIN
    back := '{}';
    names := '[]';
    changed := '[]';
    FOR field, pair IN SELECT f.key, f.value FROM jsonb_each(fields) AS f ORDER BY f.key LOOP
        path := CASE WHEN field LIKE 'custom.%' THEN ARRAY['custom', substr(field, 8)] ELSE ARRAY[field] END;
        IF NOT force AND coalesce(now_ #> path, 'null') <> coalesce(pair -> 1, 'null') THEN
            changed := changed || to_jsonb(field);
            CONTINUE;
        END IF;
        names := names || to_jsonb(field);
        IF path[2] IS NULL THEN
            back := back || jsonb_build_object(field, pair -> 0);
        ELSE
            now_ := CASE WHEN pair -> 0 = 'null' THEN now_ #- path ELSE jsonb_set(now_, path, pair -> 0) END;
            back := back || jsonb_build_object('custom', now_ -> 'custom');
        END IF;
    END LOOP;
    -- An amount and its currency are one value.
    IF changed ?| ARRAY['annual_revenue', 'annual_revenue_currency'] THEN
        changed := changed || (SELECT coalesce(jsonb_agg(n), '[]') FROM jsonb_array_elements(names) AS n
                                WHERE n #>> '{}' LIKE 'annual\_revenue%');
        names := names - 'annual_revenue' - 'annual_revenue_currency';
        back := back - 'annual_revenue' - 'annual_revenue_currency';
    END IF;
END
$$;
COMMENT ON FUNCTION saleshub.conversion_compare(jsonb, jsonb, boolean) IS
    'Which of the fields {field: [old, new]} still hold the new value: columns to set back, their names, and the names of those that somebody changed';

CREATE FUNCTION saleshub.conversion_restore(
    entity text, id uuid, fields jsonb, force boolean, OUT restored jsonb, OUT conflicts jsonb)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    current jsonb := saleshub.conversion_row(entity, id);
    found record;
    reason text := 'changed';
BEGIN
    restored := '[]';
    conflicts := '[]';
    found := saleshub.conversion_compare(coalesce(current, '{}'), fields, force);
    IF current IS NULL OR current -> 'deleted_at' <> 'null' THEN
        reason := CASE WHEN current IS NULL THEN 'not_found' ELSE 'deleted' END;
        found.changed := found.changed || found.names;
    ELSIF found.back <> '{}' THEN
        BEGIN
            IF saleshub.conversion_write(entity, id, found.back) THEN
                restored := jsonb_build_array(jsonb_build_object(
                    'type', entity, 'id', id, 'action', 'restored', 'fields', found.names));
            ELSE
                reason := 'not_found';
                found.changed := found.changed || found.names;
            END IF;
        EXCEPTION WHEN invalid_parameter_value OR check_violation OR foreign_key_violation THEN
            -- What it referred to then is gone now.
            reason := 'invalid';
            found.changed := found.changed || found.names;
        END;
    END IF;
    IF found.changed <> '[]' THEN
        conflicts := (SELECT jsonb_agg(jsonb_build_object('type', entity, 'id', id, 'field', f, 'reason', reason)
                                       ORDER BY f) FROM jsonb_array_elements(found.changed) AS f);
    END IF;
END
$$;
COMMENT ON FUNCTION saleshub.conversion_restore(text, uuid, jsonb, boolean) IS
    'Sets the fields of a record back that still hold what the conversion wrote; the others are conflicts';

CREATE FUNCTION saleshub.changed_since(entity text, id uuid, version bigint, current bigint) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF current = version THEN
        RETURN false;
    END IF;
    RETURN (
        WITH step AS (
            SELECT l.version, l.changed FROM crm.change_log AS l
             WHERE l.org_id = saleshub.org_id() AND l.entity = changed_since.entity
               AND l.entity_id = changed_since.id AND l.version > changed_since.version)
        SELECT (SELECT count(*) FROM step) <> current - changed_since.version
            OR EXISTS (SELECT FROM step AS s, jsonb_each(s.changed) AS f GROUP BY f.key
                       HAVING (array_agg(f.value -> 0 ORDER BY s.version))[1]
                              <> (array_agg(f.value -> 1 ORDER BY s.version DESC))[1]));
END
$$;
COMMENT ON FUNCTION saleshub.changed_since(text, uuid, bigint, bigint) IS
    'Whether a record of that current version differs from what it was at a former one: what was changed and changed back, like by a merge that was undone, is the same. True when its history does not say';

CREATE FUNCTION saleshub.conversion_remove(
    entity text, id uuid, version bigint, force boolean, OUT restored jsonb, OUT kept jsonb)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    current jsonb := saleshub.conversion_row(entity, id);
    what CONSTANT jsonb := jsonb_build_object('type', entity, 'id', id);
    referrers text[];
BEGIN
    restored := '[]';
    kept := '[]';
    IF current -> 'deleted_at' <> 'null' THEN
        RETURN;
    END IF;
    referrers := saleshub.record_referrers(saleshub.org_id(), entity, id);
    IF current IS NULL THEN
        kept := jsonb_build_array(what || '{"reason": "not_found"}');
    ELSIF NOT force AND saleshub.changed_since(entity, id, version, (current ->> 'version')::bigint) THEN
        kept := jsonb_build_array(what || '{"reason": "changed"}');
    ELSIF referrers <> '{}' THEN
        kept := jsonb_build_array(what || jsonb_build_object('reason', 'referenced', 'by', to_jsonb(referrers)));
    ELSIF saleshub.conversion_write(entity, id, jsonb_build_object('deleted_at', now())) THEN
        restored := jsonb_build_array(what || '{"action": "deleted"}');
    ELSE
        kept := jsonb_build_array(what || '{"reason": "not_found"}');
    END IF;
END
$$;
COMMENT ON FUNCTION saleshub.conversion_remove(text, uuid, bigint, boolean) IS
    'Puts a record that the conversion created into the bin, unless it was changed or something refers to it';

CREATE FUNCTION saleshub.conversion_unlink(conversion uuid) RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
    unlinked jsonb;
    others jsonb := '[]';
    place record;
BEGIN
    FOR place IN SELECT * FROM saleshub.link_tables() LOOP
        EXECUTE format(
            'WITH gone AS (DELETE FROM %1$s AS t USING crm.conversion AS v CROSS JOIN LATERAL jsonb_array_elements(v.links) AS l'
            ' WHERE v.org_id = $1 AND v.conversion_id = $2 AND l ->> ''table'' = %2$L AND t.org_id = $1'
            ' AND t.%3$I = (l ->> ''key'')::uuid AND t.entity = l ->> ''type'' AND t.entity_id = (l ->> ''id'')::uuid'
            ' RETURNING t.%3$I AS key, t.entity, t.entity_id)'
            ' SELECT jsonb_agg(jsonb_build_object(''type'', %2$L, ''id'', g.key, ''action'', ''unlinked'', ''links'', g.links) ORDER BY g.key)'
            ' FROM (SELECT key, jsonb_agg(jsonb_build_object(''type'', entity, ''id'', entity_id) ORDER BY entity, entity_id) AS links'
            ' FROM gone GROUP BY key) AS g', place.tab, place.name, place.key)
           INTO unlinked USING org, conversion;
        others := others || coalesce(unlinked, '[]');
    END LOOP;
    WITH gone AS (
        DELETE FROM crm.activity_link AS k
         USING crm.conversion AS v CROSS JOIN LATERAL jsonb_array_elements(v.links) AS l
         WHERE v.org_id = org AND v.conversion_id = conversion_unlink.conversion
           AND k.org_id = org AND k.activity_id = (l ->> 'activity_id')::uuid
           AND k.entity = l ->> 'type' AND k.entity_id = (l ->> 'id')::uuid
        RETURNING k.activity_id, k.entity, k.entity_id)
    SELECT jsonb_agg(jsonb_build_object('type', 'activity', 'id', g.activity_id, 'action', 'unlinked',
                                        'links', g.links) ORDER BY g.activity_id)
      INTO unlinked
      FROM (SELECT activity_id, jsonb_agg(jsonb_build_object('type', entity, 'id', entity_id)
                                          ORDER BY entity, entity_id) AS links
              FROM gone GROUP BY activity_id) AS g;
    RETURN coalesce(unlinked, '[]') || others;
END
$$;
COMMENT ON FUNCTION saleshub.conversion_unlink(uuid) IS 'Removes the links that a conversion added, of activities and by the catalogue';

CREATE FUNCTION saleshub.conversion_take_back(conversion uuid, force boolean) RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    v record;
    item jsonb;
    step record;
    restored jsonb;
    kept jsonb := '[]';
    conflicts jsonb := '[]';
BEGIN
    SELECT c.lead_id, c.created, c.filled, c.lead_before INTO STRICT v
      FROM crm.conversion AS c WHERE c.org_id = saleshub.org_id() AND c.conversion_id = conversion;
    restored := jsonb_build_array(jsonb_build_object('type', 'lead', 'id', v.lead_id, 'action', 'restored',
        'fields', (SELECT jsonb_agg(k ORDER BY k) FROM jsonb_object_keys(v.lead_before) AS k)));
    -- The order in which conversions lock: by type, then id; activities come last there too.
    PERFORM saleshub.conversion_row(w ->> 'type', (w ->> 'id')::uuid)
       FROM (SELECT w FROM jsonb_array_elements(v.created || v.filled) AS w
              ORDER BY w ->> 'type' = 'activity', w ->> 'type', w ->> 'id') AS o;
    PERFORM saleshub.convert_lock_activities(ARRAY[v.lead_id]);
    restored := restored || saleshub.conversion_unlink(conversion);
    FOR item IN SELECT f FROM jsonb_array_elements(v.filled) AS f
                 ORDER BY f ->> 'type' = 'activity', f ->> 'type', f ->> 'id' LOOP
        step := saleshub.conversion_restore(item ->> 'type', (item ->> 'id')::uuid, item -> 'fields', force);
        restored := restored || step.restored;
        conflicts := conflicts || step.conflicts;
    END LOOP;
    -- Deal, contact, company: each refers to the ones after it.
    FOR item IN SELECT f FROM jsonb_array_elements(v.created) AS f
                 ORDER BY array_position(ARRAY['deal', 'contact', 'company'], f ->> 'type') LOOP
        step := saleshub.conversion_remove(item ->> 'type', (item ->> 'id')::uuid,
                                           (item ->> 'version')::bigint, force);
        restored := restored || step.restored;
        kept := kept || step.kept;
    END LOOP;
    RETURN jsonb_build_object('conversion_id', conversion, 'lead_id', v.lead_id,
                              'restored', restored, 'kept', kept, 'conflicts', conflicts);
END
$$;
COMMENT ON FUNCTION saleshub.conversion_take_back(uuid, boolean) IS
    'Restores the records around a lead that is open again; answers what was done, kept and in conflict';

CREATE FUNCTION crm.conversion_undo(id uuid, force boolean DEFAULT false) RETURNS jsonb
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS 'MODULE_PATHNAME', 'sh_conversion_undo';
COMMENT ON FUNCTION crm.conversion_undo(uuid, boolean) IS
    'Undoes a conversion: the lead is open again with its former status, fields are restored where they still hold what the conversion wrote, its links are removed, what it created goes into the bin unless it was changed or something refers to it. Answers {restored, kept, conflicts}; a second call answers the same. With force also what was changed since; never what something refers to';

CREATE FUNCTION crm.conversion_get(id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    doc jsonb;
BEGIN
    SELECT jsonb_build_object(
               'id', v.conversion_id, 'lead_id', v.lead_id, 'company_id', v.company_id,
               'contact_id', v.contact_id, 'deal_id', v.deal_id,
               'created', (SELECT coalesce(jsonb_agg(e - 'version'), '[]') FROM jsonb_array_elements(v.created) AS e),
               'filled', (SELECT coalesce(jsonb_agg(jsonb_build_object('type', e -> 'type', 'id', e -> 'id',
                              'fields', (SELECT jsonb_agg(k ORDER BY k) FROM jsonb_object_keys(e -> 'fields') AS k))), '[]')
                            FROM jsonb_array_elements(v.filled) AS e),
               'links', v.links, 'actor_id', v.actor_id, 'at', saleshub.utc(v.at),
               'undone_at', saleshub.utc(v.undone_at), 'undone_by', v.undone_by, 'undo', v.undo)
      INTO doc
      FROM crm.conversion AS v
     WHERE v.org_id = saleshub.org_id() AND v.conversion_id = conversion_get.id
       -- Who may not see the lead learns nothing about its conversion.
       AND EXISTS (SELECT FROM crm.lead AS l WHERE l.org_id = v.org_id AND l.lead_id = v.lead_id);
    IF doc IS NULL THEN
        PERFORM saleshub.record_missing('conversion', id);
    END IF;
    RETURN doc;
END
$$;
COMMENT ON FUNCTION crm.conversion_get(uuid) IS
    'What a conversion did: the records it created, the fields it filled, the links it added; and what undoing it did';
