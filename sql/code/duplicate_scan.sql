-- The whole base: every record is compared with those before it, some at a time.

CREATE FUNCTION saleshub.duplicate_seen(noun text, id uuid) RETURNS boolean
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN CASE noun
        WHEN 'contact' THEN EXISTS (SELECT FROM crm.contact r WHERE r.org_id = saleshub.org_id()
            AND r.contact_id = duplicate_seen.id AND r.deleted_at IS NULL)
        WHEN 'company' THEN EXISTS (SELECT FROM crm.company r WHERE r.org_id = saleshub.org_id()
            AND r.company_id = duplicate_seen.id AND r.deleted_at IS NULL)
        ELSE EXISTS (SELECT FROM crm.lead r WHERE r.org_id = saleshub.org_id()
            AND r.lead_id = duplicate_seen.id AND r.deleted_at IS NULL) END;
END;
$$;
COMMENT ON FUNCTION saleshub.duplicate_seen(text, uuid) IS
    'Whether the caller sees this live record.';

CREATE FUNCTION saleshub.duplicate_scan_ids(noun text, org uuid, after uuid, most integer)
    RETURNS uuid[]
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    ids uuid[];
BEGIN
    EXECUTE format(
        'SELECT array_agg(id ORDER BY id) FROM (SELECT r.%2$I AS id FROM crm.%1$I r'
        ' WHERE r.org_id = $1 AND ($2 IS NULL OR r.%2$I > $2) AND r.deleted_at IS NULL'
        ' ORDER BY r.%2$I LIMIT $3) x', noun, noun || '_id')
    INTO ids USING org, after, most;
    RETURN ids;
END;
$$;
COMMENT ON FUNCTION saleshub.duplicate_scan_ids(text, uuid, uuid, integer) IS
    'The next live records of a kind, by id.';

CREATE FUNCTION saleshub.duplicate_scan_step(noun text, org uuid, scan uuid, ids uuid[],
                                             OUT compared bigint, OUT hits bigint)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    EXECUTE format(
        -- A key that very many share says little: its records meet by their other keys.
        'WITH own AS MATERIALIZED (SELECT k.key, r.%2$I AS entity_id FROM crm.%1$I r,'
        '  unnest(saleshub.match_keys(%1$L, to_jsonb(r), $4)) AS k (key)'
        '  WHERE r.org_id = $1 AND r.%2$I = ANY ($3) AND r.deleted_at IS NULL),'
        ' bucket AS MATERIALIZED (SELECT d.key FROM (SELECT DISTINCT key FROM own) d, LATERAL ('
        '  SELECT count(*) AS n FROM (SELECT FROM saleshub.match_key m WHERE m.org_id = $1'
        '   AND m.entity = %1$L AND m.key = d.key LIMIT 201) l) c WHERE c.n BETWEEN 2 AND 200),'
        ' pair AS MATERIALIZED (SELECT DISTINCT m.entity_id AS low, own.entity_id AS high'
        '  FROM own JOIN bucket USING (key) JOIN saleshub.match_key m ON m.org_id = $1'
        '  AND m.entity = %1$L AND m.key = own.key AND m.entity_id < own.entity_id'
        '  WHERE NOT EXISTS (SELECT FROM crm.duplicate_decision x WHERE x.org_id = $1'
        '   AND x.entity = %1$L AND x.low_id = m.entity_id AND x.high_id = own.entity_id AND NOT x.same)),'
        ' doc AS MATERIALIZED (SELECT d.id, d.doc FROM saleshub.duplicate_docs(%1$L, ARRAY('
        '  SELECT low FROM pair UNION SELECT high FROM pair)) d),'
        ' hit AS MATERIALIZED (SELECT p.low, p.high, saleshub.match_explain($4, a.doc, b.doc) AS e'
        '  FROM pair p JOIN doc a ON a.id = p.low JOIN doc b ON b.id = p.high),'
        ' written AS (INSERT INTO crm.duplicate_pair AS t (org_id, entity, low_id, high_id, score,'
        '   fields, duplicate_scan_id)'
        '  SELECT $1, %1$L, h.low, h.high, (h.e ->> ''score'')::numeric, h.e -> ''fields'', $2'
        '  FROM hit h WHERE (h.e ->> ''score'')::numeric >= 8'
        '  ON CONFLICT (org_id, entity, low_id, high_id) DO UPDATE SET score = excluded.score,'
        '   fields = excluded.fields, duplicate_scan_id = excluded.duplicate_scan_id,'
        '   found_at = now() RETURNING 1)'
        ' SELECT (SELECT count(*) FROM pair), (SELECT count(*) FROM written)', noun, noun || '_id')
    INTO compared, hits USING org, scan, ids, saleshub.match_rules(org, noun);
