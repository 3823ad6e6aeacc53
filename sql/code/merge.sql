-- Merging records: which values survive, what refers to the losers follows, and old ids lead on.

CREATE FUNCTION saleshub.redirect_end(noun text, id uuid) RETURNS uuid
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (
        WITH RECURSIVE way AS (
            SELECT r.new_id, 1 AS n FROM crm.redirect r
            WHERE r.org_id = saleshub.org_id() AND r.entity = redirect_end.noun
                AND r.old_id = redirect_end.id
            UNION ALL
            SELECT r.new_id, w.n + 1 FROM way w
            JOIN crm.redirect r ON r.old_id = w.new_id
            WHERE r.org_id = saleshub.org_id() AND r.entity = redirect_end.noun AND w.n < 100
        )
        SELECT w.new_id FROM way w ORDER BY w.n DESC LIMIT 1
    );
END;
$$;
COMMENT ON FUNCTION saleshub.redirect_end(text, uuid) IS
    'The record that took the place of a merged one, whoever sees it; NULL when it was not merged.';

CREATE FUNCTION saleshub.redirected(noun text, id uuid) RETURNS uuid
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_redirected';
COMMENT ON FUNCTION saleshub.redirected(text, uuid) IS
    'The record that took the place of a merged one, if the member sees it; else NULL';

CREATE FUNCTION saleshub.is_merged(noun text, id uuid) RETURNS boolean
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN EXISTS (SELECT FROM crm.redirect r
                   WHERE r.org_id = saleshub.org_id() AND r.entity = is_merged.noun
                       AND r.old_id = is_merged.id);
END;
$$;
ALTER FUNCTION saleshub.is_merged(text, uuid) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.is_merged(text, uuid) IS
    'Whether a record was merged into another, seen or not.';

CREATE FUNCTION saleshub.merge_lock(noun text, ids uuid[]) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    id uuid;
    row_ jsonb;
BEGIN
    PERFORM saleshub.record_require_write();
    IF noun = 'lead' THEN
        PERFORM saleshub.lead_hold(ids);
    END IF;
    FOR id IN SELECT DISTINCT i FROM unnest(ids) i ORDER BY 1 LOOP
        row_ := saleshub.run(format(
            'SELECT to_jsonb(t) FROM crm.%1$I t WHERE t.org_id = saleshub.org_id()'
            ' AND t.%2$I = ($1 ->> ''id'')::uuid AND t.deleted_at IS NULL FOR UPDATE',
            saleshub.duplicate_noun(noun), noun || '_id'), jsonb_build_object('id', id));
        IF row_ IS NULL THEN
            PERFORM saleshub.record_missing(noun, id);
        ELSIF row_ ->> 'status' = 'converted' THEN
            PERFORM saleshub.raise(
                'SH003', format('lead %s is converted and cannot be merged', id),
                '{"code": "lead_converted"}', 'Merge its company, contact or deal.');
        END IF;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION saleshub.merge_lock(text, uuid[]) IS
    'Locks live records that the caller may change, in one order; P0002 for one that is not.';

-- Which values survive

CREATE FUNCTION saleshub.merge_columns(noun text) RETURNS text[]
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT array_agg(a.attname::text ORDER BY a.attnum)
        FROM pg_attribute a
        WHERE a.attrelid = to_regclass('crm.' || quote_ident(noun)) AND a.attnum > 0
            AND NOT a.attisdropped AND a.attgenerated = ''
            AND NOT a.attname = ANY (ARRAY[
                'org_id', noun || '_id', 'version', 'created_at', 'created_by', 'updated_at',
                'updated_by', 'deleted_at', 'score', 'fit', 'engagement', 'score_as_of', 'grade',
                'score_reasons', 'probability', 'probability_stage', 'probability_model',
                'probability_version', 'probability_age', 'status'])
            AND a.attname NOT LIKE 'converted\_%');
END;
$$;
COMMENT ON FUNCTION saleshub.merge_columns(text) IS
    'The columns of a record whose value a merge chooses.';

