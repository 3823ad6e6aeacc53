-- The tags in use, and renaming one on all records.

CREATE FUNCTION saleshub.tag_counts(nouns text[], OUT noun text, OUT tag text, OUT n bigint)
    RETURNS SETOF record
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
BEGIN
    RETURN QUERY
    SELECT u.noun, u.tag, count(*)
    FROM (
        SELECT 'lead' AS noun, unnest(r.tags) AS tag FROM crm.lead r
        WHERE 'lead' = ANY (nouns) AND r.org_id = org AND r.deleted_at IS NULL AND r.tags <> '{}'
        UNION ALL
        SELECT 'contact', unnest(r.tags) FROM crm.contact r
        WHERE 'contact' = ANY (nouns) AND r.org_id = org AND r.deleted_at IS NULL AND r.tags <> '{}'
        UNION ALL
        SELECT 'company', unnest(r.tags) FROM crm.company r
        WHERE 'company' = ANY (nouns) AND r.org_id = org AND r.deleted_at IS NULL AND r.tags <> '{}'
        UNION ALL
        SELECT 'deal', unnest(r.tags) FROM crm.deal r
        WHERE 'deal' = ANY (nouns) AND r.org_id = org AND r.deleted_at IS NULL AND r.tags <> '{}'
        UNION ALL
        SELECT 'product', unnest(r.tags) FROM crm.product r
        WHERE 'product' = ANY (nouns) AND r.org_id = org AND r.deleted_at IS NULL AND r.tags <> '{}'
    ) u
    GROUP BY u.noun, u.tag;
END;
$$;
COMMENT ON FUNCTION saleshub.tag_counts(text[]) IS
    'How many live records of these kinds, that the caller sees, have each tag.';

CREATE FUNCTION crm.tag_list(type text DEFAULT NULL, starts text DEFAULT NULL) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    nouns text[] := '{lead,contact,company,deal,product}';
BEGIN
    IF type IS NOT NULL AND type <> ALL (nouns) THEN
        PERFORM saleshub.bad_parameter('type', 'not_allowed',
                                       'must be lead, contact, company, deal or product');
    END IF;
    -- Where a role does not see the tags of records, it does not see how many there are.
    nouns := ARRAY(SELECT n FROM unnest(nouns) n
                   WHERE (type IS NULL OR n = type) AND NOT 'tags' = ANY (saleshub.hidden_fields(n)));
    RETURN jsonb_build_object('data', (
        SELECT coalesce(jsonb_agg(jsonb_build_object('tag', t.tag, 'colour', c.colour,
                                                     'total', t.total, 'counts', t.counts)
                                  ORDER BY t.tag COLLATE "C"), '[]')
        FROM (
            SELECT s.tag, sum(s.n)::bigint AS total, jsonb_object_agg(s.noun, s.n) AS counts
            FROM saleshub.tag_counts(nouns) s
            WHERE starts IS NULL OR starts_with(lower(s.tag), lower(starts))
            GROUP BY s.tag
        ) t
        LEFT JOIN crm.tag c ON c.org_id = saleshub.org_id() AND c.tag = t.tag));
END;
$$;
COMMENT ON FUNCTION crm.tag_list(text, text) IS
    'The tags of the records that the member sees, of one type or all, those that begin so: {"data": [{"tag", "colour", "total", "counts": {type: n}}]}. Reads all these records';

CREATE FUNCTION crm.tag_update(tag text, patch jsonb) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    wanted text := lower(patch ->> 'colour');
    clean text := saleshub.clean(tag);
BEGIN
    PERFORM saleshub.record_require_write();
    PERFORM saleshub.check_body(saleshub.tag_schema(), patch);
    IF clean IS NULL OR length(clean) > 64 THEN
        PERFORM saleshub.bad_parameter('tag', 'invalid', 'must have 1 to 64 characters');
    ELSIF wanted !~ '^#[0-9a-f]{6}$' THEN
        PERFORM saleshub.raise('22023', 'invalid colour', jsonb_build_object(
            'code', 'invalid_body', 'errors', saleshub.fault('/colour', 'invalid', 'must be like #1a2b3c')));
    END IF;
    IF wanted IS NOT NULL THEN
        INSERT INTO crm.tag AS t (tag, colour) VALUES (clean, wanted)
        ON CONFLICT (org_id, tag) DO UPDATE SET colour = excluded.colour;
    ELSIF patch ? 'colour' THEN
        DELETE FROM crm.tag t WHERE t.org_id = saleshub.org_id() AND t.tag = clean;
    END IF;
    RETURN jsonb_build_object('tag', clean, 'colour', (
        SELECT t.colour FROM crm.tag t WHERE t.org_id = saleshub.org_id() AND t.tag = clean));
