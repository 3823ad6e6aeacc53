-- Erasing a person. Rows stay, so that figures, deals and references stay what they are, but say
-- nothing about the person any more; what only repeats what the rows said is removed or emptied.

CREATE FUNCTION saleshub.erasable() RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '{first_name,last_name,name,email,phone,company_name,title,website,city,postal_code,
             custom,tags,score_reasons,subject,body,outcome,preferences,location,email_from,email_to,email_cc,
             message_id,in_reply_to,series_kept}'::text[];
COMMENT ON FUNCTION saleshub.erasable() IS 'Columns whose values may say who a person is.';

CREATE FUNCTION saleshub.erased_change(changed jsonb, fields text[]) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(jsonb_object_agg(c.key, CASE WHEN c.key = ANY (erased_change.fields)
                                             THEN '[null, null]' ELSE c.value END), '{}')
    FROM jsonb_each(erased_change.changed) c;
END;
COMMENT ON FUNCTION saleshub.erased_change(jsonb, text[]) IS
    'A change with the values of some fields taken out.';

CREATE FUNCTION saleshub.erase_names(org uuid, mail text, leads uuid[], contacts uuid[])
    RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    words text[];
    ids uuid[];
BEGIN
    words := ARRAY(
        SELECT lower(w) FROM (
            SELECT concat_ws(' ', l.first_name, l.last_name) AS w FROM crm.lead l
            WHERE l.org_id = org AND l.lead_id = ANY (leads) AND l.first_name <> ''
            UNION
            SELECT concat_ws(' ', c.first_name, c.last_name) FROM crm.contact c
            WHERE c.org_id = org AND c.contact_id = ANY (contacts) AND c.first_name <> ''
            UNION
            SELECT mail) n
        WHERE length(w) > 4);
    WITH named AS (
        UPDATE crm.deal d SET name = 'Erased'
        WHERE d.org_id = org
            AND (d.contact_id = ANY (contacts) OR d.lead_id = ANY (leads)
                 OR d.deal_id IN (SELECT l.converted_deal_id FROM crm.lead l
                                  WHERE l.org_id = org AND l.lead_id = ANY (leads)))
            AND EXISTS (SELECT FROM unnest(words) w WHERE strpos(lower(d.name), w) > 0)
        RETURNING d.deal_id AS id
    ), firms AS (
        UPDATE crm.company f SET name = 'Erased'
        WHERE f.org_id = org
            AND (f.company_id IN (SELECT c.company_id FROM crm.contact c
                                  WHERE c.org_id = org AND c.contact_id = ANY (contacts))
                 OR f.company_id IN (SELECT l.converted_company_id FROM crm.lead l
                                     WHERE l.org_id = org AND l.lead_id = ANY (leads)))
            AND EXISTS (SELECT FROM unnest(words) w WHERE strpos(lower(f.name), w) > 0)
        RETURNING f.company_id AS id
    )
    SELECT array_agg(r.id) INTO ids FROM (SELECT * FROM named UNION ALL SELECT * FROM firms) r;
    UPDATE crm.change_log l SET changed = saleshub.erased_change(l.changed, '{name}')
    WHERE l.org_id = org AND l.entity IN ('deal', 'company') AND l.entity_id = ANY (ids);
    RETURN coalesce(cardinality(ids), 0);
END;
$$;
COMMENT ON FUNCTION saleshub.erase_names(uuid, text, uuid[], uuid[]) IS
    'Renames the deals and companies of a person that are called by its full name or address.';
ALTER FUNCTION saleshub.erase_names(uuid, text, uuid[], uuid[]) OWNER TO saleshub_owner;

CREATE FUNCTION saleshub.erase_rows(org uuid, leads uuid[], contacts uuid[], activities uuid[],
                                    members uuid[]) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    -- Converted leads are erased, too, and custom fields that are required.
    PERFORM saleshub.converted_unlock(true);
    UPDATE crm.lead l
    SET first_name = NULL, last_name = 'Erased', email = NULL, phone = NULL, company_name = NULL,
        title = NULL, website = NULL, city = NULL, postal_code = NULL, custom = '{}', tags = '{}',
        consent_email = false, consent_phone = false
    WHERE l.org_id = org AND l.lead_id = ANY (leads);
    UPDATE crm.contact c
    SET first_name = NULL, last_name = 'Erased', email = NULL, phone = NULL, title = NULL,
        custom = '{}', tags = '{}', consent_email = false, consent_phone = false
    WHERE c.org_id = org AND c.contact_id = ANY (contacts);
    UPDATE crm.activity a
    SET subject = 'Erased', body = NULL, outcome = NULL, custom = '{}', location = NULL,
        email_from = NULL, email_to = '{}', email_cc = '{}', message_id = NULL, in_reply_to = NULL,
        recurrence = NULL, series_kept = '{}', reminders = '[]'
    WHERE a.org_id = org AND a.activity_id = ANY (activities);
    PERFORM saleshub.converted_unlock(false);
    UPDATE crm.member m
    SET name = 'Erased', email = 'erased-' || m.member_id || '@erased.invalid', title = NULL,
        preferences = '{}', active = false
    WHERE m.org_id = org AND m.member_id = ANY (members);
    DELETE FROM saleshub.session s WHERE s.org_id = org AND s.member_id = ANY (members);
    DELETE FROM saleshub.credential c WHERE c.org_id = org AND c.member_id = ANY (members);
    DELETE FROM saleshub.login g WHERE g.org_id = org AND g.member_id = ANY (members);
    DELETE FROM saleshub.live_connection v WHERE v.org_id = org AND v.member_id = ANY (members);
    RETURN jsonb_build_object('leads', cardinality(leads), 'contacts', cardinality(contacts),
                              'activities', cardinality(activities),
                              'members', cardinality(members));
