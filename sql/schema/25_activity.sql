CREATE TABLE IF NOT EXISTS crm.activity (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    activity_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    type text NOT NULL,
    subject text NOT NULL,
    body text,
    due_at timestamptz,
    done_at timestamptz,
    outcome text,
    owner_id uuid,
    links_version bigint NOT NULL DEFAULT 0,
    custom jsonb NOT NULL DEFAULT '{}',
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by uuid,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by uuid,
    deleted_at timestamptz,
    PRIMARY KEY (org_id, activity_id),
    CONSTRAINT activity_type_check CHECK (type IN ('task', 'call', 'meeting', 'email', 'note')),
    CONSTRAINT activity_subject_given CHECK (subject <> ''),
    CONSTRAINT activity_custom_check CHECK (jsonb_typeof(custom) = 'object')
);

COMMENT ON TABLE crm.activity IS
    'What was done or is to be done: tasks, calls, meetings, e-mails, notes.';
COMMENT ON COLUMN crm.activity.done_at IS 'When it was done; NULL while it is open.';
COMMENT ON COLUMN crm.activity.links_version IS
    'How often its links changed, so that the version of the activity moves with them.';
COMMENT ON COLUMN crm.activity.custom IS 'Values of custom fields.';
COMMENT ON COLUMN crm.activity.deleted_at IS
    'When the row was put into the bin; such a row counts nowhere.';

CREATE INDEX IF NOT EXISTS activity_created_idx ON crm.activity (org_id, created_at, activity_id);
CREATE INDEX IF NOT EXISTS activity_updated_idx ON crm.activity (org_id, updated_at, activity_id);
CREATE INDEX IF NOT EXISTS activity_due_idx ON crm.activity (org_id, due_at, activity_id);
CREATE INDEX IF NOT EXISTS activity_done_idx ON crm.activity (org_id, done_at, activity_id);
CREATE INDEX IF NOT EXISTS activity_owner_idx ON crm.activity (org_id, owner_id, due_at);

CREATE OR REPLACE TRIGGER activity_10_check
    BEFORE INSERT OR UPDATE ON crm.activity
    FOR EACH ROW EXECUTE FUNCTION saleshub.activity_check();

SELECT saleshub.protect('crm.activity');
SELECT saleshub.capture_on('crm.activity', 'activity', 'activity_id');
SELECT saleshub.rollup_on('crm.activity', 'activity');

CREATE TABLE IF NOT EXISTS crm.activity_link (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    activity_id uuid NOT NULL,
    entity text NOT NULL,
    entity_id uuid NOT NULL,
    PRIMARY KEY (org_id, activity_id, entity, entity_id),
    CONSTRAINT activity_link_entity_check CHECK (entity IN ('lead', 'contact', 'company', 'deal'))
);

COMMENT ON TABLE crm.activity_link IS
    'The records an activity is about; one activity shows on all of them.';

CREATE INDEX IF NOT EXISTS activity_link_entity_idx
    ON crm.activity_link (org_id, entity, entity_id, activity_id);

CREATE OR REPLACE TRIGGER activity_link_10_check
    BEFORE INSERT ON crm.activity_link
    FOR EACH ROW EXECUTE FUNCTION saleshub.activity_link_check();

CREATE OR REPLACE TRIGGER activity_link_50_insert
    AFTER INSERT ON crm.activity_link
    REFERENCING NEW TABLE AS linkrows
    FOR EACH STATEMENT EXECUTE FUNCTION saleshub.activity_link_changed();
CREATE OR REPLACE TRIGGER activity_link_50_delete
    AFTER DELETE ON crm.activity_link
    REFERENCING OLD TABLE AS linkrows
    FOR EACH STATEMENT EXECUTE FUNCTION saleshub.activity_link_changed();

SELECT saleshub.protect('crm.activity_link', 'SELECT, INSERT, DELETE');
