-- Custom fields: the definitions, by admins and managers.

CREATE FUNCTION saleshub.may_define_fields() RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN saleshub.may_write() AND coalesce(saleshub.member_role(), 'admin') IN ('admin', 'manager');
COMMENT ON FUNCTION saleshub.may_define_fields() IS
    'Whether the member may define custom fields: admins and managers.';

CREATE FUNCTION saleshub.custom_field_fields() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '[
        {"name": "id", "column": "custom_field_id", "type": "uuid", "read_only": true,
         "not_null": true},
        {"name": "entity", "type": "enum", "required": true, "sort": true, "not_null": true,
         "values": ["lead", "contact", "company", "deal", "activity", "product"]},
        {"name": "key", "type": "text", "max": 60, "required": true, "sort": true,
         "not_null": true},
        {"name": "label", "type": "text", "max": 100, "sort": true, "not_null": true},
        {"name": "description", "type": "text", "max": 1000, "filter": false},
        {"name": "type", "type": "enum", "required": true, "sort": true, "not_null": true,
         "values": ["text", "long_text", "number", "integer", "boolean", "date", "timestamp",
                    "enum", "multi_enum", "url", "email", "phone", "reference"]},
        {"name": "target", "type": "enum",
         "values": ["member", "lead", "contact", "company", "deal"]},
        {"name": "options", "type": "object", "set": {"options": "(%s)::jsonb"}, "schema": {
            "type": "array", "maxItems": 500, "items": {
                "type": "object", "required": ["key"], "additionalProperties": false,
                "properties": {
                    "key": {"type": "string", "minLength": 1, "maxLength": 60},
                    "label": {"type": ["string", "null"], "maxLength": 100},
                    "active": {"type": ["boolean", "null"]}}}}},
        {"name": "required", "type": "boolean", "not_null": true},
        {"name": "unique", "column": "is_unique", "type": "boolean", "not_null": true},
        {"name": "indexed", "type": "boolean", "not_null": true},
        {"name": "min", "column": "minimum", "type": "number", "filter": false,
         "schema": {"minimum": -1e15}},
        {"name": "max", "column": "maximum", "type": "number", "filter": false,
         "schema": {"minimum": -1e15}},
        {"name": "max_length", "type": "integer", "filter": false, "schema": {"minimum": 1}},
        {"name": "default", "column": "default_value", "type": "object",
         "set": {"default_value": "nullif($1 #> ''{b,default}'', ''null'')"},
         "schema": {"type": ["string", "number", "boolean", "array"], "items": {}}},
        {"name": "position", "type": "integer", "sort": true, "not_null": true},
        {"name": "active", "type": "boolean", "not_null": true},
        {"name": "index_state", "type": "text", "read_only": true,
         "sql": "(SELECT b.state FROM saleshub.custom_build b WHERE b.org_id = t.org_id AND b.custom_field_id = t.custom_field_id)"}
    ]'::jsonb;
COMMENT ON FUNCTION saleshub.custom_field_fields() IS
    'The fields of a definition in the API.';

CREATE FUNCTION saleshub.custom_field_meta() RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.record_meta('custom_field', 'custom-fields', saleshub.custom_field_fields(),
                                '{}');
END;
$$;
COMMENT ON FUNCTION saleshub.custom_field_meta() IS
    'What the record functions need to know about definitions of custom fields.';

-- What a definition may be

CREATE FUNCTION saleshub.custom_take(field jsonb, org uuid, value jsonb) RETURNS jsonb
LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_custom_take_value';
COMMENT ON FUNCTION saleshub.custom_take(jsonb, uuid, jsonb) IS
    'One value of a custom field (a row of crm.custom_field) in its normal form: {"value"}, or {"code", "detail"} that say why it does not do';

