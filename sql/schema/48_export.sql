-- What left the house: one entry for each export that was begun, whoever asked for it.
CREATE TABLE IF NOT EXISTS crm.export_log (
    org_id          uuid NOT NULL DEFAULT saleshub.org_id(),
    export_log_id   uuid NOT NULL DEFAULT crm.uuid_v7(),
    noun            text NOT NULL,
    format          text NOT NULL,
    fields          text,
    conditions      jsonb,
    saved_filter_id uuid,
    as_of           timestamptz,
    "rows"          bigint,
    bytes           bigint,
    complete        boolean NOT NULL DEFAULT false,
    member_id       uuid,
    request_id      text,
    at              timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, export_log_id),
    CONSTRAINT export_log_format_check CHECK (format IN ('csv', 'ndjson'))
);
COMMENT ON TABLE crm.export_log IS
    'Exports: who took what and when. Written by crm.export and by nobody else; admins see all entries, other members their own.';
COMMENT ON COLUMN crm.export_log.fields IS 'The fields that were asked for; NULL: all that the member sees.';
COMMENT ON COLUMN crm.export_log.conditions IS
    'The conditions that were asked for; emptied when a person in them is erased.';
COMMENT ON COLUMN crm.export_log.saved_filter_id IS
    'The saved filter that was asked for, which need not exist any more.';
COMMENT ON COLUMN crm.export_log."rows" IS 'How many were given out; NULL: the end is not known.';
COMMENT ON COLUMN crm.export_log.complete IS
    'Whether all of it was given out; false when the reader left before.';
CREATE INDEX IF NOT EXISTS export_log_member_idx
    ON crm.export_log (org_id, member_id, export_log_id);

SELECT saleshub.protect('crm.export_log', 'SELECT');
ALTER POLICY tenant_read ON crm.export_log
    USING (org_id = (SELECT saleshub.org_id())
           AND ((SELECT saleshub.may_administer()) OR member_id = (SELECT saleshub.member_id())));
