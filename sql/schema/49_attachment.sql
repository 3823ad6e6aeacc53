-- Files on records. What a file holds is an upload; an attachment gives it a name and a place.
CREATE TABLE IF NOT EXISTS crm.attachment (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    attachment_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    upload_id uuid NOT NULL,
    name text NOT NULL,
    media_type text NOT NULL,
    inline boolean NOT NULL,
    size bigint NOT NULL,
    sha256 bytea NOT NULL,
    links_version bigint NOT NULL DEFAULT 0,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by uuid,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by uuid,
    deleted_at timestamptz,
    deletion_id uuid,
    PRIMARY KEY (org_id, attachment_id),
    CONSTRAINT attachment_name_given CHECK (name <> ''),
    CONSTRAINT attachment_sha256_check CHECK (octet_length(sha256) = 32)
);
COMMENT ON TABLE crm.attachment IS 'Files on records; the same bytes are kept once.';
COMMENT ON COLUMN crm.attachment.upload_id IS
    'The bytes; on INSERT one of one''s own uploads, in whose place the same from before is taken.';
COMMENT ON COLUMN crm.attachment.media_type IS
    'As the bytes say for pictures and PDF, else as was said of the file.';
COMMENT ON COLUMN crm.attachment.inline IS 'A picture, which browsers may show; all else they save.';
COMMENT ON COLUMN crm.attachment.links_version IS
    'How often its links changed, so that the version moves with them.';
COMMENT ON COLUMN crm.attachment.deletion_id IS
    'The deletion that put the row into the bin, shared by all it took along.';

CREATE INDEX IF NOT EXISTS attachment_content_idx ON crm.attachment (org_id, sha256);
CREATE INDEX IF NOT EXISTS attachment_upload_idx ON crm.attachment (org_id, upload_id);
CREATE INDEX IF NOT EXISTS attachment_bin_idx ON crm.attachment (org_id, deleted_at)
    WHERE deleted_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS attachment_deletion_idx ON crm.attachment (org_id, deletion_id)
    WHERE deletion_id IS NOT NULL;

CREATE OR REPLACE TRIGGER attachment_10_check
    BEFORE INSERT OR UPDATE ON crm.attachment
    FOR EACH ROW EXECUTE FUNCTION saleshub.attachment_check();

SELECT saleshub.protect('crm.attachment');
SELECT saleshub.capture_on('crm.attachment', 'attachment', 'attachment_id');

CREATE TABLE IF NOT EXISTS crm.attachment_link (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    attachment_id uuid NOT NULL,
    entity text NOT NULL,
    entity_id uuid NOT NULL,
    PRIMARY KEY (org_id, attachment_id, entity, entity_id),
    CONSTRAINT attachment_link_entity_check
        CHECK (entity IN ('lead', 'contact', 'company', 'deal', 'activity', 'product'))
);
COMMENT ON TABLE crm.attachment_link IS 'The records that a file is on; it is seen by who sees one.';
CREATE INDEX IF NOT EXISTS attachment_link_entity_idx
    ON crm.attachment_link (org_id, entity, entity_id, attachment_id);

CREATE OR REPLACE TRIGGER attachment_link_10_check
    BEFORE INSERT ON crm.attachment_link
    FOR EACH ROW EXECUTE FUNCTION saleshub.attachment_link_check();
CREATE OR REPLACE TRIGGER attachment_link_50_insert
    AFTER INSERT ON crm.attachment_link REFERENCING NEW TABLE AS linkrows
    FOR EACH STATEMENT EXECUTE FUNCTION saleshub.attachment_link_changed();
CREATE OR REPLACE TRIGGER attachment_link_50_update
    AFTER UPDATE ON crm.attachment_link REFERENCING NEW TABLE AS linkrows
    FOR EACH STATEMENT EXECUTE FUNCTION saleshub.attachment_link_changed();
CREATE OR REPLACE TRIGGER attachment_link_50_delete
    AFTER DELETE ON crm.attachment_link REFERENCING OLD TABLE AS linkrows
    FOR EACH STATEMENT EXECUTE FUNCTION saleshub.attachment_link_changed();

SELECT saleshub.protect('crm.attachment_link', 'SELECT, INSERT, DELETE');
