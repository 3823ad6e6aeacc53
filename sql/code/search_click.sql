-- What members search for and open. Searches only read, so each leaves a note in shared memory that
-- the worker writes; what is opened is told by a call of its own.

CREATE FUNCTION saleshub.search_note(q text, took_us integer, total bigint, corrected boolean,
                                     experiment uuid DEFAULT NULL, variant integer DEFAULT NULL)
RETURNS uuid
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_search_note';
COMMENT ON FUNCTION saleshub.search_note(text, integer, bigint, boolean, uuid, integer) IS
    'Leaves a note of a search in shared memory, where the newest 1,024 fit; returns the id of the query';

CREATE FUNCTION saleshub.search_notes(
    OUT org_id uuid, OUT query_id uuid, OUT member_id uuid, OUT at timestamptz, OUT q text,
    OUT took_us integer, OUT total bigint, OUT corrected boolean, OUT experiment_id uuid,
    OUT variant integer) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_search_notes';
COMMENT ON FUNCTION saleshub.search_notes() IS
    'Takes the notes of this database out of shared memory, the oldest first';

CREATE FUNCTION saleshub.search_popular_renew(org uuid, asked text[]) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    WITH counted AS (
        SELECT a.words, count(*) AS members, sum(a.n) AS n, max(a.last_at) AS last_at
          FROM saleshub.search_asked AS a
         WHERE a.org_id = org AND a.words = ANY (asked) AND a.total > 0
         GROUP BY a.words HAVING count(*) >= 3
    ), gone AS (
        DELETE FROM saleshub.search_popular AS p
         WHERE p.org_id = org AND p.words = ANY (asked)
           AND p.words NOT IN (SELECT c.words FROM counted AS c)
    )
    INSERT INTO saleshub.search_popular AS p (org_id, words, members, n, last_at)
    SELECT org, c.words, c.members, c.n, c.last_at FROM counted AS c ORDER BY c.words
    ON CONFLICT ON CONSTRAINT search_popular_pkey DO UPDATE
        SET members = excluded.members, n = excluded.n, last_at = excluded.last_at;
END
$$;
COMMENT ON FUNCTION saleshub.search_popular_renew(uuid, text[]) IS
    'Counts anew who asked these queries: from three members on they are popular';

CREATE FUNCTION saleshub.search_log_keep() RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    kept bigint := 0;
    asked record;
BEGIN
    FOR asked IN
        WITH written AS (
            INSERT INTO saleshub.search_query (org_id, query_id, member_id, at, q, words, took_us,
                                               total, corrected, experiment_id, variant)
            SELECT n.org_id, n.query_id, n.member_id, n.at, n.q,
                   lower(regexp_replace(btrim(n.q), '\s+', ' ', 'g')), n.took_us, n.total,
                   n.corrected, n.experiment_id, n.variant
              FROM saleshub.search_notes() AS n
              JOIN crm.org AS o ON o.org_id = n.org_id
            ON CONFLICT DO NOTHING
            RETURNING org_id, words, member_id, at, total
        ), by_member AS (
            SELECT w.org_id, w.words, w.member_id, count(*) AS n, max(w.at) AS last_at,
                   (array_agg(w.total ORDER BY w.at DESC))[1] AS total
              FROM written AS w
             WHERE w.member_id IS NOT NULL AND length(w.words) BETWEEN 2 AND 100
             GROUP BY 1, 2, 3
        ), told AS (
            INSERT INTO saleshub.search_asked AS a (org_id, words, member_id, n, last_at, total)
            SELECT * FROM by_member AS b ORDER BY b.org_id, b.words, b.member_id
            ON CONFLICT (org_id, words, member_id) DO UPDATE
                SET n = a.n + excluded.n, last_at = greatest(a.last_at, excluded.last_at),
                    total = excluded.total
        )
        SELECT w.org_id, count(*) AS n,
               array_agg(DISTINCT w.words) FILTER (WHERE length(w.words) BETWEEN 2 AND 100) AS words
          FROM written AS w GROUP BY 1 ORDER BY 1
    LOOP
        kept := kept + asked.n;
        PERFORM saleshub.search_popular_renew(asked.org_id, asked.words);
    END LOOP;
    RETURN kept;
