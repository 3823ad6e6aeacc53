-- Finding duplicates: of a record, and of what is about to be inserted.

CREATE FUNCTION saleshub.duplicate_noun(type text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    noun text := CASE type
        WHEN 'contact' THEN 'contact' WHEN 'contacts' THEN 'contact'
        WHEN 'company' THEN 'company' WHEN 'companies' THEN 'company'
        WHEN 'lead' THEN 'lead' WHEN 'leads' THEN 'lead' END;
BEGIN
    IF noun IS NULL THEN
        PERFORM saleshub.bad_parameter('type', 'not_allowed',
                                       'must be contacts, companies or leads');
    END IF;
    RETURN noun;
END;
$$;
COMMENT ON FUNCTION saleshub.duplicate_noun(text) IS
    'The kind of record, in singular or plural, of which duplicates are known.';

CREATE FUNCTION saleshub.match_picked(doc jsonb, columns text[]) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT jsonb_object_agg(e.key, e.value) FROM jsonb_each(match_picked.doc) e
    WHERE e.key = ANY (match_picked.columns);
END;
COMMENT ON FUNCTION saleshub.match_picked(jsonb, text[]) IS
    'These members of a row; NULL for none.';

CREATE FUNCTION saleshub.match_more_columns(noun text) RETURNS text[]
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN ARRAY(SELECT f.field FROM crm.match_field f
                 WHERE f.org_id = saleshub.org_id() AND f.entity = noun
                     AND f.field NOT LIKE 'custom.%' AND f.field <> ALL (saleshub.match_columns(noun)));
END;
$$;
COMMENT ON FUNCTION saleshub.match_more_columns(text) IS
    'Columns by which an organisation compares records besides the usual ones.';

CREATE FUNCTION saleshub.duplicate_docs(noun text, ids uuid[], OUT id uuid, OUT doc jsonb)
    RETURNS SETOF record
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    hidden text[] := saleshub.hidden_fields(noun);
    more text[] := saleshub.match_more_columns(noun);
BEGIN
    CASE noun
        WHEN 'contact' THEN
            RETURN QUERY
            SELECT d.id, (to_jsonb(d) - 'more' || coalesce(d.more, '{}')) - hidden FROM (
                SELECT r.contact_id AS id, r.first_name, r.last_name, r.email, r.phone, r.title,
                       r.company_id, r.custom, c.name AS company_name,
                       saleshub.match_picked(CASE WHEN more <> '{}' THEN to_jsonb(r) END, more) AS more
                FROM crm.contact r
                LEFT JOIN crm.company c ON c.org_id = r.org_id AND c.company_id = r.company_id
                WHERE r.org_id = saleshub.org_id() AND r.contact_id = ANY (ids)
                    AND r.deleted_at IS NULL) d;
        WHEN 'company' THEN
            RETURN QUERY
            SELECT d.id, (to_jsonb(d) - 'more' || coalesce(d.more, '{}')) - hidden FROM (
                SELECT r.company_id AS id, r.name, r.domain, r.phone, r.website, r.industry,
                       r.employees, r.city, r.country, r.custom,
                       saleshub.match_picked(CASE WHEN more <> '{}' THEN to_jsonb(r) END, more) AS more
                FROM crm.company r
                WHERE r.org_id = saleshub.org_id() AND r.company_id = ANY (ids)
                    AND r.deleted_at IS NULL) d;
        ELSE
            RETURN QUERY
            SELECT d.id, (to_jsonb(d) - 'more' || coalesce(d.more, '{}')) - hidden FROM (
                SELECT r.lead_id AS id, r.first_name, r.last_name, r.email, r.phone, r.title,
                       r.company_name, r.website, r.industry, r.employees, r.city, r.country,
                       r.source, r.custom,
                       saleshub.match_picked(CASE WHEN more <> '{}' THEN to_jsonb(r) END, more) AS more
                FROM crm.lead r
                WHERE r.org_id = saleshub.org_id() AND r.lead_id = ANY (ids)
                    AND r.deleted_at IS NULL) d;
    END CASE;
END;
$$;
COMMENT ON FUNCTION saleshub.duplicate_docs(text, uuid[]) IS
    'Live records as they are compared, by the fields that the member sees.';

CREATE FUNCTION saleshub.match_columns(noun text) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE noun
        WHEN 'contact' THEN '{first_name,last_name,email,phone,title,company_name,custom}'
        WHEN 'company' THEN '{name,domain,phone,website,industry,employees,city,country,custom}'
        ELSE '{first_name,last_name,email,phone,title,company_name,website,industry,employees,city,country,source,custom}'
        END::text[];
COMMENT ON FUNCTION saleshub.match_columns(text) IS
    'The fields by which records of a kind are compared usually.';

CREATE FUNCTION saleshub.duplicate_doc(noun text, id uuid) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (SELECT d.doc FROM saleshub.duplicate_docs(noun, ARRAY[duplicate_doc.id]) d);
END;
$$;
COMMENT ON FUNCTION saleshub.duplicate_doc(text, uuid) IS
    'A live record as it is compared; NULL when there is none.';

CREATE FUNCTION saleshub.duplicate_find(noun text, rec jsonb, self uuid, rules jsonb,
                                        least_score numeric, most integer) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    ids uuid[] := saleshub.match_candidates(noun, saleshub.match_keys(noun, rec, rules), self);
BEGIN
    IF ids IS NULL THEN
        RETURN '[]';
    END IF;
    RETURN (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'type', noun, 'id', found.id,
            'name', coalesce(other ->> 'name',
                             nullif(concat_ws(' ', other ->> 'first_name', other ->> 'last_name'),
                                    ''),
                             other ->> 'company_name', other ->> 'email'),
            'email', other -> 'email', 'band', saleshub.match_band(score::numeric)) || e
            ORDER BY score DESC, found.id), '[]')
        FROM (
            -- OFFSET: computed once, not for every mention
            SELECT d.id, d.doc AS other, s.score
            FROM saleshub.duplicate_docs(noun, ids) d,
                 LATERAL (SELECT saleshub.match_score(rules, rec, d.doc) AS score OFFSET 0) s
            WHERE s.score >= least_score AND (self IS NULL OR NOT EXISTS (
                SELECT FROM crm.duplicate_decision x
                WHERE x.org_id = saleshub.org_id() AND x.entity = noun AND NOT x.same
                    AND x.low_id = least(self, d.id) AND x.high_id = greatest(self, d.id)))
            ORDER BY s.score DESC, d.id
            LIMIT most
        ) found,
        LATERAL (SELECT saleshub.match_explain(rules, rec, other) AS e OFFSET 0) x
    );
