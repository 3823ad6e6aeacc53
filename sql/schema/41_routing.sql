-- Routing: pools of members who share new leads, and the log of every assignment.

CREATE TABLE IF NOT EXISTS crm.routing_pool (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    routing_pool_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    name text NOT NULL,
    is_default boolean NOT NULL DEFAULT false,
    active boolean NOT NULL DEFAULT true,
    position integer NOT NULL DEFAULT 1,
    turn bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, routing_pool_id),
    CONSTRAINT routing_pool_name_given CHECK (btrim(name) <> '' AND length(name) <= 200)
) WITH (fillfactor = 50);

COMMENT ON TABLE crm.routing_pool IS
    'Pools of members; the first active one by position receives leads without an owner. Its row lock orders the assignments.';
COMMENT ON COLUMN crm.routing_pool.is_default IS 'The pool that new reps and managers join.';
COMMENT ON COLUMN crm.routing_pool.turn IS 'Number of leads the pool has given out.';

CREATE UNIQUE INDEX IF NOT EXISTS routing_pool_name_key ON crm.routing_pool (org_id, lower(name));
CREATE UNIQUE INDEX IF NOT EXISTS routing_pool_default_key ON crm.routing_pool (org_id)
    WHERE is_default;

CREATE TABLE IF NOT EXISTS crm.routing_pool_member (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    routing_pool_id uuid NOT NULL,
    member_id uuid NOT NULL,
    weight integer NOT NULL DEFAULT 1,
    active boolean NOT NULL DEFAULT true,
    current bigint NOT NULL DEFAULT 0,
    last_turn bigint NOT NULL DEFAULT 0,
    last_assigned_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, routing_pool_id, member_id),
    CONSTRAINT routing_pool_member_weight_check CHECK (weight BETWEEN 0 AND 1000)
) WITH (fillfactor = 50);

COMMENT ON TABLE crm.routing_pool_member IS
    'Who shares in a pool: of every sum-of-weights leads in a row each member gets as many as its weight.';
COMMENT ON COLUMN crm.routing_pool_member.active IS 'False pauses the member in this pool.';
COMMENT ON COLUMN crm.routing_pool_member.current IS
    'State of the smooth weighted round robin: grows by the weight at each assignment, and falls by the sum of weights when it is this member''s turn.';
COMMENT ON COLUMN crm.routing_pool_member.last_turn IS 'Turn of the pool at which this member got a lead last.';

CREATE INDEX IF NOT EXISTS routing_pool_member_member_idx
    ON crm.routing_pool_member (org_id, member_id);

CREATE OR REPLACE TRIGGER routing_pool_10_check
    BEFORE INSERT OR DELETE OR UPDATE OF name, is_default, active, position ON crm.routing_pool
    FOR EACH ROW EXECUTE FUNCTION saleshub.routing_check();
CREATE OR REPLACE TRIGGER routing_pool_member_10_check
    BEFORE INSERT OR DELETE OR UPDATE OF weight, active ON crm.routing_pool_member
    FOR EACH ROW EXECUTE FUNCTION saleshub.routing_check();
CREATE OR REPLACE TRIGGER routing_pool_member_20_return
    BEFORE INSERT OR UPDATE OF weight, active ON crm.routing_pool_member
    FOR EACH ROW EXECUTE FUNCTION saleshub.routing_pool_member_return();

-- Whose turn it is, nobody sets by hand.
SELECT saleshub.protect('crm.routing_pool', 'SELECT, DELETE');
GRANT INSERT (org_id, routing_pool_id, name, is_default, active, position),
      UPDATE (name, is_default, active, position) ON crm.routing_pool TO saleshub_user;
SELECT saleshub.protect('crm.routing_pool_member', 'SELECT, DELETE');
GRANT INSERT (org_id, routing_pool_id, member_id, weight, active), UPDATE (weight, active)
   ON crm.routing_pool_member TO saleshub_user;

CREATE TABLE IF NOT EXISTS crm.assignment_log (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    assignment_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    lead_id uuid NOT NULL,
    pool_id uuid,
    member_id uuid,
    reason text NOT NULL,
    candidates jsonb NOT NULL DEFAULT '[]',
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, assignment_id)
);

COMMENT ON TABLE crm.assignment_log IS 'Who got which lead and why, and why nobody; written by the routing only.';
COMMENT ON COLUMN crm.assignment_log.member_id IS 'The new owner; NULL when the lead stayed without one.';
COMMENT ON COLUMN crm.assignment_log.candidates IS
    'The members of the pool: {member_id, eligible, reason of the exclusion, weight}.';

CREATE INDEX IF NOT EXISTS assignment_log_lead_idx
    ON crm.assignment_log (org_id, lead_id, assignment_id);

SELECT saleshub.protect('crm.assignment_log', 'SELECT');

CREATE OR REPLACE TRIGGER lead_30_route
    BEFORE INSERT ON crm.lead
    FOR EACH ROW EXECUTE FUNCTION saleshub.lead_route();
CREATE OR REPLACE TRIGGER lead_30_route_flush
    AFTER INSERT ON crm.lead REFERENCING NEW TABLE AS newrows
    FOR EACH STATEMENT EXECUTE FUNCTION saleshub.lead_route_flush();

CREATE OR REPLACE TRIGGER member_60_join_pool
    AFTER INSERT ON crm.member
    FOR EACH ROW WHEN (NEW.role IN ('rep', 'manager'))
    EXECUTE FUNCTION saleshub.member_join_pool();
CREATE OR REPLACE TRIGGER member_60_join_pool_later
    AFTER UPDATE OF role ON crm.member
    FOR EACH ROW WHEN (NEW.role IN ('rep', 'manager') AND OLD.role NOT IN ('rep', 'manager'))
    EXECUTE FUNCTION saleshub.member_join_pool();
