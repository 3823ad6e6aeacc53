-- Fiscal calendars: how an organisation divides its years.

CREATE TABLE IF NOT EXISTS crm.fiscal_calendar (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    fiscal_calendar_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    name text NOT NULL,
    kind text NOT NULL DEFAULT 'months',
    start_month integer NOT NULL DEFAULT 1,
    week_start integer NOT NULL DEFAULT 1,
    year_start text NOT NULL DEFAULT 'nearest',
    year_label text NOT NULL DEFAULT 'end',
    periods jsonb NOT NULL DEFAULT '[]',
    is_default boolean NOT NULL DEFAULT false,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by uuid,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by uuid,
    PRIMARY KEY (org_id, fiscal_calendar_id),
    CONSTRAINT fiscal_calendar_name_given CHECK (btrim(name) <> '' AND length(name) <= 100),
    CONSTRAINT fiscal_calendar_kind_check
        CHECK (kind IN ('months', '4-4-5', '4-5-4', '5-4-4', '13x4', 'table')),
    CONSTRAINT fiscal_calendar_start_month_check CHECK (start_month BETWEEN 1 AND 12),
    CONSTRAINT fiscal_calendar_week_start_check CHECK (week_start BETWEEN 1 AND 7),
    CONSTRAINT fiscal_calendar_year_start_check CHECK (year_start IN ('nearest', 'last')),
    CONSTRAINT fiscal_calendar_year_label_check CHECK (year_label IN ('start', 'end')),
    CONSTRAINT fiscal_calendar_periods_check CHECK ((kind = 'table') = (periods <> '[]'))
);

COMMENT ON TABLE crm.fiscal_calendar IS 'How years are divided into quarters and periods.';
COMMENT ON COLUMN crm.fiscal_calendar.kind IS
    'months: calendar months from start_month; 4-4-5, 4-5-4, 5-4-4: quarters of so many weeks; 13x4: 13 periods of four weeks; table: periods as listed.';
COMMENT ON COLUMN crm.fiscal_calendar.start_month IS
    'The month with which years begin, 1 is January; years of weeks begin near its first day.';
COMMENT ON COLUMN crm.fiscal_calendar.week_start IS 'First day of weeks, 1 is Monday, 7 Sunday.';
COMMENT ON COLUMN crm.fiscal_calendar.year_start IS
    'Of years of weeks: nearest begins on the week day nearest to the first day of start_month, last on the last one up to it. A 53rd week belongs to the last period.';
COMMENT ON COLUMN crm.fiscal_calendar.year_label IS
    'Whether a year is called by the calendar year in which it starts or by that in which it ends.';
COMMENT ON COLUMN crm.fiscal_calendar.periods IS
    'Of kind table: [{"label", "year", "quarter", "starts", "ends"}], dates, ends exclusive; sorted, without overlap.';
COMMENT ON COLUMN crm.fiscal_calendar.is_default IS
    'Taken by reports that name no calendar; one per organisation.';

CREATE UNIQUE INDEX IF NOT EXISTS fiscal_calendar_name_key
    ON crm.fiscal_calendar (org_id, lower(name));
CREATE UNIQUE INDEX IF NOT EXISTS fiscal_calendar_default_key ON crm.fiscal_calendar (org_id)
    WHERE is_default;

CREATE OR REPLACE TRIGGER fiscal_calendar_05_right
    BEFORE INSERT OR UPDATE OR DELETE ON crm.fiscal_calendar
    FOR EACH STATEMENT EXECUTE FUNCTION saleshub.setup_check();
CREATE OR REPLACE TRIGGER fiscal_calendar_10_check
    BEFORE INSERT OR UPDATE ON crm.fiscal_calendar
    FOR EACH ROW EXECUTE FUNCTION saleshub.fiscal_calendar_check();

SELECT saleshub.protect('crm.fiscal_calendar', 'SELECT, INSERT, UPDATE, DELETE');
SELECT saleshub.capture_on('crm.fiscal_calendar', 'fiscal_calendar', 'fiscal_calendar_id');
