-- Live events: where the log stands, what the gateways read from it, who may listen to what.

CREATE OR REPLACE FUNCTION saleshub.event_position(OUT epoch text, OUT top bigint, OUT floor bigint)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, crm, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    SELECT s.epoch, s.top, s.floor
      INTO event_position.epoch, event_position.top, event_position.floor
      FROM saleshub.event_state s;
END
$$;
COMMENT ON FUNCTION saleshub.event_position() IS
    'Where the event log stands: its incarnation, the newest position, and the position up to which events are no longer kept.';

CREATE OR REPLACE FUNCTION saleshub.event_json(
    gseq bigint, type text, entity text, entity_id uuid, version bigint, changed text[],
    actor uuid, at timestamptz, data jsonb)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN (jsonb_build_object(
    'gseq', gseq, 'type', type, 'entity', entity, 'id', entity_id, 'version', version,
    'changed', to_jsonb(changed), 'actor', actor,
    'at', to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
    || CASE WHEN data IS NULL THEN '{}' ELSE jsonb_build_object('data', data) END)::text;
COMMENT ON FUNCTION saleshub.event_json(bigint, text, text, uuid, bigint, text[], uuid, timestamptz, jsonb) IS
    'An event as clients see it, without the channel.';

CREATE OR REPLACE FUNCTION saleshub.events(since bigint, upto bigint, batch int)
RETURNS TABLE (gseq bigint, org_id uuid, type text, entity text, entity_id uuid, json text,
               tokens text)
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE
SET search_path = pg_catalog, crm, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT e.gseq, e.org_id, e.type, e.entity, e.entity_id,
           saleshub.event_json(e.gseq, e.type, e.entity, e.entity_id, e.version, e.changed,
                               e.actor_id, e.at, e.data),
           -- Imports tell of leads by the million: theirs without a call, as the function has them.
           CASE WHEN e.entity = 'lead' THEN 'lead/' || coalesce((
               SELECT r.owner_id::text FROM crm.lead r
                WHERE r.org_id = e.org_id AND r.lead_id = e.entity_id), 'nobody') || ' lead/all'
           ELSE saleshub.event_tokens(e.org_id, e.entity, e.entity_id) END
      FROM saleshub.event_log e
     WHERE e.gseq > events.since AND e.gseq <= events.upto
     ORDER BY e.gseq
     LIMIT least(greatest(events.batch, 1), 10000);
END
$$;
ALTER FUNCTION saleshub.events(bigint, bigint, int) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.events(bigint, bigint, int) IS
    'Events of all organisations after one position up to another: for the one reader of a gateway, which sends each only where it belongs: to listeners of the organisation who hold one of its tokens.';

CREATE OR REPLACE FUNCTION saleshub.channel_takes(
    channels text[], member uuid, entity text, entity_id uuid)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT (entity NOT IN ('session', 'rights', 'reminder') AND 'feed' = ANY (channels))
        OR 'list:' || entity = ANY (channels)
        OR (entity IN ('lead', 'deal', 'activity') AND 'dash:main' = ANY (channels))
        OR 'entity:' || entity || ':' || entity_id::text = ANY (channels)
        OR (entity IN ('member', 'reminder') AND entity_id = member AND 'user:me' = ANY (channels))
$$;
COMMENT ON FUNCTION saleshub.channel_takes(text[], uuid, text, uuid) IS
    'Whether an event about this record goes to one of the channels; the gateway applies the same rule.';

CREATE OR REPLACE FUNCTION saleshub.events_page(
    since bigint, upto bigint, batch int, channels text[])
RETURNS TABLE (gseq bigint, type text, entity text, entity_id uuid, json text)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, crm, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    org uuid := saleshub.org_id();
    member uuid := saleshub.member_id();
BEGIN
    RETURN QUERY
    SELECT e.gseq, e.type, e.entity, e.entity_id,
           saleshub.event_json(e.gseq, e.type, e.entity, e.entity_id, e.version, e.changed,
                               e.actor_id, e.at, e.data)
      FROM saleshub.event_log e
     WHERE e.org_id = org AND e.gseq > events_page.since AND e.gseq <= events_page.upto
       AND saleshub.channel_takes(events_page.channels, member, e.entity, e.entity_id)
     ORDER BY e.gseq
     LIMIT least(greatest(events_page.batch, 1), 1000);
END
$$;
COMMENT ON FUNCTION saleshub.events_page(bigint, bigint, int, text[]) IS
    'Events for one member after one position up to another, of these channels, oldest first; row security decides what is seen.';

CREATE OR REPLACE FUNCTION saleshub.channel_authorize(channel text)
RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    part text[] := regexp_match(channel, '^(entity|list):([a-z][a-z_]{0,30})(?::([0-9a-f-]{36}))?$');
    seen boolean;
BEGIN
    IF saleshub.org_id() IS NULL OR saleshub.member_id() IS NULL THEN
        RETURN false;
    END IF;
    IF channel IN ('feed', 'dash:main', 'user:me') THEN
        RETURN true;
    END IF;
    -- Reminders are told to whom they are for only, in user:me.
    IF part IS NULL OR part[2] = 'reminder' OR (part[1] = 'list') <> (part[3] IS NULL)
       OR NOT EXISTS (
           SELECT FROM pg_attribute a
            WHERE a.attrelid = to_regclass('crm.' || quote_ident(part[2]))
              AND a.attname = part[2] || '_id' AND a.atttypid = 'uuid'::regtype
              AND has_table_privilege(a.attrelid, 'SELECT')) THEN
        RETURN false;
    END IF;
    IF part[1] = 'list' THEN
        RETURN true;
    END IF;
    EXECUTE format('SELECT EXISTS (SELECT FROM crm.%I WHERE org_id = saleshub.org_id() AND %I = $1)',
                   part[2], part[2] || '_id')
       INTO seen USING part[3]::uuid;
    RETURN seen;
EXCEPTION
    WHEN invalid_text_representation THEN
        RETURN false;
END
$$;
COMMENT ON FUNCTION saleshub.channel_authorize(text) IS
    'Whether the member may listen: entity:<type>:<id> of a record that row security shows, list:<type>, dash:main, feed, user:me.';

CREATE OR REPLACE FUNCTION saleshub.live_channels(connection uuid)
RETURNS TABLE (channel text, since bigint, old boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE
SET search_path = pg_catalog, crm, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT u.channel, u.since, c.saved_at < now() - interval '1 day'
      FROM saleshub.live_connection c, unnest(c.channels, c.since) AS u (channel, since)
     WHERE c.org_id = saleshub.org_id() AND c.member_id = saleshub.member_id()
       AND c.live_connection_id = live_channels.connection;
END
$$;
ALTER FUNCTION saleshub.live_channels(uuid) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.live_channels(uuid) IS
    'The channels remembered for a connection of this very member.';

CREATE OR REPLACE FUNCTION saleshub.live_open(connection uuid, channels text[])
RETURNS TABLE (channel text, since bigint, ok boolean, old boolean)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, crm, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH wanted AS (
        SELECT c.channel, c.since, c.old, 0::bigint AS n FROM saleshub.live_channels(connection) c
        UNION ALL
        SELECT u.channel, NULL::bigint, false, u.n
          FROM unnest(channels) WITH ORDINALITY AS u (channel, n))
    SELECT w.channel, max(w.since), saleshub.channel_authorize(w.channel), bool_or(w.old)
      FROM wanted w
     GROUP BY w.channel
     ORDER BY min(w.n), w.channel;
END
$$;
COMMENT ON FUNCTION saleshub.live_open(uuid, text[]) IS
    'The channels asked for and those remembered for the connection, each with the position from which it counts, whether the member may listen, and whether it should be saved anew.';

CREATE OR REPLACE FUNCTION saleshub.live_save(connection uuid, channels text[], since bigint[])
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER PARALLEL UNSAFE
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
    member uuid := saleshub.member_id();
BEGIN
    INSERT INTO saleshub.live_connection AS c
           (org_id, live_connection_id, member_id, channels, since)
    VALUES (org, connection, member, channels, since)
        ON CONFLICT (org_id, live_connection_id) DO UPDATE
       SET channels = excluded.channels, since = excluded.since, saved_at = now()
     WHERE c.member_id = excluded.member_id;
    -- A connection in use is saved anew every day; older ones cannot be resumed in any case,
    -- because events are kept for a shorter time.
    DELETE FROM saleshub.live_connection c
     WHERE c.org_id = org AND c.member_id = member AND c.saved_at < now() - interval '10 days';
END
$$;
ALTER FUNCTION saleshub.live_save(uuid, text[], bigint[]) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.live_save(uuid, text[], bigint[]) IS
    'Remembers the channels of a connection.';
