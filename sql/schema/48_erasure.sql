-- Who asked to be forgotten, in a form that names nobody, so that it can be done again on a backup.
CREATE TABLE IF NOT EXISTS crm.erasure (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    erasure_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    salt bytea NOT NULL,
    email_hash bytea,
    records jsonb NOT NULL,
    reason text,
    result jsonb NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    actor_id uuid,
    request_id text,
    PRIMARY KEY (org_id, erasure_id)
);
COMMENT ON TABLE crm.erasure IS
    'What was erased, when and by whom. Keep copies of it apart from the backups: they are younger.';
COMMENT ON COLUMN crm.erasure.email_hash IS
    'SHA-256 of the salt and the address in lower case; NULL when none was known.';
COMMENT ON COLUMN crm.erasure.records IS 'The records about the person: [{type, id}].';
COMMENT ON COLUMN crm.erasure.result IS 'How many rows of each kind were emptied or removed.';
SELECT saleshub.protect('crm.erasure', '');

ALTER TABLE saleshub.event_state ADD COLUMN IF NOT EXISTS erased_in text;
UPDATE saleshub.event_state SET erased_in = identity WHERE erased_in IS NULL;
COMMENT ON COLUMN saleshub.event_state.erased_in IS
    'The identity in which erasures were done last; another one is a restored database.';
