-- What members and teams are to sell.

CREATE FUNCTION saleshub.team_members(team_id uuid) RETURNS uuid[]
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN ARRAY(
        SELECT DISTINCT m.member_id
        FROM crm.team_closure c
        JOIN crm.team t ON t.org_id = c.org_id AND t.team_id = c.descendant_id
            AND t.deleted_at IS NULL
        JOIN crm.team_member m ON m.org_id = c.org_id AND m.team_id = c.descendant_id
        WHERE c.org_id = saleshub.org_id() AND c.ancestor_id = team_members.team_id);
END;
$$;
COMMENT ON FUNCTION saleshub.team_members(uuid) IS 'The members of a team and of all teams below it';

CREATE FUNCTION saleshub.quota_fields() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '[
        {"name": "id", "column": "quota_id", "type": "uuid", "read_only": true, "not_null": true},
        {"name": "member_id", "type": "uuid"},
        {"name": "team_id", "type": "uuid"},
        {"name": "period_from", "type": "date", "required": true, "sort": true, "not_null": true},
        {"name": "period_to", "type": "date", "required": true, "sort": true, "not_null": true},
        {"name": "currency", "type": "text", "max": 3, "not_null": true},
        {"name": "amount", "type": "money", "currency": "currency", "sort": true, "required": true}
    ]'::jsonb;
COMMENT ON FUNCTION saleshub.quota_fields() IS 'The fields of a quota in the API.';

CREATE FUNCTION saleshub.quota_meta() RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.record_meta('quota', 'quotas', saleshub.quota_fields(), '{}');
END;
$$;
COMMENT ON FUNCTION saleshub.quota_meta() IS 'What the record functions need to know about quotas.';

CREATE FUNCTION saleshub.quota_period(first date, last date) RETURNS boolean
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    calendar constant jsonb := saleshub.fiscal_find(NULL);
BEGIN
    RETURN last - first BETWEEN 1 AND 400 AND EXISTS (
        SELECT FROM unnest(ARRAY['month', 'quarter', 'year']) AS b (bucket),
             LATERAL saleshub.fiscal_spans(calendar, b.bucket, 1, first, last) s
        WHERE s.starts = first AND s.ends = last);
END;
$$;
COMMENT ON FUNCTION saleshub.quota_period(date, date) IS
    'Whether these days are a month, quarter or year of the calendar of the organisation';

CREATE FUNCTION saleshub.quota_check() RETURNS trigger
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    faults jsonb := '[]';
BEGIN
    NEW.currency := coalesce(upper(saleshub.clean(NEW.currency)), saleshub.org_currency(NEW.org_id));
    IF num_nonnulls(NEW.member_id, NEW.team_id) <> 1 THEN
        faults := faults || saleshub.fault('/member_id', 'required', 'or team_id is wanted, not both');
    END IF;
    IF NEW.amount IS NULL OR NOT (NEW.amount > 0 AND NEW.amount <= 1e15) THEN
        faults := faults || saleshub.fault('/amount', 'invalid', 'must be above 0, and up to 1e15');
    END IF;
    IF (TG_OP = 'INSERT' OR (NEW.period_from, NEW.period_to) <> (OLD.period_from, OLD.period_to))
       AND NOT saleshub.quota_period(NEW.period_from, NEW.period_to)
    THEN
        faults := faults || saleshub.fault('/period_to', 'not_a_period',
            'must end a month, quarter or year of the fiscal calendar that begins on period_from');
    END IF;
    faults := faults || saleshub.rate_faults(NEW.org_id, NEW.currency, NEW.period_from);
    IF TG_OP = 'INSERT' OR NEW.member_id IS DISTINCT FROM OLD.member_id THEN
        faults := faults || saleshub.reference_faults(NEW.org_id, '/member_id', 'member', NEW.member_id);
    END IF;
    IF NEW.team_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM crm.team t
        WHERE t.org_id = NEW.org_id AND t.team_id = NEW.team_id
            AND (t.deleted_at IS NULL OR TG_OP = 'UPDATE'))
    THEN
        faults := faults || saleshub.fault('/team_id', 'not_found', 'names no team');
    END IF;
    IF faults <> '[]' THEN
        PERFORM saleshub.refuse_row('quota', faults);
    END IF;
    -- The unique index says so as well, but not where in the body.
    IF NEW.deleted_at IS NULL AND EXISTS (
        SELECT FROM crm.quota q
        WHERE q.org_id = NEW.org_id AND q.period_from = NEW.period_from
            AND q.period_to = NEW.period_to AND q.deleted_at IS NULL
            AND coalesce(q.member_id, q.team_id) = coalesce(NEW.member_id, NEW.team_id)
            AND q.quota_id <> NEW.quota_id)
    THEN
        PERFORM saleshub.raise('23505', 'there is a quota for this period already',
                               jsonb_build_object('code', 'conflict', 'errors', saleshub.fault(
                                   '/period_from', 'taken', 'has a quota already')));
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION saleshub.quota_check() IS
    'Trigger: brings a quota into its normal form and refuses what is wrong with it';

CREATE FUNCTION saleshub.routes_quota() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.plain_routes(saleshub.quota_meta(), ARRAY[
        'List quotas', 'Set a quota', 'Read a quota', 'Change a quota', 'Delete a quota']);
END;
$$;
COMMENT ON FUNCTION saleshub.routes_quota() IS 'Registers the routes of quotas';