CREATE FUNCTION saleshub.merge_filled(doc jsonb) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT count(*) FROM jsonb_each(merge_filled.doc) e
    WHERE e.value NOT IN ('null', '""', '[]', '{}');
END;
COMMENT ON FUNCTION saleshub.merge_filled(jsonb) IS 'How many fields of a row have a value.';

CREATE FUNCTION saleshub.merge_value(docs jsonb, col text, rule text) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF rule = 'concat' THEN
        RETURN (
            SELECT to_jsonb(string_agg(v.value, '; ' ORDER BY v.n))
            FROM (SELECT d ->> col AS value, min(n) AS n
                  FROM jsonb_array_elements(docs) WITH ORDINALITY AS e (d, n)
                  WHERE d ->> col IS NOT NULL GROUP BY 1) v);
    END IF;
    -- docs has the winner first, then the others, the newest first.
    RETURN coalesce((
        SELECT d -> col
        FROM jsonb_array_elements(docs) WITH ORDINALITY AS e (d, n)
        WHERE d ->> col IS NOT NULL
        ORDER BY
            CASE WHEN rule = 'newest' THEN (d ->> 'updated_at')::timestamptz END DESC NULLS LAST,
            CASE WHEN rule = 'most_complete' THEN saleshub.merge_filled(d) END DESC NULLS LAST,
            CASE WHEN rule = 'min' THEN d -> col END,
            CASE WHEN rule = 'max' THEN d -> col END DESC NULLS LAST,
            CASE WHEN rule = d ->> 'id_' THEN 0 ELSE 1 END,
            n
        LIMIT 1), 'null');
END;
$$;
COMMENT ON FUNCTION saleshub.merge_value(jsonb, text, text) IS
    'The value of a column that survives: of the winner (the first) unless it is empty, the newest, of the most complete record, the least, the greatest, all texts in a row, or that of the record with this id.';

CREATE FUNCTION saleshub.merge_parents(docs jsonb, col text) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT jsonb_agg(CASE
            -- Nobody is owned by itself: parents within the merged family do not count.
            WHEN col = 'parent_id' AND EXISTS (
                SELECT FROM jsonb_array_elements(docs) o WHERE saleshub.company_below(
                    (o ->> 'org_id')::uuid, (o ->> 'company_id')::uuid, (d ->> col)::uuid))
            -- What is in the bin is not taken over.
            OR n > 1 AND saleshub.reference_faults(
                (d ->> 'org_id')::uuid, '', 'company', (d ->> col)::uuid) <> '[]'
            THEN d || jsonb_build_object(col, NULL) ELSE d END ORDER BY n)
        FROM jsonb_array_elements(docs) WITH ORDINALITY AS e (d, n));
END;
$$;
COMMENT ON FUNCTION saleshub.merge_parents(jsonb, text) IS
    'The rows of a merge without those companies that the winner cannot belong to.';

CREATE FUNCTION saleshub.merge_custom(docs jsonb, policy jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT coalesce(jsonb_object_agg(substr(p.key, 8), v.value), '{}')
        FROM jsonb_each_text(policy) p,
             LATERAL (SELECT jsonb_agg(d || jsonb_build_object(p.key, d -> 'custom' -> substr(p.key, 8))
                                       ORDER BY n) AS docs
                      FROM jsonb_array_elements(merge_custom.docs) WITH ORDINALITY AS e (d, n)) f,
             LATERAL (SELECT saleshub.merge_value(f.docs, p.key, p.value) AS value) v
        WHERE p.key LIKE 'custom.%' AND v.value <> 'null');
END;
$$;
COMMENT ON FUNCTION saleshub.merge_custom(jsonb, jsonb) IS
    'The custom fields that a policy names one by one, with the value that survives.';

