-- What members have sent as files, before and after something refers to it.

CREATE TABLE IF NOT EXISTS saleshub.upload (
    org_id       uuid NOT NULL DEFAULT saleshub.org_id(),
    upload_id    uuid NOT NULL DEFAULT crm.uuid_v7(),
    name         text,
    media_type   text NOT NULL DEFAULT 'application/octet-stream',
    size         bigint,
    sha256       bytea,
    created_at   timestamptz NOT NULL DEFAULT now(),
    created_by   uuid,
    completed_at timestamptz,
    check_at     timestamptz NOT NULL DEFAULT now() + interval '24 hours',
    PRIMARY KEY (org_id, upload_id),
    CONSTRAINT upload_complete CHECK ((completed_at IS NULL) = (sha256 IS NULL)
                                      AND (completed_at IS NULL) = (size IS NULL))
);
COMMENT ON TABLE saleshub.upload IS
    'Files that were sent. Another table refers to one by a foreign key; what nothing refers to goes after a day.';
COMMENT ON COLUMN saleshub.upload.name IS 'Name of the file without folders, as the client said.';
COMMENT ON COLUMN saleshub.upload.media_type IS 'What the client said it is, with parameters.';
COMMENT ON COLUMN saleshub.upload.size IS 'Bytes, once complete.';
COMMENT ON COLUMN saleshub.upload.created_by IS 'Only this member may use it for something.';
COMMENT ON COLUMN saleshub.upload.check_at IS
    'When to look next whether anything refers to it.';
CREATE INDEX IF NOT EXISTS upload_check_idx ON saleshub.upload (org_id, check_at);
SELECT saleshub.protect('saleshub.upload', '');

CREATE TABLE IF NOT EXISTS saleshub.upload_part (
    org_id    uuid NOT NULL DEFAULT saleshub.org_id(),
    upload_id uuid NOT NULL,
    part      integer NOT NULL,
    upto      bigint NOT NULL,
    bytes     bytea NOT NULL,
    PRIMARY KEY (org_id, upload_id, part)
);
COMMENT ON TABLE saleshub.upload_part IS 'The bytes of uploads, in order of part.';
COMMENT ON COLUMN saleshub.upload_part.part IS 'From 1.';
COMMENT ON COLUMN saleshub.upload_part.upto IS 'Bytes of the upload up to the end of this part.';
-- Files are mostly compressed already, and are read as they lie.
ALTER TABLE saleshub.upload_part ALTER COLUMN bytes SET STORAGE EXTERNAL;
SELECT saleshub.protect('saleshub.upload_part', '');
