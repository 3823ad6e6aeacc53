-- Leads that nobody got, what may end their waiting, and how routing treats them.

CREATE TABLE IF NOT EXISTS crm.routing_queue (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    lead_id uuid NOT NULL,
    pool_id uuid,
    kind text NOT NULL DEFAULT 'waiting',
    reason text NOT NULL,
    candidates jsonb NOT NULL DEFAULT '[]',
    since timestamptz NOT NULL DEFAULT now(),
    tried bigint NOT NULL DEFAULT 0,
    tried_at timestamptz,
    next_try_at timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (org_id, lead_id),
    CONSTRAINT routing_queue_kind_check CHECK (kind IN ('waiting', 'manager'))
);

COMMENT ON TABLE crm.routing_queue IS
    'Open leads without an owner: why nobody got them, and since when. Routing gives them to the first who can take them.';
COMMENT ON COLUMN crm.routing_queue.pool_id IS 'The pool that had nobody; NULL: there was no active pool.';
COMMENT ON COLUMN crm.routing_queue.kind IS
    'waiting: routing tries again; manager: routing gave up, an admin or manager decides.';
COMMENT ON COLUMN crm.routing_queue.candidates IS
    'Who was thought of when it was tried last: {member_id, eligible, reason of the exclusion, weight}.';
COMMENT ON COLUMN crm.routing_queue.tried IS
    'Turn of the pool''s changes at the last try.';
COMMENT ON COLUMN crm.routing_queue.next_try_at IS
    'When to try again in any case: at once when the lead came or changed, else when an absence ends, or working hours or a day begin.';

CREATE INDEX IF NOT EXISTS routing_queue_since_idx ON crm.routing_queue (org_id, since, lead_id);
CREATE INDEX IF NOT EXISTS routing_queue_next_idx ON crm.routing_queue (org_id, next_try_at)
    WHERE kind = 'waiting';
CREATE INDEX IF NOT EXISTS routing_queue_tried_idx ON crm.routing_queue (org_id, pool_id, tried)
    WHERE kind = 'waiting';
