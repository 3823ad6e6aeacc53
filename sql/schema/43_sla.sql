-- How soon leads are to be answered, and whether they were.

CREATE TABLE IF NOT EXISTS crm.sla_policy (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    sla_policy_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    name text NOT NULL,
    routing_pool_id uuid,
    routing_rule_id uuid,
    grades text[] NOT NULL DEFAULT '{}',
    target_minutes integer NOT NULL,
    notify_minutes integer,
    calendar text NOT NULL DEFAULT 'member',
    pause_statuses text[] NOT NULL DEFAULT '{nurturing}',
    max_hops integer,
    position integer NOT NULL DEFAULT 0,
    active boolean NOT NULL DEFAULT true,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by uuid,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by uuid,
    PRIMARY KEY (org_id, sla_policy_id),
    CONSTRAINT sla_policy_name_given CHECK (btrim(name) <> '' AND length(name) <= 200),
    CONSTRAINT sla_policy_target_minutes_check CHECK (target_minutes BETWEEN 1 AND 525600),
    CONSTRAINT sla_policy_notify_minutes_check CHECK (notify_minutes BETWEEN 1 AND target_minutes - 1),
    CONSTRAINT sla_policy_calendar_check CHECK (calendar IN ('member', 'pool', 'always')),
    CONSTRAINT sla_policy_max_hops_check CHECK (max_hops BETWEEN 0 AND 100)
);

COMMENT ON TABLE crm.sla_policy IS
    'How soon an owner is to answer a lead: the first active policy by position that fits counts.';
COMMENT ON COLUMN crm.sla_policy.routing_pool_id IS 'Only leads that came by this pool; NULL: all.';
COMMENT ON COLUMN crm.sla_policy.routing_rule_id IS 'Only leads that came by this rule; NULL: all.';
COMMENT ON COLUMN crm.sla_policy.grades IS 'Only leads of these grades; empty: all.';
COMMENT ON COLUMN crm.sla_policy.target_minutes IS 'Working time from assignment to the first response.';
COMMENT ON COLUMN crm.sla_policy.notify_minutes IS 'Tell of it when so much working time is left; NULL: do not.';
COMMENT ON COLUMN crm.sla_policy.calendar IS
    'Whose working hours count: those of the member (else of the pool), those of the pool, or always.';
COMMENT ON COLUMN crm.sla_policy.pause_statuses IS 'Statuses of the lead in which time stands still.';
COMMENT ON COLUMN crm.sla_policy.max_hops IS
    'How often an unanswered lead goes to somebody else before admins and managers decide; NULL: it stays where it is.';

CREATE INDEX IF NOT EXISTS sla_policy_position_idx ON crm.sla_policy (org_id, position, sla_policy_id);
CREATE INDEX IF NOT EXISTS sla_policy_pool_idx ON crm.sla_policy (org_id, routing_pool_id);
CREATE INDEX IF NOT EXISTS sla_policy_rule_idx ON crm.sla_policy (org_id, routing_rule_id);
CREATE OR REPLACE TRIGGER sla_policy_10_check
    BEFORE INSERT OR UPDATE OR DELETE ON crm.sla_policy
    FOR EACH ROW EXECUTE FUNCTION saleshub.routing_check();
SELECT saleshub.protect('crm.sla_policy', 'SELECT, INSERT, UPDATE, DELETE');
SELECT saleshub.capture_on('crm.sla_policy', 'sla_policy', 'sla_policy_id');

CREATE TABLE IF NOT EXISTS crm.sla_timer (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    sla_timer_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    lead_id uuid NOT NULL,
    member_id uuid NOT NULL,
    sla_policy_id uuid NOT NULL,
    policy text NOT NULL,
    pool_id uuid,
    calendar text NOT NULL,
    pause_statuses text[] NOT NULL,
    max_hops integer,
    hop integer NOT NULL DEFAULT 0,
    target_seconds integer NOT NULL,
    notify_seconds integer,
    state text NOT NULL,
    assigned_at timestamptz NOT NULL DEFAULT now(),
    counted_from timestamptz NOT NULL DEFAULT now(),
    used_seconds numeric NOT NULL DEFAULT 0,
    due_at timestamptz,
    notify_at timestamptz,
    notified_at timestamptz,
    breached_at timestamptz,
    responded_at timestamptz,
    response_seconds numeric,
    activity_id uuid,
    ended_at timestamptz,
    end_reason text,
    PRIMARY KEY (org_id, sla_timer_id),
    CONSTRAINT sla_timer_state_check CHECK (state IN ('running', 'paused', 'met', 'breached', 'stopped'))
);

COMMENT ON TABLE crm.sla_timer IS
    'For each assignment of a lead that a policy covers: when a response was due, and when it came.';
COMMENT ON COLUMN crm.sla_timer.policy IS 'Name of the policy; its terms are those at the assignment.';
COMMENT ON COLUMN crm.sla_timer.hop IS 'How often the lead had been taken on for want of a response.';
COMMENT ON COLUMN crm.sla_timer.state IS
    'running, paused, met (answered in time), breached (not answered in time), stopped (given to somebody else, closed or deleted before it was due).';
COMMENT ON COLUMN crm.sla_timer.used_seconds IS 'Working time that had passed at counted_from.';
COMMENT ON COLUMN crm.sla_timer.response_seconds IS
    'Working time from the assignment to the first response, without pauses.';
COMMENT ON COLUMN crm.sla_timer.activity_id IS 'The call, e-mail or meeting that was the response.';

CREATE UNIQUE INDEX IF NOT EXISTS sla_timer_open_key ON crm.sla_timer (org_id, lead_id)
    WHERE state IN ('running', 'paused');
CREATE INDEX IF NOT EXISTS sla_timer_lead_idx ON crm.sla_timer (org_id, lead_id, sla_timer_id);
CREATE INDEX IF NOT EXISTS sla_timer_due_idx ON crm.sla_timer (org_id, due_at) WHERE state = 'running';
CREATE INDEX IF NOT EXISTS sla_timer_notify_idx ON crm.sla_timer (org_id, notify_at)
    WHERE state = 'running' AND notified_at IS NULL;
CREATE INDEX IF NOT EXISTS sla_timer_breached_idx ON crm.sla_timer (org_id, breached_at, sla_timer_id)
    WHERE breached_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS sla_timer_member_idx ON crm.sla_timer (org_id, member_id, assigned_at);
SELECT saleshub.protect('crm.sla_timer', 'SELECT');
SELECT saleshub.visible_rows('crm.sla_timer', ARRAY['SELECT'],
    '(SELECT saleshub.sees_all(''lead'')) OR saleshub.record_visible(''lead'', lead_id)');

CREATE OR REPLACE TRIGGER lead_40_sla
    AFTER INSERT ON crm.lead REFERENCING NEW TABLE AS newrows
    FOR EACH STATEMENT EXECUTE FUNCTION saleshub.sla_leads_came();
CREATE OR REPLACE TRIGGER activity_link_60_sla
    AFTER INSERT ON crm.activity_link REFERENCING NEW TABLE AS newrows
    FOR EACH STATEMENT EXECUTE FUNCTION saleshub.sla_linked();
-- After activity_60_score, which locks the leads: timers are locked after their leads.
CREATE OR REPLACE TRIGGER activity_60_sla
    AFTER UPDATE ON crm.activity REFERENCING OLD TABLE AS oldrows NEW TABLE AS newrows
    FOR EACH STATEMENT EXECUTE FUNCTION saleshub.sla_activity_done();
