-- Organisations (tenants), their members and teams.

CREATE TABLE IF NOT EXISTS crm.org (
    org_id      uuid NOT NULL DEFAULT crm.uuid_v7(),
    name        text NOT NULL,
    currency    char(3) NOT NULL DEFAULT 'USD',
    timezone    text NOT NULL DEFAULT 'UTC',
    country     char(2) NOT NULL DEFAULT 'US',
    settings    jsonb NOT NULL DEFAULT '{}',
    version     bigint NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL DEFAULT now(),
    created_by  uuid,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    updated_by  uuid,
    PRIMARY KEY (org_id),
    CONSTRAINT org_name_given CHECK (btrim(name) <> '' AND length(name) <= 200),
    CONSTRAINT org_currency_check CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT org_country_check CHECK (country ~ '^[A-Z]{2}$'),
    CONSTRAINT org_settings_check CHECK (jsonb_typeof(settings) = 'object')
);
COMMENT ON TABLE crm.org IS 'Organisations: the tenants. Every other row carries the org_id of one.';
COMMENT ON COLUMN crm.org.currency IS 'Base currency (ISO 4217) of all sums.';
COMMENT ON COLUMN crm.org.country IS 'ISO 3166 country, by which phone numbers without prefix are read.';
SELECT saleshub.protect('crm.org', 'SELECT');
SELECT saleshub.capture_on('crm.org', 'org', 'org_id');

CREATE TABLE IF NOT EXISTS crm.member (
    org_id      uuid NOT NULL DEFAULT saleshub.org_id(),
    member_id   uuid NOT NULL DEFAULT crm.uuid_v7(),
    name        text NOT NULL,
    email       text NOT NULL,
    role        text NOT NULL DEFAULT 'rep',
    active      boolean NOT NULL DEFAULT true,
    title       text,
    timezone    text NOT NULL DEFAULT 'UTC',
    preferences jsonb NOT NULL DEFAULT '{}',
    version     bigint NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL DEFAULT now(),
    created_by  uuid,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    updated_by  uuid,
    deleted_at  timestamptz,
    PRIMARY KEY (org_id, member_id),
    CONSTRAINT member_email_key UNIQUE (org_id, email),
    CONSTRAINT member_role_check CHECK (role IN ('admin', 'manager', 'rep', 'readonly')),
    CONSTRAINT member_preferences_check CHECK (jsonb_typeof(preferences) = 'object')
);
COMMENT ON TABLE crm.member IS 'People who work in an organisation and may sign in.';
COMMENT ON COLUMN crm.member.role IS 'admin, manager, rep or readonly.';
COMMENT ON COLUMN crm.member.active IS 'Inactive members cannot sign in and are assigned nothing.';
CREATE OR REPLACE TRIGGER member_10_check BEFORE INSERT OR UPDATE ON crm.member
    FOR EACH ROW EXECUTE FUNCTION saleshub.member_check();
SELECT saleshub.protect('crm.member', 'SELECT');
SELECT saleshub.capture_on('crm.member', 'member', 'member_id');

CREATE TABLE IF NOT EXISTS crm.team (
    org_id      uuid NOT NULL DEFAULT saleshub.org_id(),
    team_id     uuid NOT NULL DEFAULT crm.uuid_v7(),
    name        text NOT NULL,
    parent_id   uuid,
    manager_id  uuid,
    version     bigint NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL DEFAULT now(),
    created_by  uuid,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    updated_by  uuid,
    deleted_at  timestamptz,
    PRIMARY KEY (org_id, team_id),
    CONSTRAINT team_name_given CHECK (btrim(name) <> ''),
    CONSTRAINT team_parent_fk FOREIGN KEY (org_id, parent_id) REFERENCES crm.team (org_id, team_id),
    CONSTRAINT team_manager_fk FOREIGN KEY (org_id, manager_id)
        REFERENCES crm.member (org_id, member_id)
);
COMMENT ON TABLE crm.team IS 'Teams, in a tree by parent_id.';
SELECT saleshub.protect('crm.team');
SELECT saleshub.capture_on('crm.team', 'team', 'team_id');

CREATE TABLE IF NOT EXISTS crm.team_member (
    org_id      uuid NOT NULL DEFAULT saleshub.org_id(),
    team_id     uuid NOT NULL,
    member_id   uuid NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, team_id, member_id),
    CONSTRAINT team_member_team_fk FOREIGN KEY (org_id, team_id)
        REFERENCES crm.team (org_id, team_id) ON DELETE CASCADE,
    CONSTRAINT team_member_member_fk FOREIGN KEY (org_id, member_id)
        REFERENCES crm.member (org_id, member_id)
);
COMMENT ON TABLE crm.team_member IS 'Who is in which team.';
CREATE INDEX IF NOT EXISTS team_member_member_idx ON crm.team_member (org_id, member_id);
SELECT saleshub.protect('crm.team_member', 'SELECT, INSERT, DELETE');
