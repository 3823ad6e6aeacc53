-- Suggestions as one types: records by their names, queries of one's own, of many, and words that go
-- on with the last one. Nothing of what the member does not see has a part in them.

CREATE FUNCTION saleshub.search_suggest_run(q text, options jsonb) RETURNS jsonb
LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_search_suggest';
COMMENT ON FUNCTION saleshub.search_suggest_run(text, jsonb) IS
    'Records of the organisation whose names go on with what was typed, the newest first, for members who see everything: {hits, queries, corrected}; options: {limit, types}';

CREATE FUNCTION saleshub.search_recent(most integer) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
    me uuid := saleshub.member_id();
BEGIN
    RETURN coalesce((
        SELECT jsonb_agg(jsonb_build_object('type', r.entity, 'id', r.id) ORDER BY r.at DESC, r.id)
          FROM (
            SELECT l.entity, l.id, max(l.at) AS at
              FROM (SELECT c.entity, coalesce(d.new_id, c.entity_id) AS id, c.at
                      FROM (SELECT s.entity, s.entity_id, s.at FROM saleshub.search_click AS s
                             WHERE s.org_id = org AND s.member_id = me
                             ORDER BY s.at DESC LIMIT 200) AS c
                      LEFT JOIN crm.redirect AS d
                        ON d.org_id = org AND d.entity = c.entity AND d.old_id = c.entity_id) AS l
             GROUP BY 1, 2 ORDER BY 3 DESC LIMIT most) AS r), '[]');
END
$$;
ALTER FUNCTION saleshub.search_recent(integer) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.search_recent(integer) IS
    'Records that the member opened last, seen or not any more: [{type, id}]';

CREATE FUNCTION saleshub.search_own_latest(most integer) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
    me uuid := saleshub.member_id();
BEGIN
    RETURN coalesce((
        SELECT jsonb_agg(jsonb_build_object('type', r.type, 'id', r.id) ORDER BY r.created_at DESC, r.id)
          FROM ((SELECT 'lead' AS type, t.lead_id AS id, t.created_at FROM crm.lead AS t
                  WHERE t.org_id = org AND t.owner_id = me AND t.deleted_at IS NULL
                  ORDER BY t.created_at DESC LIMIT most)
                UNION ALL
                (SELECT 'contact', t.contact_id, t.created_at FROM crm.contact AS t
                  WHERE t.org_id = org AND t.owner_id = me AND t.deleted_at IS NULL
                  ORDER BY t.created_at DESC LIMIT most)
                UNION ALL
                (SELECT 'company', t.company_id, t.created_at FROM crm.company AS t
                  WHERE t.org_id = org AND t.owner_id = me AND t.deleted_at IS NULL
                  ORDER BY t.created_at DESC LIMIT most)
                UNION ALL
                (SELECT 'deal', t.deal_id, t.created_at FROM crm.deal AS t
                  WHERE t.org_id = org AND t.owner_id = me AND t.deleted_at IS NULL
                  ORDER BY t.created_at DESC LIMIT most)
                ORDER BY 3 DESC LIMIT most) AS r), '[]');
END
$$;
COMMENT ON FUNCTION saleshub.search_own_latest(integer) IS
    'The newest leads, contacts, companies and deals of the member: [{type, id}]';

CREATE FUNCTION saleshub.search_suggest_rows(hits jsonb, most integer) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    noun text;
    shown jsonb := '{}';
BEGIN
    FOR noun IN SELECT DISTINCT e ->> 'type' FROM jsonb_array_elements(hits) AS e LOOP
        shown := shown || coalesce((
            SELECT jsonb_object_agg(x.id, jsonb_build_object(
                       'type', noun, 'id', x.id, 'title', x.title, 'subtitle', coalesce(x.subtitle, '')))
              FROM saleshub.search_show(noun, ARRAY(
                       SELECT (e ->> 'id')::uuid FROM jsonb_array_elements(hits) AS e
                        WHERE e ->> 'type' = noun)) AS x), '{}');
    END LOOP;
    RETURN coalesce((
        SELECT jsonb_agg(h.shown ORDER BY h.n)
          FROM (SELECT shown -> (e.hit ->> 'id') AS shown, min(e.n) AS n
                  FROM jsonb_array_elements(hits) WITH ORDINALITY AS e (hit, n)
                 WHERE shown ? (e.hit ->> 'id')
                 GROUP BY 1 ORDER BY 2 LIMIT most) AS h), '[]');
