-- Values in one form, so that equal things compare equal: text, e-mail, phone, domain, tags. And
-- the list of faults that a row's checks gather.

CREATE FUNCTION saleshub.clean(value text) RETURNS text
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_clean';
COMMENT ON FUNCTION saleshub.clean(text) IS
    'The text without white space at its ends; NULL when nothing is left.';

CREATE FUNCTION saleshub.first_names(name text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN saleshub.clean(pg_catalog.regexp_replace(saleshub.clean(name), '\S+$', ''));
COMMENT ON FUNCTION saleshub.first_names(text) IS
    'A full name without its last word.';

CREATE FUNCTION saleshub.last_word(name text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN pg_catalog.substring(saleshub.clean(name), '\S+$');
COMMENT ON FUNCTION saleshub.last_word(text) IS
    'The last word of a full name.';

CREATE FUNCTION saleshub.domain_ok(domain text) RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_domain_ok';
COMMENT ON FUNCTION saleshub.domain_ok(text) IS
    'Whether the text is a domain name with at least one dot.';

CREATE FUNCTION saleshub.email_ok(email text) RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_email_ok';
COMMENT ON FUNCTION saleshub.email_ok(text) IS
    'Whether the text is an e-mail address: one @, a plain local part, a domain with a dot.';

CREATE FUNCTION saleshub.domain_normal(domain text) RETURNS text
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_domain_normal';
COMMENT ON FUNCTION saleshub.domain_normal(text) IS
    'The domain in lower case, without scheme, www, port and path.';

CREATE FUNCTION saleshub.website_ok(website text) RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_website_ok';
COMMENT ON FUNCTION saleshub.website_ok(text) IS
    'Whether the text is a web address; no scheme but http and https is let in.';

CREATE FUNCTION saleshub.tags_normal(tags text[]) RETURNS text[]
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_tags_normal';
COMMENT ON FUNCTION saleshub.tags_normal(text[]) IS
    'The tags trimmed, each once, in the order given.';

CREATE FUNCTION saleshub.addresses_normal(addresses text[]) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(array_agg(address ORDER BY place), '{}')
    FROM (
        SELECT lower(saleshub.clean(value)) AS address, min(place) AS place
        FROM unnest(addresses_normal.addresses) WITH ORDINALITY AS a (value, place)
        WHERE saleshub.clean(value) IS NOT NULL
        GROUP BY 1
    ) distinct_addresses;
END;
COMMENT ON FUNCTION saleshub.addresses_normal(text[]) IS
    'E-mail addresses in lower case, each once, in the order given.';

CREATE FUNCTION saleshub.calling_code(country text) RETURNS text
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_calling_code_sql';
COMMENT ON FUNCTION saleshub.calling_code(text) IS
    'Telephone code of a country (ISO 3166 alpha-2); NULL when it is not known.';

CREATE FUNCTION saleshub.phone_normal(phone text, country text) RETURNS text
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_phone_normal_sql';
COMMENT ON FUNCTION saleshub.phone_normal(text, text) IS
    'The number as E.164 (+x12 for an extension), completed by the country where that is possible;
else its digits; NULL when it is no telephone number.';

CREATE FUNCTION saleshub.org_currency(org_id uuid) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (SELECT o.currency FROM crm.org o WHERE o.org_id = org_currency.org_id);
END;
$$;
COMMENT ON FUNCTION saleshub.org_currency(uuid) IS
    'The currency an organisation reports in.';

CREATE FUNCTION saleshub.too_long(pointer text, value text, most integer) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN pg_catalog.length(value) > most THEN saleshub.fault(
        pointer, 'too_long', pg_catalog.format('must have at most %s characters', most))
        ELSE '[]' END;
COMMENT ON FUNCTION saleshub.too_long(text, text, integer) IS
    'The fault of a text that is too long, or none.';

CREATE FUNCTION saleshub.refuse_row(noun text, faults jsonb) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    codes text[] := ARRAY(SELECT DISTINCT f ->> 'code' FROM jsonb_array_elements(faults) f);
BEGIN
    PERFORM saleshub.raise(
        CASE WHEN codes = '{required}' THEN '23502' ELSE '23514' END,
        format('invalid %s: %s %s', noun, ltrim(faults -> 0 ->> 'pointer', '/'),
               faults -> 0 ->> 'detail'),
        jsonb_build_object('code', 'invalid_body', 'errors', faults));
END;
$$;
COMMENT ON FUNCTION saleshub.refuse_row(text, jsonb) IS
    'Raises all faults of a row at once: 23502 when something is missing only, else 23514.';

CREATE FUNCTION saleshub.reference_faults(org_id uuid, pointer text, entity text, id uuid)
    RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    found_it boolean;
BEGIN
    found_it := CASE entity
        WHEN 'company' THEN EXISTS (SELECT FROM crm.company r WHERE r.deleted_at IS NULL
            AND r.org_id = reference_faults.org_id AND r.company_id = reference_faults.id)
        WHEN 'contact' THEN EXISTS (SELECT FROM crm.contact r WHERE r.deleted_at IS NULL
            AND r.org_id = reference_faults.org_id AND r.contact_id = reference_faults.id)
        WHEN 'lead' THEN EXISTS (SELECT FROM crm.lead r WHERE r.deleted_at IS NULL
            AND r.org_id = reference_faults.org_id AND r.lead_id = reference_faults.id)
        WHEN 'deal' THEN EXISTS (SELECT FROM crm.deal r WHERE r.deleted_at IS NULL
            AND r.org_id = reference_faults.org_id AND r.deal_id = reference_faults.id)
        WHEN 'member' THEN EXISTS (SELECT FROM crm.member r
            WHERE r.org_id = reference_faults.org_id AND r.member_id = reference_faults.id)
        END;
    IF id IS NULL OR found_it THEN
        RETURN '[]';
    END IF;
    RETURN saleshub.fault(pointer, 'not_found', format('names no %s (%s)', entity, id));
END;
$$;
COMMENT ON FUNCTION saleshub.reference_faults(uuid, text, text, uuid) IS
    'The fault of a reference to what is not there, or none; foreign keys find it too, but one by
one and not what is deleted.';

CREATE FUNCTION saleshub.reference_held(org_id uuid, pointer text, entity text, id uuid)
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF id IS NULL THEN
        RETURN '[]';
    END IF;
    PERFORM saleshub.record_keep(org_id, entity, id);
    -- Taking back what was done restores references as they were, also to what is in the bin.
    IF current_setting('saleshub.converting', true) = 'on' THEN
        RETURN '[]';
    END IF;
    RETURN saleshub.reference_faults(org_id, pointer, entity, id);
END;
$$;
COMMENT ON FUNCTION saleshub.reference_held(uuid, text, text, uuid) IS
    'The fault of a reference to what is not there, or none; what is there is held, so that nobody
who undoes what made it misses the reference.';
