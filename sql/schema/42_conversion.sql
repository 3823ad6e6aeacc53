-- Conversions of leads, rich enough to be undone.

CREATE TABLE IF NOT EXISTS crm.conversion (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    conversion_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    lead_id uuid NOT NULL,
    key text,
    options jsonb NOT NULL,
    options_hash bytea NOT NULL,
    company_id uuid,
    contact_id uuid,
    deal_id uuid,
    created jsonb NOT NULL DEFAULT '[]',
    filled jsonb NOT NULL DEFAULT '[]',
    links jsonb NOT NULL DEFAULT '[]',
    lead_before jsonb NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    actor_id uuid,
    request_id text,
    undone_at timestamptz,
    undone_by uuid,
    PRIMARY KEY (org_id, conversion_id)
);
ALTER TABLE crm.conversion
    ADD COLUMN IF NOT EXISTS undo jsonb,
    ADD COLUMN IF NOT EXISTS mapping_version integer NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS duplicates jsonb NOT NULL DEFAULT '[]';

COMMENT ON TABLE crm.conversion IS 'What each conversion of a lead did, in enough detail to undo it.';
COMMENT ON COLUMN crm.conversion.key IS 'Key of the caller: the same key is answered with the same conversion.';
COMMENT ON COLUMN crm.conversion.options IS 'The options with their defaults filled in.';
COMMENT ON COLUMN crm.conversion.created IS 'Records it created: [{type, id, version}].';
COMMENT ON COLUMN crm.conversion.filled IS
    'Records it found and changed: [{type, id, version, fields: {field: [old, new]}}].';
COMMENT ON COLUMN crm.conversion.links IS 'Links of activities it added: [{activity_id, type, id}].';
COMMENT ON COLUMN crm.conversion.lead_before IS 'The fields of the lead that the conversion changed, as they were.';
COMMENT ON COLUMN crm.conversion.undone_at IS 'When it was undone; NULL while it holds.';

CREATE UNIQUE INDEX IF NOT EXISTS conversion_lead_key ON crm.conversion (org_id, lead_id)
    WHERE undone_at IS NULL;
CREATE INDEX IF NOT EXISTS conversion_at_idx ON crm.conversion (org_id, at);
CREATE INDEX IF NOT EXISTS conversion_company_idx ON crm.conversion (org_id, company_id);
CREATE INDEX IF NOT EXISTS conversion_contact_idx ON crm.conversion (org_id, contact_id);
CREATE INDEX IF NOT EXISTS conversion_deal_idx ON crm.conversion (org_id, deal_id);

COMMENT ON COLUMN crm.conversion.mapping_version IS
    'The version of crm.conversion_mapping that was used; 0: the preset.';
COMMENT ON COLUMN crm.conversion.duplicates IS
    'Records that were there already like those created, when the options asked for a warning.';
COMMENT ON COLUMN crm.conversion.undo IS
    'What undoing it did, as the first call answered: {restored, kept, conflicts}.';

CREATE OR REPLACE TRIGGER conversion_10_guard
    BEFORE UPDATE ON crm.conversion
    FOR EACH ROW EXECUTE FUNCTION saleshub.conversion_guard();

SELECT saleshub.protect('crm.conversion', 'SELECT, INSERT');
GRANT UPDATE (undone_at, undone_by, undo) ON crm.conversion TO saleshub_user;

CREATE OR REPLACE TRIGGER activity_link_60_follow
    AFTER INSERT ON crm.activity_link
    REFERENCING NEW TABLE AS linkrows
    FOR EACH STATEMENT EXECUTE FUNCTION saleshub.activity_link_follow();

-- By which a lead finds its company.
CREATE INDEX IF NOT EXISTS company_key_idx ON crm.company (org_id, saleshub.company_key(name))
    WHERE deleted_at IS NULL;

CREATE TABLE IF NOT EXISTS crm.conversion_mapping (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    conversion_mapping_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    version integer NOT NULL,
    position integer NOT NULL,
    source text NOT NULL,
    target_entity text NOT NULL,
    target_field text NOT NULL,
    policy text NOT NULL DEFAULT 'fill_blank',
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by uuid,
    PRIMARY KEY (org_id, conversion_mapping_id),
    CONSTRAINT conversion_mapping_version_check CHECK (version > 0),
    CONSTRAINT conversion_mapping_entity_check CHECK (target_entity IN ('company', 'contact', 'deal')),
    CONSTRAINT conversion_mapping_policy_check
        CHECK (policy IN ('fill_blank', 'overwrite', 'append', 'keep', 'max', 'min'))
);

COMMENT ON TABLE crm.conversion_mapping IS
    'Which field of a lead goes into which field of its company, contact and deal; rows stay, a change is a new version.';
COMMENT ON COLUMN crm.conversion_mapping.version IS 'The highest one is used.';
COMMENT ON COLUMN crm.conversion_mapping.source IS
    'Field of the lead, custom.<key>, or domain: that of its company.';
COMMENT ON COLUMN crm.conversion_mapping.policy IS
    'What happens when the record that is found holds something: a new record gets a copy.';

CREATE UNIQUE INDEX IF NOT EXISTS conversion_mapping_target_key
    ON crm.conversion_mapping (org_id, version, target_entity, target_field);

CREATE OR REPLACE TRIGGER conversion_mapping_05_right
    BEFORE INSERT OR UPDATE OR DELETE ON crm.conversion_mapping
    FOR EACH STATEMENT EXECUTE FUNCTION saleshub.setup_check();
CREATE OR REPLACE TRIGGER conversion_mapping_10_check
    BEFORE INSERT OR UPDATE ON crm.conversion_mapping
    FOR EACH ROW EXECUTE FUNCTION saleshub.conversion_mapping_check();

SELECT saleshub.protect('crm.conversion_mapping', 'SELECT, INSERT');