END;
$$;
COMMENT ON FUNCTION saleshub.duplicate_find(text, jsonb, uuid, jsonb, numeric, integer) IS
    'Records that look like this one, the likeliest first: [{type, id, name, email, band, score, fields}].';

CREATE FUNCTION saleshub.duplicate_across(noun text, rec jsonb, least_score numeric, most integer)
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
BEGIN
    IF noun <> 'lead' THEN
        RETURN '[]';
    END IF;
    RETURN saleshub.duplicate_find('contact', rec - 'company_id', NULL,
                                   saleshub.match_rules(org, 'lead'), least_score, most)
        || CASE WHEN rec ->> 'company_name' IS NULL
                    AND saleshub.lead_domain(rec ->> 'website', rec ->> 'email') IS NULL THEN '[]'
           ELSE saleshub.duplicate_find(
               'company', jsonb_strip_nulls(jsonb_build_object(
                   'name', rec -> 'company_name', 'city', rec -> 'city', 'country', rec -> 'country',
                   'domain', saleshub.lead_domain(rec ->> 'website', rec ->> 'email'))),
               NULL, saleshub.match_rules(org, 'company'), least_score, most) END;
END;
$$;
COMMENT ON FUNCTION saleshub.duplicate_across(text, jsonb, numeric, integer) IS
    'Contacts that a lead may be, and companies it may belong to; of other kinds none.';

