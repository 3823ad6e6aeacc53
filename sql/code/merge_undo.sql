-- Taking a merge back: what still is as the merge left it goes back, the rest is reported.

CREATE FUNCTION saleshub.merge_winner(merge uuid) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (SELECT jsonb_build_object('entity', m.entity, 'winner_id', coalesce(
                saleshub.redirect_end(m.entity, m.winner_id), m.winner_id))
            FROM crm.merge m
            WHERE m.org_id = saleshub.org_id() AND m.merge_id = merge_winner.merge);
END;
$$;
COMMENT ON FUNCTION saleshub.merge_winner(uuid) IS
    'Where the winner of a merge is now; NULL when there is no such merge.';

CREATE FUNCTION saleshub.merge_unlink(relinked jsonb, org uuid, winner uuid) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    place record;
    back jsonb;
    conflicts jsonb := '[]';
BEGIN
    FOR place IN
        SELECT r ->> 'table' AS tab, r ->> 'column' AS col, jsonb_agg(r) AS items,
               (SELECT array_agg(k ORDER BY k) FROM jsonb_object_keys(min(r ->> 'key')::jsonb) k) AS keys
        FROM jsonb_array_elements(relinked) r
        GROUP BY 1, 2 ORDER BY 1, 2
    LOOP
        EXECUTE format(
            'WITH back AS (UPDATE %1$s t SET %2$I = (e ->> ''old'')::uuid'
            ' FROM jsonb_array_elements($1) e,'
            ' jsonb_populate_record(NULL::%1$s, e -> ''key'') k'
            ' WHERE t.%2$I = $2 AND %3$s RETURNING e -> ''key'' AS key)'
            ' SELECT coalesce(jsonb_agg(key), ''[]'') FROM back',
            place.tab, place.col,
            (SELECT string_agg(format('t.%1$I = k.%1$I', k), ' AND ') FROM unnest(place.keys) k))
        INTO back USING place.items, winner;
        conflicts := conflicts || (
            SELECT coalesce(jsonb_agg(jsonb_build_object(
                'table', place.tab, 'column', place.col, 'key', (e -> 'key') - 'org_id',
                'reason', 'changed')), '[]')
            FROM jsonb_array_elements(place.items) e
            WHERE NOT back @> jsonb_build_array(e -> 'key'));
    END LOOP;
    RETURN conflicts;
END;
$$;
COMMENT ON FUNCTION saleshub.merge_unlink(jsonb, uuid, uuid) IS
    'Turns references back that still point to the winner; the others are conflicts.';

CREATE FUNCTION saleshub.merge_unmove(place jsonb) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    tab text := place ->> 'table';
    same text := (SELECT string_agg(format('t.%1$I = r.%1$I', k), ' AND ')
                  FROM jsonb_array_elements_text(place -> 'keys') k);
    rest text := (SELECT string_agg(format('a.%1$I = r.%1$I', k), ' AND ')
                  FROM jsonb_array_elements_text(place -> 'keys') k WHERE k <> place ->> 'column');
    conflicts jsonb;
BEGIN
    -- A row that was removed from the winner since is not given back to the loser.
    EXECUTE format(
        'SELECT coalesce(jsonb_agg(jsonb_build_object(''table'', $2, ''key'', to_jsonb(r) - ''org_id'','
        ' ''reason'', ''removed'')), ''[]'') FROM jsonb_array_elements($1) e,'
        ' jsonb_populate_record(NULL::%1$s, e) r WHERE NOT EXISTS (SELECT FROM %1$s t WHERE %2$s)',
        tab, same) INTO conflicts USING place -> 'added', tab;
    EXECUTE format(
        'WITH gone AS (SELECT r.* FROM jsonb_array_elements($2) e,'
        ' jsonb_populate_record(NULL::%1$s, e) r'
        ' WHERE NOT EXISTS (SELECT FROM %1$s t WHERE %2$s))'
        ' INSERT INTO %1$s SELECT r.* FROM jsonb_array_elements($1) e,'
        ' jsonb_populate_record(NULL::%1$s, e) r'
        ' WHERE NOT EXISTS (SELECT FROM gone a WHERE %3$s) ON CONFLICT DO NOTHING',
        tab, same, rest) USING place -> 'removed', place -> 'added';
    EXECUTE format(
        'DELETE FROM %1$s t USING jsonb_array_elements($1) e,'
        ' jsonb_populate_record(NULL::%1$s, e) r WHERE %2$s', tab, same) USING place -> 'added';
    RETURN conflicts;
END;
$$;
COMMENT ON FUNCTION saleshub.merge_unmove(jsonb) IS
    'Puts rows back whose key held the reference; what is not there any more is a conflict.';

CREATE FUNCTION saleshub.merge_unset(noun text, org uuid, winner uuid, fields jsonb) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    current jsonb := saleshub.merge_docs(noun, org, winner, '{}') -> 0;
    back jsonb;
    conflicts jsonb;
