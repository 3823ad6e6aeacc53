-- Search: the index is kept by triggers, made into segments by the worker and read by search_run();
-- crm.search() shows what it found.

CREATE FUNCTION saleshub.search_keep() RETURNS trigger
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_search_keep';
COMMENT ON FUNCTION saleshub.search_keep() IS
    'Trigger: the documents of the rows that a statement wrote, in the search index';

CREATE FUNCTION saleshub.search_on(tab regclass, noun text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    EXECUTE format('CREATE OR REPLACE TRIGGER %s_75_search_insert AFTER INSERT ON %s'
        ' REFERENCING NEW TABLE AS newrows'
        ' FOR EACH STATEMENT EXECUTE FUNCTION saleshub.search_keep(%L)', noun, tab, noun);
    EXECUTE format('CREATE OR REPLACE TRIGGER %s_75_search_update AFTER UPDATE ON %s'
        ' REFERENCING OLD TABLE AS oldrows NEW TABLE AS newrows'
        ' FOR EACH STATEMENT EXECUTE FUNCTION saleshub.search_keep(%L)', noun, tab, noun);
    EXECUTE format('CREATE OR REPLACE TRIGGER %s_75_search_delete AFTER DELETE ON %s'
        ' REFERENCING OLD TABLE AS oldrows'
        ' FOR EACH STATEMENT EXECUTE FUNCTION saleshub.search_keep(%L)', noun, tab, noun);
END
$$;
COMMENT ON FUNCTION saleshub.search_on(regclass, text) IS
    'Keeps the documents of a table''s records in the search index';

CREATE FUNCTION saleshub.search_flush(org uuid) RETURNS integer
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_search_flush';
COMMENT ON FUNCTION saleshub.search_flush(uuid) IS
    'Makes a segment of documents that wait, at most 20,000; returns how many';

CREATE FUNCTION saleshub.search_merge(org uuid, everything boolean DEFAULT false) RETURNS integer
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_search_merge';
COMMENT ON FUNCTION saleshub.search_merge(uuid, boolean) IS
    'Makes one segment of some neighbours, or of all segments; returns of how many, 0 when none are due';

CREATE FUNCTION saleshub.search_run(q text, options jsonb) RETURNS jsonb
LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_search_run';
COMMENT ON FUNCTION saleshub.search_run(text, jsonb) IS
    'What a query finds in the index of the organisation: {hits, total, facets, statistics, words, corrected}; options: {limit, types, filters, facets, total, after, statistics, settings, scope, boosts}';

CREATE FUNCTION saleshub.search_snippet(value text, words text[]) RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_search_snippet';
COMMENT ON FUNCTION saleshub.search_snippet(text, text[]) IS
    'The part of a text that has most of the words, in HTML, each of them in <mark>';

CREATE FUNCTION saleshub.search_words(value text) RETURNS jsonb
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_search_words_sql';
COMMENT ON FUNCTION saleshub.search_words(text) IS
    'The words of a text as the search index has them: [{word, term, place, stop}]; what shares a term is one word to it';

CREATE FUNCTION saleshub.search_length(words integer) RETURNS integer
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_search_length_sql';
COMMENT ON FUNCTION saleshub.search_length(integer) IS
    'So many words as the search index keeps them: exact below 48, above in steps of at most an eighth';

-- Maintenance

CREATE FUNCTION saleshub.search_org_maintain(org uuid) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    flushed bigint;
    merged bigint;
BEGIN
    -- Locked before the snapshot of what follows: two at once would make the same segment twice.
    IF NOT pg_try_advisory_xact_lock(hashtextextended('saleshub.search:' || org, 0)) THEN
        RETURN 0;
    END IF;
    flushed := saleshub.search_flush(org);
    -- While much comes in, merging waits: each document is then written anew once instead of often.
    IF flushed >= 4096 AND (SELECT count(*) FROM saleshub.search_segment AS s
                             WHERE s.org_id = search_org_maintain.org AND s.fresh) < 48 THEN
        RETURN flushed;
    END IF;
    merged := saleshub.search_merge(org);
    IF merged = 0 THEN
        UPDATE saleshub.search_segment AS s SET fresh = false
         WHERE s.org_id = search_org_maintain.org AND s.fresh;
    END IF;
    RETURN flushed + merged;
END
$$;
COMMENT ON FUNCTION saleshub.search_org_maintain(uuid) IS
    'One step of an organisation''s search index: documents that wait become a segment, small segments a larger one';

CREATE FUNCTION saleshub.search_due() RETURNS SETOF uuid
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    -- One row of each organisation, by index.
    RETURN QUERY
    WITH RECURSIVE org (id) AS (
        (SELECT d.org_id FROM saleshub.search_doc AS d WHERE d.doc IS NULL
          ORDER BY d.org_id LIMIT 1)
        UNION ALL
        SELECT (SELECT d.org_id FROM saleshub.search_doc AS d WHERE d.doc IS NULL AND d.org_id > org.id
                 ORDER BY d.org_id LIMIT 1)
          FROM org WHERE org.id IS NOT NULL)
    SELECT o.id FROM org AS o WHERE o.id IS NOT NULL
    UNION
    SELECT s.org_id FROM saleshub.search_segment AS s WHERE s.fresh
    UNION
    SELECT g.org_id FROM saleshub.search_gone AS g WHERE g.erase;
END
$$;
COMMENT ON FUNCTION saleshub.search_due() IS 'Organisations whose search index has something to do';

CREATE FUNCTION saleshub.search_ripe() RETURNS SETOF uuid
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT d FROM saleshub.search_due() AS d
     WHERE NOT EXISTS (SELECT FROM saleshub.search_segment AS s
                        WHERE s.org_id = d AND s.created_at > now() - interval '2 seconds')
        OR EXISTS (SELECT FROM saleshub.search_gone AS g WHERE g.org_id = d AND g.erase)
        OR (SELECT count(*) FROM (SELECT FROM saleshub.search_doc AS w
                                   WHERE w.org_id = d AND w.doc IS NULL LIMIT 12000) AS l) = 12000;
END
$$;
COMMENT ON FUNCTION saleshub.search_ripe() IS
    'Organisations for which that is worth it: what comes in is gathered for two seconds or until it is much';

CREATE FUNCTION saleshub.search_waiting() RETURNS bigint
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (SELECT count(*) FROM saleshub.search_ripe());
END
$$;
COMMENT ON FUNCTION saleshub.search_waiting() IS 'How many organisations wait for their search index';

CREATE FUNCTION saleshub.search_step(patient boolean DEFAULT false) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    due uuid;
    done bigint := 0;
BEGIN
    FOR due IN SELECT d FROM saleshub.search_due() AS d
                WHERE NOT patient OR d IN (SELECT saleshub.search_ripe()) LOOP
        done := saleshub.search_org_maintain(due);
        EXIT WHEN done > 0;
    END LOOP;
    RETURN done;
END
$$;
ALTER FUNCTION saleshub.search_step(boolean) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.search_step(boolean) IS
    'One step for one organisation whose search index has something to do, patient: when it is worth it; 0 when none has';

CREATE FUNCTION saleshub.search_erase(org uuid) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    UPDATE saleshub.search_gone AS g SET erase = true WHERE g.org_id = search_erase.org AND NOT g.erase;
END
$$;
ALTER FUNCTION saleshub.search_erase(uuid) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.search_erase(uuid) IS
    'Has the words of documents that are gone leave the index at the next occasion';

CREATE FUNCTION saleshub.search_rebuild(org uuid) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    done bigint;
    total bigint := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('saleshub.search:' || org, 0));
    LOOP
        done := saleshub.search_flush(org);
        EXIT WHEN done = 0;
        total := total + done;
    END LOOP;
    PERFORM saleshub.search_merge(org, true);
    RETURN total;
