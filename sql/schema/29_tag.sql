-- Tags are words on records; here is only what an organisation says about one.
CREATE TABLE IF NOT EXISTS crm.tag (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    tag text NOT NULL,
    colour text NOT NULL,
    PRIMARY KEY (org_id, tag),
    CONSTRAINT tag_length_check CHECK (length(tag) BETWEEN 1 AND 64),
    CONSTRAINT tag_colour_check CHECK (colour ~ '^#[0-9a-f]{6}$')
);
COMMENT ON TABLE crm.tag IS 'Colours of tags; a tag without one has no row.';
SELECT saleshub.protect('crm.tag', 'SELECT, INSERT, UPDATE, DELETE');
