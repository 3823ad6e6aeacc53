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

ALTER TABLE crm.routing_pool
    ADD COLUMN IF NOT EXISTS method text NOT NULL DEFAULT 'weighted_round_robin'
        CONSTRAINT routing_pool_method_check CHECK (method IN (
            'weighted_round_robin', 'least_recently_assigned', 'load_balance')),
    ADD COLUMN IF NOT EXISTS outside_hours text NOT NULL DEFAULT 'skip'
        CONSTRAINT routing_pool_outside_hours_check CHECK (outside_hours IN ('skip', 'next_open')),
    ADD COLUMN IF NOT EXISTS routing_calendar_id uuid;

COMMENT ON COLUMN crm.routing_pool.method IS
    'weighted_round_robin: exact shares by weight; least_recently_assigned: who waits longest; load_balance: who has most room below the capacity.';
COMMENT ON COLUMN crm.routing_pool.outside_hours IS
    'skip: members outside their working hours get nothing; next_open: when nobody works, who will work first gets it.';
COMMENT ON COLUMN crm.routing_pool.routing_calendar_id IS
    'Working hours of members who have none of their own, in their own time zone unless it names one.';

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
    BEFORE INSERT OR DELETE
        OR UPDATE OF name, is_default, active, position, method, outside_hours, routing_calendar_id
    ON crm.routing_pool
    FOR EACH ROW EXECUTE FUNCTION saleshub.routing_check();
CREATE OR REPLACE TRIGGER routing_pool_member_10_check
    BEFORE INSERT OR DELETE OR UPDATE OF weight, active ON crm.routing_pool_member
    FOR EACH ROW EXECUTE FUNCTION saleshub.routing_check();
CREATE OR REPLACE TRIGGER routing_pool_member_20_return
    BEFORE INSERT OR UPDATE OF weight, active ON crm.routing_pool_member
    FOR EACH ROW EXECUTE FUNCTION saleshub.routing_pool_member_return();

-- Whose turn it is, nobody sets by hand.
SELECT saleshub.protect('crm.routing_pool', 'SELECT, DELETE');
GRANT INSERT (org_id, routing_pool_id, name, is_default, active, position, method, outside_hours,
              routing_calendar_id),
      UPDATE (name, is_default, active, position, method, outside_hours, routing_calendar_id)
   ON crm.routing_pool TO saleshub_user;
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
    candidates jsonb DEFAULT '[]',
    at timestamptz NOT NULL DEFAULT now(),
    rule_id uuid,
    by_hand boolean NOT NULL DEFAULT false,
    assignment_candidates_id uuid,
    PRIMARY KEY (org_id, lead_id, assignment_id)
);

COMMENT ON TABLE crm.assignment_log IS
    'Who got which lead and why, and why nobody, by routing; and who was given one later by hand.';
COMMENT ON COLUMN crm.assignment_log.rule_id IS 'The rule that named the pool; NULL: it was the first pool.';
COMMENT ON COLUMN crm.assignment_log.by_hand IS
    'Whether somebody chose the member; such a lead counts towards the capacity, not towards the quota.';
COMMENT ON COLUMN crm.assignment_log.member_id IS 'The new owner; NULL when the lead stayed without one.';
COMMENT ON COLUMN crm.assignment_log.candidates IS
    'The members of the pool: {member_id, eligible, reason of the exclusion, weight}; NULL: they stand in crm.assignment_candidates.';
COMMENT ON COLUMN crm.assignment_log.assignment_candidates_id IS
    'Where the candidates stand that many leads of one statement had in common.';

SELECT saleshub.protect('crm.assignment_log', 'SELECT');

CREATE TABLE IF NOT EXISTS crm.assignment_candidates (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    assignment_candidates_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    candidates jsonb NOT NULL,
    PRIMARY KEY (org_id, assignment_candidates_id)
);

COMMENT ON TABLE crm.assignment_candidates IS
    'Whom routing thought of, where that was the same for many leads of one statement; crm.lead_assignments puts it to each lead.';

SELECT saleshub.protect('crm.assignment_candidates', 'SELECT');

-- For the quota of a day.
CREATE INDEX IF NOT EXISTS assignment_log_member_idx
    ON crm.assignment_log (org_id, member_id, at) WHERE member_id IS NOT NULL;