END
$$;
COMMENT ON FUNCTION saleshub.search_suggest_rows(jsonb, integer) IS
    'Records to be suggested, as row security leaves them: [{type, id, title, subtitle}]';

CREATE FUNCTION saleshub.search_asked_like(beginning text, most integer) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
    me uuid := saleshub.member_id();
BEGIN
    RETURN (
        WITH own AS (
            SELECT a.words, a.last_at
              FROM (SELECT s.words, s.last_at FROM saleshub.search_asked AS s
                     WHERE s.org_id = org AND s.member_id = me
                     ORDER BY s.last_at DESC LIMIT 200) AS a
             WHERE starts_with(a.words, beginning) AND a.words <> beginning
             ORDER BY a.last_at DESC LIMIT most
        ), popular AS (
            SELECT p.words, p.members, p.n FROM saleshub.search_popular AS p
             WHERE p.org_id = org AND p.words > beginning
               AND p.words <= beginning || chr(1114111)
               AND p.words NOT IN (SELECT o.words FROM own AS o)
             ORDER BY p.members DESC, p.n DESC, p.words LIMIT most * 2
        )
        SELECT jsonb_build_object(
            'own', coalesce((SELECT jsonb_agg(o.words ORDER BY o.last_at DESC) FROM own AS o), '[]'),
            'popular', coalesce((SELECT jsonb_agg(p.words ORDER BY p.members DESC, p.n DESC, p.words)
                                   FROM popular AS p), '[]')));
END
$$;
ALTER FUNCTION saleshub.search_asked_like(text, integer) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.search_asked_like(text, integer) IS
    'Queries that begin so: the member''s own, the latest first, and popular ones: {own, popular}';

CREATE FUNCTION saleshub.search_finds(q text, scope jsonb) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.search_run(q, jsonb_build_object('limit', 1, 'typos', false, 'scope', scope))
           -> 'hits' <> '[]';
EXCEPTION
    WHEN invalid_parameter_value THEN
        RETURN false;
END
$$;
COMMENT ON FUNCTION saleshub.search_finds(text, jsonb) IS
    'Whether a query finds anything of what the member sees';

CREATE FUNCTION saleshub.search_suggest_queries(beginning text, scope jsonb, words jsonb, most integer)
RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    asked constant jsonb := saleshub.search_asked_like(beginning, most);
    own constant jsonb := asked -> 'own';
    found jsonb := (SELECT coalesce(jsonb_agg(jsonb_build_object('q', q, 'source', 'own')), '[]')
                      FROM jsonb_array_elements_text(own) AS q);
    query text;
BEGIN
    -- Whoever sees less gets those of others only where they would find something.
    FOR query IN SELECT q FROM jsonb_array_elements_text(asked -> 'popular') AS q LOOP
        EXIT WHEN jsonb_array_length(found) >= most;
        IF scope IS NULL OR saleshub.search_finds(query, scope) THEN
            found := found || jsonb_build_array(jsonb_build_object('q', query, 'source', 'popular'));
        END IF;
    END LOOP;
    FOR query IN SELECT q FROM jsonb_array_elements_text(words) AS q
                  WHERE q <> beginning AND NOT found @> jsonb_build_array(jsonb_build_object('q', q))
    LOOP
        EXIT WHEN jsonb_array_length(found) >= most;
        found := found || jsonb_build_array(jsonb_build_object('q', query, 'source', 'words'));
    END LOOP;
    RETURN found;
END
$$;
COMMENT ON FUNCTION saleshub.search_suggest_queries(text, jsonb, jsonb, integer) IS
    'Queries to be suggested: [{q, source}], source own, popular or words';

