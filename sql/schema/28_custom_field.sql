-- Custom fields: what organisations define, and the values that are indexed or unique.

CREATE TABLE IF NOT EXISTS crm.custom_field (
    org_id          uuid NOT NULL DEFAULT saleshub.org_id(),
    custom_field_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    entity          text NOT NULL,
    key             text NOT NULL,
    label           text NOT NULL,
    description     text,
    type            text NOT NULL,
    target          text,
    options         jsonb NOT NULL DEFAULT '[]',
    required        boolean NOT NULL DEFAULT false,
    is_unique       boolean NOT NULL DEFAULT false,
    indexed         boolean NOT NULL DEFAULT false,
    minimum         numeric,
    maximum         numeric,
    max_length      integer,
    default_value   jsonb,
    position        integer NOT NULL,
    active          boolean NOT NULL DEFAULT true,
    version         bigint NOT NULL DEFAULT 1,
    created_at      timestamptz NOT NULL DEFAULT now(),
    created_by      uuid,
    updated_at      timestamptz NOT NULL DEFAULT now(),
    updated_by      uuid,
    deleted_at      timestamptz,
    PRIMARY KEY (org_id, custom_field_id),
    CONSTRAINT custom_field_entity_check CHECK (
        entity IN ('lead', 'contact', 'company', 'deal', 'activity', 'product')),
    CONSTRAINT custom_field_key_check CHECK (key ~ '^[a-z][a-z0-9_]{0,59}$'),
    CONSTRAINT custom_field_type_check CHECK (type IN (
        'text', 'long_text', 'number', 'integer', 'boolean', 'date', 'timestamp', 'enum',
        'multi_enum', 'url', 'email', 'phone', 'reference')),
    CONSTRAINT custom_field_target_check CHECK (
        (type = 'reference') = (target IS NOT NULL)
        AND target IN ('member', 'lead', 'contact', 'company', 'deal')),
    CONSTRAINT custom_field_options_check CHECK (jsonb_typeof(options) = 'array')
);

COMMENT ON TABLE crm.custom_field IS
    'Fields that an organisation adds to its records; the values are in the column custom of the record.';
COMMENT ON COLUMN crm.custom_field.entity IS
    'What it is a field of: lead, contact, company, deal, activity, product.';
COMMENT ON COLUMN crm.custom_field.key IS 'Its name in custom, which stays what it is.';
COMMENT ON COLUMN crm.custom_field.label IS 'Its name for people.';
COMMENT ON COLUMN crm.custom_field.target IS
    'What a reference names: member, lead, contact, company, deal.';
COMMENT ON COLUMN crm.custom_field.options IS
    'Of enum and multi_enum: [{key, label, active}]; keys of stored values stay what they are.';
COMMENT ON COLUMN crm.custom_field.required IS
    'New records must have a value, and it cannot be taken away; old records stay as they are.';
COMMENT ON COLUMN crm.custom_field.is_unique IS
    'No two live records have the same value, letter case aside.';
COMMENT ON COLUMN crm.custom_field.indexed IS 'Conditions about it are answered by an index.';
COMMENT ON COLUMN crm.custom_field.default_value IS 'What a new record gets that has no value.';
COMMENT ON COLUMN crm.custom_field.active IS
    'Whether it is shown and written; the values of an inactive field are kept.';
COMMENT ON COLUMN crm.custom_field.deleted_at IS
    'When the definition was removed; the values stay, hidden, until they are purged.';

CREATE UNIQUE INDEX IF NOT EXISTS custom_field_key
    ON crm.custom_field (org_id, entity, key) WHERE deleted_at IS NULL;
CREATE INDEX IF NOT EXISTS custom_field_created_idx
    ON crm.custom_field (org_id, created_at, custom_field_id);

CREATE OR REPLACE TRIGGER custom_field_10_check
    BEFORE INSERT OR UPDATE ON crm.custom_field
    FOR EACH ROW EXECUTE FUNCTION saleshub.custom_field_check();
CREATE OR REPLACE TRIGGER custom_field_70_build
    AFTER INSERT OR UPDATE ON crm.custom_field
    FOR EACH ROW EXECUTE FUNCTION saleshub.custom_field_build();

