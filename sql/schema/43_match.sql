-- What finds records that may be the same thing.

CREATE TABLE IF NOT EXISTS crm.match_field (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    entity text NOT NULL,
    field text NOT NULL,
    kind text NOT NULL,
    same numeric NOT NULL,
    close numeric NOT NULL DEFAULT 0,
    differ numeric NOT NULL DEFAULT 0,
    key text,
    PRIMARY KEY (org_id, entity, field),
    CONSTRAINT match_field_entity_check CHECK (entity IN ('contact', 'company', 'lead')),
    CONSTRAINT match_field_field_check CHECK (field ~ '^(custom\..{1,100}|[a-z_]{1,60})$'),
    CONSTRAINT match_field_kind_check CHECK (kind IN (
        'first_name', 'last_name', 'email', 'phone', 'company', 'domain', 'text', 'code', 'date')),
    CONSTRAINT match_field_weight_check CHECK (
        same BETWEEN -30 AND 30 AND close BETWEEN -30 AND 30 AND differ BETWEEN -30 AND 30),
    CONSTRAINT match_field_key_check CHECK (key IN ('strong', 'weak', 'name'))
);

COMMENT ON TABLE crm.match_field IS
    'Fields that count when an organisation''s records are compared, besides the usual ones or instead of them.';
COMMENT ON COLUMN crm.match_field.field IS 'A column, or a custom field as custom.<name>.';
COMMENT ON COLUMN crm.match_field.kind IS 'How values are compared.';
COMMENT ON COLUMN crm.match_field.same IS
    'Weight when both are the same: log2 of how much likelier that is for one thing than for two.';
COMMENT ON COLUMN crm.match_field.close IS 'Weight when they are nearly the same.';
COMMENT ON COLUMN crm.match_field.differ IS 'Weight when they differ; a missing value weighs nothing.';
COMMENT ON COLUMN crm.match_field.key IS
    'Records are found by it: strong (means the same thing almost by itself), weak, or together with the last name; NULL when it is only compared.';

SELECT saleshub.protect('crm.match_field', 'SELECT');

CREATE TABLE IF NOT EXISTS saleshub.match_key (
    org_id uuid NOT NULL,
    entity text COLLATE "C" NOT NULL,
    key bigint NOT NULL,
    entity_id uuid NOT NULL,
    -- The only index, for looking up. What keys a record has is computed, not looked up; an id tells
    -- the entity, which is left out here: most of the cost of an index is comparing.
    PRIMARY KEY (org_id, key, entity_id)
);

COMMENT ON TABLE saleshub.match_key IS
    'Hashed keys under which live records that may be the same thing are found; written by triggers.';

SELECT saleshub.protect('saleshub.match_key', '');

SELECT saleshub.match_on('contact');
SELECT saleshub.match_on('company');
SELECT saleshub.match_on('lead');
SELECT saleshub.match_complete();
