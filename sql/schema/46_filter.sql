-- Saved filters, whom they are shared with, and how often they are used.

CREATE TABLE IF NOT EXISTS crm.saved_filter (
    org_id          uuid NOT NULL DEFAULT saleshub.org_id(),
    saved_filter_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    noun            text NOT NULL,
    name            text NOT NULL,
    filter          jsonb NOT NULL,
    sort            text,
    columns         text[] NOT NULL DEFAULT '{}',
    visibility      text NOT NULL DEFAULT 'private',
    owner_id        uuid DEFAULT saleshub.member_id(),
    version         bigint NOT NULL DEFAULT 1,
    created_at      timestamptz NOT NULL DEFAULT now(),
    created_by      uuid,
    updated_at      timestamptz NOT NULL DEFAULT now(),
    updated_by      uuid,
    deleted_at      timestamptz,
    PRIMARY KEY (org_id, saved_filter_id),
    CONSTRAINT saved_filter_visibility_check CHECK (visibility IN ('private', 'team', 'org')),
    CONSTRAINT saved_filter_owner_given CHECK (visibility = 'org' OR owner_id IS NOT NULL)
);
COMMENT ON TABLE crm.saved_filter IS
    'Filters with a name: lists, exports and segments take them by id. Without history and events, which everybody could read.';
COMMENT ON COLUMN crm.saved_filter.noun IS 'What it filters: lead, contact, company, deal, activity, product.';
COMMENT ON COLUMN crm.saved_filter.filter IS
    'The conditions: {field, op, value}, {and: []}, {or: []} or {not: {}} over the fields of the noun.';
COMMENT ON COLUMN crm.saved_filter.sort IS 'The order of a list by this filter that asks for no other.';
COMMENT ON COLUMN crm.saved_filter.columns IS 'Fields that a list by this filter shows, for the client.';
COMMENT ON COLUMN crm.saved_filter.visibility IS
    'private: its owner; team: whoever is in, or manages, a team of the owner; org: all.';

CREATE INDEX IF NOT EXISTS saved_filter_created_idx
    ON crm.saved_filter (org_id, created_at, saved_filter_id);
CREATE INDEX IF NOT EXISTS saved_filter_name_idx
    ON crm.saved_filter (org_id, noun, name, saved_filter_id);
CREATE INDEX IF NOT EXISTS saved_filter_owner_idx ON crm.saved_filter (org_id, owner_id);

CREATE OR REPLACE TRIGGER saved_filter_10_check BEFORE INSERT OR UPDATE ON crm.saved_filter
    FOR EACH ROW EXECUTE FUNCTION saleshub.filter_check();
CREATE OR REPLACE TRIGGER saved_filter_90_stamp BEFORE INSERT OR UPDATE ON crm.saved_filter
    FOR EACH ROW EXECUTE FUNCTION saleshub.stamp();

SELECT saleshub.protect('crm.saved_filter');
ALTER POLICY tenant_read ON crm.saved_filter
    USING (org_id = (SELECT saleshub.org_id())
           AND (visibility = 'org' OR owner_id = (SELECT saleshub.member_id())
                OR visibility = 'team' AND saleshub.shares_team(owner_id)));
ALTER POLICY tenant_insert ON crm.saved_filter
    WITH CHECK (org_id = (SELECT saleshub.org_id()) AND (SELECT saleshub.may_write())
                AND owner_id = (SELECT saleshub.member_id()));
ALTER POLICY tenant_update ON crm.saved_filter
    USING (org_id = (SELECT saleshub.org_id()) AND (SELECT saleshub.may_write())
           AND (owner_id = (SELECT saleshub.member_id())
                OR visibility <> 'private'
                   AND (SELECT saleshub.member_role()) IN ('admin', 'manager')))
    WITH CHECK (org_id = (SELECT saleshub.org_id()));

-- Uses are written beside the filter, so that using one changes no version and takes no lock, and
-- reading a list stays a read.

CREATE TABLE IF NOT EXISTS crm.saved_filter_use (
    org_id              uuid NOT NULL DEFAULT saleshub.org_id(),
    saved_filter_use_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    saved_filter_id     uuid NOT NULL,
    member_id           uuid NOT NULL,
    at                  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, saved_filter_use_id)
);
COMMENT ON TABLE crm.saved_filter_use IS
    'Uses of saved filters not yet counted by day; the zero UUID is nobody.';
CREATE INDEX IF NOT EXISTS saved_filter_use_filter_idx
    ON crm.saved_filter_use (org_id, saved_filter_id);

CREATE TABLE IF NOT EXISTS crm.saved_filter_use_day (
    org_id          uuid NOT NULL,
    saved_filter_id uuid NOT NULL,
    member_id       uuid NOT NULL,
    day             date NOT NULL,
    n               bigint NOT NULL,
    last_at         timestamptz NOT NULL,
    PRIMARY KEY (org_id, saved_filter_id, member_id, day)
);
COMMENT ON TABLE crm.saved_filter_use_day IS
    'Uses of saved filters by member and day (UTC). What has been counted here is gone from saved_filter_use.';

SELECT saleshub.protect('crm.saved_filter_use', 'SELECT, INSERT');
SELECT saleshub.protect('crm.saved_filter_use_day', 'SELECT');
-- Who sees the filter sees its uses and may add its own, whether it may write records or not.
ALTER POLICY tenant_read ON crm.saved_filter_use
    USING (org_id = (SELECT saleshub.org_id()) AND EXISTS (
        SELECT FROM crm.saved_filter f
        WHERE f.org_id = saved_filter_use.org_id
            AND f.saved_filter_id = saved_filter_use.saved_filter_id));
ALTER POLICY tenant_insert ON crm.saved_filter_use
    WITH CHECK (org_id = (SELECT saleshub.org_id()) AND member_id = (SELECT saleshub.member_id())
        AND EXISTS (
            SELECT FROM crm.saved_filter f
            WHERE f.org_id = saved_filter_use.org_id
                AND f.saved_filter_id = saved_filter_use.saved_filter_id));
ALTER POLICY tenant_read ON crm.saved_filter_use_day
    USING (org_id = (SELECT saleshub.org_id()) AND EXISTS (
        SELECT FROM crm.saved_filter f
        WHERE f.org_id = saved_filter_use_day.org_id
            AND f.saved_filter_id = saved_filter_use_day.saved_filter_id));
