-- Trainings that a worker does, and what it does for models between them.

CREATE TABLE IF NOT EXISTS crm.score_training (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    score_training_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    entity text NOT NULL,
    horizon interval,
    state text NOT NULL DEFAULT 'queued',
    pid integer,
    cancel boolean NOT NULL DEFAULT false,
    fault jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by uuid,
    started_at timestamptz,
    finished_at timestamptz,
    PRIMARY KEY (org_id, score_training_id),
    CONSTRAINT score_training_entity_check CHECK (entity IN ('lead', 'deal')),
    CONSTRAINT score_training_state_check CHECK (
        state IN ('queued', 'running', 'done', 'failed', 'cancelled'))
);

COMMENT ON TABLE crm.score_training IS 'Trainings of models that were asked for, by members or by the schedule.';
COMMENT ON COLUMN crm.score_training.pid IS 'The process that does it.';
COMMENT ON COLUMN crm.score_training.cancel IS 'Somebody wants it to stop.';
COMMENT ON COLUMN crm.score_training.fault IS 'Why it failed: {code, detail}.';
COMMENT ON COLUMN crm.score_training.created_by IS 'The member; NULL: the schedule.';

CREATE INDEX IF NOT EXISTS score_training_entity_idx
    ON crm.score_training (org_id, entity, score_training_id);
CREATE UNIQUE INDEX IF NOT EXISTS score_training_active_key
    ON crm.score_training (org_id, entity) WHERE state IN ('queued', 'running');

SELECT saleshub.protect('crm.score_training', 'SELECT');

CREATE TABLE IF NOT EXISTS crm.score_upkeep (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    entity text NOT NULL,
    automatic boolean NOT NULL DEFAULT true,
    rescore_after uuid,
    aged_until timestamptz NOT NULL DEFAULT now(),
    looked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, entity),
    CONSTRAINT score_upkeep_entity_check CHECK (entity IN ('lead', 'deal'))
);

COMMENT ON TABLE crm.score_upkeep IS 'How the models of an organisation are looked after, since there is one.';
COMMENT ON COLUMN crm.score_upkeep.automatic IS
    'Whether the worker recalibrates and trains by itself.';
COMMENT ON COLUMN crm.score_upkeep.rescore_after IS
    'Records after this id still have the chance of an older model; NULL: none.';
COMMENT ON COLUMN crm.score_upkeep.aged_until IS
    'Records that reached an age by then have the chance of that age.';
COMMENT ON COLUMN crm.score_upkeep.looked_at IS
    'When the worker last looked whether anything is to be done.';

SELECT saleshub.protect('crm.score_upkeep', 'SELECT');

CREATE OR REPLACE VIEW saleshub.score_train_progress AS
    SELECT * FROM saleshub.score_trainings_running();
COMMENT ON VIEW saleshub.score_train_progress IS
    'Trainings under way: who does them, and how far they have come.';
GRANT SELECT ON saleshub.score_train_progress TO saleshub_user;
