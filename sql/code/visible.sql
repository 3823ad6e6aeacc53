-- Who sees what. The settings of an organisation hold, per role and noun, whose records are seen:
-- own, team or all (the default); and which fields are hidden or read-only. Policies enforce the
-- first on every statement of a member, the record functions the second. Admins see all.

CREATE FUNCTION saleshub.may_administer() RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN coalesce(saleshub.member_role(), 'admin') = 'admin';
COMMENT ON FUNCTION saleshub.may_administer() IS
    'Whether the member is an admin; also true when a superuser has set the organisation only.';

CREATE FUNCTION saleshub.restrict(tab regclass, name text, command text, condition text)
    RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    -- The organisation is not compared again: planners would take few rows for fewer.
    IF NOT EXISTS (SELECT FROM pg_policy p
                   WHERE p.polrelid = restrict.tab AND p.polname = restrict.name)
    THEN
        EXECUTE format(
            'CREATE POLICY %I ON %s AS RESTRICTIVE FOR %s TO saleshub_user %s (%s)',
            name, tab, command, CASE command WHEN 'INSERT' THEN 'WITH CHECK' ELSE 'USING' END,
            condition);
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.restrict(regclass, text, text, text) IS
    'Adds a policy that must hold beside those by organisation, unless there is one of the name.';

CREATE FUNCTION saleshub.visible_rows(tab regclass, commands text[], condition text) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    command text;
BEGIN
    FOREACH command IN ARRAY commands
    LOOP
        PERFORM saleshub.restrict(tab, 'visible_' || lower(command), command, condition);
    END LOOP;
END;
$$;
COMMENT ON FUNCTION saleshub.visible_rows(regclass, text[], text) IS
    'Limits the rows that members see and write by a condition.';

CREATE FUNCTION saleshub.visible_on(tab regclass, noun text) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.visible_rows(tab, ARRAY['SELECT', 'UPDATE', 'DELETE'], format(
        '(SELECT saleshub.sees_all(%1$L))'
        ' OR owner_id = ANY ((SELECT saleshub.visible_owners(%1$L))::uuid[])', noun));
END;
$$;
COMMENT ON FUNCTION saleshub.visible_on(regclass, text) IS
    'Limits the rows of a noun to those whose owner_id the member sees.';

CREATE FUNCTION saleshub.visible_figures(tab regclass) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.visible_rows(tab, ARRAY['SELECT'],
        '(SELECT saleshub.sees_everything())' || (
            SELECT string_agg(format(
                ' OR fact LIKE %L AND (%s OR owner_id = ANY ((SELECT saleshub.visible_owners(%L))::uuid[]))',
                noun || '\_%', CASE noun WHEN 'activity' THEN 'false'
                               ELSE format('(SELECT saleshub.sees_all(%L))', noun) END, noun), '')
            FROM unnest(ARRAY['lead', 'deal', 'activity']) noun));
END;
$$;
COMMENT ON FUNCTION saleshub.visible_figures(regclass) IS
    'Limits rollups to those of visible owners, by the noun that the name of a fact begins with.';

-- What the policies ask; each once per statement

CREATE FUNCTION saleshub.visible_scope(noun text) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    role text := saleshub.member_role();
BEGIN
    IF role IS NULL OR role = 'admin' OR saleshub.member_id() IS NULL THEN
        RETURN 'all';
    END IF;
    RETURN coalesce((SELECT o.settings #>> ARRAY['visibility', role, noun]
                     FROM crm.org o WHERE o.org_id = saleshub.org_id()), 'all');
END;
$$;
COMMENT ON FUNCTION saleshub.visible_scope(text) IS
    'Whose records of a noun the member sees: own, team or all.';

CREATE FUNCTION saleshub.sees_all(noun text) RETURNS boolean
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.visible_scope(noun) = 'all';
END;
$$;
COMMENT ON FUNCTION saleshub.sees_all(text) IS
    'Whether the member sees all records of a noun.';