SELECT saleshub.protect('crm.routing_queue', 'SELECT');
-- The pools of reps; admins and managers see the whole queue.
SELECT saleshub.visible_rows('crm.routing_queue', ARRAY['SELECT'],
    '(SELECT saleshub.may_manage())
     OR kind = ''waiting'' AND pool_id = ANY ((SELECT saleshub.member_pools())::uuid[])');

CREATE TABLE IF NOT EXISTS saleshub.routing_wake (
    org_id uuid NOT NULL,
    wake_id bigint GENERATED ALWAYS AS IDENTITY,
    member_id uuid,
    PRIMARY KEY (org_id, wake_id)
);
COMMENT ON TABLE saleshub.routing_wake IS
    'Changes after which leads in the queue may find somebody; short-lived.';
COMMENT ON COLUMN saleshub.routing_wake.member_id IS 'Who can take more now; NULL: rules or pools changed.';
SELECT saleshub.protect('saleshub.routing_wake', '');

CREATE TABLE IF NOT EXISTS saleshub.routing_state (
    org_id uuid NOT NULL,
    pool_id uuid NOT NULL,
    changes bigint NOT NULL DEFAULT 1,
    is_open boolean NOT NULL,
    pending boolean NOT NULL DEFAULT true,
    next_at timestamptz NOT NULL,
    PRIMARY KEY (org_id, pool_id)
);
COMMENT ON TABLE saleshub.routing_state IS
    'For each pool that leads wait for: whether anybody of it can take leads, and when that may change by itself.';
COMMENT ON COLUMN saleshub.routing_state.changes IS 'Grows when leads that were tried are to be tried again.';
COMMENT ON COLUMN saleshub.routing_state.pending IS 'Whether leads may be left to try.';
SELECT saleshub.protect('saleshub.routing_state', '');

CREATE TABLE IF NOT EXISTS crm.routing_setting (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    queue_order text NOT NULL DEFAULT 'oldest',
    points jsonb NOT NULL DEFAULT '{}',
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by uuid,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by uuid,
    PRIMARY KEY (org_id),
    CONSTRAINT routing_setting_queue_order_check CHECK (queue_order IN ('oldest', 'score'))
);
COMMENT ON TABLE crm.routing_setting IS 'How routing treats an organisation''s leads.';
COMMENT ON COLUMN crm.routing_setting.queue_order IS
    'Which waiting lead is tried first: the oldest, or the one with the best score.';
COMMENT ON COLUMN crm.routing_setting.points IS
    'What a lead of a grade (A to E, none) weighs where a capacity is in points: {"A": 5}; 1 unless named.';

CREATE OR REPLACE TRIGGER routing_setting_10_check
    BEFORE INSERT OR UPDATE OR DELETE ON crm.routing_setting
    FOR EACH ROW EXECUTE FUNCTION saleshub.routing_check();
SELECT saleshub.protect('crm.routing_setting', 'SELECT, INSERT, UPDATE');
SELECT saleshub.capture_on('crm.routing_setting', 'routing_setting', 'org_id');

-- What may make somebody eligible.
CREATE OR REPLACE TRIGGER lead_60_assigned
    AFTER UPDATE ON crm.lead
    FOR EACH ROW WHEN (OLD.owner_id IS DISTINCT FROM NEW.owner_id
                       OR OLD.status IS DISTINCT FROM NEW.status
                       OR OLD.deleted_at IS DISTINCT FROM NEW.deleted_at
                       OR NEW.owner_id IS NULL)
    EXECUTE FUNCTION saleshub.lead_assigned();
CREATE OR REPLACE TRIGGER member_70_wake
    AFTER UPDATE OF active, role, timezone, deleted_at ON crm.member
    FOR EACH ROW WHEN ((OLD.active, OLD.role, OLD.timezone, OLD.deleted_at)
                       IS DISTINCT FROM (NEW.active, NEW.role, NEW.timezone, NEW.deleted_at))
    EXECUTE FUNCTION saleshub.routing_wake_member();
CREATE OR REPLACE TRIGGER routing_pool_member_70_wake
    AFTER INSERT OR UPDATE OF weight, active ON crm.routing_pool_member
    FOR EACH ROW EXECUTE FUNCTION saleshub.routing_wake_member();
CREATE OR REPLACE TRIGGER routing_member_70_wake
    AFTER INSERT OR UPDATE OR DELETE ON crm.routing_member
    FOR EACH ROW EXECUTE FUNCTION saleshub.routing_wake_member();
-- Also one that goes to somebody: a place served more closely leaves the others out.
CREATE OR REPLACE TRIGGER routing_territory_70_wake
    AFTER INSERT OR UPDATE OR DELETE ON crm.routing_territory
    FOR EACH ROW EXECUTE FUNCTION saleshub.routing_wake_all();
CREATE OR REPLACE TRIGGER absence_70_wake
    AFTER INSERT OR UPDATE OR DELETE ON crm.absence
    FOR EACH ROW EXECUTE FUNCTION saleshub.routing_wake_member();
CREATE OR REPLACE TRIGGER routing_pool_70_wake
    AFTER INSERT OR DELETE
        OR UPDATE OF is_default, active, position, method, outside_hours, routing_calendar_id
    ON crm.routing_pool
    FOR EACH ROW EXECUTE FUNCTION saleshub.routing_wake_all();
CREATE OR REPLACE TRIGGER routing_rule_70_wake
    AFTER INSERT OR UPDATE OR DELETE ON crm.routing_rule
    FOR EACH ROW EXECUTE FUNCTION saleshub.routing_wake_all();
CREATE OR REPLACE TRIGGER routing_calendar_70_wake
    AFTER UPDATE ON crm.routing_calendar
    FOR EACH ROW EXECUTE FUNCTION saleshub.routing_wake_all();
CREATE OR REPLACE TRIGGER routing_setting_70_wake
    AFTER INSERT OR UPDATE ON crm.routing_setting
    FOR EACH ROW EXECUTE FUNCTION saleshub.routing_wake_all();
