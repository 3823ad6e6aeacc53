-- Requests with an Idempotency-Key: the gateway calls begin before and store around the function.

CREATE FUNCTION saleshub.idempotency_begin(key text, request_hash text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    known record;
BEGIN
    IF key IS NULL OR length(key) NOT BETWEEN 1 AND 255 THEN
        PERFORM saleshub.raise('SH400', 'the idempotency key has 1 to 255 characters',
            '{"code": "invalid_idempotency_key", "errors": [{"parameter": "Idempotency-Key", "code": "invalid", "detail": "1 to 255 characters."}]}');
    END IF;
    -- A request with the same key that is under way is waited for.
    INSERT INTO saleshub.idempotency (org_id, member_id, key, request_hash)
    VALUES (saleshub.org_id(), saleshub.member_id(), idempotency_begin.key,
            idempotency_begin.request_hash)
    ON CONFLICT DO NOTHING;
    IF FOUND THEN
        RETURN;
    END IF;
    SELECT i.request_hash, i.reply INTO known
      FROM saleshub.idempotency i
     WHERE i.org_id = saleshub.org_id() AND i.member_id = saleshub.member_id()
       AND i.key = idempotency_begin.key;
    IF known.request_hash <> idempotency_begin.request_hash THEN
        PERFORM saleshub.raise('SH422', 'this idempotency key belongs to another request',
            '{"code": "idempotency_key_reused", "errors": [{"parameter": "Idempotency-Key", "code": "reused", "detail": "Use a new key for a new request."}]}');
    END IF;
    PERFORM saleshub.raise('SH200', 'already done', known.reply);
END
$$;
COMMENT ON FUNCTION saleshub.idempotency_begin(text, text) IS
    'Takes the key for this transaction. When it was used before: SQLSTATE SH200 with the stored reply {status, etag, location, headers, body} in DETAIL, or SH422 when the request differs';
ALTER FUNCTION saleshub.idempotency_begin(text, text) OWNER TO saleshub_owner;

CREATE FUNCTION saleshub.idempotency_store(key text, body jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    UPDATE saleshub.idempotency i
       SET reply = (SELECT jsonb_build_object('status', f.status, 'etag', f.etag,
                                              'location', f.location, 'headers', f.headers::jsonb,
                                              'body', idempotency_store.body)
                      FROM saleshub.finish() f)
     WHERE i.org_id = saleshub.org_id() AND i.member_id = saleshub.member_id()
       AND i.key = idempotency_store.key;
    RETURN body;
END
$$;
COMMENT ON FUNCTION saleshub.idempotency_store(text, jsonb) IS
    'Keeps the reply of this transaction under its key and returns the body';
ALTER FUNCTION saleshub.idempotency_store(text, jsonb) OWNER TO saleshub_owner;