END
$$;
COMMENT ON FUNCTION saleshub.search_rebuild(uuid) IS
    'Makes one segment of an organisation''s whole index; returns how many documents waited';

-- Who sees what

CREATE FUNCTION saleshub.search_fields(noun text) RETURNS integer
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    hidden text[] := saleshub.hidden_fields(noun);
BEGIN
    IF hidden = '{}' THEN
        RETURN 15;
    END IF;
    -- A hidden field takes those with it that are kept in one with it.
    RETURN CASE WHEN hidden && ARRAY['first_name', 'last_name', 'company_name', 'name', 'subject']
                THEN 0 ELSE 1 END
         + CASE WHEN hidden && ARRAY['email', 'phone', 'website', 'domain', 'amount', 'email_from',
                                     'email_to', 'email_cc']
                THEN 0 ELSE 2 END
         + CASE WHEN hidden && ARRAY['title', 'city', 'state', 'country', 'industry', 'source', 'tags',
                                     'product', 'lost_reason', 'location', 'outcome', 'custom']
                     OR EXISTS (SELECT FROM unnest(hidden) AS h WHERE h LIKE 'custom.%')
                THEN 0 ELSE 4 END
         + CASE WHEN 'body' = ANY (hidden) THEN 0 ELSE 8 END;
END
$$;
COMMENT ON FUNCTION saleshub.search_fields(text) IS
    'Fields of documents in which the member may search, as bits: title, identifiers, body, notes';

