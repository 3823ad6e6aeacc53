-- Everything about one person: to hand out, and to erase. A person is an e-mail address, or a lead
-- or contact and its address: the leads and contacts with it, what the leads were converted into,
-- the activities about them or that name the address, and members with it.

CREATE FUNCTION saleshub.subject_hash(salt bytea, email text) RETURNS bytea
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN pg_catalog.sha256(salt || pg_catalog.convert_to(pg_catalog.lower(email), 'UTF8'));
COMMENT ON FUNCTION saleshub.subject_hash(bytea, text) IS
    'By which an address is known again without being kept.';

CREATE FUNCTION saleshub.subject_ids(subject jsonb, noun text) RETURNS uuid[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(array_agg((r.value ->> 'id')::uuid), '{}')
    FROM jsonb_array_elements(subject_ids.subject -> 'records') r
    WHERE r.value ->> 'type' = subject_ids.noun;
END;
COMMENT ON FUNCTION saleshub.subject_ids(jsonb, text) IS 'The ids of a person''s records of a kind.';

CREATE FUNCTION saleshub.subject_find(org uuid, mail text, known jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    known_all jsonb := jsonb_build_object('records', known);
    leads uuid[] := saleshub.subject_ids(known_all, 'lead');
    contacts uuid[] := saleshub.subject_ids(known_all, 'contact');
    members uuid[] := saleshub.subject_ids(known_all, 'member');
    activities uuid[] := saleshub.subject_ids(known_all, 'activity');
BEGIN
    leads := ARRAY(SELECT l.lead_id FROM crm.lead l
                   WHERE l.org_id = org AND (l.email = mail OR l.lead_id = ANY (leads)));
    contacts := ARRAY(
        SELECT c.contact_id FROM crm.contact c
        WHERE c.org_id = org AND (c.email = mail OR c.contact_id = ANY (contacts))
        UNION
        SELECT l.converted_contact_id FROM crm.lead l
        WHERE l.org_id = org AND l.lead_id = ANY (leads) AND l.converted_contact_id IS NOT NULL);
    leads := ARRAY(
        SELECT l.lead_id FROM crm.lead l
        WHERE l.org_id = org
            AND (l.lead_id = ANY (leads) OR l.converted_contact_id = ANY (contacts)));
    members := ARRAY(SELECT m.member_id FROM crm.member m
                     WHERE m.org_id = org AND (m.email = mail OR m.member_id = ANY (members)));
    activities := ARRAY(
        SELECT a.activity_id FROM crm.activity a
        WHERE a.org_id = org
            AND (a.activity_id = ANY (activities)
                 OR mail = ANY (a.email_from || a.email_to || a.email_cc)
                 OR strpos(lower(concat_ws(' ', a.subject, a.body, a.outcome, a.location)), mail) > 0)
        UNION
        SELECT k.activity_id FROM crm.activity_link k
        WHERE k.org_id = org AND (k.entity = 'lead' AND k.entity_id = ANY (leads)
                                  OR k.entity = 'contact' AND k.entity_id = ANY (contacts)));
    RETURN jsonb_build_object('email', mail, 'records', (
        SELECT coalesce(jsonb_agg(jsonb_build_object('type', r.type, 'id', r.id)
                                  ORDER BY r.type, r.id), '[]')
        FROM (SELECT 'lead' AS type, unnest(leads) AS id UNION ALL SELECT 'contact', unnest(contacts)
              UNION ALL SELECT 'member', unnest(members)
              UNION ALL SELECT 'activity', unnest(activities)) r));
END;
$$;
COMMENT ON FUNCTION saleshub.subject_find(uuid, text, jsonb) IS
    'The records about a person, in the bin or not: {email, records: [{type, id}]}, from an address and records that are known to be.';
ALTER FUNCTION saleshub.subject_find(uuid, text, jsonb) OWNER TO saleshub_owner;

CREATE FUNCTION saleshub.subject_asked(email text, type text, id uuid) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
    mail text := lower(saleshub.clean(email));
    found jsonb;
BEGIN
    PERFORM saleshub.admin_require();
    IF (mail IS NULL) = (id IS NULL) OR (id IS NULL) <> (type IS NULL)
       OR type NOT IN ('lead', 'contact') THEN
        PERFORM saleshub.bad_parameter('email', 'required',
                                       'is wanted, or the type (lead, contact) and id of a record');
    END IF;
    IF id IS NOT NULL THEN
        mail := CASE type
            WHEN 'lead' THEN (SELECT l.email FROM crm.lead l
                              WHERE l.org_id = org AND l.lead_id = subject_asked.id)
            ELSE (SELECT c.email FROM crm.contact c
                  WHERE c.org_id = org AND c.contact_id = subject_asked.id) END;
    END IF;
    found := saleshub.subject_find(org, mail, CASE WHEN id IS NULL THEN '[]' ELSE
        jsonb_build_array(jsonb_build_object('type', type, 'id', id)) END);
    IF found -> 'records' = '[]' THEN
        PERFORM saleshub.raise('P0002', 'there is nothing about this person',
                               jsonb_build_object('code', 'not_found'));
    END IF;
    RETURN found;
END;
$$;
COMMENT ON FUNCTION saleshub.subject_asked(text, text, uuid) IS
    'The person an admin asks about, by address or record; P0002 when there is nothing.';
ALTER FUNCTION saleshub.subject_asked(text, text, uuid) OWNER TO saleshub_owner;

CREATE FUNCTION crm.subject_export(email text DEFAULT NULL, type text DEFAULT NULL,
                                   id uuid DEFAULT NULL) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
    subject jsonb := saleshub.subject_asked(email, type, id);
    leads uuid[] := saleshub.subject_ids(subject, 'lead');
    contacts uuid[] := saleshub.subject_ids(subject, 'contact');
    members uuid[] := saleshub.subject_ids(subject, 'member');
    activities uuid[] := saleshub.subject_ids(subject, 'activity');
    ids uuid[] := leads || contacts || members || activities;
BEGIN
    RETURN subject || jsonb_build_object(
        'exported_at', saleshub.utc(now()),
        'leads', (SELECT coalesce(jsonb_agg(to_jsonb(r) - 'org_id' ORDER BY r.lead_id), '[]')
                  FROM crm.lead r WHERE r.org_id = org AND r.lead_id = ANY (leads)),
        'contacts', (SELECT coalesce(jsonb_agg(to_jsonb(r) - 'org_id' ORDER BY r.contact_id), '[]')
                     FROM crm.contact r WHERE r.org_id = org AND r.contact_id = ANY (contacts)),
        'activities', (SELECT coalesce(jsonb_agg(to_jsonb(r) - 'org_id' ORDER BY r.activity_id), '[]')
                       FROM crm.activity r WHERE r.org_id = org AND r.activity_id = ANY (activities)),
        'members', (SELECT coalesce(jsonb_agg(to_jsonb(r) - 'org_id' ORDER BY r.member_id), '[]')
                    FROM crm.member r WHERE r.org_id = org AND r.member_id = ANY (members)),
        'attachments', (SELECT coalesce(jsonb_agg(to_jsonb(r) - '{org_id,sha256}'::text[]
                            || jsonb_build_object('sha256', encode(r.sha256, 'hex'))
                            ORDER BY r.attachment_id), '[]')
                        FROM crm.attachment r WHERE r.org_id = org AND EXISTS (
                            SELECT FROM crm.attachment_link k
                            WHERE k.org_id = org AND k.attachment_id = r.attachment_id
                                AND k.entity_id = ANY (ids))),
        'sessions', (SELECT coalesce(jsonb_agg(jsonb_build_object(
                         'created_at', r.created_at, 'refreshed_at', r.refreshed_at, 'ip', r.ip,
                         'user_agent', r.user_agent, 'device', r.device) ORDER BY r.session_id), '[]')
                     FROM saleshub.session r WHERE r.org_id = org AND r.member_id = ANY (members)),
        'conversions', (SELECT coalesce(jsonb_agg(to_jsonb(r) - 'org_id' - 'options_hash'
                                                  ORDER BY r.conversion_id), '[]')
                        FROM crm.conversion r WHERE r.org_id = org AND r.lead_id = ANY (leads)),
        'touches', (SELECT coalesce(jsonb_agg(to_jsonb(r) - 'org_id' ORDER BY r.touch_id), '[]')
                    FROM crm.touch r WHERE r.org_id = org AND EXISTS (
                        SELECT FROM crm.touch_link k
                        WHERE k.org_id = org AND k.touch_id = r.touch_id
                            AND k.entity_id = ANY (leads || contacts))),
        'scores', (SELECT coalesce(jsonb_agg(to_jsonb(r) - 'org_id' ORDER BY r.score_history_id), '[]')
                   FROM crm.score_history r WHERE r.org_id = org AND r.lead_id = ANY (leads)),
        'assignments', (SELECT coalesce(jsonb_agg(to_jsonb(r) - 'org_id' - 'candidates'
                                                  ORDER BY r.assignment_id), '[]')
                        FROM crm.assignment_log r WHERE r.org_id = org AND r.lead_id = ANY (leads)),
        'responses', (SELECT coalesce(jsonb_agg(to_jsonb(r) - 'org_id' ORDER BY r.sla_timer_id), '[]')
                      FROM crm.sla_timer r WHERE r.org_id = org AND r.lead_id = ANY (leads)),
        'searches', saleshub.search_log_export(org, subject ->> 'email', ids, members),
        'history', (SELECT coalesce(jsonb_agg(to_jsonb(r) - 'org_id' ORDER BY r.change_id), '[]')
                    FROM crm.change_log r
                    WHERE r.org_id = org AND (r.entity_id = ANY (ids)
                        AND r.entity IN ('lead', 'contact', 'member', 'activity', 'activity_link')
                        OR r.changed -> 'email' ? (subject ->> 'email'))));
END;
$$;
COMMENT ON FUNCTION crm.subject_export(text, text, uuid) IS
    'Every row about a person, by e-mail address or by type (lead, contact) and id, with its history. For admins';
ALTER FUNCTION crm.subject_export(text, text, uuid) OWNER TO saleshub_owner;