END;
$$;
COMMENT ON FUNCTION saleshub.duplicate_scan_step(text, uuid, uuid, uuid[]) IS
    'Compares records with all before them that share a key, and notes those that look alike.';

CREATE FUNCTION crm.duplicate_scan(type text, batch integer DEFAULT 2000) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    noun text := saleshub.duplicate_noun(type);
    org uuid := saleshub.org_id();
    scan record;
    ids uuid[];
    step record;
BEGIN
    IF saleshub.member_role() <> 'admin' THEN
        PERFORM saleshub.require_role('manager');
    END IF;
    IF batch IS NULL OR batch NOT BETWEEN 1 AND 20000 THEN
        PERFORM saleshub.bad_parameter('batch', 'out_of_range', 'must be from 1 to 20000');
    END IF;
    INSERT INTO crm.duplicate_scan (org_id, entity) VALUES (org, noun)
    ON CONFLICT (org_id, entity) WHERE finished_at IS NULL DO NOTHING;
    SELECT * INTO scan FROM crm.duplicate_scan s
    WHERE s.org_id = org AND s.entity = noun AND s.finished_at IS NULL FOR UPDATE;
    ids := saleshub.duplicate_scan_ids(noun, org, scan.position, batch);
    SELECT * INTO step
    FROM saleshub.duplicate_scan_step(noun, org, scan.duplicate_scan_id, coalesce(ids, '{}'));
    UPDATE crm.duplicate_scan s
    SET position = coalesce(ids[cardinality(ids)], s.position), compared = s.compared + step.compared,
        records = s.records + coalesce(cardinality(ids), 0), found = s.found + step.hits,
        finished_at = CASE WHEN coalesce(cardinality(ids), 0) < batch THEN clock_timestamp() END
    WHERE s.org_id = org AND s.duplicate_scan_id = scan.duplicate_scan_id
    RETURNING * INTO scan;
    IF scan.finished_at IS NOT NULL THEN
        -- What earlier scans found and this one did not is no longer so.
        DELETE FROM crm.duplicate_pair p
        WHERE p.org_id = org AND p.entity = noun AND p.duplicate_scan_id <> scan.duplicate_scan_id;
    END IF;
    RETURN jsonb_build_object(
        'id', scan.duplicate_scan_id, 'type', noun, 'done', scan.finished_at IS NOT NULL,
        'records', scan.records, 'compared', scan.compared, 'found', scan.found,
        'started_at', saleshub.utc(scan.started_at), 'finished_at', saleshub.utc(scan.finished_at));
END;
$$;
ALTER FUNCTION crm.duplicate_scan(text, integer) OWNER TO saleshub_owner;
COMMENT ON FUNCTION crm.duplicate_scan(text, integer) IS
    'For managers and admins: compares the next records of a kind with those before them. Call it until "done"; it goes on where it was, in any session. crm.duplicate_clusters shows what it found';

CREATE FUNCTION crm.duplicate_clusters(type text, band text DEFAULT 'warn',
                                       limit_ integer DEFAULT 50) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    noun text := saleshub.duplicate_noun(type);
    least_score numeric := CASE band WHEN 'block' THEN 21 WHEN 'warn' THEN 13 WHEN 'suggest' THEN 8 END;
    page integer := saleshub.list_limit(limit_);