CREATE FUNCTION saleshub.search_scope() RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    everything boolean := saleshub.sees_everything();
    found jsonb;
BEGIN
    found := (
        SELECT jsonb_object_agg(n.noun, jsonb_build_object(
                   'fields', saleshub.search_fields(n.noun),
                   'all', everything OR n.noun <> 'activity' AND saleshub.sees_all(n.noun),
                   'by_record', NOT everything AND n.noun = 'activity',
                   'owners', CASE WHEN everything OR n.noun = 'activity' THEN '[]'
                                  ELSE to_jsonb(saleshub.visible_owners(n.noun)) END))
          FROM unnest(ARRAY['lead', 'contact', 'company', 'deal', 'activity']) AS n (noun));
    RETURN CASE WHEN everything AND NOT EXISTS (
                         SELECT FROM jsonb_each(found) AS f WHERE f.value ->> 'fields' <> '15')
                THEN NULL ELSE found END;
END
$$;
COMMENT ON FUNCTION saleshub.search_scope() IS
    'What the member may find, by kind of record; NULL when that is everything';

-- What is shown

CREATE FUNCTION saleshub.unless_hidden(hidden text[], field text, value text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN field <> ALL (hidden) THEN value END;
COMMENT ON FUNCTION saleshub.unless_hidden(text[], text, text) IS
    'The value of a field, NULL when it is one of those hidden';

CREATE FUNCTION saleshub.search_show(noun text, ids uuid[]) RETURNS TABLE (
    id uuid, title text, subtitle text, content text)
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
    h text[] := saleshub.hidden_fields(noun);
    -- A company that a record refers to is shown as its own fields and the reference allow.
    hc text[] := CASE WHEN 'company_id' = ANY (h) THEN '{name}' ELSE saleshub.hidden_fields('company') END;
BEGIN
    CASE noun
    WHEN 'lead' THEN
        RETURN QUERY
        SELECT r.lead_id,
               coalesce(nullif(concat_ws(' ', saleshub.unless_hidden(h, 'first_name', r.first_name),
                                         saleshub.unless_hidden(h, 'last_name', r.last_name)), ''),
                        saleshub.unless_hidden(h, 'company_name', r.company_name),
                        saleshub.unless_hidden(h, 'email', r.email), ''),
               concat_ws(' · ', saleshub.unless_hidden(h, 'title', r.title),
                         saleshub.unless_hidden(h, 'company_name', r.company_name)),
               concat_ws(' · ', saleshub.unless_hidden(h, 'email', r.email),
                         saleshub.unless_hidden(h, 'phone', r.phone),
                         saleshub.unless_hidden(h, 'website', r.website),
                         saleshub.unless_hidden(h, 'city', r.city),
                         saleshub.unless_hidden(h, 'country', r.country),
                         saleshub.unless_hidden(h, 'industry', r.industry),
                         saleshub.unless_hidden(h, 'source', r.source))
          FROM crm.lead AS r
         WHERE r.org_id = org AND r.lead_id = ANY (ids) AND r.deleted_at IS NULL;
    WHEN 'contact' THEN
        RETURN QUERY
        SELECT r.contact_id,
               coalesce(nullif(concat_ws(' ', saleshub.unless_hidden(h, 'first_name', r.first_name),
                                         saleshub.unless_hidden(h, 'last_name', r.last_name)), ''),
                        saleshub.unless_hidden(h, 'email', r.email), ''),
               concat_ws(' · ', saleshub.unless_hidden(h, 'title', r.title),
                         saleshub.unless_hidden(hc, 'name', c.name)),
               concat_ws(' · ', saleshub.unless_hidden(h, 'email', r.email),
                         saleshub.unless_hidden(h, 'phone', r.phone))
          FROM crm.contact AS r
          LEFT JOIN crm.company AS c ON c.org_id = r.org_id AND c.company_id = r.company_id
         WHERE r.org_id = org AND r.contact_id = ANY (ids) AND r.deleted_at IS NULL;
    WHEN 'company' THEN
        RETURN QUERY
        SELECT r.company_id, coalesce(saleshub.unless_hidden(h, 'name', r.name), ''),
               concat_ws(' · ', saleshub.unless_hidden(h, 'industry', r.industry),
                         saleshub.unless_hidden(h, 'city', r.city)),
               concat_ws(' · ', saleshub.unless_hidden(h, 'domain', r.domain),
                         saleshub.unless_hidden(h, 'phone', r.phone),
                         saleshub.unless_hidden(h, 'website', r.website))
          FROM crm.company AS r
         WHERE r.org_id = org AND r.company_id = ANY (ids) AND r.deleted_at IS NULL;
    WHEN 'deal' THEN
        RETURN QUERY
        SELECT r.deal_id, coalesce(saleshub.unless_hidden(h, 'name', r.name), ''),
               concat_ws(' · ', saleshub.unless_hidden(hc, 'name', c.name),
                         saleshub.unless_hidden(h, 'stage_id', s.name)),
               concat_ws(' · ', saleshub.unless_hidden(h, 'amount', r.amount::text),
                         saleshub.unless_hidden(h, 'product', r.product),
                         saleshub.unless_hidden(h, 'source', r.source),
                         saleshub.unless_hidden(h, 'lost_reason', r.lost_reason))
          FROM crm.deal AS r
          LEFT JOIN crm.company AS c ON c.org_id = r.org_id AND c.company_id = r.company_id
          LEFT JOIN crm.stage AS s ON s.org_id = r.org_id AND s.stage_id = r.stage_id
         WHERE r.org_id = org AND r.deal_id = ANY (ids) AND r.deleted_at IS NULL;
    ELSE
        RETURN QUERY
        SELECT r.activity_id, coalesce(saleshub.unless_hidden(h, 'subject', r.subject), ''),
               concat_ws(' · ', saleshub.unless_hidden(h, 'type', r.type),
                         saleshub.unless_hidden(h, 'due_at', to_char(r.due_at, 'YYYY-MM-DD'))),
               concat_ws(' · ', saleshub.unless_hidden(h, 'body', r.body),
                         saleshub.unless_hidden(h, 'location', r.location),
                         saleshub.unless_hidden(h, 'outcome', r.outcome))
          FROM crm.activity AS r
         WHERE r.org_id = org AND r.activity_id = ANY (ids) AND r.deleted_at IS NULL;
    END CASE;
END
$$;
COMMENT ON FUNCTION saleshub.search_show(text, uuid[]) IS
    'What is shown of records that were found, as row security and hidden fields leave them';

CREATE FUNCTION saleshub.search_rows(hits jsonb, words text[]) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN coalesce((
        SELECT jsonb_agg(jsonb_build_object(
                   'type', h.hit -> 'type', 'id', h.hit -> 'id',
                   'title', s.title, 'subtitle', coalesce(s.subtitle, ''),
                   'snippet', saleshub.search_snippet(concat_ws(' · ', s.title, s.content), words),
                   'score', r.score, 'reasons', r.reasons)
                   ORDER BY h.n)
          FROM jsonb_array_elements(hits) WITH ORDINALITY AS h (hit, n)
          -- The score is the sum of what is shown.
          CROSS JOIN LATERAL (
                SELECT coalesce(sum(round(w.score, 4)), 0) AS score,
                       coalesce(jsonb_agg(jsonb_build_object('label', w.label, 'kind', w.kind, 'score', round(w.score, 4))
                                          ORDER BY w.score DESC, w.label), '[]') AS reasons
                  FROM jsonb_to_recordset(h.hit -> 'reasons') AS w (label text, kind text, score numeric)) AS r
          JOIN (SELECT k.type, x.* FROM (
                    SELECT e ->> 'type' AS type, array_agg((e ->> 'id')::uuid) AS ids
                      FROM jsonb_array_elements(hits) AS e GROUP BY 1 OFFSET 0) AS k,
                    LATERAL saleshub.search_show(k.type, k.ids) AS x) AS s
            ON s.type = h.hit ->> 'type' AND s.id = (h.hit ->> 'id')::uuid), '[]');
END
$$;
COMMENT ON FUNCTION saleshub.search_rows(jsonb, text[]) IS
    'Hits as the API gives them: title, subtitle, snippet, score and the words that make it up';

CREATE FUNCTION saleshub.search_filters(filters jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN coalesce((
        SELECT jsonb_object_agg(f ->> 'field', CASE jsonb_typeof(f -> 'value')
                   WHEN 'array' THEN f -> 'value' ELSE jsonb_build_array(f -> 'value') END)
          FROM jsonb_array_elements(filters) AS f), '{}');
END
$$;
COMMENT ON FUNCTION saleshub.search_filters(jsonb) IS
    'Filters of a request, [{field, op, value}], as search_run() takes them: {field: [values]}';

CREATE FUNCTION saleshub.search_faults(types text, facets text, cursor_ text) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    nouns constant text[] := ARRAY['lead', 'contact', 'company', 'deal', 'activity'];
    known constant text[] := ARRAY['type', 'owner', 'status', 'source', 'country', 'industry', 'stage',
                                   'activity'];
    faults jsonb := '[]';
    name text;
BEGIN
    FOREACH name IN ARRAY coalesce(string_to_array(types, ','), '{}') LOOP
        IF name <> ALL (nouns) THEN
            faults := faults || saleshub.parameter_fault('types', 'invalid',
                format('%s is none of %s', name, array_to_string(nouns, ', ')));
        END IF;
    END LOOP;
    FOREACH name IN ARRAY coalesce(string_to_array(facets, ','), '{}') LOOP
        IF name <> ALL (known) THEN
            faults := faults || saleshub.parameter_fault('facets', 'invalid',
                format('%s is none of %s', name, array_to_string(known, ', ')));
        END IF;
    END LOOP;
    IF cursor_ IS NOT NULL
       AND jsonb_typeof(saleshub.cursor_decode(cursor_) -> 'after') IS DISTINCT FROM 'object' THEN
        faults := faults || saleshub.parameter_fault('cursor', 'invalid',
                'is not the next_cursor of a search');
    END IF;
    RETURN faults;
END
$$;
COMMENT ON FUNCTION saleshub.search_faults(text, text, text) IS
    'Everything wrong with the arguments of crm.search, as errors[] of a problem';

CREATE FUNCTION crm.search(q text, types text DEFAULT NULL, facets text DEFAULT NULL,
                           limit_ integer DEFAULT 20, cursor_ text DEFAULT NULL,
                           filters jsonb DEFAULT '[]')
RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    started constant timestamptz := clock_timestamp();
    faults constant jsonb := saleshub.search_faults(types, facets, cursor_);
    place jsonb := saleshub.cursor_decode(cursor_);
    answer jsonb;
    last_hit jsonb;
    query_id uuid;
BEGIN
    IF faults <> '[]' THEN
        PERFORM saleshub.raise('22023', 'the search is not valid',
            jsonb_build_object('code', 'invalid_parameter', 'errors', faults));
    END IF;
    answer := saleshub.search_run(q, jsonb_strip_nulls(jsonb_build_object(
        'limit', least(greatest(limit_, 1), 200), 'total', true,
        'types', to_jsonb(string_to_array(types, ',')),
        'facets', to_jsonb(string_to_array(facets, ',')),
        'filters', saleshub.search_filters(filters),
        'after', place -> 'after', 'statistics', place -> 'statistics',
        'settings', jsonb_build_object('freshness', 0.3, 'proximity', 0.3, 'feedback', 0.5),
        'scope', saleshub.search_scope())));
    last_hit := CASE WHEN jsonb_array_length(answer -> 'hits') = limit_ THEN answer -> 'hits' -> -1 END;
    -- Further pages belong to the search that they go on with.
    query_id := coalesce(
        CASE WHEN saleshub.format_ok('uuid', place ->> 'query_id') THEN (place ->> 'query_id')::uuid END,
        saleshub.search_note(q,
        (extract(epoch FROM clock_timestamp() - started) * 1000000)::integer,
        (answer ->> 'total')::bigint, answer ? 'corrected'));
    RETURN jsonb_build_object(
        'query_id', query_id,
        'data', saleshub.search_rows(answer -> 'hits',
                    ARRAY(SELECT jsonb_array_elements_text(answer -> 'words'))),
        'next_cursor', CASE WHEN last_hit IS NOT NULL THEN saleshub.cursor_encode(jsonb_build_object(
                           'after', jsonb_build_object('rank', last_hit -> 'rank', 'key', last_hit -> 'key'),
                           'statistics', answer -> 'statistics', 'query_id', query_id)) END,
        'total', answer -> 'total',
        'took_ms', round(extract(epoch FROM clock_timestamp() - started) * 1000, 1))
        || CASE WHEN answer ? 'facets' THEN jsonb_build_object('facets', answer -> 'facets')
                ELSE '{}' END
        || CASE WHEN answer ? 'corrected' THEN jsonb_build_object('corrected_query', answer -> 'corrected')
                ELSE '{}' END;
END
$$;
COMMENT ON FUNCTION crm.search(text, text, text, integer, text, jsonb) IS
    'Finds leads, contacts, companies, deals and activities by words, "phrases", -not, OR, prefix* and field:value, the best first, with counts by facet. types and facets are comma lists';

CREATE FUNCTION saleshub.routes_search() RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route('GET /v1/search', 'crm.search(text, text, text, integer, text, jsonb)',
        'Search all records', 'search', args => '{
            "q": {"maxLength": 4096, "description": "Words, \"phrases\", -not, OR, prefix*, field:value"},
            "types": {"description": "Kinds of records, a comma list: lead, contact, company, deal, activity"},
            "facets": {"description": "Facets to count, a comma list: type, owner, status, source, country, industry, stage, activity"},
            "limit": {"minimum": 1, "maximum": 200, "description": "Rows per page, 20 unless given"},
            "cursor": {"description": "The next_cursor of the page before"},
            "filters": {"fields": {"owner": {"type": "string", "ops": ["eq", "in"]},
                "status": {"type": "string", "ops": ["eq", "in"]},
                "source": {"type": "string", "ops": ["eq", "in"]},
                "country": {"type": "string", "ops": ["eq", "in"]},
                "industry": {"type": "string", "ops": ["eq", "in"]},
                "stage": {"type": "string", "ops": ["eq", "in"]},
                "activity": {"type": "string", "ops": ["eq", "in"]}}}}',
        answer => '"SearchPage"');
END
$$;
COMMENT ON FUNCTION saleshub.routes_search() IS 'Registers the routes of search';