END
$$;
COMMENT ON FUNCTION saleshub.search_log_keep() IS
    'Writes the notes of searches that wait in shared memory; returns how many. Done by the worker every second';

CREATE FUNCTION saleshub.search_log_trim(keep interval DEFAULT '90 days') RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    cut constant timestamptz := now() - keep;
    gone bigint;
    more bigint;
    old record;
BEGIN
    DELETE FROM saleshub.search_query AS q
     USING crm.org AS o CROSS JOIN LATERAL (
               SELECT s.query_id FROM saleshub.search_query AS s
                WHERE s.org_id = o.org_id AND s.at < cut ORDER BY s.at LIMIT 5000) AS s
     WHERE q.org_id = o.org_id AND q.query_id = s.query_id;
    GET DIAGNOSTICS gone = ROW_COUNT;
    DELETE FROM saleshub.search_click AS c
     USING crm.org AS o CROSS JOIN LATERAL (
               SELECT s.click_id FROM saleshub.search_click AS s
                WHERE s.org_id = o.org_id AND s.at < cut ORDER BY s.at LIMIT 5000) AS s
     WHERE c.org_id = o.org_id AND c.click_id = s.click_id;
    GET DIAGNOSTICS more = ROW_COUNT;
    FOR old IN
        WITH dropped AS (
            DELETE FROM saleshub.search_asked AS a
             USING crm.org AS o CROSS JOIN LATERAL (
                       SELECT s.words, s.member_id FROM saleshub.search_asked AS s
                        WHERE s.org_id = o.org_id AND s.last_at < cut LIMIT 5000) AS s
             WHERE a.org_id = o.org_id AND a.words = s.words AND a.member_id = s.member_id
            RETURNING a.org_id, a.words)
        SELECT d.org_id, array_agg(DISTINCT d.words) AS words FROM dropped AS d GROUP BY 1 ORDER BY 1
    LOOP
        PERFORM saleshub.search_popular_renew(old.org_id, old.words);
    END LOOP;
    RETURN gone + more;
END
$$;
COMMENT ON FUNCTION saleshub.search_log_trim(interval) IS
    'Drops what was searched for and opened longer ago, up to 5,000 of each kind and organisation a call; returns how many';

-- Clicks

CREATE FUNCTION saleshub.search_clicked(query_id uuid, entity text, entity_id uuid, place integer)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    org uuid := saleshub.org_id();
    me uuid := saleshub.member_id();
BEGIN
    IF me IS NULL THEN
        RETURN;
    ELSIF search_clicked.query_id IS NULL THEN
        INSERT INTO saleshub.search_click AS c (org_id, member_id, entity, entity_id)
        VALUES (org, me, search_clicked.entity, search_clicked.entity_id)
        ON CONFLICT (org_id, member_id, entity_id) WHERE query_id IS NULL DO UPDATE SET at = now();
    ELSE
        INSERT INTO saleshub.search_click AS c (org_id, query_id, member_id, entity, entity_id, position)
        VALUES (org, search_clicked.query_id, me, search_clicked.entity, search_clicked.entity_id, search_clicked.place)
        ON CONFLICT (org_id, query_id, member_id, entity_id) WHERE query_id IS NOT NULL DO NOTHING;
    END IF;
END
$$;
ALTER FUNCTION saleshub.search_clicked(uuid, text, uuid, integer) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.search_clicked(uuid, text, uuid, integer) IS
    'Notes that the member opened a record, once for each search; also for members who may not write';

CREATE FUNCTION saleshub.search_click_schema() RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '{"type": "object", "additionalProperties": false, "required": ["type", "id"],
        "properties": {
            "query_id": {"type": ["string", "null"], "format": "uuid"},
            "position": {"type": ["integer", "null"], "minimum": 1, "maximum": 10000},
            "type": {"type": "string", "enum": ["lead", "contact", "company", "deal", "activity"]},
            "id": {"type": "string", "format": "uuid"}}}'::jsonb;
COMMENT ON FUNCTION saleshub.search_click_schema() IS 'JSON Schema of a record that was opened';

