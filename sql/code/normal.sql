-- Values in one form, so that equal things compare equal: text, e-mail, phone, domain, tags. And
-- the list of faults that a row's checks gather.

CREATE FUNCTION saleshub.clean(value text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN nullif(pg_catalog.btrim(value, E' \t\n\r\u00a0'), '');
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
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN pg_catalog.length(domain) <= 253
        AND domain OPERATOR(pg_catalog.~) '^[^\s/:@?#_<>"'',;()\[\]\\]+$'
        AND domain OPERATOR(pg_catalog.~) '\.[^.0-9][^.]+$'
        AND domain OPERATOR(pg_catalog.!~) '^\.|\.\.|(^|\.)-|-(\.|$)';
COMMENT ON FUNCTION saleshub.domain_ok(text) IS
    'Whether the text is a domain name with at least one dot.';

CREATE FUNCTION saleshub.email_ok(email text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN pg_catalog.length(email) <= 254
        AND email OPERATOR(pg_catalog.~) '^[^\s@<>(),;:"\\\[\]]{1,64}@[^@]+$'
        AND email OPERATOR(pg_catalog.!~) '^\.|\.\.|\.@'
        AND saleshub.domain_ok(pg_catalog.split_part(email, '@', 2));
COMMENT ON FUNCTION saleshub.email_ok(text) IS
    'Whether the text is an e-mail address: one @, a plain local part, a domain with a dot.';

CREATE FUNCTION saleshub.domain_normal(domain text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN pg_catalog.regexp_replace(
        pg_catalog.lower(saleshub.clean(domain)),
        '^(?:[a-z][a-z0-9+.-]*://)?(?:[^/@]*@)?(?:www\.)?([^/:?#]*?)\.?(?:[:/?#].*)?$', '\1');
COMMENT ON FUNCTION saleshub.domain_normal(text) IS
    'The domain in lower case, without scheme, www, port and path.';

CREATE FUNCTION saleshub.website_ok(website text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN website OPERATOR(pg_catalog.~*) '^(https?://)?[^\s:/?#<>"]+\.[^\s<>"]+$';
COMMENT ON FUNCTION saleshub.website_ok(text) IS
    'Whether the text is a web address; no scheme but http and https is let in.';

CREATE FUNCTION saleshub.tags_normal(tags text[]) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(array_agg(tag ORDER BY place), '{}')
    FROM (
        SELECT saleshub.clean(value) AS tag, min(place) AS place
        FROM unnest(tags_normal.tags) WITH ORDINALITY AS t (value, place)
        WHERE saleshub.clean(value) IS NOT NULL
        GROUP BY 1
    ) distinct_tags;
END;
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
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '{
        "AD":"376","AE":"971","AF":"93","AL":"355","AM":"374","AO":"244","AR":"54","AT":"43",
        "AU":"61","AZ":"994","BA":"387","BD":"880","BE":"32","BF":"226","BG":"359","BH":"973",
        "BI":"257","BJ":"229","BN":"673","BO":"591","BR":"55","BT":"975","BW":"267","BY":"375",
        "BZ":"501","CA":"1","CD":"243","CF":"236","CG":"242","CH":"41","CI":"225","CL":"56",
        "CM":"237","CN":"86","CO":"57","CR":"506","CU":"53","CV":"238","CY":"357","CZ":"420",
        "DE":"49","DJ":"253","DK":"45","DZ":"213","EC":"593","EE":"372","EG":"20","ER":"291",
        "ES":"34","ET":"251","FI":"358","FJ":"679","FO":"298","FR":"33","GA":"241","GB":"44",
        "GE":"995","GF":"594","GH":"233","GI":"350","GL":"299","GM":"220","GN":"224","GP":"590",
        "GQ":"240","GR":"30","GT":"502","GW":"245","GY":"592","HK":"852","HN":"504","HR":"385",
        "HT":"509","HU":"36","ID":"62","IE":"353","IL":"972","IN":"91","IQ":"964","IR":"98",
        "IS":"354","IT":"39","JO":"962","JP":"81","KE":"254","KG":"996","KH":"855","KM":"269",
        "KR":"82","KW":"965","KZ":"7","LA":"856","LB":"961","LI":"423","LK":"94","LR":"231",
        "LS":"266","LT":"370","LU":"352","LV":"371","LY":"218","MA":"212","MC":"377","MD":"373",
        "ME":"382","MG":"261","MK":"389","ML":"223","MM":"95","MN":"976","MO":"853","MR":"222",
        "MT":"356","MU":"230","MV":"960","MW":"265","MX":"52","MY":"60","MZ":"258","NA":"264",
        "NC":"687","NE":"227","NG":"234","NI":"505","NL":"31","NO":"47","NP":"977","NZ":"64",
        "OM":"968","PA":"507","PE":"51","PF":"689","PG":"675","PH":"63","PK":"92","PL":"48",
        "PT":"351","PY":"595","QA":"974","RO":"40","RS":"381","RU":"7","RW":"250","SA":"966",
        "SC":"248","SD":"249","SE":"46","SG":"65","SI":"386","SK":"421","SL":"232","SM":"378",
        "SN":"221","SO":"252","SR":"597","SV":"503","SY":"963","SZ":"268","TD":"235","TG":"228",
        "TH":"66","TJ":"992","TM":"993","TN":"216","TR":"90","TW":"886","TZ":"255","UA":"380",
        "UG":"256","US":"1","UY":"598","UZ":"998","VE":"58","VN":"84","XK":"383","YE":"967",
        "ZA":"27","ZM":"260","ZW":"263"}'::jsonb ->> pg_catalog.upper(country);
COMMENT ON FUNCTION saleshub.calling_code(text) IS
    'Telephone code of a country (ISO 3166 alpha-2); NULL when it is not known.';

CREATE FUNCTION saleshub.phone_normal(phone text, country text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    parts text[] := regexp_match(
        phone, '^(.*?)(?:\s*[,;]?\s*(?:x|ext\.?|extension|#)\s*(\d{1,6}))?\s*$', 'i');
    number text := replace(parts[1], '(0)', '');
    extension text := coalesce('x' || parts[2], '');
    digits text := regexp_replace(number, '\D', '', 'g');
    code text := saleshub.calling_code(country);
    full_number text;
BEGIN
    IF number ~ '[^\d\s+()./–-]' OR number ~ '\d\s*\+' OR length(digits) NOT BETWEEN 3 AND 17 THEN
        RETURN NULL;
    END IF;
    full_number := CASE
        WHEN number ~ '^\s*\(?\+' THEN digits
        WHEN digits ~ '^00' THEN substr(digits, 3)
        WHEN code = '1' AND digits ~ '^1?[2-9]\d{9}$' THEN '1' || right(digits, 10)
        WHEN code = '7' AND digits ~ '^[78]\d{10}$' THEN '7' || right(digits, 10)
        WHEN code = '39' AND length(digits) BETWEEN 8 AND 11 THEN code || digits
        WHEN digits ~ '^0[1-9]\d{6,11}$' AND code NOT IN ('1', '7') THEN code || substr(digits, 2)
        -- These have no trunk prefix: what is dialled at home is the whole number.
        WHEN code IN ('30', '34', '45', '47', '48', '65', '351', '352', '354', '356', '357', '371',
                      '372', '377', '420', '502', '503', '504', '505', '506', '507', '852', '853')
             AND digits ~ '^[1-9]\d{6,9}$' THEN code || digits
    END;
    IF full_number ~ '^[1-9]\d{6,14}$' THEN
        RETURN '+' || full_number || extension;
    ELSIF number ~ '^\s*\(?\+' THEN
        RETURN NULL;
    END IF;
    RETURN digits || extension;
END;
$$;
COMMENT ON FUNCTION saleshub.phone_normal(text, text) IS
    'The number as E.164 (+x12 for an extension), completed by the country where that is possible;
else its digits; NULL when it is no telephone number.';

CREATE FUNCTION saleshub.row_country(org_id uuid, country text) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF saleshub.calling_code(country) IS NOT NULL THEN
        RETURN country;
    END IF;
    RETURN (SELECT o.country FROM crm.org o WHERE o.org_id = row_country.org_id);
END;
$$;
COMMENT ON FUNCTION saleshub.row_country(uuid, text) IS
    'The country by which a row''s phone number is read: its own if known, or the organisation''s.';

CREATE FUNCTION saleshub.phone_check(org_id uuid, phone text, country text,
                                     OUT number text, OUT faults jsonb)
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    faults := '[]';
    IF saleshub.clean(phone) IS NOT NULL THEN
        number := saleshub.phone_normal(saleshub.clean(phone),
                                        saleshub.row_country(org_id, country));
        IF number IS NULL THEN
            faults := saleshub.fault('/phone', 'invalid', 'is not a telephone number');
        END IF;
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.phone_check(uuid, text, text) IS
    'The normal form of a row''s phone number, or its fault.';

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
