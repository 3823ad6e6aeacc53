CREATE TABLE IF NOT EXISTS crm.lead (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    lead_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    first_name text,
    last_name text,
    email text,
    phone text,
    company_name text,
    title text,
    website text,
    source text,
    status text NOT NULL DEFAULT 'new',
    country text,
    state text,
    postal_code text,
    city text,
    industry text,
    employees integer,
    annual_revenue numeric,
    annual_revenue_currency text,
    owner_id uuid,
    tags text[] NOT NULL DEFAULT '{}',
    custom jsonb NOT NULL DEFAULT '{}',
    consent_email boolean,
    consent_phone boolean,
    score numeric NOT NULL DEFAULT 0,
    fit numeric NOT NULL DEFAULT 0,
    engagement numeric,
    score_as_of timestamptz,
    grade text,
    probability numeric,
    probability_manual numeric,
    probability_model double precision,
    probability_version integer,
    probability_age smallint,
    score_reasons jsonb NOT NULL DEFAULT '[]',
    converted_at timestamptz,
    converted_by uuid,
    converted_company_id uuid,
    converted_contact_id uuid,
    converted_deal_id uuid,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by uuid,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by uuid,
    deleted_at timestamptz,
    PRIMARY KEY (org_id, lead_id),
    CONSTRAINT lead_name_given CHECK (coalesce(last_name, company_name, email) IS NOT NULL),
    CONSTRAINT lead_status_check CHECK (
        status IN ('new', 'working', 'nurturing', 'qualified', 'unqualified', 'converted')
    ),
    CONSTRAINT lead_converted_check CHECK ((status = 'converted') = (converted_at IS NOT NULL)),
    CONSTRAINT lead_employees_check CHECK (employees >= 0),
    CONSTRAINT lead_annual_revenue_check CHECK (annual_revenue BETWEEN 0 AND 1e15),
    CONSTRAINT lead_annual_revenue_currency_check
        CHECK (annual_revenue_currency ~ '^[A-Z]{3}$'),
    CONSTRAINT lead_score_check CHECK (score BETWEEN 0 AND 1000),
    CONSTRAINT lead_probability_check CHECK (probability BETWEEN 0 AND 1),
    CONSTRAINT lead_probability_manual_check CHECK (probability_manual BETWEEN 0 AND 1),
    CONSTRAINT lead_custom_check CHECK (jsonb_typeof(custom) = 'object')
);

COMMENT ON TABLE crm.lead IS
    'People or firms that may become customers; converted into company, contact and deal.';
COMMENT ON COLUMN crm.lead.email IS 'Address in lower case.';
COMMENT ON COLUMN crm.lead.phone IS 'E.164 where the number could be completed, else its digits.';
COMMENT ON COLUMN crm.lead.state IS 'State, province or region of the country.';
COMMENT ON COLUMN crm.lead.consent_email IS 'Whether e-mail is allowed; NULL when never asked.';
COMMENT ON COLUMN crm.lead.consent_phone IS 'Whether calls are allowed; NULL when never asked.';
COMMENT ON COLUMN crm.lead.score IS
    'Sum of the points in score_reasons, from 0 to the cap of all; of score_as_of, written by a trigger.';
COMMENT ON COLUMN crm.lead.fit IS 'Points of what the lead is like; they do not decay.';
COMMENT ON COLUMN crm.lead.engagement IS
    'Points of what happened, as they were at score_as_of; NULL: nothing that counts did.';
COMMENT ON COLUMN crm.lead.score_as_of IS
    'The instant that a decaying score is of; NULL: the score does not move by itself.';
COMMENT ON COLUMN crm.lead.grade IS
    'Fit as a letter, A to E, and where events count engagement as a digit; written by a trigger.';
COMMENT ON COLUMN crm.lead.probability IS
    'Chance of conversion, 0 to 1: probability_manual, else probability_model; written by a trigger.';
COMMENT ON COLUMN crm.lead.probability_manual IS 'The chance as a member sees it, 0 to 1.';
COMMENT ON COLUMN crm.lead.probability_model IS
    'The chance by the trained model, 0 to 1; NULL without one; of a lead that is converted or unqualified the last one told.';
COMMENT ON COLUMN crm.lead.probability_version IS
    'Version of the crm.score_model that told probability_model.';
COMMENT ON COLUMN crm.lead.probability_age IS
    'Age of the lead in days when that was told: 0, 1, 7 or 30, the last one reached.';
COMMENT ON COLUMN crm.lead.score_reasons IS
    'Why the score is what it is: [{label, points}], summing up to it.';
COMMENT ON COLUMN crm.lead.converted_at IS
    'When the lead was converted; a converted lead cannot be edited.';
COMMENT ON COLUMN crm.lead.custom IS 'Values of custom fields.';
COMMENT ON COLUMN crm.lead.deleted_at IS
    'When the row was put into the bin; such a row counts nowhere.';

CREATE INDEX IF NOT EXISTS lead_created_idx ON crm.lead (org_id, created_at, lead_id);
CREATE INDEX IF NOT EXISTS lead_updated_idx ON crm.lead (org_id, updated_at, lead_id);
CREATE INDEX IF NOT EXISTS lead_score_idx ON crm.lead (org_id, score, lead_id);
CREATE INDEX IF NOT EXISTS lead_name_idx ON crm.lead (org_id, last_name, lead_id);
CREATE INDEX IF NOT EXISTS lead_status_idx ON crm.lead (org_id, status, created_at);
CREATE INDEX IF NOT EXISTS lead_owner_idx ON crm.lead (org_id, owner_id, created_at);
CREATE INDEX IF NOT EXISTS lead_email_idx ON crm.lead (org_id, email);
CREATE INDEX IF NOT EXISTS lead_phone_idx ON crm.lead (org_id, phone);
CREATE INDEX IF NOT EXISTS lead_converted_company_idx ON crm.lead (org_id, converted_company_id)
    WHERE converted_company_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS lead_converted_contact_idx ON crm.lead (org_id, converted_contact_id)
    WHERE converted_contact_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS lead_converted_deal_idx ON crm.lead (org_id, converted_deal_id)
    WHERE converted_deal_id IS NOT NULL;

CREATE OR REPLACE TRIGGER lead_10_check
    BEFORE INSERT OR UPDATE ON crm.lead
    FOR EACH ROW EXECUTE FUNCTION saleshub.lead_check();

SELECT saleshub.protect('crm.lead');
SELECT saleshub.capture_on('crm.lead', 'lead', 'lead_id');
SELECT saleshub.rollup_on('crm.lead', 'lead');