CREATE FUNCTION crm.search_click(body jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.check_body(saleshub.search_click_schema(), body);
    IF body ->> 'query_id' IS NOT NULL AND body ->> 'position' IS NULL THEN
        PERFORM saleshub.raise('22023', 'the body is not valid', jsonb_build_object(
            'code', 'invalid_body', 'errors', saleshub.fault('/position', 'required',
                'is wanted with query_id')));
    END IF;
    IF NOT saleshub.record_visible(body ->> 'type', (body ->> 'id')::uuid) THEN
        PERFORM saleshub.record_missing(body ->> 'type', (body ->> 'id')::uuid);
    END IF;
    PERFORM saleshub.search_clicked((body ->> 'query_id')::uuid, body ->> 'type',
                                    (body ->> 'id')::uuid, (body ->> 'position')::integer);
    PERFORM saleshub.reply(204);
END
$$;
COMMENT ON FUNCTION crm.search_click(jsonb) IS
    'Notes that the member opened a record: {type, id}, and of a search also {query_id, position}';

-- Privacy

CREATE FUNCTION saleshub.search_log_erase(org uuid, subject jsonb) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    leads constant uuid[] := saleshub.subject_ids(subject, 'lead');
    contacts constant uuid[] := saleshub.subject_ids(subject, 'contact');
    members constant uuid[] := saleshub.subject_ids(subject, 'member');
    ids constant uuid[] := leads || contacts || members || saleshub.subject_ids(subject, 'activity');
    needles constant text[] := ARRAY(
        SELECT lower(n.name) FROM (
            SELECT concat_ws(' ', l.first_name, l.last_name) AS name FROM crm.lead AS l
             WHERE l.org_id = org AND l.lead_id = ANY (leads) AND l.first_name <> ''
            UNION SELECT concat_ws(' ', c.first_name, c.last_name) FROM crm.contact AS c
             WHERE c.org_id = org AND c.contact_id = ANY (contacts) AND c.first_name <> ''
            UNION SELECT subject ->> 'email') AS n
         WHERE length(n.name) > 4);
    named text[];
    gone bigint;
BEGIN
    DELETE FROM saleshub.search_click AS c
     WHERE c.org_id = org AND (c.entity_id = ANY (ids) OR c.member_id = ANY (members));
    WITH dropped AS (
        DELETE FROM saleshub.search_asked AS a
         WHERE a.org_id = org AND (a.member_id = ANY (members)
               OR EXISTS (SELECT FROM unnest(needles) AS n WHERE strpos(a.words, n) > 0))
        RETURNING a.words)
    SELECT array_agg(DISTINCT d.words) INTO named FROM dropped AS d;
    PERFORM saleshub.search_popular_renew(org, coalesce(named, '{}'));
    DELETE FROM saleshub.search_query AS q
     WHERE q.org_id = org AND (q.member_id = ANY (members)
           OR EXISTS (SELECT FROM unnest(needles) AS n WHERE strpos(q.words, n) > 0));
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END
$$;
ALTER FUNCTION saleshub.search_log_erase(uuid, jsonb) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.search_log_erase(uuid, jsonb) IS
    'Drops searches that name a person, those of a member, and what tells that its records were opened; before the records are emptied';

CREATE FUNCTION saleshub.search_log_export(org uuid, mail text, ids uuid[], members uuid[]) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN jsonb_build_object(
        'queries', (SELECT coalesce(jsonb_agg(jsonb_build_object(
                               'query_id', q.query_id, 'member_id', q.member_id, 'at', saleshub.utc(q.at),
                               'q', q.q, 'total', q.total) ORDER BY q.at, q.query_id), '[]')
                      FROM saleshub.search_query AS q
                     WHERE q.org_id = org AND (q.member_id = ANY (members) OR strpos(q.words, mail) > 0)),
        'opened', (SELECT coalesce(jsonb_agg(jsonb_build_object(
                              'member_id', c.member_id, 'at', saleshub.utc(c.at), 'type', c.entity,
                              'id', c.entity_id) ORDER BY c.at, c.click_id), '[]')
                     FROM saleshub.search_click AS c
                    WHERE c.org_id = org AND (c.entity_id = ANY (ids) OR c.member_id = ANY (members))));
END
$$;
ALTER FUNCTION saleshub.search_log_export(uuid, text, uuid[], uuid[]) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.search_log_export(uuid, text, uuid[], uuid[]) IS
    'Searches of a member, or with an e-mail address in them, and who opened these records';