END;
$$;
COMMENT ON FUNCTION crm.tag_update(text, jsonb) IS
    'Gives a tag a colour, or none: {"colour": "#1a2b3c" or null}';

CREATE FUNCTION saleshub.tag_schema() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '{"type": "object", "additionalProperties": false, "properties": {
        "colour": {"type": ["string", "null"], "maxLength": 7}}}'::jsonb;
COMMENT ON FUNCTION saleshub.tag_schema() IS 'JSON Schema of what is said about a tag';

CREATE FUNCTION saleshub.tag_rename_schema() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '{"type": "object", "additionalProperties": false, "required": ["from"], "properties": {
        "from": {"type": "string", "minLength": 1, "maxLength": 64},
        "to": {"type": ["string", "null"], "maxLength": 64}}}'::jsonb;
COMMENT ON FUNCTION saleshub.tag_rename_schema() IS 'JSON Schema of the change of a tag';

CREATE FUNCTION saleshub.tag_replaced(tags text[], from_ text, to_ text) RETURNS text[]
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.tags_normal(CASE WHEN to_ IS NULL THEN array_remove(tags, from_)
                                ELSE array_replace(tags, from_, to_) END);
END;
$$;
COMMENT ON FUNCTION saleshub.tag_replaced(text[], text, text) IS
    'Tags with one in the place of another, once, or without it.';

CREATE FUNCTION crm.tag_rename(body jsonb) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
    old text;
    new text;
    noun text;
    changed bigint;
    counts jsonb := '{}';
BEGIN
    PERFORM saleshub.admin_require();
    PERFORM saleshub.check_body(saleshub.tag_rename_schema(), body);
    old := body ->> 'from';
    new := saleshub.clean(body ->> 'to');
    -- Tags are no edit of a conversion's lead that undoing it would have to compare.
    PERFORM saleshub.converted_unlock(true);
    FOREACH noun IN ARRAY ARRAY['lead', 'contact', 'company', 'deal', 'product']
    LOOP
        EXECUTE format(
            'UPDATE crm.%I AS r SET tags = saleshub.tag_replaced(r.tags, $2, $3)'
            ' WHERE r.org_id = $1 AND r.tags @> ARRAY[$2] AND $2 IS DISTINCT FROM $3', noun)
        USING org, old, new;
        GET DIAGNOSTICS changed = ROW_COUNT;
        counts := counts || jsonb_build_object(noun, changed);
    END LOOP;
    PERFORM saleshub.converted_unlock(false);
    IF new IS NOT NULL THEN
        INSERT INTO crm.tag (org_id, tag, colour)
        SELECT t.org_id, new, t.colour FROM crm.tag t WHERE t.org_id = org AND t.tag = old
        ON CONFLICT (org_id, tag) DO NOTHING;
    END IF;
    DELETE FROM crm.tag t WHERE t.org_id = org AND t.tag = old AND old IS DISTINCT FROM new;
    RETURN jsonb_build_object('from', old, 'to', new, 'counts', counts);
END;
$$;
ALTER FUNCTION crm.tag_rename(jsonb) OWNER TO saleshub_owner;
COMMENT ON FUNCTION crm.tag_rename(jsonb) IS
    'Renames a tag on all records of the organisation, those in the bin as well; where "to" is in use they become one, null removes it: {"from", "to"}. Answers how many records of each kind. For admins';

CREATE FUNCTION saleshub.routes_tag() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route(
        'GET /v1/tags', 'crm.tag_list(text, text)', 'The tags in use, counted', 'tags',
        cache => 'strict', timeout_ms => 30000, args => '{
            "type": {"enum": ["lead", "contact", "company", "deal", "product"],
                     "description": "Only those of such records"},
            "starts": {"maxLength": 64, "description": "Only those that begin so"}}',
        answer => '{"data": ["Tag"]}');
    PERFORM saleshub.route(
        'PATCH /v1/tags/{tag}', 'crm.tag_update(text, jsonb)', 'Give a tag a colour', 'tags',
        args => jsonb_build_object('patch', saleshub.tag_schema()),
        answer => '"Tag"');
    PERFORM saleshub.route(
        'POST /v1/tags:rename', 'crm.tag_rename(jsonb)', 'Rename, merge or remove a tag', 'tags',
        role => 'admin', timeout_ms => 60000, idempotent => true,
        args => jsonb_build_object('body', saleshub.tag_rename_schema()),
        answer => '{"from": "text", "to": "text", "counts": {"*": "integer"}}');
END;
$$;
COMMENT ON FUNCTION saleshub.routes_tag() IS 'Registers the routes of tags';