BEGIN
    SELECT coalesce(jsonb_object_agg(f.key, f.value -> 0)
                    FILTER (WHERE current -> f.key IS NOT DISTINCT FROM f.value -> 1), '{}'),
           coalesce(jsonb_agg(jsonb_build_object('type', noun, 'id', winner, 'field', f.key,
                                                 'reason', 'changed') ORDER BY f.key)
                    FILTER (WHERE current -> f.key IS DISTINCT FROM f.value -> 1), '[]')
    INTO back, conflicts
    FROM jsonb_each(fields) f;
    -- What it referred to may be gone for good.
    SELECT conflicts || coalesce(jsonb_agg(jsonb_build_object(
               'type', noun, 'id', winner, 'field', f.key, 'reason', 'not_found')), '[]'),
           back - coalesce(array_agg(f.key), '{}')
    INTO conflicts, back
    FROM jsonb_each_text(back) f
    WHERE f.key IN ('company_id', 'parent_id') AND f.value IS NOT NULL AND NOT EXISTS (
        SELECT FROM crm.company c WHERE c.org_id = org AND c.company_id = f.value::uuid);
    PERFORM saleshub.merge_write(
        noun, org, winner, back - 'created_at',
        coalesce(back ->> 'created_at', current ->> 'created_at')::timestamptz);
    RETURN jsonb_build_object('restored', to_jsonb(ARRAY(SELECT jsonb_object_keys(back) ORDER BY 1)),
                              'conflicts', conflicts);
END;
$$;
COMMENT ON FUNCTION saleshub.merge_unset(text, uuid, uuid, jsonb) IS
    'Sets the winner''s fields back that still hold what the merge wrote; the others are conflicts.';

CREATE FUNCTION saleshub.merge_unbin(noun text, org uuid, losers uuid[]) RETURNS uuid[]
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    back uuid[];
BEGIN
    EXECUTE format(
        'WITH back AS (UPDATE crm.%1$I t SET deleted_at = NULL'
        ' WHERE t.org_id = $1 AND t.%2$I = ANY ($2) RETURNING t.%2$I AS id)'
        ' SELECT array_agg(id ORDER BY id) FROM back', noun, noun || '_id')
    INTO back USING org, losers;
    RETURN coalesce(back, '{}');
END;
$$;
COMMENT ON FUNCTION saleshub.merge_unbin(text, uuid, uuid[]) IS
    'Takes the losers of a merge out of the bin; returns those that are there.';

CREATE FUNCTION saleshub.merge_take_back(merge uuid) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
    m record;
    back uuid[];
    winner jsonb;
    conflicts jsonb;
    item jsonb;
    later uuid;
    answer jsonb;
BEGIN
    SELECT * INTO STRICT m FROM crm.merge x WHERE x.org_id = org AND x.merge_id = merge FOR UPDATE;
    IF m.undone_at IS NOT NULL THEN
        RETURN m.undo || '{"replayed": true}';
    END IF;
    SELECT r.merge_id INTO later FROM crm.redirect r
    WHERE r.org_id = org AND r.entity = m.entity AND r.old_id = m.winner_id;
    IF later IS NOT NULL THEN
        PERFORM saleshub.raise(
            'SH409', format('the winner was merged itself, by merge %s', later),
            jsonb_build_object('code', 'merged_later', 'merge_id', later), 'Undo that one first.');
    END IF;
    DELETE FROM crm.redirect r WHERE r.org_id = org AND r.merge_id = merge;
    -- What the winner has of the losers must be out of their way.
    PERFORM saleshub.custom_release(m.entity, org, ARRAY[m.winner_id]);
    DELETE FROM crm.duplicate_decision d WHERE d.org_id = org AND d.merge_id = merge;
    back := saleshub.merge_unbin(m.entity, org, m.losers);
    conflicts := (SELECT coalesce(jsonb_agg(jsonb_build_object(
                      'type', m.entity, 'id', l, 'reason', 'not_found')), '[]')
                  FROM unnest(m.losers) l WHERE NOT l = ANY (back));
    conflicts := conflicts || saleshub.merge_unlink(m.relinked, org, m.winner_id);
    FOR item IN SELECT * FROM jsonb_array_elements(m.moved) LOOP
        conflicts := conflicts || saleshub.merge_unmove(item);
    END LOOP;
    winner := saleshub.merge_unset(m.entity, org, m.winner_id, m.fields);
    PERFORM saleshub.custom_claim(m.entity, org, m.winner_id);
    conflicts := conflicts || (winner -> 'conflicts');
    answer := jsonb_build_object(
        'restored', (SELECT coalesce(jsonb_agg(jsonb_build_object('type', m.entity, 'id', l)
                                               ORDER BY l), '[]') FROM unnest(back) l)
            || jsonb_build_array(jsonb_build_object('type', m.entity, 'id', m.winner_id,
                                                    'fields', winner -> 'restored')),
        'kept', '[]'::jsonb, 'conflicts', conflicts, 'replayed', false);
    UPDATE crm.merge x SET undone_at = now(), undone_by = saleshub.member_id(), undo = answer
    WHERE x.org_id = org AND x.merge_id = merge;
    RETURN answer;
END;
$$;
COMMENT ON FUNCTION saleshub.merge_take_back(uuid) IS
    'Undoes a merge whose winner is locked: restores where nothing changed since, reports the rest.';

CREATE FUNCTION crm.merge_undo(id uuid) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    done jsonb := saleshub.merge_back(id);
BEGIN
    IF done IS NULL THEN
        PERFORM saleshub.record_missing('merge', id);
    END IF;
    RETURN done;
END;
$$;
COMMENT ON FUNCTION crm.merge_undo(uuid) IS
    'Takes a merge apart: the losers come back, references and fields go back where they still are what the merge made them. {"restored", "kept", "conflicts"}; a second call answers the same';
