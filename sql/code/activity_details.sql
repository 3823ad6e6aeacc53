-- What only some types of activity have.

CREATE FUNCTION saleshub.activity_only(type text, given jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (SELECT coalesce(jsonb_agg(saleshub.fault('/' || field, 'not_allowed', format(
        'is only for %s', replace(types, ',', ' and '))) -> 0 ORDER BY field), '[]')
    FROM (VALUES ('starts_at', 'meeting,call'), ('ends_at', 'meeting,call'), ('location', 'meeting'),
                 ('direction', 'call,email'), ('duration_s', 'call'), ('from', 'email'),
                 ('to', 'email'), ('cc', 'email'), ('message_id', 'email'),
                 ('in_reply_to', 'email')) AS f (field, types)
    WHERE activity_only.given ? f.field
        AND activity_only.type <> ALL (string_to_array(f.types, ',')));
END;
$$;
COMMENT ON FUNCTION saleshub.activity_only(text, jsonb) IS
    'The faults of fields that an activity of this type does not have.';

CREATE FUNCTION saleshub.activity_details() RETURNS trigger
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    given jsonb;
    faults jsonb;
BEGIN
    IF num_nulls(NEW.starts_at, NEW.ends_at, NEW.location, NEW.direction, NEW.duration_s,
                 NEW.email_from, NEW.message_id, NEW.in_reply_to) = 8
       AND NEW.email_to = '{}' AND NEW.email_cc = '{}'
    THEN
        RETURN NEW;
    END IF;
    NEW.location := saleshub.clean(NEW.location);
    NEW.email_from := lower(saleshub.clean(NEW.email_from));
    NEW.email_to := saleshub.addresses_normal(NEW.email_to);
    NEW.email_cc := saleshub.addresses_normal(NEW.email_cc);
    NEW.message_id := saleshub.clean(NEW.message_id);
    NEW.in_reply_to := saleshub.clean(NEW.in_reply_to);
    -- The start is what is due: whichever of the two is moved takes the other along.
    IF TG_OP = 'UPDATE' AND NEW.due_at <> OLD.due_at AND NEW.starts_at = OLD.starts_at THEN
        NEW.starts_at := NEW.due_at;
        IF NEW.ends_at = OLD.ends_at THEN
            NEW.ends_at := NEW.due_at + (OLD.ends_at - OLD.starts_at);
        END IF;
    ELSIF NEW.starts_at IS NOT NULL THEN
        NEW.due_at := NEW.starts_at;
    END IF;

    given := jsonb_strip_nulls(jsonb_build_object(
        'starts_at', NEW.starts_at, 'ends_at', NEW.ends_at, 'location', NEW.location,
        'direction', NEW.direction, 'duration_s', NEW.duration_s, 'from', NEW.email_from,
        'to', nullif(NEW.email_to, '{}'), 'cc', nullif(NEW.email_cc, '{}'),
        'message_id', NEW.message_id, 'in_reply_to', NEW.in_reply_to));
    faults := saleshub.activity_only(NEW.type, given);
    IF NEW.ends_at < NEW.starts_at OR NEW.ends_at IS NOT NULL AND NEW.starts_at IS NULL THEN
        faults := faults || saleshub.fault('/ends_at', 'range', 'must not be before starts_at');
    END IF;
    IF NOT saleshub.email_ok(NEW.email_from) THEN
        faults := faults || saleshub.fault('/from', 'invalid', 'is not an e-mail address');
    END IF;
    SELECT faults || coalesce(jsonb_agg(saleshub.fault(
               format('/%s/%s', a.field, a.place - 1), 'invalid', 'is not an e-mail address') -> 0),
               '[]')
    INTO faults
    FROM (SELECT 'to' AS field, value, place
          FROM unnest(NEW.email_to) WITH ORDINALITY AS t (value, place)
          UNION ALL
          SELECT 'cc', value, place FROM unnest(NEW.email_cc) WITH ORDINALITY AS c (value, place)) a
    WHERE NOT saleshub.email_ok(a.value);
    faults := faults || saleshub.too_long('/location', NEW.location, 300)
        || saleshub.too_long('/message_id', NEW.message_id, 500)
        || saleshub.too_long('/in_reply_to', NEW.in_reply_to, 500);
    IF faults <> '[]' THEN
        PERFORM saleshub.refuse_row('activity', faults);
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION saleshub.activity_details() IS
    'Trigger: the fields of meetings, calls and e-mails in their normal form, and refused where they do not belong.';

CREATE FUNCTION saleshub.message_taken(message text) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    there uuid := (SELECT a.activity_id FROM crm.activity a
                   WHERE a.org_id = saleshub.org_id() AND a.message_id = saleshub.clean(message)
                       AND a.deleted_at IS NULL);
BEGIN
    IF there IS NOT NULL THEN
        PERFORM saleshub.raise('SH409', 'this e-mail is there already', jsonb_build_object(
            'code', 'duplicate', 'candidates', jsonb_build_array(jsonb_build_object(
                'type', 'activity', 'id', there))));
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.message_taken(text) IS
    'Raises SH409 with the activity that has this Message-ID, if the member sees it; who does not meets the unique key.';
