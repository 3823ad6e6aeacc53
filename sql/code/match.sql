-- How records are compared: normal forms, keys kept by triggers, weights and levels.

CREATE FUNCTION saleshub.match_fold(value text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_match_fold_sql';
COMMENT ON FUNCTION saleshub.match_fold(text) IS
    'A text without case, accents and punctuation, its words parted by one space; NULL when nothing is left';

CREATE FUNCTION saleshub.match_phonetic(name text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_match_phonetic_sql';
COMMENT ON FUNCTION saleshub.match_phonetic(text) IS
    'How a name sounds: the first letters of its Metaphone';

CREATE FUNCTION saleshub.match_email(email text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_match_email_sql';
COMMENT ON FUNCTION saleshub.match_email(text) IS
    'The mailbox of an address: lower case, without +tag, for Gmail also without dots';

CREATE FUNCTION saleshub.match_domain(domain text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_match_domain_sql';
COMMENT ON FUNCTION saleshub.match_domain(text) IS
    'The registrable part of a domain; NULL for one that hands out addresses to everybody';

CREATE FUNCTION saleshub.domain_unicode(domain text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_domain_unicode_sql';
COMMENT ON FUNCTION saleshub.domain_unicode(text) IS
    'A domain in lower case, its labels in punycode (xn--) decoded';

CREATE FUNCTION saleshub.domain_forms(name text) RETURNS text[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_domain_forms';
COMMENT ON FUNCTION saleshub.domain_forms(text) IS
    'A domain or an address as it is written, and in the other ways to write it: in Unicode, in punycode';

CREATE FUNCTION saleshub.match_explain(rules jsonb, a jsonb, b jsonb) RETURNS jsonb
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_match_explain';
COMMENT ON FUNCTION saleshub.match_explain(jsonb, jsonb, jsonb) IS
    'How much two records look like one by the rules [{field, kind, same, close, differ}]: {"score", "fields": [{field, level, weight}]}; the weights add up to the score';

CREATE FUNCTION saleshub.match_score(rules jsonb, a jsonb, b jsonb) RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_match_score';
COMMENT ON FUNCTION saleshub.match_score(jsonb, jsonb, jsonb) IS
    'The score alone of saleshub.match_explain';

CREATE FUNCTION saleshub.match_keys(entity text, rec jsonb, rules jsonb) RETURNS bigint[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_match_keys';
COMMENT ON FUNCTION saleshub.match_keys(text, jsonb, jsonb) IS
    'The hashed keys under which a record is found: e-mail, telephone, how the names sound, last name and initial with company, domain or number; a company by domain, name, how it sounds and what a typing error leaves of it; and the rules'' own';

CREATE FUNCTION saleshub.match_lock(entity text, rec jsonb, rules jsonb, org uuid) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_match_lock';
COMMENT ON FUNCTION saleshub.match_lock(text, jsonb, jsonb, uuid) IS
    'Locks the strong keys of a record until the end of the transaction, in one order';

CREATE FUNCTION saleshub.match_candidates(entity text, keys bigint[], self uuid) RETURNS uuid[]
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_match_candidates';
COMMENT ON FUNCTION saleshub.match_candidates(text, bigint[], uuid) IS
    'Live records that share keys, as far as the caller may see them, at most 60, those that share rare keys first; NULL for none';

CREATE FUNCTION saleshub.match_defaults(entity text) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE entity
        WHEN 'company' THEN '[
            {"field": "name", "kind": "company", "same": 13, "close": 8, "differ": -4},
            {"field": "domain", "kind": "domain", "same": 12, "differ": -2},
            {"field": "phone", "kind": "phone", "same": 8, "close": 5, "differ": -0.5},
            {"field": "city", "kind": "text", "same": 2, "close": 1, "differ": -1.5},
            {"field": "country", "kind": "text", "same": 0.5, "differ": -1}]'::jsonb
        WHEN 'lead' THEN '[
            {"field": "first_name", "kind": "first_name", "same": 6, "close": 4, "differ": -3},
            {"field": "last_name", "kind": "last_name", "same": 8, "close": 5, "differ": -3.5},
            {"field": "email", "kind": "email", "same": 16, "close": 6, "differ": -2},
            {"field": "phone", "kind": "phone", "same": 11, "close": 6, "differ": -1},
            {"field": "company_name", "kind": "company", "same": 6, "close": 3, "differ": -2},
            {"field": "city", "kind": "text", "same": 2, "close": 1, "differ": -1}]'::jsonb
        ELSE '[
            {"field": "first_name", "kind": "first_name", "same": 6, "close": 4, "differ": -3},
            {"field": "last_name", "kind": "last_name", "same": 8, "close": 5, "differ": -3.5},
            {"field": "email", "kind": "email", "same": 16, "close": 6, "differ": -2},
            {"field": "phone", "kind": "phone", "same": 11, "close": 6, "differ": -1},
            {"field": "company_name", "kind": "company", "same": 6, "close": 3, "differ": -2}
            ]'::jsonb
    END;
COMMENT ON FUNCTION saleshub.match_defaults(text) IS
    'The rules of comparison that every organisation starts with: weights are log2(m/u) set by hand, m how often the level occurs within one thing, u between two.';

CREATE FUNCTION saleshub.match_rules_by_hand(org uuid, entity text) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    own jsonb := (
        SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
            'field', f.field, 'kind', f.kind, 'same', f.same, 'close', f.close,
            'differ', f.differ, 'key', f.key)) ORDER BY f.field)
        FROM crm.match_field f
        WHERE f.org_id = match_rules_by_hand.org AND f.entity = match_rules_by_hand.entity);
BEGIN
    IF own IS NULL THEN
        RETURN saleshub.match_defaults(entity);
    END IF;
    RETURN own || (
        SELECT coalesce(jsonb_agg(d ORDER BY n), '[]')
        FROM jsonb_array_elements(saleshub.match_defaults(entity)) WITH ORDINALITY AS e (d, n)
        WHERE NOT own @> jsonb_build_array(jsonb_build_object('field', d -> 'field')));
END;
$$;
COMMENT ON FUNCTION saleshub.match_rules_by_hand(uuid, text) IS
    'The rules of comparison of an organisation as set by hand: its own fields, and the usual ones they do not replace.';

CREATE FUNCTION saleshub.match_rules(org uuid, entity text) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    weights jsonb := (
        SELECT m.weights FROM crm.match_model m
        WHERE m.org_id = match_rules.org AND m.entity = match_rules.entity AND m.adopted
        ORDER BY m.match_model_id DESC LIMIT 1);
BEGIN
    IF weights IS NULL THEN
        RETURN saleshub.match_rules_by_hand(org, entity);
    END IF;
    RETURN saleshub.match_weighed(saleshub.match_rules_by_hand(org, entity), weights);
END;
$$;
COMMENT ON FUNCTION saleshub.match_rules(uuid, text) IS
    'The rules of comparison of an organisation, with the weights that were learnt and adopted last.';

CREATE FUNCTION saleshub.match_band(score numeric) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN score >= 21 THEN 'block' WHEN score >= 13 THEN 'warn'
                WHEN score >= 8 THEN 'suggest' END;
COMMENT ON FUNCTION saleshub.match_band(numeric) IS
    'What a score means: block (surely one thing), warn (probably), suggest (perhaps); NULL below.';

-- Keys

CREATE FUNCTION saleshub.match_keep() RETURNS trigger
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_match_keep';
COMMENT ON FUNCTION saleshub.match_keep() IS
    'Trigger: keeps the keys under which the rows of a kind of record, its argument, are found';

CREATE FUNCTION saleshub.match_lock_rules(org uuid) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_match_lock_rules';
COMMENT ON FUNCTION saleshub.match_lock_rules(uuid) IS
    'Waits until nobody writes keys by the rules of an organisation, and lets nobody until the end of the transaction: the keys a record had are computed by the rules that hold';

CREATE FUNCTION saleshub.duplicate_blocks(org uuid, noun text) RETURNS boolean
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_duplicate_blocks';
COMMENT ON FUNCTION saleshub.duplicate_blocks(uuid, text) IS
    'Whether saleshub.duplicate_policy is block: asked of every record inserted, so it is kept per backend';

CREATE FUNCTION saleshub.match_on(noun text) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    event record;
BEGIN
    FOR event IN SELECT * FROM saleshub.statement_events() LOOP
        EXECUTE format('CREATE OR REPLACE TRIGGER %I AFTER %s ON crm.%I REFERENCING %s'
                       ' FOR EACH STATEMENT EXECUTE FUNCTION saleshub.match_keep(%L)',
                       noun || '_60_keys_' || event.name, event.name, noun, event.tables, noun);
    END LOOP;
    EXECUTE format('CREATE OR REPLACE TRIGGER %I BEFORE INSERT ON crm.%I'
                   ' FOR EACH ROW WHEN (saleshub.duplicate_blocks(NEW.org_id, %3$L))'
                   ' EXECUTE FUNCTION saleshub.duplicate_check(%3$L)',
                   noun || '_50_duplicate', noun, noun);
END;
$$;
COMMENT ON FUNCTION saleshub.match_on(text) IS
    'Gives a record table its keys and its check for duplicates.';

CREATE FUNCTION saleshub.match_rebuild(org uuid, noun text) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    written bigint;
BEGIN
    PERFORM saleshub.match_lock_rules(org);
    DELETE FROM saleshub.match_key m
    WHERE m.org_id = match_rebuild.org AND m.entity = match_rebuild.noun;
    EXECUTE format(
        'INSERT INTO saleshub.match_key (org_id, entity, key, entity_id)'
        ' SELECT r.org_id, %2$L, k, r.%1$I FROM crm.%2$I r,'
        ' unnest(saleshub.match_keys(%2$L, to_jsonb(r), $2)) k'
        ' WHERE r.org_id = $1 AND r.deleted_at IS NULL ON CONFLICT DO NOTHING',
        noun || '_id', noun)
    USING org, saleshub.match_rules(org, noun);
    GET DIAGNOSTICS written = ROW_COUNT;
    RETURN written;
END;
$$;
COMMENT ON FUNCTION saleshub.match_rebuild(uuid, text) IS
    'Writes the keys of all records of a kind anew, after the rules of an organisation changed.';

CREATE FUNCTION saleshub.match_complete() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM saleshub.match_key) THEN
        PERFORM saleshub.match_rebuild(o.org_id, n)
        FROM crm.org o, unnest(ARRAY['contact', 'company', 'lead']) n;
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.match_complete() IS
    'Writes the keys of records that are older than the keys.';

