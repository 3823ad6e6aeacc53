-- How long what was deleted, and the history of what was not, is kept.
CREATE TABLE IF NOT EXISTS crm.retention (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    entity text NOT NULL,
    bin_days integer,
    history_days integer,
    held boolean NOT NULL DEFAULT false,
    history_floor timestamptz,
    PRIMARY KEY (org_id, entity),
    CONSTRAINT retention_entity_check
        CHECK (entity IN ('lead', 'contact', 'company', 'deal', 'activity', 'product',
                          'attachment')),
    CONSTRAINT retention_bin_days_check CHECK (bin_days BETWEEN 0 AND 36500),
    CONSTRAINT retention_history_days_check CHECK (history_days BETWEEN 1 AND 36500)
);
COMMENT ON TABLE crm.retention IS
    'Per kind of record, how long deleted rows and history are kept; without a row, for ever.';
COMMENT ON COLUMN crm.retention.bin_days IS
    'Days after which a deleted row is removed for good; NULL: never.';
COMMENT ON COLUMN crm.retention.history_days IS
    'Days after which an entry of the change log is removed; NULL: never.';
COMMENT ON COLUMN crm.retention.held IS 'While true nothing of this kind is removed.';
COMMENT ON COLUMN crm.retention.history_floor IS
    'The history before this instant is not complete: nothing is shown as of then.';
SELECT saleshub.protect('crm.retention', 'SELECT');
