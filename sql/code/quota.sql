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
    IF NEW.currency !~ '^[A-Z]{3}$'
       OR saleshub.report_rate(NEW.currency, saleshub.org_currency(NEW.org_id), NEW.period_from) IS NULL
    THEN
        faults := faults || saleshub.fault('/currency', 'no_exchange_rate', 'has no rate');
    END IF;
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

DO $do$
DECLARE
    verb record;
BEGIN
    FOR verb IN SELECT * FROM (VALUES
        ('create', 'body jsonb', 'VOLATILE',
         'RETURN saleshub.record_create(saleshub.quota_meta(), body);', 'jsonb',
         'Sets a quota: {member_id or team_id, period_from, period_to (exclusive), amount, currency}; the period is a month, quarter or year of the fiscal calendar. For admins and managers'),
        ('get', 'id uuid', 'STABLE', 'RETURN saleshub.record_get(saleshub.quota_meta(), id);',
         'jsonb', 'A quota'),
        ('list', 'limit_ integer DEFAULT NULL, cursor_ text DEFAULT NULL, sort text DEFAULT NULL, filters jsonb DEFAULT NULL, count_ boolean DEFAULT NULL',
         'STABLE', 'RETURN saleshub.record_list(saleshub.quota_meta(), limit_, cursor_, sort, NULL, NULL, filters, count_);',
         'jsonb', 'A page of quotas'),
        ('update', 'id uuid, patch jsonb, if_match text DEFAULT NULL', 'VOLATILE',
         'RETURN saleshub.record_update(saleshub.quota_meta(), id, patch, if_match);', 'jsonb',
         'Changes a quota by a merge patch and returns it'),
        ('delete', 'id uuid, if_match text DEFAULT NULL', 'VOLATILE',
         'PERFORM saleshub.record_require_write(); PERFORM saleshub.record_match(saleshub.quota_meta(), id, if_match);'
         ' UPDATE crm.quota q SET deleted_at = now() WHERE q.org_id = saleshub.org_id() AND q.quota_id = quota_delete.id;'
         ' PERFORM saleshub.reply(204);', 'void', 'Takes a quota away')
    ) v (name, args, kind, body, answer, said)
    LOOP
        EXECUTE format('CREATE FUNCTION crm.quota_%s(%s) RETURNS %s LANGUAGE plpgsql %s PARALLEL UNSAFE'
                       ' SET search_path = pg_catalog, crm, pg_temp AS $$ BEGIN %s END; $$',
                       verb.name, verb.args, verb.answer, verb.kind, verb.body);
        EXECUTE format('COMMENT ON FUNCTION crm.quota_%s IS %L', verb.name, verb.said);
    END LOOP;
END;
$do$;

CREATE FUNCTION saleshub.routes_quota() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    meta jsonb := saleshub.quota_meta();
BEGIN
    PERFORM saleshub.route(
        'GET /v1/quotas', 'crm.quota_list(integer, text, text, jsonb, boolean)', 'List quotas',
        'analytics', cache => 'strict',
        args => saleshub.page_args() || jsonb_build_object('filters', jsonb_build_object(
            'fields', (SELECT jsonb_object_agg(f.key, f.value -> 'schema')
                       FROM jsonb_each(meta -> 'filter') f))));
    PERFORM saleshub.route('POST /v1/quotas', 'crm.quota_create(jsonb)', 'Set a quota', 'analytics',
                           success => 201, idempotent => true,
                           args => jsonb_build_object('body', meta -> 'create'));
    PERFORM saleshub.route('GET /v1/quotas/{id}', 'crm.quota_get(uuid)', 'Read a quota', 'analytics',
                           cache => 'strict');
    PERFORM saleshub.route('PATCH /v1/quotas/{id}', 'crm.quota_update(uuid, jsonb, text)',
                           'Change a quota', 'analytics',
                           args => jsonb_build_object('patch', meta -> 'patch'));
    PERFORM saleshub.route('DELETE /v1/quotas/{id}', 'crm.quota_delete(uuid, text)',
                           'Delete a quota', 'analytics', success => 204);
END;
$$;
COMMENT ON FUNCTION saleshub.routes_quota() IS 'Registers the routes of quotas';