-- For the load of a member.
CREATE INDEX IF NOT EXISTS lead_open_owner_idx ON crm.lead (org_id, owner_id)
    WHERE deleted_at IS NULL AND status IN ('new', 'working', 'nurturing', 'qualified');

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

CREATE TABLE IF NOT EXISTS crm.routing_calendar (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    routing_calendar_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    name text NOT NULL,
    timezone text,
    hours jsonb NOT NULL,
    holidays date[] NOT NULL DEFAULT '{}',
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by uuid,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by uuid,
    PRIMARY KEY (org_id, routing_calendar_id),
    CONSTRAINT routing_calendar_name_given CHECK (btrim(name) <> '' AND length(name) <= 200),
    CONSTRAINT routing_calendar_hours_check CHECK (jsonb_typeof(hours) = 'array'),
    CONSTRAINT routing_calendar_holidays_check CHECK (array_position(holidays, NULL) IS NULL)
);

COMMENT ON TABLE crm.routing_calendar IS 'Working hours: weekly spans of local time, and holidays.';
COMMENT ON COLUMN crm.routing_calendar.timezone IS
    'IANA name; NULL: the time zone of the member whose hours are asked for.';
COMMENT ON COLUMN crm.routing_calendar.hours IS
    'Array of {"day": 1 (Monday) to 7, "from": "09:00", "to": "17:30"}; "to" may be "24:00".';

CREATE OR REPLACE TRIGGER routing_calendar_10_check
    BEFORE INSERT OR UPDATE ON crm.routing_calendar
    FOR EACH ROW EXECUTE FUNCTION saleshub.routing_calendar_check();
CREATE OR REPLACE TRIGGER routing_calendar_11_check
    BEFORE INSERT OR UPDATE OR DELETE ON crm.routing_calendar
    FOR EACH ROW EXECUTE FUNCTION saleshub.routing_check();
SELECT saleshub.protect('crm.routing_calendar', 'SELECT, INSERT, UPDATE, DELETE');
SELECT saleshub.capture_on('crm.routing_calendar', 'routing_calendar', 'routing_calendar_id');

CREATE TABLE IF NOT EXISTS crm.routing_rule (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    routing_rule_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    name text NOT NULL,
    predicate jsonb NOT NULL,
    routing_pool_id uuid NOT NULL,
    skills text[] NOT NULL DEFAULT '{}',
    position integer NOT NULL DEFAULT 0,
    active boolean NOT NULL DEFAULT true,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by uuid,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by uuid,
    PRIMARY KEY (org_id, routing_rule_id),
    CONSTRAINT routing_rule_name_given CHECK (btrim(name) <> '' AND length(name) <= 200)
);

COMMENT ON TABLE crm.routing_rule IS
    'Which pool gets a lead: the first active rule by position whose predicate holds; when none does, the first active pool.';
COMMENT ON COLUMN crm.routing_rule.predicate IS
    'When the rule holds: {field, op, value}, {and: []}, {or: []} or {not: {}} over the columns of a lead.';
COMMENT ON COLUMN crm.routing_rule.skills IS 'What a member must know to get the lead.';

CREATE INDEX IF NOT EXISTS routing_rule_position_idx
    ON crm.routing_rule (org_id, position, routing_rule_id);
CREATE INDEX IF NOT EXISTS routing_rule_pool_idx ON crm.routing_rule (org_id, routing_pool_id);

CREATE OR REPLACE TRIGGER routing_rule_10_check
    BEFORE INSERT OR UPDATE OR DELETE ON crm.routing_rule
    FOR EACH ROW EXECUTE FUNCTION saleshub.routing_check();
CREATE OR REPLACE TRIGGER routing_rule_11_check
    BEFORE INSERT OR UPDATE ON crm.routing_rule
    FOR EACH ROW EXECUTE FUNCTION saleshub.routing_rule_check();
SELECT saleshub.protect('crm.routing_rule', 'SELECT, INSERT, UPDATE, DELETE');
SELECT saleshub.capture_on('crm.routing_rule', 'routing_rule', 'routing_rule_id');

CREATE TABLE IF NOT EXISTS crm.routing_member (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    member_id uuid NOT NULL,
    skills text[] NOT NULL DEFAULT '{}',
    capacity integer,
    capacity_unit text NOT NULL DEFAULT 'leads',
    daily_quota integer,
    routing_calendar_id uuid,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by uuid,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by uuid,
    PRIMARY KEY (org_id, member_id),
    CONSTRAINT routing_member_capacity_check CHECK (capacity BETWEEN 0 AND 100000),
    CONSTRAINT routing_member_capacity_unit_check CHECK (capacity_unit IN ('leads', 'points')),
    CONSTRAINT routing_member_daily_quota_check CHECK (daily_quota BETWEEN 0 AND 100000)
);