CREATE FUNCTION saleshub.sees_everything() RETURNS boolean
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    role text := saleshub.member_role();
BEGIN
    IF role IS NULL OR role = 'admin' OR saleshub.member_id() IS NULL THEN
        RETURN true;
    END IF;
    RETURN NOT EXISTS (
        SELECT FROM crm.org o, jsonb_each_text(o.settings #> ARRAY['visibility', role]) v
        WHERE o.org_id = saleshub.org_id() AND v.value <> 'all');
END;
$$;
COMMENT ON FUNCTION saleshub.sees_everything() IS
    'Whether the member sees all records of every noun.';

CREATE FUNCTION saleshub.visible_owners(noun text) RETURNS uuid[]
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
    me uuid := saleshub.member_id();
BEGIN
    IF saleshub.visible_scope(noun) <> 'team' THEN
        RETURN ARRAY[me];
    END IF;
    RETURN ARRAY(
        SELECT me
        UNION
        SELECT below.member_id
        FROM (
            SELECT m.team_id FROM crm.team_member m WHERE m.org_id = org AND m.member_id = me
            UNION
            SELECT t.team_id FROM crm.team t WHERE t.org_id = org AND t.manager_id = me
        ) mine
        JOIN crm.team_closure c ON c.org_id = org AND c.ancestor_id = mine.team_id
        JOIN crm.team t ON t.org_id = org AND t.team_id = c.descendant_id AND t.deleted_at IS NULL
        JOIN LATERAL (
            SELECT m.member_id FROM crm.team_member m
            WHERE m.org_id = org AND m.team_id = c.descendant_id
            UNION ALL
            SELECT t.manager_id WHERE t.manager_id IS NOT NULL AND c.depth > 0
        ) below ON true);
END;
$$;
COMMENT ON FUNCTION saleshub.visible_owners(text) IS
    'The members whose records of a noun the member sees: itself; with scope team also the members of
its teams and of those it manages, and everybody in teams below. Says nothing when it sees all.';

CREATE FUNCTION saleshub.record_visible(noun text, id uuid) RETURNS boolean
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF noun = 'lead' THEN
        RETURN EXISTS (SELECT FROM crm.lead r
                       WHERE r.org_id = saleshub.org_id() AND r.lead_id = id);
    ELSIF noun = 'contact' THEN
        RETURN EXISTS (SELECT FROM crm.contact r
                       WHERE r.org_id = saleshub.org_id() AND r.contact_id = id);
    ELSIF noun = 'company' THEN
        RETURN EXISTS (SELECT FROM crm.company r
                       WHERE r.org_id = saleshub.org_id() AND r.company_id = id);
    ELSIF noun = 'deal' THEN
        RETURN EXISTS (SELECT FROM crm.deal r
                       WHERE r.org_id = saleshub.org_id() AND r.deal_id = id);
    ELSIF noun IN ('activity', 'activity_link') THEN
        RETURN EXISTS (SELECT FROM crm.activity r
                       WHERE r.org_id = saleshub.org_id() AND r.activity_id = id);
    ELSIF noun = 'deal_line' THEN
        RETURN EXISTS (SELECT FROM crm.deal_line r
                       WHERE r.org_id = saleshub.org_id() AND r.deal_line_id = id);
    ELSIF noun = 'deal_split' THEN
        RETURN EXISTS (SELECT FROM crm.deal_split r
                       WHERE r.org_id = saleshub.org_id() AND r.deal_split_id = id);
    ELSIF noun = 'quota' THEN
        RETURN EXISTS (SELECT FROM crm.quota r
                       WHERE r.org_id = saleshub.org_id() AND r.quota_id = id);
    ELSIF noun = 'attachment' THEN
        RETURN EXISTS (SELECT FROM crm.attachment r
                       WHERE r.org_id = saleshub.org_id() AND r.attachment_id = id);
    ELSIF noun = 'reminder' THEN
        RETURN coalesce(id = saleshub.member_id(), true);
    END IF;
    RETURN true;
END;
$$;
COMMENT ON FUNCTION saleshub.record_visible(text, uuid) IS
    'Whether row security shows this record to whoever calls, in the bin or not; true for what is no
record, like members and teams. Reminders are told to one member, whose id events about them have.';

CREATE FUNCTION saleshub.activity_unlinked(org uuid, id uuid) RETURNS boolean
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN NOT EXISTS (SELECT FROM crm.activity_link l
                       WHERE l.org_id = activity_unlinked.org AND l.activity_id = id
                           AND l.org_id = saleshub.org_id());
END;
$$;
ALTER FUNCTION saleshub.activity_unlinked(uuid, uuid) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.activity_unlinked(uuid, uuid) IS
    'Whether an activity is about no record at all, seen or not.';

CREATE FUNCTION saleshub.activity_linked(org uuid, id uuid) RETURNS boolean
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN EXISTS (SELECT FROM crm.activity_link l
                   WHERE l.org_id = activity_linked.org AND l.activity_id = id)
        OR saleshub.sees_all('activity') AND saleshub.activity_unlinked(org, id);
END;
$$;
COMMENT ON FUNCTION saleshub.activity_linked(uuid, uuid) IS
    'Whether an activity is about a record that the member sees; one about nothing is seen by those
who see all activities.';

-- For lists: the same, said in a way that an index can answer

CREATE FUNCTION saleshub.visible_activities() RETURNS uuid[]
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
BEGIN
    RETURN ARRAY(
        SELECT a.activity_id
        FROM crm.activity a
        WHERE a.org_id = org
            AND a.owner_id = ANY ((SELECT saleshub.visible_owners('activity'))::uuid[])
        UNION
        SELECT l.activity_id
        FROM (
            SELECT 'lead' AS entity, r.lead_id AS id FROM crm.lead r
            WHERE r.org_id = org AND r.owner_id = ANY ((SELECT saleshub.visible_owners('lead'))::uuid[])
            UNION ALL
            SELECT 'contact', r.contact_id FROM crm.contact r
            WHERE r.org_id = org AND r.owner_id = ANY ((SELECT saleshub.visible_owners('contact'))::uuid[])
            UNION ALL
            SELECT 'company', r.company_id FROM crm.company r
            WHERE r.org_id = org AND r.owner_id = ANY ((SELECT saleshub.visible_owners('company'))::uuid[])
            UNION ALL
            SELECT 'deal', r.deal_id FROM crm.deal r
            WHERE r.org_id = org AND r.owner_id = ANY ((SELECT saleshub.visible_owners('deal'))::uuid[])
        ) seen
        JOIN crm.activity_link l
            ON l.org_id = org AND l.entity = seen.entity AND l.entity_id = seen.id);
END;
$$;
ALTER FUNCTION saleshub.visible_activities() OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.visible_activities() IS
    'The activities that a member sees who sees all of nothing.';

CREATE FUNCTION saleshub.visible_where(noun text) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF noun = 'activity' THEN
        RETURN CASE WHEN EXISTS (
            SELECT FROM unnest(ARRAY['lead', 'contact', 'company', 'deal', 'activity']) n
            WHERE saleshub.sees_all(n)) THEN ''
            ELSE ' AND t.activity_id = ANY ((SELECT saleshub.visible_activities())::uuid[])' END;
    ELSIF noun NOT IN ('lead', 'contact', 'company', 'deal') OR saleshub.sees_all(noun) THEN
        RETURN '';
    END IF;
    RETURN format(' AND t.owner_id = ANY ((SELECT saleshub.visible_owners(%L))::uuid[])', noun);
END;
$$;
COMMENT ON FUNCTION saleshub.visible_where(text) IS
    'SQL text that adds nothing to row security of a noun (the row is called t), but lets a list of
few visible records among many be read by index.';

-- Live events: the gateway compares the tokens of an event with those of a listener

CREATE FUNCTION saleshub.event_tokens(org uuid, noun text, id uuid) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    owner text;
BEGIN
    IF noun = 'lead' THEN
        owner := (SELECT r.owner_id FROM crm.lead r WHERE r.org_id = org AND r.lead_id = id);
    ELSIF noun = 'contact' THEN
        owner := (SELECT r.owner_id FROM crm.contact r WHERE r.org_id = org AND r.contact_id = id);
    ELSIF noun = 'company' THEN
        owner := (SELECT r.owner_id FROM crm.company r WHERE r.org_id = org AND r.company_id = id);
    ELSIF noun = 'deal' THEN
        owner := (SELECT r.owner_id FROM crm.deal r WHERE r.org_id = org AND r.deal_id = id);
    ELSIF noun = 'activity' THEN
        owner := (SELECT r.owner_id FROM crm.activity r
                  WHERE r.org_id = org AND r.activity_id = id);
        RETURN 'activity/' || coalesce(owner, 'nobody') || coalesce((
            SELECT string_agg(' ' || saleshub.event_tokens(org, l.entity, l.entity_id), '')
            FROM crm.activity_link l
            WHERE l.org_id = org AND l.activity_id = id), ' activity/unlinked');
    ELSIF noun = 'deal_line' THEN
        RETURN saleshub.event_tokens(org, 'deal', (
            SELECT l.deal_id FROM crm.deal_line l
            WHERE l.org_id = org AND l.deal_line_id = id));
    ELSIF noun = 'deal_split' THEN
        RETURN saleshub.event_tokens(org, 'deal', (
            SELECT s.deal_id FROM crm.deal_split s
            WHERE s.org_id = org AND s.deal_split_id = id));
    ELSIF noun = 'quota' THEN
        RETURN coalesce((SELECT 'deal/' || q.member_id || ' ' FROM crm.quota q
                         WHERE q.org_id = org AND q.quota_id = id), '') || 'deal/all';
    ELSIF noun = 'attachment' THEN
        RETURN coalesce((
            SELECT string_agg(coalesce(nullif(saleshub.event_tokens(org, l.entity, l.entity_id), ''),
                                       'anybody'), ' ')
            FROM crm.attachment_link l
            WHERE l.org_id = org AND l.attachment_id = id), 'nobody');
    ELSIF noun = 'reminder' THEN
        RETURN 'reminder/' || id;
    ELSE
        RETURN '';
    END IF;
    RETURN noun || '/' || coalesce(owner, 'nobody') || ' ' || noun || '/all';
END;
$$;
COMMENT ON FUNCTION saleshub.event_tokens(uuid, text, uuid) IS
    'Whom an event about a record concerns, as <noun>/<owner> and the like: a listener that holds one
of them may have it. Empty: everybody.';

CREATE FUNCTION saleshub.visible_tokens() RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF saleshub.sees_everything() THEN
        RETURN '*';
    END IF;
    RETURN ' anybody reminder/' || saleshub.member_id() || ' ' || (
        SELECT string_agg(t.token, ' ')
        FROM unnest(ARRAY['lead', 'contact', 'company', 'deal', 'activity']) noun,
        LATERAL (
            SELECT CASE noun WHEN 'activity' THEN 'activity/unlinked' ELSE noun || '/all' END
            WHERE saleshub.sees_all(noun)
            UNION ALL
            SELECT noun || '/' || o FROM unnest(saleshub.visible_owners(noun)) o
            WHERE noun = 'activity' OR NOT saleshub.sees_all(noun)
        ) t (token)) || ' ';
END;
$$;
COMMENT ON FUNCTION saleshub.visible_tokens() IS
    'The tokens of events that the member may have, between blanks; * for all of them.';