CREATE FUNCTION saleshub.duplicate_best(found jsonb, most integer) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(jsonb_agg(f ORDER BY (f -> 'score')::numeric DESC, n), '[]')
    FROM (SELECT f, n FROM jsonb_array_elements(duplicate_best.found) WITH ORDINALITY AS e (f, n)
          ORDER BY (f -> 'score')::numeric DESC, n LIMIT duplicate_best.most) b;
END;
COMMENT ON FUNCTION saleshub.duplicate_best(jsonb, integer) IS
    'The likeliest of what was found.';

CREATE FUNCTION crm.duplicates(type text, id uuid, limit_ integer DEFAULT 20) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    noun text := saleshub.duplicate_noun(type);
    rec jsonb := saleshub.duplicate_doc(noun, id);
BEGIN
    IF rec IS NULL THEN
        PERFORM saleshub.record_missing(noun, id);
    END IF;
    RETURN jsonb_build_object(
        'data', saleshub.duplicate_best(
            saleshub.duplicate_find(noun, rec, id, saleshub.match_rules(saleshub.org_id(), noun),
                                    8, saleshub.list_limit(limit_))
            || saleshub.duplicate_across(noun, rec, 8, saleshub.list_limit(limit_)),
            saleshub.list_limit(limit_)),
        'next_cursor', NULL);
END;
$$;
COMMENT ON FUNCTION crm.duplicates(text, uuid, integer) IS
    'Records that may be the same contact, company or lead, the likeliest first, each with its score, what that means (block, warn, suggest) and the weight of every compared field; of a lead also the contacts that it may be, and the companies it may belong to';

-- At insert

