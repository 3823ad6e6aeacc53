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
    -- The order in which conversions lock: by type, then id. The lead and its activities are held.
    PERFORM saleshub.record_locked(w ->> 'type', (w ->> 'id')::uuid)
       FROM (SELECT w FROM jsonb_array_elements(v.created || v.filled) AS w
              ORDER BY w ->> 'type' = 'activity', w ->> 'type', w ->> 'id') AS o;
    restored := restored || saleshub.conversion_unlink(conversion);
    FOR item IN SELECT f FROM jsonb_array_elements(v.filled) AS f
                 ORDER BY f ->> 'type' = 'activity', f ->> 'type', f ->> 'id' LOOP
        step := saleshub.undo_restore(item ->> 'type', (item ->> 'id')::uuid, item -> 'fields', force);
        restored := restored || step.restored;
        conflicts := conflicts || step.conflicts;
    END LOOP;
    -- Deal, contact, company: each refers to the ones after it.
    FOR item IN SELECT f FROM jsonb_array_elements(v.created) AS f
                 ORDER BY array_position(ARRAY['deal', 'contact', 'company'], f ->> 'type') LOOP
        step := saleshub.undo_remove(item ->> 'type', (item ->> 'id')::uuid,
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