CREATE FUNCTION saleshub.custom_options(options jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'key', saleshub.clean(o ->> 'key'),
            'label', coalesce(saleshub.clean(o ->> 'label'), saleshub.clean(o ->> 'key')),
            'active', coalesce(nullif(o -> 'active', 'null'), 'true')) ORDER BY n), '[]')
        FROM jsonb_array_elements(options) WITH ORDINALITY AS e (o, n));
END;
$$;
COMMENT ON FUNCTION saleshub.custom_options(jsonb) IS
    'The options of a field with all their members: [{key, label, active}].';

CREATE FUNCTION saleshub.custom_option_faults(kind text, options jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF kind NOT IN ('enum', 'multi_enum') THEN
        RETURN CASE WHEN options = '[]' THEN '[]' ELSE saleshub.fault(
            '/options', 'not_allowed', 'belong to the types enum and multi_enum only') END;
    ELSIF options = '[]' THEN
        RETURN saleshub.fault('/options', 'required', 'must have at least one');
    ELSIF jsonb_array_length(options) > 500 THEN
        RETURN saleshub.fault('/options', 'too_many', 'must have at most 500 items');
    END IF;
    RETURN (
        SELECT coalesce(jsonb_agg(saleshub.fault('/options/' || (n - 1) || '/key', f.code,
                                                 f.detail) -> 0 ORDER BY n), '[]')
        FROM jsonb_array_elements(options) WITH ORDINALITY AS e (o, n),
             LATERAL (
                SELECT CASE WHEN (o ->> 'key' ~ '^[a-z0-9][a-z0-9_.-]{0,59}$') IS NOT TRUE
                            THEN 'invalid'
                            WHEN EXISTS (
                                SELECT FROM jsonb_array_elements(options) WITH ORDINALITY AS p (o, n)
                                WHERE p.n < e.n AND p.o -> 'key' = e.o -> 'key')
                            THEN 'duplicate' END AS code,
                       CASE WHEN (o ->> 'key' ~ '^[a-z0-9][a-z0-9_.-]{0,59}$') IS NOT TRUE
                            THEN 'must be of a-z, 0-9, _, . and -, up to 60 characters'
                            ELSE 'is there twice' END AS detail) f
        WHERE f.code IS NOT NULL);
END;
$$;
COMMENT ON FUNCTION saleshub.custom_option_faults(text, jsonb) IS
    'What is wrong with the options of a field of a type.';

CREATE FUNCTION saleshub.custom_length_limit(kind text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE kind WHEN 'text' THEN 1000 WHEN 'url' THEN 1000 WHEN 'long_text' THEN 100000
                     WHEN 'email' THEN 254 WHEN 'phone' THEN 50 END;
COMMENT ON FUNCTION saleshub.custom_length_limit(text) IS
    'How long values of a type of text may be at most; NULL for other types.';

CREATE FUNCTION saleshub.custom_range_faults(field jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    kind text := field ->> 'type';
    keyed boolean := (field ->> 'indexed')::boolean OR (field ->> 'is_unique')::boolean;
    most integer := saleshub.custom_length_limit(kind);
    faults jsonb := '[]';
BEGIN
    IF field ->> 'minimum' IS NOT NULL AND kind NOT IN ('number', 'integer') THEN
        faults := faults || saleshub.fault('/min', 'not_allowed', 'belongs to numbers only');
    END IF;
    IF field ->> 'maximum' IS NOT NULL AND kind NOT IN ('number', 'integer') THEN
        faults := faults || saleshub.fault('/max', 'not_allowed', 'belongs to numbers only');
    ELSIF (field ->> 'minimum')::numeric > (field ->> 'maximum')::numeric THEN
        faults := faults || saleshub.fault('/max', 'invalid', 'must not be less than min');
    END IF;
    IF most IS NULL AND field ->> 'max_length' IS NOT NULL THEN
        faults := faults || saleshub.fault('/max_length', 'not_allowed', 'belongs to texts only');
    ELSIF (field ->> 'max_length')::integer NOT BETWEEN 1 AND most THEN
        faults := faults || saleshub.fault('/max_length', 'range', 'must be from 1 to ' || most);
    ELSIF keyed AND (field ->> 'max_length')::integer > 500 THEN
        faults := faults || saleshub.fault('/max_length', 'range',
                                           'must be at most 500 for an indexed or unique field');
    END IF;
    IF kind = 'long_text' AND keyed THEN
        faults := faults || saleshub.fault('/type', 'invalid', 'cannot be indexed or unique');
    ELSIF kind IN ('boolean', 'multi_enum') AND (field ->> 'is_unique')::boolean THEN
        faults := faults || saleshub.fault('/unique', 'not_allowed', 'makes no sense for the type');
    END IF;
    RETURN faults;
END;
$$;
COMMENT ON FUNCTION saleshub.custom_range_faults(jsonb) IS
    'What is wrong with the limits of a field, a row of crm.custom_field.';

CREATE FUNCTION saleshub.custom_field_uses(entity text, key text) RETURNS text[]
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
    own text := 'custom.' || custom_field_uses.key;
    wanted jsonb := jsonb_build_object('name', own);
BEGIN
    RETURN ARRAY(
        SELECT format('scoring rule "%s"', r.label) FROM crm.score_rule r
        WHERE r.org_id = org AND custom_field_uses.entity = 'lead'
            AND jsonb_path_exists(r.predicate, '$.**.field ? (@ == $name)', wanted)
        UNION ALL
        SELECT format('routing rule "%s"', r.name) FROM crm.routing_rule r
        WHERE r.org_id = org AND custom_field_uses.entity = 'lead'
            AND jsonb_path_exists(r.predicate, '$.**.field ? (@ == $name)', wanted)
        UNION ALL
        SELECT format('stage "%s"', s.name) FROM crm.stage s
        WHERE s.org_id = org AND custom_field_uses.entity = 'deal' AND s.deleted_at IS NULL
            AND (own = ANY (s.required_fields)
                 OR jsonb_path_exists(s.gate, '$.**.field ? (@ == $name)', wanted))
        UNION ALL
        SELECT format('conversion mapping of %s', m.target_field) FROM crm.conversion_mapping m
        WHERE m.org_id = org
            AND m.version = (SELECT max(v.version) FROM crm.conversion_mapping v
                             WHERE v.org_id = org)
            AND (own = m.source AND custom_field_uses.entity = 'lead'
                 OR own = m.target_field AND custom_field_uses.entity = m.target_entity)
        UNION ALL
        SELECT 'comparison of duplicates' FROM crm.match_field f
        WHERE f.org_id = org AND f.entity = custom_field_uses.entity
            AND f.field = own);
END;
$$;
ALTER FUNCTION saleshub.custom_field_uses(text, text) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.custom_field_uses(text, text) IS
    'What would not work any more without a custom field: rules, gates of stages, the mapping of conversions, the comparison of duplicates. Saved filters are not among it: they say what is wrong when they are used.';

CREATE FUNCTION saleshub.custom_field_need_unused(entity text, key text, verb text) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    uses text[] := saleshub.custom_field_uses(entity, key);
BEGIN
    IF uses <> '{}' THEN
        PERFORM saleshub.raise(
            'SH409', format('custom.%s cannot be %s: it is used by %s', key, verb, uses[1]),
            jsonb_build_object('code', 'in_use', 'uses', to_jsonb(uses)), 'Change these first.');
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.custom_field_need_unused(text, text, text) IS
    'Raises SH409 when something needs the custom field as it is.';

CREATE FUNCTION saleshub.custom_misfits(field jsonb, OUT n bigint, OUT ids jsonb)
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.need_define_fields();
    EXECUTE format(
        'SELECT count(*), coalesce(jsonb_agg(jsonb_build_object(''id'', m.id, ''value'', m.value,'
        ' ''code'', coalesce(m.taken ->> ''code'', ''invalid_type'')) ORDER BY m.id)'
        ' FILTER (WHERE m.n <= 20), ''[]'')'
        ' FROM (SELECT v.id, v.value, v.taken, row_number() OVER (ORDER BY v.id) AS n'
        ' FROM (SELECT r.%1$I AS id, r.custom -> $2 AS value,'
        ' saleshub.custom_take($3, $1, r.custom -> $2) AS taken'
        ' FROM crm.%2$I r WHERE r.org_id = $1 AND r.custom ? $2) v'
        ' WHERE v.taken -> ''value'' IS DISTINCT FROM v.value) m',
        (field ->> 'entity') || '_id', field ->> 'entity')
    INTO n, ids
    USING saleshub.org_id(), field ->> 'key', field;
    IF NOT saleshub.sees_all(field ->> 'entity') THEN
        ids := '[]';
    END IF;
END;
$$;
ALTER FUNCTION saleshub.custom_misfits(jsonb) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.custom_misfits(jsonb) IS
    'How many records, in the bin or not, have a value that is no normal value of the field as given, and the first twenty, for who sees all: [{id, value, code}].';

CREATE FUNCTION saleshub.custom_field_retype(field jsonb) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    misfits record;
BEGIN
    PERFORM saleshub.custom_field_need_unused(field ->> 'entity', field ->> 'key',
                                              'given another type');
    SELECT * INTO misfits FROM saleshub.custom_misfits(field);
    IF misfits.n > 0 THEN
        PERFORM saleshub.raise(
            'SH409', format('%s records have values that are no %s', misfits.n, field ->> 'type'),
            jsonb_build_object('code', 'values_do_not_fit', 'count', misfits.n,
                               'records', misfits.ids),
            'Change these values, or define another field.');
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.custom_field_retype(jsonb) IS
    'Raises SH409 unless every value that is there is one of the new type, too.';

CREATE FUNCTION saleshub.custom_field_check() RETURNS trigger
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    fresh boolean := TG_OP = 'INSERT';
    taken jsonb;
    faults jsonb := '[]';
BEGIN
    NEW.key := saleshub.clean(NEW.key);
    NEW.label := coalesce(saleshub.clean(NEW.label), NEW.key);
    NEW.description := saleshub.clean(NEW.description);
    NEW.required := coalesce(NEW.required, false);
    NEW.is_unique := coalesce(NEW.is_unique, false);
    NEW.indexed := coalesce(NEW.indexed, false);
    NEW.active := coalesce(NEW.active, true);
    NEW.options := saleshub.custom_options(coalesce(nullif(NEW.options, 'null'), '[]'));
    NEW.max_length := coalesce(NEW.max_length, CASE NEW.type
        WHEN 'text' THEN 200 WHEN 'long_text' THEN 10000 WHEN 'url' THEN 500
        ELSE saleshub.custom_length_limit(NEW.type) END);
    NEW.position := coalesce(NEW.position, (
        SELECT max(f.position) + 1 FROM crm.custom_field f
        WHERE f.org_id = NEW.org_id AND f.entity = NEW.entity AND f.deleted_at IS NULL), 1);

    IF (NEW.key ~ '^[a-z][a-z0-9_]{0,59}$') IS NOT TRUE THEN
        faults := faults || saleshub.fault(
            '/key', 'invalid', 'must be of a-z, 0-9 and _, begin with a letter, have up to 60');
    END IF;
    IF (NEW.type = 'reference') IS DISTINCT FROM (NEW.target IS NOT NULL) THEN
        faults := faults || saleshub.fault('/target', CASE WHEN NEW.target IS NULL
            THEN 'required' ELSE 'not_allowed' END, 'belongs to the type reference');
    END IF;
    faults := faults || saleshub.too_long('/label', NEW.label, 100)
        || saleshub.too_long('/description', NEW.description, 1000)
        || saleshub.custom_option_faults(NEW.type, NEW.options)
        || saleshub.custom_range_faults(to_jsonb(NEW));
    IF faults = '[]' AND NEW.default_value IS NOT NULL THEN
        taken := saleshub.custom_take(to_jsonb(NEW), NEW.org_id, NEW.default_value);
        IF NEW.is_unique THEN
            faults := saleshub.fault('/default', 'not_allowed', 'would not be unique');
        ELSIF taken ? 'code' THEN
            faults := saleshub.fault('/default', taken ->> 'code', taken ->> 'detail');
        END IF;
        NEW.default_value := nullif(taken -> 'value', 'null');
    END IF;
    IF NOT fresh AND (NEW.entity, NEW.key) IS DISTINCT FROM (OLD.entity, OLD.key) THEN
        faults := faults || saleshub.fault(CASE WHEN NEW.key = OLD.key THEN '/entity' ELSE '/key' END,
                                           'read_only', 'stays what it is');
    END IF;
    IF faults <> '[]' THEN
        PERFORM saleshub.refuse_row('custom field', faults);
    END IF;
    PERFORM saleshub.custom_field_room(to_jsonb(NEW));
    IF NOT fresh AND (NEW.type, NEW.target) IS DISTINCT FROM (OLD.type, OLD.target) THEN
        PERFORM saleshub.custom_field_retype(to_jsonb(NEW));
    END IF;
    IF NOT fresh AND OLD.deleted_at IS NULL AND NEW.deleted_at IS NOT NULL THEN
        PERFORM saleshub.custom_field_need_unused(NEW.entity, NEW.key, 'removed');
    ELSIF NOT fresh AND OLD.active AND NOT NEW.active THEN
        PERFORM saleshub.custom_field_need_unused(NEW.entity, NEW.key, 'deactivated');
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION saleshub.custom_field_check() IS
    'Trigger: brings the definition of a custom field into its normal form and refuses what is wrong with it, and changes that its values or its users do not allow.';

CREATE FUNCTION saleshub.custom_field_room(field jsonb) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    others bigint;
    same boolean;
BEGIN
    IF field ->> 'deleted_at' IS NOT NULL THEN
        RETURN;
    END IF;
    SELECT count(*), coalesce(bool_or(f.key = field ->> 'key'), false) INTO others, same
    FROM crm.custom_field f
    WHERE f.org_id = (field ->> 'org_id')::uuid AND f.entity = field ->> 'entity'
        AND f.deleted_at IS NULL AND f.custom_field_id <> (field ->> 'custom_field_id')::uuid;
    IF same THEN
        PERFORM saleshub.raise(
            '23505', format('there is a custom field "%s" already', field ->> 'key'),
            jsonb_build_object('code', 'conflict', 'errors', saleshub.fault(
                '/key', 'taken', 'belongs to another field')));
    ELSIF others >= 200 THEN
        PERFORM saleshub.refuse_row('custom field', saleshub.fault(
            '/entity', 'too_many', 'has 200 custom fields, which is the limit'));
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.custom_field_room(jsonb) IS
    'Raises 23505 when the key is taken, 23514 when there are 200 fields of the kind already.';

-- Records

CREATE FUNCTION saleshub.need_define_fields() RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF NOT saleshub.may_define_fields() THEN
        PERFORM saleshub.raise('42501', 'only admins and managers define custom fields',
                               jsonb_build_object('code', 'forbidden'));
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.need_define_fields() IS
    'Raises 42501 unless the member may define custom fields.';

CREATE FUNCTION saleshub.custom_field_state(id uuid) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN jsonb_build_object('index_state', (
        SELECT b.state FROM saleshub.custom_build b
        WHERE b.org_id = saleshub.org_id() AND b.custom_field_id = custom_field_state.id));
END;
$$;
COMMENT ON FUNCTION saleshub.custom_field_state(uuid) IS
    'The state of the index of a field, as the change of its definition left it.';

CREATE FUNCTION crm.custom_field_create(body jsonb) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    doc jsonb;
BEGIN
    PERFORM saleshub.need_define_fields();
    -- One after the other, so that there are no more than 200.
    PERFORM pg_advisory_xact_lock(hashtextextended('custom_field ' || saleshub.org_id(), 0));
    doc := saleshub.record_create(saleshub.custom_field_meta(), body);
    RETURN doc || saleshub.custom_field_state((doc ->> 'id')::uuid);
END;
$$;
COMMENT ON FUNCTION crm.custom_field_create(jsonb) IS
    'Defines a custom field: {entity, key, type, label, description, target, options, required, unique, indexed, min, max, max_length, default, position, active}. At most 200 a kind of record';

CREATE FUNCTION crm.custom_field_get(id uuid) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    doc jsonb := saleshub.record_get(saleshub.custom_field_meta(), id);
BEGIN
    -- The state of the index changes without the version.
    PERFORM saleshub.reply(etag => concat_ws('.', doc ->> 'version', doc ->> 'index_state'));
    RETURN doc;
END;
$$;
COMMENT ON FUNCTION crm.custom_field_get(uuid) IS
    'A definition of a custom field; index_state is building, ready or failed of a field that is indexed or unique';

CREATE FUNCTION crm.custom_field_list(
    limit_ integer DEFAULT 50, cursor_ text DEFAULT NULL, sort text DEFAULT NULL,
    fields text DEFAULT NULL, filters jsonb DEFAULT NULL, count_ boolean DEFAULT false)
    RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.record_list(saleshub.custom_field_meta(), limit_, cursor_,
                                coalesce(sort, 'entity,position'), fields, NULL, filters, count_);
END;
$$;
COMMENT ON FUNCTION crm.custom_field_list(integer, text, text, text, jsonb, boolean) IS
    'A page of the definitions of custom fields, by kind of record and position unless asked otherwise';

CREATE FUNCTION crm.custom_field_update(id uuid, patch jsonb, if_match text DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.need_define_fields();
    RETURN saleshub.record_update(saleshub.custom_field_meta(), id, patch,
                                  regexp_replace(if_match, '\.[a-z]+', '', 'g'))
        || saleshub.custom_field_state(id);
END;
$$;
COMMENT ON FUNCTION crm.custom_field_update(uuid, jsonb, text) IS
    'Changes a definition by a merge patch, in which options are replaced whole. entity and key stay; another type must suit all values there are: else SH409 with code values_do_not_fit, count and the first records';

CREATE FUNCTION crm.custom_field_delete(id uuid, if_match text DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.need_define_fields();
    PERFORM saleshub.record_match(saleshub.custom_field_meta(), id,
                                  regexp_replace(if_match, '\.[a-z]+', '', 'g'));
    UPDATE crm.custom_field t SET deleted_at = now()
    WHERE t.org_id = saleshub.org_id() AND t.custom_field_id = custom_field_delete.id;
    PERFORM saleshub.reply(204);
END;
$$;
COMMENT ON FUNCTION crm.custom_field_delete(uuid, text) IS
    'Removes a definition; the values stay in the records, hidden, until the field is restored or purged';

CREATE FUNCTION crm.custom_field_restore(id uuid) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.need_define_fields();
    IF EXISTS (SELECT FROM saleshub.custom_build b WHERE b.org_id = saleshub.org_id()
               AND b.custom_field_id = custom_field_restore.id AND b.state = 'purging') THEN
        PERFORM saleshub.raise('SH409', 'the values of the field are being removed',
                               jsonb_build_object('code', 'purging'));
    END IF;
    UPDATE crm.custom_field t SET deleted_at = NULL
    WHERE t.org_id = saleshub.org_id() AND t.custom_field_id = custom_field_restore.id
        AND t.deleted_at IS NOT NULL;
    RETURN crm.custom_field_get(id);
END;
$$;
COMMENT ON FUNCTION crm.custom_field_restore(uuid) IS
    'Brings a removed definition back, with the values there are';

CREATE FUNCTION crm.custom_field_purge(id uuid) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
BEGIN
    PERFORM saleshub.need_define_fields();
    PERFORM FROM crm.custom_field f
    WHERE f.org_id = org AND f.custom_field_id = custom_field_purge.id AND f.deleted_at IS NOT NULL
    FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM saleshub.record_missing('removed custom field', id);
    END IF;
    INSERT INTO saleshub.custom_build AS b (org_id, custom_field_id, state)
    VALUES (org, id, 'purging')
    ON CONFLICT (org_id, custom_field_id) DO UPDATE
        SET state = 'purging', position = NULL, records = 0, started_at = now();
    PERFORM saleshub.reply(202);
END;
$$;
ALTER FUNCTION crm.custom_field_purge(uuid) OWNER TO saleshub_owner;
COMMENT ON FUNCTION crm.custom_field_purge(uuid) IS
    'Has the worker remove the values of a removed field from all records, some at a time, and then the definition. The history keeps what it has';

CREATE FUNCTION crm.custom_field_history(id uuid, limit_ integer DEFAULT 50,
                                         cursor_ text DEFAULT NULL) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.record_history(saleshub.custom_field_meta(), id, limit_, cursor_);
END;
$$;
COMMENT ON FUNCTION crm.custom_field_history(uuid, integer, text) IS
    'A page of the changes of a definition, the newest first';

CREATE FUNCTION saleshub.routes_custom_field() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    meta jsonb := saleshub.custom_field_meta();
    page jsonb := saleshub.page_args();
BEGIN
    PERFORM saleshub.route(
        'GET /v1/custom-fields', 'crm.custom_field_list(integer, text, text, text, jsonb, boolean)',
        'List custom fields', 'custom fields', cache => 'strict',
        args => page || jsonb_build_object('filters', jsonb_build_object('fields', (
            SELECT jsonb_object_agg(f.key, f.value -> 'schema') FROM jsonb_each(meta -> 'filter') f))),
        answer => saleshub.page_shape('"CustomField"'));
    PERFORM saleshub.route(
        'POST /v1/custom-fields', 'crm.custom_field_create(jsonb)', 'Define a custom field',
        'custom fields', success => 201, idempotent => true,
        args => jsonb_build_object('body', meta -> 'create'),
        answer => '"CustomField"');
    PERFORM saleshub.route('GET /v1/custom-fields/{id}', 'crm.custom_field_get(uuid)',
        'Read a custom field', 'custom fields', cache => 'strict',
        answer => '"CustomField"');
    PERFORM saleshub.route(
        'PATCH /v1/custom-fields/{id}', 'crm.custom_field_update(uuid, jsonb, text)',
        'Change a custom field', 'custom fields', timeout_ms => 60000,
        args => jsonb_build_object('patch', meta -> 'patch'),
        answer => '"CustomField"');
    PERFORM saleshub.route('DELETE /v1/custom-fields/{id}', 'crm.custom_field_delete(uuid, text)',
        'Remove a custom field', 'custom fields', success => 204);
    PERFORM saleshub.route('POST /v1/custom-fields/{id}/restore', 'crm.custom_field_restore(uuid)',
        'Bring a removed custom field back', 'custom fields',
        answer => '"CustomField"');
    PERFORM saleshub.route('POST /v1/custom-fields/{id}/purge', 'crm.custom_field_purge(uuid)',
        'Remove the values of a removed custom field', 'custom fields', success => 202);
    PERFORM saleshub.route('GET /v1/custom-fields/{id}/history',
        'crm.custom_field_history(uuid, integer, text)', 'Every change of a custom field',
        'custom fields', cache => 'strict', args => page,
        answer => saleshub.page_shape('"Change"'));
END;
$$;
COMMENT ON FUNCTION saleshub.routes_custom_field() IS
    'Registers the routes of custom fields.';