CREATE FUNCTION saleshub.duplicate_setting(settings jsonb, noun text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN coalesce(nullif(CASE pg_catalog.jsonb_typeof(settings -> 'duplicate_policy')
        WHEN 'object' THEN settings -> 'duplicate_policy' ->> noun
        ELSE settings ->> 'duplicate_policy' END, ''), 'warn');
COMMENT ON FUNCTION saleshub.duplicate_setting(jsonb, text) IS
    'What an organisation has settled about duplicates of a kind: settings.duplicate_policy is one word for all kinds, or {kind: word}; warn unless set.';

CREATE FUNCTION saleshub.duplicate_blocked(settings jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(string_agg(n, ','), '') FROM unnest(ARRAY['contact', 'company', 'lead']) n
    WHERE saleshub.duplicate_setting(duplicate_blocked.settings, n) = 'block';
END;
COMMENT ON FUNCTION saleshub.duplicate_blocked(jsonb) IS
    'The kinds of records whose duplicates an organisation refuses.';

CREATE FUNCTION saleshub.duplicate_policy(org uuid, noun text) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    asked text := current_setting('saleshub.duplicates', true);
BEGIN
    IF asked IN ('allow', 'warn', 'block') THEN
        RETURN asked;
    END IF;
    RETURN coalesce((SELECT saleshub.duplicate_setting(o.settings, noun) FROM crm.org o
                     WHERE o.org_id = duplicate_policy.org), 'warn');
END;
$$;
COMMENT ON FUNCTION saleshub.duplicate_policy(uuid, text) IS
    'What to do about duplicates of a kind at insert: the setting saleshub.duplicates, else what the organisation has settled.';

CREATE FUNCTION saleshub.duplicate_check() RETURNS trigger
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    noun text := TG_ARGV[0];
    rec jsonb;
    rules jsonb;
    candidates jsonb;
BEGIN
    IF saleshub.duplicate_policy(NEW.org_id, noun) <> 'block' OR NEW.deleted_at IS NOT NULL
       OR NEW.org_id IS DISTINCT FROM saleshub.org_id()
    THEN
        RETURN NEW;
    END IF;
    rules := saleshub.match_rules(NEW.org_id, noun);
    rec := to_jsonb(NEW);
    IF rec ->> 'company_id' IS NOT NULL THEN
        rec := rec || jsonb_build_object('company_name', (
            SELECT c.name FROM crm.company c
            WHERE c.org_id = NEW.org_id AND c.company_id = (rec ->> 'company_id')::uuid));
    END IF;
    PERFORM saleshub.match_lock(noun, rec, rules, NEW.org_id);
    candidates := saleshub.duplicate_find(noun, rec, NULL, rules, 13, 10);
    PERFORM set_config('saleshub.duplicates_found', candidates::text, true);
    candidates := jsonb_path_query_array(candidates, '$[*] ? (@.band == "block")');
    IF candidates <> '[]' THEN
        PERFORM saleshub.raise(
            'SH409', format('a %s like this one exists: %s', noun,
                            coalesce(candidates -> 0 ->> 'name', candidates -> 0 ->> 'id')),
            jsonb_build_object('code', 'duplicate', 'candidates', candidates),
            'Use or change that one; "on_duplicate": "allow" creates another.');
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION saleshub.duplicate_check() IS
    'Trigger: where the policy is block, refuses what is there already; strong keys are locked first, so that of two sessions the later one sees what the other wrote.';

CREATE FUNCTION saleshub.duplicate_schema(noun text, schema jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN noun IN ('contact', 'company', 'lead') THEN pg_catalog.jsonb_set(
        schema, '{properties,on_duplicate}', '{
            "type": ["string", "null"], "enum": ["allow", "warn", "block", null],
            "description": "What to do when it seems to exist, instead of the organisation''s policy"}')
        ELSE schema END;
COMMENT ON FUNCTION saleshub.duplicate_schema(text, jsonb) IS
    'The schema of a body that creates a record, with on_duplicate where duplicates are known.';

CREATE FUNCTION saleshub.duplicate_begin(noun text, body jsonb) RETURNS text
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    before text := current_setting('saleshub.duplicates', true);
BEGIN
    IF body ->> 'on_duplicate' IN ('allow', 'warn', 'block') THEN
        PERFORM set_config('saleshub.duplicates', body ->> 'on_duplicate', true);
    END IF;
    RETURN before;
END;
$$;
COMMENT ON FUNCTION saleshub.duplicate_begin(text, jsonb) IS
    'Before an insert: takes over on_duplicate of the body; returns the setting as it was.';

CREATE FUNCTION saleshub.duplicate_end(noun text, doc jsonb, before text) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    candidates jsonb := '[]';
    id uuid := (doc ->> 'id')::uuid;
    org uuid := saleshub.org_id();
    policy text := CASE WHEN noun IN ('contact', 'company', 'lead')
                        THEN saleshub.duplicate_policy(org, noun) ELSE 'allow' END;
BEGIN
    IF policy = 'block' THEN
        -- Found before the insert.
        candidates := coalesce(nullif(current_setting('saleshub.duplicates_found', true), ''), '[]');
    ELSIF policy = 'warn' THEN
        candidates := saleshub.duplicate_find(noun, saleshub.duplicate_doc(noun, id), id,
                                              saleshub.match_rules(org, noun), 13, 5);
    END IF;
    IF policy <> 'allow' THEN
        candidates := saleshub.duplicate_best(candidates || CASE WHEN noun = 'lead' THEN
            saleshub.duplicate_across(noun, saleshub.duplicate_doc(noun, id), 13, 5) ELSE '[]' END, 5);
    END IF;
    PERFORM set_config('saleshub.duplicates', coalesce(before, 'org'), true);
    IF candidates = '[]' THEN
        RETURN doc;
    END IF;
    RETURN doc || jsonb_build_object('duplicates', candidates);
END;
$$;
COMMENT ON FUNCTION saleshub.duplicate_end(text, jsonb, text) IS
    'After an insert: the record with what it seems to duplicate, as member duplicates, unless the policy is allow.';

CREATE FUNCTION saleshub.routes_duplicate() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route(
        'GET /v1/duplicates', 'crm.duplicates(text, uuid, integer)',
        'Find records that may be the same one, and say why', 'duplicates',
        args => '{
            "type": {"enum": ["contact", "contacts", "company", "companies", "lead", "leads"]},
            "id": {"description": "The record to compare with"},
            "limit": {"minimum": 1, "maximum": 200}}',
        answer => saleshub.page_shape('"Match"'));
END;
$$;
COMMENT ON FUNCTION saleshub.routes_duplicate() IS
    'Registers the routes of duplicates.';
