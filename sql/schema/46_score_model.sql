-- Models that tell the chance of leads and deals, trained on what became of earlier ones.

CREATE TABLE IF NOT EXISTS crm.score_model (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    score_model_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    entity text NOT NULL,
    version integer NOT NULL,
    state text NOT NULL,
    model jsonb NOT NULL,
    calibration jsonb NOT NULL DEFAULT '{"shift": 0, "scale": 1}',
    card jsonb NOT NULL,
    cutoff timestamptz NOT NULL,
    trained_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    trained_by uuid,
    retired_at timestamptz,
    PRIMARY KEY (org_id, score_model_id),
    CONSTRAINT score_model_entity_check CHECK (entity IN ('lead', 'deal')),
    CONSTRAINT score_model_state_check CHECK (
        state IN ('champion', 'challenger', 'retired', 'insufficient'))
);

COMMENT ON TABLE crm.score_model IS
    'Trained models: the champion gives leads or deals their chance; written by crm.score_train.';
COMMENT ON COLUMN crm.score_model.entity IS 'What it is about: lead or deal.';
COMMENT ON COLUMN crm.score_model.version IS
    'Counts models and recalibrations of the entity; records say by which their chance was told.';
COMMENT ON COLUMN crm.score_model.state IS
    'champion: in use; challenger: not better than it on later records; retired: replaced; insufficient: too few outcomes, or no better than the base rate.';
COMMENT ON COLUMN crm.score_model.model IS 'What saleshub.logit_train returned.';
COMMENT ON COLUMN crm.score_model.calibration IS
    'Log odds of the model are multiplied by scale, then shift is added.';
COMMENT ON COLUMN crm.score_model.card IS 'What is known of how good it is.';
COMMENT ON COLUMN crm.score_model.cutoff IS
    'No record younger than this was trained on, nor used for the calibration.';
COMMENT ON COLUMN crm.score_model.trained_by IS 'The member; NULL: a superuser or the worker.';

CREATE UNIQUE INDEX IF NOT EXISTS score_model_version_key
    ON crm.score_model (org_id, entity, version);
CREATE UNIQUE INDEX IF NOT EXISTS score_model_champion_key
    ON crm.score_model (org_id, entity) WHERE state = 'champion';

CREATE OR REPLACE TRIGGER score_model_50_changed
    AFTER INSERT OR UPDATE OR DELETE ON crm.score_model
    FOR EACH ROW EXECUTE FUNCTION saleshub.score_model_changed();

SELECT saleshub.protect('crm.score_model', 'SELECT');

CREATE OR REPLACE TRIGGER lead_25_probability
    BEFORE INSERT OR UPDATE ON crm.lead
    FOR EACH ROW EXECUTE FUNCTION saleshub.probability();
CREATE OR REPLACE TRIGGER deal_05_score_lock
    BEFORE INSERT OR UPDATE ON crm.deal
    FOR EACH STATEMENT EXECUTE FUNCTION saleshub.lead_score_lock();
CREATE OR REPLACE TRIGGER deal_25_probability
    BEFORE INSERT OR UPDATE ON crm.deal
    FOR EACH ROW EXECUTE FUNCTION saleshub.probability();

CREATE OR REPLACE TRIGGER activity_link_70_probability_insert
    AFTER INSERT ON crm.activity_link REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION saleshub.probability_follow();
CREATE OR REPLACE TRIGGER activity_link_70_probability_delete
    AFTER DELETE ON crm.activity_link REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION saleshub.probability_follow();
CREATE OR REPLACE TRIGGER activity_70_probability
    AFTER UPDATE OF deleted_at ON crm.activity
    FOR EACH ROW WHEN (OLD.deleted_at IS DISTINCT FROM NEW.deleted_at)
    EXECUTE FUNCTION saleshub.probability_follow_bin();