CREATE FUNCTION saleshub.search_suggest_scoped(q text, types text[], most integer, scope jsonb)
RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    typed constant text := (SELECT string_agg(w ->> 'word', ' ' ORDER BY (w ->> 'place')::integer)
                              FROM jsonb_array_elements(saleshub.search_words(q)) AS w
                             WHERE (w ->> 'place')::integer <= 32);
    options jsonb := jsonb_strip_nulls(jsonb_build_object(
        'limit', most, 'types', to_jsonb(types), 'scope', scope));
    answer jsonb;
BEGIN
    IF typed IS NULL THEN
        RETURN '{"hits": [], "queries": [], "corrected": false}';
    END IF;
    answer := saleshub.search_run(typed || '*', options);
    IF answer -> 'hits' = '[]' THEN
        -- Not its beginning: perhaps misspelt.
        answer := saleshub.search_run(typed, options);
    END IF;
    RETURN jsonb_build_object('hits', answer -> 'hits', 'queries', '[]'::jsonb,
                              'corrected', answer ? 'corrected');
END
$$;
COMMENT ON FUNCTION saleshub.search_suggest_scoped(text, text[], integer, jsonb) IS
    'The same as search_suggest_run() for members who do not see everything, by the search itself';

CREATE FUNCTION crm.search_suggest(q text DEFAULT NULL, types text DEFAULT NULL,
                                   limit_ integer DEFAULT 8)
RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    faults constant jsonb := saleshub.search_faults(types, NULL, NULL);
    most constant integer := least(greatest(limit_, 1), 20);
    beginning constant text := lower(regexp_replace(ltrim(coalesce(q, '')), '\s+', ' ', 'g'));
    kinds constant text[] := string_to_array(types, ',');
    scope jsonb;
    found jsonb;
BEGIN
    IF faults <> '[]' THEN
        PERFORM saleshub.raise('22023', 'the search is not valid',
            jsonb_build_object('code', 'invalid_parameter', 'errors', faults));
    END IF;
    IF btrim(beginning) = '' THEN
        found := saleshub.search_recent(most * 2) || saleshub.search_own_latest(most);
        found := (SELECT coalesce(jsonb_agg(h), '[]') FROM jsonb_array_elements(found) AS h
                   WHERE kinds IS NULL OR h ->> 'type' = ANY (kinds));
        RETURN jsonb_build_object(
            'records', saleshub.search_suggest_rows(found, most),
            'queries', saleshub.search_suggest_queries('', saleshub.search_scope(), '[]', most),
            'corrected', false);
    END IF;
    scope := saleshub.search_scope();
    found := CASE WHEN scope IS NULL
        THEN saleshub.search_suggest_run(q, jsonb_strip_nulls(jsonb_build_object(
                 'limit', most, 'types', to_jsonb(kinds))))
        ELSE saleshub.search_suggest_scoped(q, kinds, most, scope) END;
    RETURN jsonb_build_object(
        'records', saleshub.search_suggest_rows(found -> 'hits', most),
        'queries', saleshub.search_suggest_queries(beginning, scope, found -> 'queries', most),
        'corrected', found -> 'corrected');
END
$$;
COMMENT ON FUNCTION crm.search_suggest(text, text, integer) IS
    'What may be meant by what was typed so far: {records, queries, corrected}; without anything typed, what the member opened last. types is a comma list';

CREATE FUNCTION saleshub.routes_search_suggest() RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route('GET /v1/search/suggest', 'crm.search_suggest(text, text, integer)',
        'Suggest records and queries', 'search', args => '{
            "q": {"maxLength": 200, "description": "What was typed so far; without it, what was opened last"},
            "types": {"description": "Kinds of records, a comma list: lead, contact, company, deal, activity"},
            "limit": {"minimum": 1, "maximum": 20, "description": "Records and queries each, 8 unless given"}}',
        answer => '"Suggestions"');
    PERFORM saleshub.route('POST /v1/search/clicks', 'crm.search_click(jsonb)',
        'Tell that a record was opened', 'search', success => 204,
        args => jsonb_build_object('body', saleshub.search_click_schema()));
END
$$;
COMMENT ON FUNCTION saleshub.routes_search_suggest() IS
    'Registers the routes of suggestions and of what was opened';
