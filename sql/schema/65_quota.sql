-- What members and teams are to sell, and who has which part in a deal.

CREATE TABLE IF NOT EXISTS crm.quota (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    quota_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    member_id uuid,
    team_id uuid,
    period_from date NOT NULL,
    period_to date NOT NULL,
    amount numeric NOT NULL,
    currency text NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by uuid,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by uuid,
    deleted_at timestamptz,
    PRIMARY KEY (org_id, quota_id),
    CONSTRAINT quota_whose_check CHECK (num_nonnulls(member_id, team_id) = 1),
    CONSTRAINT quota_period_check CHECK (period_to > period_from),
    CONSTRAINT quota_amount_check CHECK (amount > 0 AND amount <= 1e15),
    CONSTRAINT quota_currency_check CHECK (currency ~ '^[A-Z]{3}$')
);
COMMENT ON TABLE crm.quota IS 'What a member, or a team with those below it, is to sell in a period.';
COMMENT ON COLUMN crm.quota.period_to IS 'First day after the period, which is a month, quarter or year of the calendar of the organisation.';
COMMENT ON COLUMN crm.quota.deleted_at IS
    'When the row was put into the bin; such a row counts nowhere.';
CREATE UNIQUE INDEX IF NOT EXISTS quota_period_key
    ON crm.quota (org_id, period_from, period_to, coalesce(member_id, team_id))
    WHERE deleted_at IS NULL;
CREATE INDEX IF NOT EXISTS quota_created_idx ON crm.quota (org_id, created_at, quota_id);
SELECT saleshub.add_fk('quota_member_fk', 'crm.quota', 'org_id, member_id',
                       'crm.member', 'org_id, member_id');
SELECT saleshub.add_fk('quota_team_fk', 'crm.quota', 'org_id, team_id',
                       'crm.team', 'org_id, team_id');
CREATE OR REPLACE TRIGGER quota_05_right
    BEFORE INSERT OR UPDATE ON crm.quota
    FOR EACH STATEMENT EXECUTE FUNCTION saleshub.setup_check();
CREATE OR REPLACE TRIGGER quota_10_check
    BEFORE INSERT OR UPDATE ON crm.quota
    FOR EACH ROW EXECUTE FUNCTION saleshub.quota_check();
SELECT saleshub.protect('crm.quota');
SELECT saleshub.capture_on('crm.quota', 'quota', 'quota_id');
-- A team's is seen by those who see the deals of all its members.
SELECT saleshub.visible_rows('crm.quota', ARRAY['SELECT', 'UPDATE'],
    '(SELECT saleshub.sees_all(''deal''))
     OR member_id = ANY ((SELECT saleshub.visible_owners(''deal''))::uuid[])
     OR team_id IS NOT NULL AND saleshub.team_members(team_id)
        <@ (SELECT saleshub.visible_owners(''deal''))::uuid[]');

CREATE TABLE IF NOT EXISTS crm.deal_split (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    deal_split_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    deal_id uuid NOT NULL,
    member_id uuid NOT NULL,
    share numeric NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by uuid,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by uuid,
    deleted_at timestamptz,
    PRIMARY KEY (org_id, deal_split_id),
    CONSTRAINT deal_split_share_check CHECK (share > 0 AND share <= 100 AND scale(share) <= 4)
);
COMMENT ON TABLE crm.deal_split IS
    'Who has which part in a deal, in percent; those of a deal are 100 together. Without any, the owner has all.';
COMMENT ON COLUMN crm.deal_split.deleted_at IS
    'When the part was taken away; such a row counts nowhere.';
CREATE UNIQUE INDEX IF NOT EXISTS deal_split_member_key ON crm.deal_split (org_id, deal_id, member_id)
    WHERE deleted_at IS NULL;
CREATE INDEX IF NOT EXISTS deal_split_deal_idx ON crm.deal_split (org_id, deal_id);
CREATE INDEX IF NOT EXISTS deal_split_owner_idx ON crm.deal_split (org_id, member_id);
SELECT saleshub.add_fk('deal_split_deal_fk', 'crm.deal_split', 'org_id, deal_id',
                       'crm.deal', 'org_id, deal_id', 'CASCADE');
SELECT saleshub.add_fk('deal_split_member_fk', 'crm.deal_split', 'org_id, member_id',
                       'crm.member', 'org_id, member_id');
CREATE OR REPLACE TRIGGER deal_split_10_hold
    BEFORE INSERT OR UPDATE ON crm.deal_split
    FOR EACH ROW EXECUTE FUNCTION saleshub.deal_split_hold();
DO $do$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = 'crm.deal_split'::regclass
                       AND t.tgname = 'deal_split_70_whole') THEN
        CREATE CONSTRAINT TRIGGER deal_split_70_whole
            AFTER INSERT OR UPDATE OR DELETE ON crm.deal_split
            DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION saleshub.deal_split_whole();
    END IF;
END
$do$;
SELECT saleshub.protect('crm.deal_split');
SELECT saleshub.capture_on('crm.deal_split', 'deal_split', 'deal_split_id');
SELECT saleshub.visible_rows('crm.deal_split', ARRAY['SELECT', 'UPDATE', 'INSERT'],
    '(SELECT saleshub.sees_all(''deal'')) OR saleshub.record_visible(''deal'', deal_id)');