SELECT saleshub.protect('crm.custom_field');
ALTER POLICY tenant_insert ON crm.custom_field
    WITH CHECK (org_id = (SELECT saleshub.org_id())
                AND (SELECT saleshub.may_define_fields()));
ALTER POLICY tenant_update ON crm.custom_field
    USING (org_id = (SELECT saleshub.org_id()) AND (SELECT saleshub.may_define_fields()));
SELECT saleshub.capture_on('crm.custom_field', 'custom_field', 'custom_field_id');

-- A row for each value of a live record; written by triggers.

CREATE TABLE IF NOT EXISTS saleshub.custom_value (
    org_id          uuid NOT NULL,
    custom_field_id uuid NOT NULL,
    entity_id       uuid NOT NULL,
    place           integer NOT NULL,
    num             double precision,
    txt             text,
    at              timestamptz,
    unique_key      text,
    entity          text NOT NULL,
    PRIMARY KEY (org_id, custom_field_id, entity_id, place)
);

COMMENT ON TABLE saleshub.custom_value IS
    'Values of the custom fields that are indexed or unique, of live records; written by triggers.';
COMMENT ON COLUMN saleshub.custom_value.place IS 'Which of several values of a multi_enum it is.';
COMMENT ON COLUMN saleshub.custom_value.num IS
    'A number, rounded to a float: conditions look at the record again; or 0 and 1 of a boolean.';
COMMENT ON COLUMN saleshub.custom_value.txt IS 'A text in one letter case.';
COMMENT ON COLUMN saleshub.custom_value.at IS 'An instant; of a date its start in UTC.';
COMMENT ON COLUMN saleshub.custom_value.unique_key IS
    'The value as text, if it must be unique; NULL otherwise.';

CREATE UNIQUE INDEX IF NOT EXISTS custom_value_unique_key
    ON saleshub.custom_value (org_id, custom_field_id, unique_key) WHERE unique_key IS NOT NULL;
CREATE INDEX IF NOT EXISTS custom_value_num_idx
    ON saleshub.custom_value (org_id, custom_field_id, num, entity_id) WHERE num IS NOT NULL;
CREATE INDEX IF NOT EXISTS custom_value_txt_idx
    ON saleshub.custom_value (org_id, custom_field_id, txt, entity_id) WHERE txt IS NOT NULL;
CREATE INDEX IF NOT EXISTS custom_value_at_idx
    ON saleshub.custom_value (org_id, custom_field_id, at, entity_id) WHERE at IS NOT NULL;

SELECT saleshub.protect('saleshub.custom_value', 'SELECT');

-- How far the table of values is filled, or emptied, for a field.

CREATE TABLE IF NOT EXISTS saleshub.custom_build (
    org_id          uuid NOT NULL,
    custom_field_id uuid NOT NULL,
    state           text NOT NULL,
    barrier         xid8,
    position        uuid,
    records         bigint NOT NULL DEFAULT 0,
    left_out        bigint NOT NULL DEFAULT 0,
    started_at      timestamptz NOT NULL DEFAULT now(),
    finished_at     timestamptz,
    PRIMARY KEY (org_id, custom_field_id),
    CONSTRAINT custom_build_state_check CHECK (
        state IN ('emptying', 'building', 'ready', 'failed', 'purging'))
);

COMMENT ON TABLE saleshub.custom_build IS
    'How far the values of a custom field have come into the table of values; no row: not indexed.';
COMMENT ON COLUMN saleshub.custom_build.state IS
    'emptying: old values go first, when a build follows or not; building; ready; failed: values that should be unique are not; purging: the values go from the records.';
COMMENT ON COLUMN saleshub.custom_build.barrier IS
    'Filling begins when transactions older than this one are over: they may not know of the field.';
COMMENT ON COLUMN saleshub.custom_build.position IS 'The record up to which all is done.';
COMMENT ON COLUMN saleshub.custom_build.left_out IS
    'Values that another record has as well, though they should be unique.';

SELECT saleshub.protect('saleshub.custom_build', 'SELECT');

SELECT saleshub.custom_on('crm.company', 'company');
SELECT saleshub.custom_on('crm.contact', 'contact');
SELECT saleshub.custom_on('crm.lead', 'lead');
SELECT saleshub.custom_on('crm.deal', 'deal');
SELECT saleshub.custom_on('crm.activity', 'activity');
SELECT saleshub.custom_on('crm.product', 'product');