CREATE FUNCTION crm.match_field_set(
    entity text, field text, kind text, same numeric, close numeric DEFAULT 0,
    differ numeric DEFAULT 0, key text DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    faults jsonb;
BEGIN
    IF saleshub.member_role() <> 'admin' THEN
        PERFORM saleshub.require_role('admin');
    END IF;
    faults := saleshub.match_field_faults(entity, jsonb_build_array(jsonb_build_object('field', field)));
    IF faults <> '[]' THEN
        PERFORM saleshub.raise('22023', format('records of crm.%s are not compared by %s', entity, field),
                               jsonb_build_object('code', 'invalid_body', 'errors', faults));
    END IF;
    INSERT INTO crm.match_field (org_id, entity, field, kind, same, close, differ, key)
    VALUES (saleshub.org_id(), entity, field, kind, same, close, differ, key)
    ON CONFLICT ON CONSTRAINT match_field_pkey DO UPDATE
    SET kind = excluded.kind, same = excluded.same, close = excluded.close,
        differ = excluded.differ, key = excluded.key;
    PERFORM saleshub.match_rebuild(saleshub.org_id(), entity);
END;
$$;
ALTER FUNCTION crm.match_field_set(text, text, text, numeric, numeric, numeric, text)
    OWNER TO saleshub_owner;
COMMENT ON FUNCTION crm.match_field_set(text, text, text, numeric, numeric, numeric, text) IS
    'For admins: lets a field count when records of crm.<entity> are compared, or changes how, and writes their keys anew. kind says how values are compared; same, close and differ are its weights; key strong, weak or name makes records be found by it';