BEGIN
    IF least_score IS NULL THEN
        PERFORM saleshub.bad_parameter('band', 'not_allowed', 'must be block, warn or suggest');
    END IF;
    RETURN jsonb_build_object('next_cursor', NULL, 'data', (
        WITH RECURSIVE pair AS MATERIALIZED (
            SELECT p.low_id, p.high_id, p.score, p.fields FROM crm.duplicate_pair p
            WHERE p.org_id = saleshub.org_id() AND p.entity = noun AND p.score >= least_score
                AND saleshub.duplicate_seen(noun, p.low_id)
                AND saleshub.duplicate_seen(noun, p.high_id)
                AND NOT EXISTS (
                    SELECT FROM crm.duplicate_decision x
                    WHERE x.org_id = p.org_id AND x.entity = p.entity AND x.low_id = p.low_id
                        AND x.high_id = p.high_id AND NOT x.same)
        ), edge AS MATERIALIZED (
            SELECT low_id AS a, high_id AS b FROM pair UNION ALL SELECT high_id, low_id FROM pair
        ), reach AS (
            SELECT DISTINCT a AS root, a AS id FROM edge
            UNION
            SELECT r.root, e.b FROM reach r JOIN edge e ON e.a = r.id
        ), part AS (
            SELECT r.id, min(r.root::text)::uuid AS cluster FROM reach r GROUP BY r.id
        ), cluster AS (
            SELECT c.cluster, max(p.score) AS score, jsonb_agg(jsonb_build_object(
                'ids', jsonb_build_array(p.low_id, p.high_id), 'score', p.score,
                'band', saleshub.match_band(p.score), 'fields', p.fields)
                ORDER BY p.score DESC, p.low_id, p.high_id) AS pairs
            FROM pair p JOIN part c ON c.id = p.low_id
            GROUP BY c.cluster ORDER BY 2 DESC, 1 LIMIT page
        )
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'type', noun, 'score', c.score, 'pairs', c.pairs, 'records', (
                SELECT jsonb_agg(jsonb_build_object(
                    'id', m.id, 'email', d.doc -> 'email', 'name', coalesce(
                        d.doc ->> 'name',
                        nullif(concat_ws(' ', d.doc ->> 'first_name', d.doc ->> 'last_name'), ''),
                        d.doc ->> 'company_name', d.doc ->> 'email')) ORDER BY m.id)
                FROM part m, LATERAL (SELECT saleshub.duplicate_doc(noun, m.id) AS doc) d
                WHERE m.cluster = c.cluster)) ORDER BY c.score DESC, c.cluster), '[]')
        FROM cluster c));
END;
$$;
COMMENT ON FUNCTION crm.duplicate_clusters(text, text, integer) IS
    'Groups of records that the last scan found to look like one, the surest first, as far as the caller sees them: [{type, score, records, pairs}]; band says from when on pairs count';

CREATE FUNCTION saleshub.routes_duplicate_scan() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    types CONSTANT jsonb := '{"enum": ["contact", "contacts", "company", "companies", "lead", "leads"]}';
BEGIN
    PERFORM saleshub.route(
        'POST /v1/duplicates/scan', 'crm.duplicate_scan(text, integer)',
        'Compare the next records with those before them', 'duplicates', timeout_ms => 30000,
        args => jsonb_build_object('type', types,
                                   'batch', '{"minimum": 1, "maximum": 20000}'::jsonb),
        answer => '"MatchScan"');
    PERFORM saleshub.route(
        'GET /v1/duplicates/clusters', 'crm.duplicate_clusters(text, text, integer)',
        'List the groups of duplicates that the last scan found', 'duplicates',
        args => jsonb_build_object(
            'type', types, 'band', '{"enum": ["block", "warn", "suggest"]}'::jsonb,
            'limit', '{"minimum": 1, "maximum": 200}'::jsonb),
        answer => saleshub.page_shape('"MatchCluster"'));
END;
$$;
COMMENT ON FUNCTION saleshub.routes_duplicate_scan() IS
    'Registers the routes of scans for duplicates.';