COMMENT ON TABLE crm.routing_member IS 'What a member can take, in every pool.';
COMMENT ON COLUMN crm.routing_member.capacity IS 'Open leads, or points of them, at most; NULL: no limit.';
COMMENT ON COLUMN crm.routing_member.capacity_unit IS
    'leads: each counts as one; points: as much as crm.routing_setting says of its grade.';
COMMENT ON COLUMN crm.routing_member.daily_quota IS
    'Leads given by routing at most, per day of the member''s time zone; NULL: no limit.';
COMMENT ON COLUMN crm.routing_member.routing_calendar_id IS
    'Working hours; NULL: those of the pool, else always.';

CREATE OR REPLACE TRIGGER routing_member_10_check
    BEFORE INSERT OR UPDATE OR DELETE ON crm.routing_member
    FOR EACH ROW EXECUTE FUNCTION saleshub.routing_check();
CREATE OR REPLACE TRIGGER routing_member_11_check
    BEFORE INSERT OR UPDATE ON crm.routing_member
    FOR EACH ROW EXECUTE FUNCTION saleshub.routing_member_check();
SELECT saleshub.protect('crm.routing_member', 'SELECT, INSERT, UPDATE, DELETE');
SELECT saleshub.capture_on('crm.routing_member', 'routing_member', 'member_id');

CREATE TABLE IF NOT EXISTS crm.routing_territory (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    routing_territory_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    member_id uuid NOT NULL,
    country text NOT NULL,
    state text,
    city text,
    postal_from text,
    postal_to text,
    PRIMARY KEY (org_id, routing_territory_id),
    CONSTRAINT routing_territory_country_check CHECK (country ~ '^([A-Z]{2}|\*)$'),
    CONSTRAINT routing_territory_postal_check CHECK (
        (postal_from IS NULL) = (postal_to IS NULL) AND postal_from <= postal_to COLLATE "C"
        AND length(postal_from) = length(postal_to))
);

COMMENT ON TABLE crm.routing_territory IS
    'Places a member serves: a country (* is every one), a state of it, a city of either, or postal codes. Who has none serves every place.';
COMMENT ON COLUMN crm.routing_territory.state IS
    'NULL: all. A lead that names no state is in the one in which a territory has its city.';
COMMENT ON COLUMN crm.routing_territory.postal_from IS
    'First of the postal codes served, or what they begin with; without blanks and hyphens, in upper case.';
COMMENT ON COLUMN crm.routing_territory.postal_to IS
    'Last of them, as long as the first; the same for codes with one beginning.';

CREATE UNIQUE INDEX IF NOT EXISTS routing_territory_key ON crm.routing_territory
    (org_id, member_id, country, lower(coalesce(state, '')), lower(coalesce(city, '')),
     coalesce(postal_from, ''), coalesce(postal_to, ''));
CREATE INDEX IF NOT EXISTS routing_territory_city_idx
    ON crm.routing_territory (org_id, country, lower(city)) WHERE city IS NOT NULL;

CREATE OR REPLACE TRIGGER routing_territory_10_check
    BEFORE INSERT OR UPDATE OR DELETE ON crm.routing_territory
    FOR EACH ROW EXECUTE FUNCTION saleshub.routing_check();
SELECT saleshub.protect('crm.routing_territory', 'SELECT, INSERT, DELETE');

CREATE TABLE IF NOT EXISTS crm.absence (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    absence_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    member_id uuid NOT NULL,
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    note text,
    PRIMARY KEY (org_id, absence_id),
    CONSTRAINT absence_order_check CHECK (starts_at < ends_at)
);

COMMENT ON TABLE crm.absence IS 'When a member is away and is given no leads; the end is not part of it.';

CREATE INDEX IF NOT EXISTS absence_member_idx ON crm.absence (org_id, member_id, ends_at);

CREATE OR REPLACE TRIGGER absence_10_check
    BEFORE INSERT OR UPDATE OR DELETE ON crm.absence
    FOR EACH ROW EXECUTE FUNCTION saleshub.routing_check();
SELECT saleshub.protect('crm.absence', 'SELECT, INSERT, UPDATE, DELETE');