END;
$$;
COMMENT ON FUNCTION saleshub.erase_rows(uuid, uuid[], uuid[], uuid[], uuid[]) IS
    'Empties the records themselves; of members also what they signed in with.';
ALTER FUNCTION saleshub.erase_rows(uuid, uuid[], uuid[], uuid[], uuid[]) OWNER TO saleshub_owner;

CREATE FUNCTION saleshub.erase_traces(org uuid, mail text, ids uuid[]) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    fields text[] := saleshub.erasable();
    changes bigint;
    mentions bigint;
    replies bigint;
BEGIN
    UPDATE crm.change_log l SET changed = saleshub.erased_change(l.changed, fields)
    WHERE l.org_id = org AND l.entity_id = ANY (ids)
        AND l.entity IN ('lead', 'contact', 'activity', 'member');
    GET DIAGNOSTICS changes = ROW_COUNT;
    UPDATE crm.change_log l SET changed = saleshub.erased_change(l.changed, '{email}')
    WHERE l.org_id = org AND l.changed -> 'email' ? mail;
    GET DIAGNOSTICS mentions = ROW_COUNT;
    UPDATE saleshub.outbox o SET data = NULL WHERE o.org_id = org AND o.entity_id = ANY (erase_traces.ids);
    UPDATE saleshub.event_log e SET data = NULL
    WHERE e.org_id = org AND e.entity_id = ANY (ids) AND e.data IS NOT NULL;
    UPDATE crm.score_history h SET reasons = '[]' WHERE h.org_id = org AND h.lead_id = ANY (ids);
    UPDATE crm.conversion c
    SET options = '{}', filled = '[]', lead_before = c.lead_before - fields
    WHERE c.org_id = org AND (c.lead_id = ANY (ids) OR c.contact_id = ANY (ids));
    -- What was merged cannot be taken apart any more; the old ids still lead to the new one.
    DELETE FROM crm.merge m
    WHERE m.org_id = org AND (m.winner_id = ANY (ids) OR m.losers && ids);
    PERFORM saleshub.import_erase(org, mail, ids);
    DELETE FROM saleshub.idempotency i
    WHERE i.org_id = org AND (i.member_id = ANY (ids)
        OR strpos(lower(i.reply::text), mail) > 0
        OR EXISTS (SELECT FROM unnest(ids) id WHERE strpos(i.reply::text, id::text) > 0));
    GET DIAGNOSTICS replies = ROW_COUNT;
    UPDATE crm.export_log x SET conditions = NULL
    WHERE x.org_id = org AND x.conditions IS NOT NULL
        AND (strpos(lower(x.conditions::text), mail) > 0
             OR EXISTS (SELECT FROM unnest(ids) id WHERE strpos(x.conditions::text, id::text) > 0));
    PERFORM saleshub.touch('all');
    RETURN jsonb_build_object('changes', changes + mentions, 'replies', replies);
END;
$$;
COMMENT ON FUNCTION saleshub.erase_traces(uuid, text, uuid[]) IS
    'Empties what else remembers these records: history, events, scores, conversions, merges, exports, kept replies and cached answers.';
ALTER FUNCTION saleshub.erase_traces(uuid, text, uuid[]) OWNER TO saleshub_owner;

CREATE FUNCTION saleshub.erase_subject(org uuid, subject jsonb) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    mail text := subject ->> 'email';
    leads uuid[] := saleshub.subject_ids(subject, 'lead');
    contacts uuid[] := saleshub.subject_ids(subject, 'contact');
    activities uuid[] := saleshub.subject_ids(subject, 'activity');
    members uuid[] := saleshub.subject_ids(subject, 'member');
    searches bigint := saleshub.search_log_erase(org, subject);
    renamed bigint := saleshub.erase_names(org, mail, leads, contacts);
    files jsonb := saleshub.erase_attachments(org, leads || contacts || activities || members);
    rows jsonb := saleshub.erase_rows(org, leads, contacts, activities, members);