CREATE FUNCTION saleshub.merge_fields(noun text, docs jsonb, policy jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    winner jsonb := docs -> 0;
    fields jsonb := '{}';
    col text;
    value jsonb;
BEGIN
    FOREACH col IN ARRAY saleshub.merge_columns(noun) LOOP
        CASE
            WHEN col = 'tags' THEN
                value := (SELECT coalesce(jsonb_agg(t ORDER BY n), '[]') FROM (
                    SELECT t, min(d.n * 1000 + x.n) AS n
                    FROM jsonb_array_elements(docs) WITH ORDINALITY AS d (doc, n),
                         jsonb_array_elements(d.doc -> 'tags') WITH ORDINALITY AS x (t, n)
                    GROUP BY t) u);
            WHEN col = 'custom' THEN
                value := (SELECT coalesce(jsonb_object_agg(m.key, m.value ORDER BY d.n DESC), '{}')
                          FROM jsonb_array_elements(docs) WITH ORDINALITY AS d (doc, n),
                               jsonb_each(d.doc -> 'custom') m WHERE m.value <> 'null')
                    || saleshub.merge_custom(docs, policy);
            WHEN col LIKE 'consent\_%' THEN
                value := CASE WHEN EXISTS (SELECT FROM jsonb_array_elements(docs) d
                                           WHERE d -> col = 'false') THEN 'false'
                              ELSE saleshub.merge_value(docs, col, 'winner') END;
            WHEN col = 'annual_revenue_currency' THEN
                -- An amount and its currency are one value.
                value := (SELECT d -> col FROM jsonb_array_elements(docs) WITH ORDINALITY AS e (d, n)
                          WHERE d -> 'annual_revenue' = coalesce(fields -> 'annual_revenue',
                                                                 winner -> 'annual_revenue')
                          ORDER BY n LIMIT 1);
            WHEN col IN ('company_id', 'parent_id') THEN
                value := saleshub.merge_value(saleshub.merge_parents(docs, col), col, coalesce(
                    policy ->> col, policy ->> '*', 'winner'));
            ELSE
                value := saleshub.merge_value(docs, col, coalesce(policy ->> col, policy ->> '*',
                                                                  'winner'));
        END CASE;
        IF value IS DISTINCT FROM winner -> col THEN
            fields := fields || jsonb_build_object(col, value);
        END IF;
    END LOOP;
    RETURN fields;
END;
$$;
COMMENT ON FUNCTION saleshub.merge_fields(text, jsonb, jsonb) IS
    'The columns of the winner that change: by the policy {column: rule, "*": rule}; tags and custom fields are united (custom.<key> has a rule of its own), of several consents the strictest stays.';

-- What refers to the losers

CREATE FUNCTION saleshub.merge_places(noun text, OUT tab regclass, OUT name text, OUT col text,
                                      OUT kind text, OUT keys text[])
    RETURNS SETOF record
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT p.tab, format('%I.%I', t.relnamespace::regnamespace::text, t.relname), p.col, p.kind,
           k.keys
    FROM (
        SELECT c.conrelid::regclass AS tab, a.attname::text AS col, NULL::text AS kind
        FROM pg_constraint c
        CROSS JOIN LATERAL unnest(c.conkey, c.confkey) AS k (mine, theirs)
        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.mine
        JOIN pg_attribute f ON f.attrelid = c.confrelid AND f.attnum = k.theirs
        WHERE c.contype = 'f' AND c.confrelid = to_regclass('crm.' || quote_ident(noun))
            AND f.attname = noun || '_id'
        UNION
        -- What members link with records of any kind.
        SELECT r.oid::regclass, 'entity_id', noun
        FROM pg_class r
        WHERE r.relnamespace = 'crm'::regnamespace AND r.relkind IN ('r', 'p')
            AND has_table_privilege('saleshub_user', r.oid, 'INSERT')
            AND 2 = (SELECT count(*) FROM pg_attribute a WHERE a.attrelid = r.oid
                     AND (a.attname, a.atttypid) IN (('entity', 'text'::regtype),
                                                     ('entity_id', 'uuid'::regtype)))
    ) p
    JOIN pg_class t ON t.oid = p.tab
    JOIN pg_index i ON i.indrelid = p.tab AND i.indisprimary,
    LATERAL (SELECT array_agg(a.attname::text ORDER BY o.n) AS keys
             FROM unnest(i.indkey::smallint[]) WITH ORDINALITY AS o (num, n)
             JOIN pg_attribute a ON a.attrelid = p.tab AND a.attnum = o.num) k
    ORDER BY 2, 3;
END;
$$;
COMMENT ON FUNCTION saleshub.merge_places(text) IS
    'Tables and columns that refer to records of a kind, by the catalogue of foreign keys and of links to any kind, with the primary keys of the tables.';

CREATE FUNCTION saleshub.merge_relink(place jsonb, org uuid, winner uuid, losers uuid[])
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    done jsonb;
BEGIN
    EXECUTE format(
        'WITH old AS (SELECT jsonb_build_object(%4$s) AS key, t.%2$I AS old, %5$s FROM %1$s t'
        ' WHERE t.org_id = $1 AND t.%2$I = ANY ($3)%3$s FOR UPDATE),'
        ' new AS (UPDATE %1$s t SET %2$I = $2 FROM old WHERE %6$s RETURNING old.key, old.old)'
        ' SELECT jsonb_agg(jsonb_build_object(''table'', %7$L, ''column'', %2$L, ''key'', key,'
        ' ''old'', old)) FROM new',
        place ->> 'name', place ->> 'col',
        CASE WHEN place ->> 'kind' IS NULL THEN '' ELSE format(' AND t.entity = %L', place ->> 'kind') END,
        (SELECT string_agg(format('%1$L, t.%1$I', k), ', ') FROM jsonb_array_elements_text(place -> 'keys') k),
        (SELECT string_agg(format('t.%I AS k%s', k, n), ', ')
         FROM jsonb_array_elements_text(place -> 'keys') WITH ORDINALITY AS u (k, n)),
        (SELECT string_agg(format('t.%I = old.k%s', k, n), ' AND ')
         FROM jsonb_array_elements_text(place -> 'keys') WITH ORDINALITY AS u (k, n)),
        place ->> 'name')
    INTO done USING org, winner, losers;
    RETURN coalesce(done, '[]');
END;
$$;
COMMENT ON FUNCTION saleshub.merge_relink(jsonb, uuid, uuid, uuid[]) IS
    'Turns the references of a column to the winner: [{table, column, key, old}].';

CREATE FUNCTION saleshub.merge_move(place jsonb, org uuid, winner uuid, losers uuid[])
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    removed jsonb;
    added jsonb;
BEGIN
    EXECUTE format(
        'WITH gone AS (DELETE FROM %1$s t WHERE t.org_id = $1 AND t.%2$I = ANY ($2)%3$s'
        ' RETURNING to_jsonb(t) AS r) SELECT jsonb_agg(r) FROM gone',
        place ->> 'name', place ->> 'col',
        CASE WHEN place ->> 'kind' IS NULL THEN '' ELSE format(' AND t.entity = %L', place ->> 'kind') END)
    INTO removed USING org, losers;
    IF removed IS NULL THEN
        RETURN '[]';
    END IF;
    EXECUTE format(
        'WITH fresh AS (INSERT INTO %1$s AS t SELECT r.* FROM jsonb_array_elements($1) e,'
        ' jsonb_populate_record(NULL::%1$s, e || jsonb_build_object(%2$L, $2)) r'
        ' ON CONFLICT DO NOTHING RETURNING to_jsonb(t) AS r) SELECT jsonb_agg(r) FROM fresh',
        place ->> 'name', place ->> 'col')
    INTO added USING removed, winner;
    RETURN jsonb_build_array(jsonb_build_object(
        'table', place -> 'name', 'column', place -> 'col', 'keys', place -> 'keys',
        'removed', removed, 'added', coalesce(added, '[]')));
END;
$$;
COMMENT ON FUNCTION saleshub.merge_move(jsonb, uuid, uuid, uuid[]) IS
    'The same where the reference is part of the key: rows are replaced, those that the winner has already just go.';

CREATE FUNCTION saleshub.merge_write(noun text, org uuid, winner uuid, fields jsonb,
                                     created timestamptz) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    EXECUTE format(
        'UPDATE crm.%1$I AS t SET %3$screated_at = $4'
        ' FROM jsonb_populate_record(NULL::crm.%1$I, $3) r WHERE t.org_id = $1 AND t.%2$I = $2',
        noun, noun || '_id',
        (SELECT coalesce(string_agg(format('%1$I = r.%1$I, ', k), ''), '')
         FROM jsonb_object_keys(fields) k))
    USING org, winner, fields, created;
END;
$$;
COMMENT ON FUNCTION saleshub.merge_write(text, uuid, uuid, jsonb, timestamptz) IS
    'Sets columns of a record and when it was created.';

CREATE FUNCTION saleshub.merge_carry(noun text, org uuid, winner uuid, losers uuid[],
                                     docs jsonb, policy jsonb) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    fields jsonb := saleshub.merge_fields(noun, docs, policy);
    created timestamptz := (SELECT min((d ->> 'created_at')::timestamptz)
                            FROM jsonb_array_elements(docs) d);
    relinked jsonb := '[]';
    moved jsonb := '[]';
    place record;
BEGIN
    PERFORM saleshub.custom_release(noun, org, losers);
    PERFORM saleshub.merge_write(noun, org, winner, fields, created);
    FOR place IN SELECT * FROM saleshub.merge_places(noun) LOOP
        IF place.col = ANY (place.keys) THEN
            moved := moved || saleshub.merge_move(to_jsonb(place), org, winner, losers);
        ELSIF NOT (place.tab = to_regclass('crm.' || noun)) THEN
            relinked := relinked || saleshub.merge_relink(to_jsonb(place), org, winner, losers);
        END IF;
    END LOOP;
    EXECUTE format('UPDATE crm.%I SET deleted_at = now() WHERE org_id = $1 AND %I = ANY ($2)',
                   noun, noun || '_id') USING org, losers;
    -- References within the kind itself, when the losers are out of the way.
    FOR place IN SELECT * FROM saleshub.merge_places(noun) p
                 WHERE p.tab = to_regclass('crm.' || noun) LOOP
        relinked := relinked || saleshub.merge_relink(to_jsonb(place), org, winner, losers);
    END LOOP;
    RETURN jsonb_build_object(
        'fields', saleshub.field_changes(
            docs -> 0, (docs -> 0) || fields, ARRAY(SELECT jsonb_object_keys(fields)))
            || CASE WHEN created < (docs -> 0 ->> 'created_at')::timestamptz THEN
                jsonb_build_object('created_at', jsonb_build_array(docs -> 0 -> 'created_at',
                                                                   to_jsonb(created)))
               ELSE '{}' END,
        'relinked', relinked, 'moved', moved);
END;
$$;
COMMENT ON FUNCTION saleshub.merge_carry(text, uuid, uuid, uuid[], jsonb, jsonb) IS
    'Writes a merge: the winner, what refers to the losers, the losers into the bin. Says what changed.';

CREATE FUNCTION saleshub.merge_docs(noun text, org uuid, winner uuid, losers uuid[]) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    docs jsonb;
BEGIN
    EXECUTE format(
        'SELECT jsonb_agg(to_jsonb(t) || jsonb_build_object(''id_'', t.%2$I)'
        ' ORDER BY t.%2$I <> $2, t.updated_at DESC, t.%2$I) FROM crm.%1$I t'
        ' WHERE t.org_id = $1 AND (t.%2$I = $2 OR t.%2$I = ANY ($3))', noun, noun || '_id')
    INTO docs USING org, winner, losers;
    RETURN docs;
END;
$$;
COMMENT ON FUNCTION saleshub.merge_docs(text, uuid, uuid, uuid[]) IS
    'The rows of a merge: the winner, then the losers, the newest first.';

CREATE FUNCTION saleshub.merge_apply(noun text, winner uuid, losers uuid[], policy jsonb,
                                     dry_run boolean) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
    docs jsonb := saleshub.merge_docs(noun, org, winner, losers);
    id uuid := crm.uuid_v7();
    done jsonb;
BEGIN
    BEGIN
        done := saleshub.merge_carry(noun, org, winner, losers, docs, policy);
        IF dry_run THEN
            PERFORM saleshub.raise('SHDRY', 'this was a dry run');
        END IF;
    EXCEPTION WHEN SQLSTATE 'SHDRY' THEN
        id := NULL;
    END;
    IF id IS NOT NULL THEN
        INSERT INTO crm.redirect (org_id, entity, old_id, new_id, merge_id)
        SELECT org, noun, l, winner, id FROM unnest(losers) l;
        INSERT INTO crm.merge (org_id, merge_id, entity, winner_id, losers, policy, before, fields,
                               relinked, moved, actor_id, request_id)
        VALUES (org, id, noun, winner, losers, policy, docs, done -> 'fields', done -> 'relinked',
                done -> 'moved', saleshub.member_id(), saleshub.request_id());
        PERFORM saleshub.decision_merged(noun, docs, id);
    END IF;
    RETURN jsonb_build_object(
        'merge_id', id, 'dry_run', dry_run, 'losers', to_jsonb(losers), 'fields', done -> 'fields',
        'relinked', (
            SELECT coalesce(jsonb_object_agg(place, n), '{}') FROM (
                SELECT place, sum(n) AS n FROM (
                    SELECT (r ->> 'table') || '.' || (r ->> 'column') AS place, 1 AS n
                    FROM jsonb_array_elements(done -> 'relinked') r
                    UNION ALL
                    SELECT (m ->> 'table') || '.' || (m ->> 'column'),
                           jsonb_array_length(m -> 'removed')
                    FROM jsonb_array_elements(done -> 'moved') m) a GROUP BY place) c));
END;
$$;
COMMENT ON FUNCTION saleshub.merge_apply(text, uuid, uuid[], jsonb, boolean) IS
    'Does a merge whose records are locked, or tries it and takes everything back.';

CREATE FUNCTION saleshub.merge_run(noun text, winner uuid, losers uuid[], policy jsonb,
                                   dry_run boolean) RETURNS jsonb
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_merge_run';
COMMENT ON FUNCTION saleshub.merge_run(text, uuid, uuid[], jsonb, boolean) IS
    'Merges records that the caller may change; what refers to them follows, seen or not';

CREATE FUNCTION saleshub.merge_back(merge uuid) RETURNS jsonb
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_merge_back';
COMMENT ON FUNCTION saleshub.merge_back(uuid) IS
    'Takes back the merge of a record that the caller may change; NULL when there is no such merge';

CREATE FUNCTION saleshub.merge_policy_check(noun text, policy jsonb) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    rules CONSTANT text := '^(winner|newest|most_complete|min|max|concat|[0-9a-f-]{36})$';
    texts CONSTANT text[] := ARRAY['title', 'industry', 'city'];
    faults jsonb;
BEGIN
    SELECT coalesce(jsonb_agg(saleshub.fault(saleshub.pointer('/policy', p.key), f.code, f.detail) -> 0
                              ORDER BY p.key), '[]') INTO faults
    FROM jsonb_each(policy) p,
         LATERAL (SELECT CASE
             WHEN p.key <> '*' AND p.key NOT LIKE 'custom._%'
                  AND NOT p.key = ANY (saleshub.merge_columns(noun)) THEN 'unknown_member'
             WHEN p.value #>> '{}' IS NULL OR p.value #>> '{}' !~ rules THEN 'not_allowed'
             WHEN p.value = '"concat"' AND NOT p.key = ANY (texts) THEN 'not_allowed' END AS code,
             'must be a column with winner, newest, most_complete, min, max, concat (of title,'
             ' industry, city) or the id of one of the records' AS detail) f
    WHERE f.code IS NOT NULL;
    IF faults <> '[]' THEN
        PERFORM saleshub.refuse_row(noun, faults);
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.merge_policy_check(text, jsonb) IS
    'Raises the faults of a policy: columns that a merge does not choose, rules it does not know.';

CREATE FUNCTION crm.record_merge(type text, winner uuid, losers uuid[], policy jsonb DEFAULT '{}',
                                 dry_run boolean DEFAULT false) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    noun text := saleshub.duplicate_noun(type);
    others uuid[] := ARRAY(SELECT DISTINCT l FROM unnest(losers) l WHERE l IS NOT NULL ORDER BY l);
    hidden text[] := saleshub.hidden_fields(noun);
    done jsonb;
BEGIN
    IF others = '{}' OR winner = ANY (others) OR cardinality(others) > 50 THEN
        PERFORM saleshub.refuse_row(noun, saleshub.fault(
            '/losers', 'not_allowed', 'must be 1 to 50 other records'));
    END IF;
    PERFORM saleshub.merge_policy_check(noun, coalesce(policy, '{}'));
    done := saleshub.merge_run(noun, winner, others, coalesce(policy, '{}'),
                               coalesce(dry_run, false));
    RETURN done || jsonb_build_object(
        'fields', saleshub.custom_change((done -> 'fields') - hidden,
                                         saleshub.custom_hidden(noun, hidden)),
        'winner', saleshub.record_get(
            CASE noun WHEN 'contact' THEN saleshub.contact_meta()
                      WHEN 'company' THEN saleshub.company_meta()
                      ELSE saleshub.lead_meta() END, winner));
END;
$$;
COMMENT ON FUNCTION crm.record_merge(text, uuid, uuid[], jsonb, boolean) IS
    'Merges records of a kind (contact, company, lead) into the winner. policy: {column: rule, "*": rule}, rules winner (blanks are filled), newest, most_complete, min, max, concat or the id of a record; tags and custom fields are united (custom.<key> can have a rule), the strictest consent and the earliest created_at stay. Everything that refers to the losers follows; their ids lead to the winner. dry_run only says what would change';

-- Routes

DO $do$
DECLARE
    noun text;
BEGIN
    FOREACH noun IN ARRAY ARRAY['contact', 'company', 'lead'] LOOP
        EXECUTE format(
            'CREATE FUNCTION crm.%1$s_merge(id uuid, body jsonb) RETURNS jsonb'
            ' LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE'
            ' SET search_path = pg_catalog, crm, pg_temp'
            ' AS $$ BEGIN PERFORM saleshub.check_body(saleshub.merge_schema(), body);'
            ' RETURN crm.record_merge(%1$L, id, ARRAY(SELECT l::uuid FROM'
            ' jsonb_array_elements_text(body -> ''losers'') l), coalesce(nullif(body -> ''policy'','
            ' ''null''), ''{}''), coalesce((body ->> ''dry_run'')::boolean, false)); END; $$', noun);
        EXECUTE format('COMMENT ON FUNCTION crm.%1$s_merge(uuid, jsonb) IS %2$L', noun, format(
            'Merges others into a record of crm.%s: body {losers, policy, dry_run} as crm.record_merge',
            noun));
    END LOOP;
END;
$do$;

CREATE FUNCTION saleshub.merge_schema() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '{
        "type": "object",
        "properties": {
            "losers": {"type": "array", "maxItems": 50,
                       "items": {"type": "string", "format": "uuid"}},
            "policy": {"type": ["object", "null"]},
            "dry_run": {"type": ["boolean", "null"]}},
        "required": ["losers"], "additionalProperties": false}'::jsonb;
COMMENT ON FUNCTION saleshub.merge_schema() IS 'The JSON Schema of the body of a merge.';

CREATE FUNCTION saleshub.routes_merge() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    noun record;
BEGIN
    FOR noun IN SELECT * FROM (VALUES ('contact', 'contacts'), ('company', 'companies'),
                                      ('lead', 'leads')) n (one, many) LOOP
        PERFORM saleshub.route(
            format('POST /v1/%s/{id}/merge', noun.many), format('crm.%s_merge(uuid, jsonb)', noun.one),
            format('Merge other %s into this one', noun.many), noun.many, idempotent => true,
            timeout_ms => 30000, args => jsonb_build_object('body', saleshub.merge_schema()),
            answer => '"Merged"');
    END LOOP;
    PERFORM saleshub.route(
        'POST /v1/merges/{id}/undo', 'crm.merge_undo(uuid)', 'Take a merge apart', 'duplicates',
        idempotent => true, timeout_ms => 30000,
        answer => '"Undo"');
END;
$$;
COMMENT ON FUNCTION saleshub.routes_merge() IS
    'Registers the routes of merging.';
