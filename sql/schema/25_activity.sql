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
    priority text,
    starts_at timestamptz,
    ends_at timestamptz,
    location text,
    direction text,
    duration_s integer,
    email_from text,
    email_to text[] NOT NULL DEFAULT '{}',
    email_cc text[] NOT NULL DEFAULT '{}',
    message_id text,
    in_reply_to text,
    reminders jsonb NOT NULL DEFAULT '[]',
    recurrence text,
    timezone text,
    series_id uuid,
    series_no integer,
    series_first integer,
    series_start timestamptz,
    scheduled_at timestamptz,
    series_kept jsonb NOT NULL DEFAULT '{}',
    skipped boolean NOT NULL DEFAULT false,
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
    CONSTRAINT activity_custom_check CHECK (jsonb_typeof(custom) = 'object'),
    CONSTRAINT activity_priority_check CHECK (priority IN ('low', 'normal', 'high')),
    CONSTRAINT activity_direction_check CHECK (direction IN ('inbound', 'outbound')),
    CONSTRAINT activity_duration_check CHECK (duration_s >= 0),
    CONSTRAINT activity_ends_check CHECK (ends_at >= starts_at),
    CONSTRAINT activity_reminders_check CHECK (jsonb_typeof(reminders) = 'array'),
    CONSTRAINT activity_series_check CHECK (
        (series_id IS NULL) = (series_no IS NULL)
        AND (recurrence IS NULL OR timezone IS NOT NULL AND series_start IS NOT NULL
             AND scheduled_at IS NOT NULL AND series_first IS NOT NULL AND due_at IS NOT NULL))
);

COMMENT ON TABLE crm.activity IS
    'What was done or is to be done: tasks, calls, meetings, e-mails, notes.';
COMMENT ON COLUMN crm.activity.done_at IS 'When it was done; NULL while it is open.';
COMMENT ON COLUMN crm.activity.due_at IS 'When it is due; of what has a start, that start.';
COMMENT ON COLUMN crm.activity.duration_s IS 'Of a call: how many seconds it took.';
COMMENT ON COLUMN crm.activity.message_id IS
    'Of an e-mail: its Message-ID, by which it comes in once only.';
COMMENT ON COLUMN crm.activity.reminders IS
    '[{"minutes_before" or "at", "member_id"}]: what crm.reminder is made of.';
COMMENT ON COLUMN crm.activity.recurrence IS
    'The rule (RFC 5545) by which finishing it makes the next one; NULL: it is the last or only one.';
COMMENT ON COLUMN crm.activity.timezone IS 'The time zone whose clocks the rule goes by.';
COMMENT ON COLUMN crm.activity.series_id IS 'What its occurrences have in common; the id of the first.';
COMMENT ON COLUMN crm.activity.series_no IS 'Which occurrence of the series it is, from 1.';
COMMENT ON COLUMN crm.activity.series_first IS
    'The number of the occurrence from which the rule counts.';
COMMENT ON COLUMN crm.activity.series_start IS 'When that occurrence is due by the rule.';
COMMENT ON COLUMN crm.activity.scheduled_at IS
    'When this one is due by the rule; due_at may have been moved.';
COMMENT ON COLUMN crm.activity.series_kept IS
    'Of fields that differ in this occurrence only, the values that the next one has again.';
COMMENT ON COLUMN crm.activity.skipped IS
    'Left out: the next occurrence came though this one was not done.';
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
CREATE UNIQUE INDEX IF NOT EXISTS activity_series_key ON crm.activity (org_id, series_id, series_no)
    WHERE series_id IS NOT NULL;
CREATE UNIQUE INDEX IF NOT EXISTS activity_message_key ON crm.activity (org_id, message_id)
    WHERE message_id IS NOT NULL AND deleted_at IS NULL;

CREATE OR REPLACE TRIGGER activity_10_check
    BEFORE INSERT OR UPDATE ON crm.activity
    FOR EACH ROW EXECUTE FUNCTION saleshub.activity_check();
CREATE OR REPLACE TRIGGER activity_20_details
    BEFORE INSERT OR UPDATE ON crm.activity
    FOR EACH ROW EXECUTE FUNCTION saleshub.activity_details();
CREATE OR REPLACE TRIGGER activity_30_series
    BEFORE INSERT OR UPDATE ON crm.activity
    FOR EACH ROW WHEN (NEW.recurrence IS NOT NULL OR NEW.timezone IS NOT NULL)
    EXECUTE FUNCTION saleshub.activity_series();
CREATE OR REPLACE TRIGGER activity_40_reminders
    BEFORE INSERT OR UPDATE ON crm.activity
    FOR EACH ROW WHEN (NEW.reminders <> '[]')
    EXECUTE FUNCTION saleshub.activity_reminders();
-- After the reminders of the one that is done were called off, those of the next are set.
CREATE OR REPLACE TRIGGER activity_60_recur
    AFTER UPDATE ON crm.activity
    FOR EACH ROW
    WHEN (NEW.recurrence IS NOT NULL
          AND (OLD.done_at IS NULL AND NEW.done_at IS NOT NULL AND NEW.deleted_at IS NULL
               OR NEW.skipped AND NOT OLD.skipped))
    EXECUTE FUNCTION saleshub.activity_recur();
CREATE OR REPLACE TRIGGER activity_50_remind
    AFTER INSERT ON crm.activity
    FOR EACH ROW WHEN (NEW.reminders <> '[]')
    EXECUTE FUNCTION saleshub.reminder_sync();
CREATE OR REPLACE TRIGGER activity_50_remind_again
    AFTER UPDATE ON crm.activity
    FOR EACH ROW
    WHEN ((NEW.reminders <> '[]' OR OLD.reminders <> '[]')
          AND (NEW.reminders, NEW.due_at, NEW.done_at, NEW.deleted_at, NEW.owner_id)
              IS DISTINCT FROM
              (OLD.reminders, OLD.due_at, OLD.done_at, OLD.deleted_at, OLD.owner_id))
    EXECUTE FUNCTION saleshub.reminder_sync();

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