BEGIN
    PERFORM saleshub.touches_let_go(org, NULL, leads || contacts);
    rows := rows || files || jsonb_build_object('renamed', renamed, 'searches', searches)
        || saleshub.erase_traces(org, mail, leads || contacts || activities || members);
    PERFORM saleshub.search_erase(org);
    RETURN rows;
END;
$$;
COMMENT ON FUNCTION saleshub.erase_subject(uuid, jsonb) IS
    'Erases a person (subject_find) in one transaction; says how many rows of each kind.';
ALTER FUNCTION saleshub.erase_subject(uuid, jsonb) OWNER TO saleshub_owner;

CREATE FUNCTION saleshub.erase_schema() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '{"type": "object", "additionalProperties": false, "properties": {
        "email": {"type": "string", "format": "email", "maxLength": 254},
        "type": {"type": "string", "enum": ["lead", "contact"]},
        "id": {"type": "string", "format": "uuid"},
        "reason": {"type": ["string", "null"], "maxLength": 500}}}'::jsonb;
COMMENT ON FUNCTION saleshub.erase_schema() IS 'JSON Schema of whom to erase';

CREATE FUNCTION crm.subject_erase(body jsonb) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
    salt bytea := uuid_send(gen_random_uuid());
    subject jsonb;
    done jsonb;
    entry uuid;
BEGIN
    PERFORM saleshub.admin_require();
    PERFORM saleshub.check_body(saleshub.erase_schema(), body);
    subject := saleshub.subject_asked(body ->> 'email', body ->> 'type', (body ->> 'id')::uuid);
    IF EXISTS (SELECT FROM crm.member m
               WHERE m.org_id = org AND m.active
                   AND m.member_id = ANY (saleshub.subject_ids(subject, 'member'))) THEN
        PERFORM saleshub.raise('SH409', 'this person is an active member',
                               jsonb_build_object('code', 'member_active'),
                               'Deactivate the member first.');
    END IF;
    done := saleshub.erase_subject(org, subject);
    INSERT INTO crm.erasure (org_id, salt, email_hash, records, reason, result, actor_id, request_id)
    VALUES (org, salt, saleshub.subject_hash(salt, subject ->> 'email'), subject -> 'records',
            body ->> 'reason', done, saleshub.member_id(), saleshub.request_id())
    RETURNING erasure_id INTO entry;
    RETURN jsonb_build_object('erasure_id', entry, 'records', subject -> 'records',
                              'erased', done);
END;
$$;
COMMENT ON FUNCTION crm.subject_erase(jsonb) IS
    'Erases a person for good: {"email"} or {"type", "id"}, and "reason". Answers with the records and how many rows of each kind were emptied, and notes it in crm.erasure. For admins';
ALTER FUNCTION crm.subject_erase(jsonb) OWNER TO saleshub_owner;

CREATE FUNCTION saleshub.erasure_replay() RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    entry record;
    mail text;
    n bigint := 0;
BEGIN
    PERFORM saleshub.event_start();
    FOR entry IN SELECT e.* FROM crm.erasure e ORDER BY e.at, e.erasure_id
    LOOP
        SELECT a.email INTO mail
        FROM (
            SELECT l.email FROM crm.lead l WHERE l.org_id = entry.org_id
            UNION SELECT c.email FROM crm.contact c WHERE c.org_id = entry.org_id
            UNION SELECT m.email FROM crm.member m WHERE m.org_id = entry.org_id
            UNION SELECT v FROM crm.change_log l, jsonb_array_elements_text(l.changed -> 'email') v
            WHERE l.org_id = entry.org_id AND jsonb_typeof(l.changed -> 'email') = 'array'
        ) a
        WHERE saleshub.subject_hash(entry.salt, a.email) = entry.email_hash
        LIMIT 1;
        PERFORM saleshub.erase_subject(entry.org_id, saleshub.subject_find(
            entry.org_id, mail, entry.records));
        n := n + 1;
    END LOOP;
    UPDATE saleshub.event_state SET erased_in = identity;
    RETURN n;
END;
$$;
COMMENT ON FUNCTION saleshub.erasure_replay() IS
    'Erases all persons in crm.erasure again: after a restore, once the entries that are younger than the backup are in the table. Returns how many. Superuser only';

CREATE FUNCTION saleshub.routes_privacy() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route('GET /v1/privacy/export', 'crm.subject_export(text, text, uuid)',
                           'Everything about a person', 'privacy', role => 'admin',
                           timeout_ms => 60000,
                           answer => '"object"');
    PERFORM saleshub.route('POST /v1/privacy/erase', 'crm.subject_erase(jsonb)',
                           'Erase a person', 'privacy', role => 'admin', timeout_ms => 60000,
                           args => jsonb_build_object('body', saleshub.erase_schema()),
                           answer => '"Erased"');
END;
$$;
COMMENT ON FUNCTION saleshub.routes_privacy() IS 'Registers the routes of privacy';
