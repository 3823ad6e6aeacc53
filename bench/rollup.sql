-- Copies of crm.activity that differ in nothing but how figures are kept: "bare" without any other
-- trigger, "full" with all that crm.activity has. Run by rollup.sh.
SET client_min_messages = warning;
CREATE SCHEMA bench;
CREATE TABLE bench.upserted (LIKE saleshub.rollup INCLUDING ALL);

-- The peer: each row brings its sum up to date, as is usually done.
CREATE FUNCTION bench.upsert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO bench.upserted AS r
           (org_id, fact, bucket, owner_id, dim, label, detail, n, amount, weighted, seconds)
    VALUES (NEW.org_id, 'activity_created', saleshub.quarter_hour(NEW.created_at),
            coalesce(NEW.owner_id, '00000000-0000-0000-0000-000000000000'),
            '00000000-0000-0000-0000-000000000000', NEW.type, '', 1, 0, 0, 0)
    ON CONFLICT (org_id, fact, bucket, owner_id, dim, label, detail) DO UPDATE SET n = r.n + 1;
    RETURN NULL;
END
$$;

DO $$
DECLARE
    name text;
    t record;
BEGIN
    FOREACH name IN ARRAY ARRAY['bare_none', 'bare_row', 'bare_deltas',
                                'full_none', 'full_row', 'full_deltas'] LOOP
        EXECUTE format('CREATE TABLE bench.%I (LIKE crm.activity INCLUDING ALL)', name);
        FOR t IN
            SELECT pg_get_triggerdef(g.oid) AS def
            FROM pg_trigger g
            WHERE g.tgrelid = 'crm.activity'::regclass AND NOT g.tgisinternal
                AND g.tgname <> 'saleshub_no_truncate'
                AND CASE WHEN g.tgname LIKE 'saleshub_rollup%' THEN name LIKE '%_deltas'
                         ELSE name LIKE 'full_%' END
        LOOP
            EXECUTE regexp_replace(t.def, ' ON crm.activity ', format(' ON bench.%I ', name));
        END LOOP;
        IF name LIKE '%_row' THEN
            EXECUTE format('CREATE TRIGGER upsert AFTER INSERT ON bench.%I
                            FOR EACH ROW EXECUTE FUNCTION bench.upsert()', name);
        END IF;
    END LOOP;
END
$$;

SELECT crm.org_create('Bench', 'Ada', 'ada@bench.example', 'EUR') ->> 'org_id' AS org \gset
SELECT set_config('saleshub.org_id', :'org', false) \g /dev/null
INSERT INTO crm.member (name, email, role)
SELECT 'Rep ' || n, 'rep' || n || '@bench.example', 'rep' FROM generate_series(1, 39) n;

-- Activities of a year of forty owners, nearly each in a group of its own.
CREATE FUNCTION bench.activities(rows bigint)
RETURNS TABLE (org_id uuid, type text, subject text, created_at timestamptz, owner_id uuid)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    owners constant uuid[] := ARRAY(SELECT m.member_id FROM crm.member m ORDER BY m.email);
BEGIN
    RETURN QUERY
    SELECT saleshub.org_id(), (ARRAY['task', 'call', 'meeting', 'email', 'note'])[1 + n % 5], 'Bench ' || n,
           timestamptz '2025-01-01 00:00+00'
           + (hashint8(n) & 1073741823) / 1073741824.0 * interval '365 days',
           owners[1 + (hashint8(n + 500000000) & 1073741823) % cardinality(owners)]
    FROM generate_series(1, rows) n;
END
$$;
