-- The queue of reminders, made by trigger of what the activities say.
CREATE TABLE IF NOT EXISTS crm.reminder (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    reminder_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    activity_id uuid NOT NULL,
    member_id uuid NOT NULL,
    minutes_before integer,
    at timestamptz,
    base_at timestamptz,
    remind_at timestamptz,
    state text NOT NULL DEFAULT 'scheduled',
    fired_at timestamptz,
    snoozed boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, reminder_id),
    CONSTRAINT reminder_state_check
        CHECK (state IN ('scheduled', 'fired', 'dismissed', 'cancelled')),
    CONSTRAINT reminder_when_check CHECK ((minutes_before IS NULL) <> (at IS NULL)),
    CONSTRAINT reminder_scheduled_check CHECK (state <> 'scheduled' OR remind_at IS NOT NULL)
);
COMMENT ON TABLE crm.reminder IS
    'Whom to remind of an activity and when; the worker fires what is due, in that order, once.';
COMMENT ON COLUMN crm.reminder.minutes_before IS 'How long before the activity is due; or at.';
COMMENT ON COLUMN crm.reminder.base_at IS 'When by the activity, before anybody put it off.';
COMMENT ON COLUMN crm.reminder.remind_at IS 'When; NULL while the activity is due at no time.';
COMMENT ON COLUMN crm.reminder.state IS
    'scheduled, fired (told, not answered yet), dismissed, or cancelled: done, deleted or too late.';
COMMENT ON COLUMN crm.reminder.snoozed IS 'Whether the member put it off.';

CREATE UNIQUE INDEX IF NOT EXISTS reminder_key ON crm.reminder
    (org_id, activity_id, member_id, coalesce(minutes_before, -1), coalesce(at, '-infinity'));
CREATE INDEX IF NOT EXISTS reminder_due_idx ON crm.reminder (org_id, remind_at, reminder_id)
    WHERE state = 'scheduled';
CREATE INDEX IF NOT EXISTS reminder_member_idx
    ON crm.reminder (org_id, member_id, remind_at, reminder_id);

SELECT saleshub.protect('crm.reminder', 'SELECT');
SELECT saleshub.visible_rows('crm.reminder', ARRAY['SELECT'],
    '(SELECT saleshub.sees_everything()) OR member_id = (SELECT saleshub.member_id())');
