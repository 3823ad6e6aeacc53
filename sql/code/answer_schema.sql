-- What routes answer, written short: a shape is JSON in which values are words for types.
--   {"id": "uuid", "name": "text?", "kind": "won|lost", "owner": "Member", "tags": ["text"]}
-- It becomes the JSON Schema that the OpenAPI document shows and the end-to-end tests check.

CREATE FUNCTION saleshub.answer_word(word text) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    bare CONSTANT text := rtrim(word, '?');
    nullable CONSTANT boolean := word LIKE '%?';
    schema jsonb;
BEGIN
    IF bare ~ '^[A-Z]' THEN
        schema := jsonb_build_object('$ref', '#/components/schemas/' || bare);
        RETURN CASE WHEN nullable THEN
            jsonb_build_object('anyOf', jsonb_build_array(schema, '{"type": "null"}'::jsonb))
            ELSE schema END;
    ELSIF bare LIKE '%|%' THEN
        schema := jsonb_build_object('type', 'string', 'enum',
                                     to_jsonb(string_to_array(trim('|' FROM bare), '|')));
    ELSE
        schema := CASE bare
            WHEN 'any' THEN '{}'
            WHEN 'text' THEN '{"type": "string"}'
            WHEN 'uuid' THEN '{"type": "string", "format": "uuid"}'
            WHEN 'time' THEN '{"type": "string", "format": "date-time"}'
            WHEN 'date' THEN '{"type": "string", "format": "date"}'
            WHEN 'integer' THEN '{"type": "integer"}'
            WHEN 'number' THEN '{"type": "number"}'
            WHEN 'boolean' THEN '{"type": "boolean"}'
            WHEN 'object' THEN '{"type": "object"}'
        END::jsonb;
    END IF;
    IF schema IS NULL THEN
        RAISE EXCEPTION 'there is no type "%" in answers', word
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Try text, uuid, time, date, integer, number, boolean, object, any, a|b or the Name of a component.';
    ELSIF NOT nullable OR schema = '{}' THEN
        RETURN schema;
    ELSIF schema ? 'enum' THEN
        schema := jsonb_set(schema, '{enum}', (schema -> 'enum') || '[null]');
    END IF;
    RETURN jsonb_set(schema, '{type}', jsonb_build_array(schema -> 'type', 'null'));
END
$$;
COMMENT ON FUNCTION saleshub.answer_word(text) IS
    'The JSON Schema of a word in the shape of an answer: text, uuid, time, date, integer, number, boolean, object, any, a|b (one of these), or the Name of a component; with ? also null';

CREATE FUNCTION saleshub.answer_schema(shape jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    CASE jsonb_typeof(shape)
        WHEN 'string' THEN
            RETURN saleshub.answer_word(shape #>> '{}');
        WHEN 'array' THEN
            RETURN jsonb_strip_nulls(jsonb_build_object(
                'type', 'array', 'items', saleshub.answer_schema(shape -> 0)));
        WHEN 'object' THEN
            IF shape ? '=' THEN
                RETURN shape -> '=';
            ELSIF shape ? '?' THEN
                RETURN jsonb_build_object('anyOf', jsonb_build_array(
                    saleshub.answer_schema(shape -> '?'), '{"type": "null"}'::jsonb));
            ELSIF shape ? '*' THEN
                RETURN jsonb_build_object('type', 'object', 'additionalProperties',
                                          saleshub.answer_schema(shape -> '*'));
            END IF;
            RETURN (
                SELECT jsonb_strip_nulls(jsonb_build_object(
                    'type', 'object',
                    'properties', jsonb_object_agg(rtrim(m.key, '?'),
                                                   saleshub.answer_schema(m.value)),
                    'required', jsonb_agg(m.key) FILTER (WHERE m.key NOT LIKE '%?')))
                FROM jsonb_each(shape) m);
        ELSE
            RETURN NULL;
    END CASE;
END
$$;
COMMENT ON FUNCTION saleshub.answer_schema(jsonb) IS
    'The JSON Schema of a shape: words for types; [shape] a list; {"name": shape, "name?": shape that may be absent}; {"*": shape} any names; {"?": shape} also null; {"=": schema} as it is';

CREATE FUNCTION saleshub.record_shape(fields jsonb, includes jsonb DEFAULT NULL) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    -- no field is always there: fields= asks for some, and some are hidden from a role
    SELECT coalesce((SELECT jsonb_object_agg(k || '?', '"object?"'::jsonb)
                       FROM jsonb_object_keys(includes) k), '{}')
        || coalesce(jsonb_object_agg((f ->> 'name') || '?',
        CASE f ->> 'type'
            WHEN 'enum' THEN to_jsonb('|' || (SELECT string_agg(v, '|')
                FROM jsonb_array_elements_text(f -> 'values') v) || '|?')
            WHEN 'timestamp' THEN '"time?"'
            WHEN 'money' THEN '"Money?"'
            WHEN 'consent' THEN '{"email": "boolean?", "phone": "boolean?"}'
            WHEN 'tags' THEN '["text"]'
            WHEN 'links' THEN '["Link"]'
            WHEN 'lines' THEN '["DealLine"]'
            WHEN 'converted' THEN '{"?": {"company_id": "uuid?", "contact_id": "uuid?",
                                           "deal_id": "uuid?", "at": "time"}}'
            WHEN 'object' THEN CASE WHEN f ? 'sql' THEN '"any"' ELSE '"object?"' END::jsonb
            ELSE to_jsonb((f ->> 'type') || '?')
        END) FILTER (WHERE NOT f ? 'only_filter'), '{}')
      FROM jsonb_array_elements(fields) f
$$;
COMMENT ON FUNCTION saleshub.record_shape(jsonb, jsonb) IS
    'The shape of a record with these fields, and of what include adds';

CREATE FUNCTION saleshub.record_answer(noun text) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    RETURN to_jsonb(replace(initcap(replace(noun, '_', ' ')), ' ', ''));
COMMENT ON FUNCTION saleshub.record_answer(text) IS
    'The shape of a record by the name of its component: SourceCost for source_cost';

CREATE FUNCTION saleshub.page_shape(item jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    RETURN jsonb_build_object('data', jsonb_build_array(item), 'next_cursor', '"text?"'::jsonb,
                              'total?', '"integer"'::jsonb);
COMMENT ON FUNCTION saleshub.page_shape(jsonb) IS 'The shape of a page of a list';
