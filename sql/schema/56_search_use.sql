-- What members search for and open: notes of queries, clicks, and what is made of them. All of it
-- goes after 90 days; none of it invalidates cached answers.

CREATE TABLE IF NOT EXISTS saleshub.search_query (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    query_id uuid NOT NULL,
    member_id uuid,
    at timestamptz NOT NULL,
    q text NOT NULL,
    words text NOT NULL,
    took_us integer NOT NULL,
    total bigint NOT NULL,
    corrected boolean NOT NULL,
    experiment_id uuid,
    variant integer,
    PRIMARY KEY (org_id, query_id)
);
COMMENT ON TABLE saleshub.search_query IS 'Searches as the worker notes them; a note may be missing.';
COMMENT ON COLUMN saleshub.search_query.q IS 'As it was asked, up to 256 bytes.';
COMMENT ON COLUMN saleshub.search_query.words IS 'The same without case and needless blanks.';
COMMENT ON COLUMN saleshub.search_query.took_us IS 'Microseconds in the database.';
COMMENT ON COLUMN saleshub.search_query.corrected IS 'Whether spellings were corrected to find anything.';
CREATE INDEX IF NOT EXISTS search_query_at_idx ON saleshub.search_query (org_id, at);
SELECT saleshub.protect('saleshub.search_query', '');

CREATE TABLE IF NOT EXISTS saleshub.search_click (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    click_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    query_id uuid,
    member_id uuid NOT NULL,
    entity text NOT NULL,
    entity_id uuid NOT NULL,
    position integer,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, click_id),
    CONSTRAINT search_click_position_check CHECK (position BETWEEN 1 AND 10000)
);
COMMENT ON TABLE saleshub.search_click IS 'Records that members opened.';
COMMENT ON COLUMN saleshub.search_click.query_id IS 'The search whose result it was; NULL: opened otherwise.';
COMMENT ON COLUMN saleshub.search_click.position IS 'Its place in the result, from 1 on.';
CREATE UNIQUE INDEX IF NOT EXISTS search_click_query_key
    ON saleshub.search_click (org_id, query_id, member_id, entity_id) WHERE query_id IS NOT NULL;
CREATE UNIQUE INDEX IF NOT EXISTS search_click_view_key
    ON saleshub.search_click (org_id, member_id, entity_id) WHERE query_id IS NULL;
CREATE INDEX IF NOT EXISTS search_click_member_idx ON saleshub.search_click (org_id, member_id, at);
CREATE INDEX IF NOT EXISTS search_click_entity_idx ON saleshub.search_click (org_id, entity_id);
CREATE INDEX IF NOT EXISTS search_click_at_idx ON saleshub.search_click (org_id, at);
SELECT saleshub.protect('saleshub.search_click', '');

CREATE TABLE IF NOT EXISTS saleshub.search_asked (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    words text COLLATE "C" NOT NULL,
    member_id uuid NOT NULL,
    n bigint NOT NULL,
    last_at timestamptz NOT NULL,
    total bigint NOT NULL,
    PRIMARY KEY (org_id, words, member_id)
);
COMMENT ON TABLE saleshub.search_asked IS 'Which member asked what, how often and when last.';
COMMENT ON COLUMN saleshub.search_asked.total IS 'How many records it found when it was asked last.';
CREATE INDEX IF NOT EXISTS search_asked_member_idx
    ON saleshub.search_asked (org_id, member_id, last_at);
SELECT saleshub.protect('saleshub.search_asked', '');

CREATE TABLE IF NOT EXISTS saleshub.search_popular (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    words text COLLATE "C" NOT NULL,
    members integer NOT NULL,
    n bigint NOT NULL,
    last_at timestamptz NOT NULL,
    PRIMARY KEY (org_id, words)
);
COMMENT ON TABLE saleshub.search_popular IS
    'Queries that at least three members asked and that found something, which may be suggested to others.';
SELECT saleshub.protect('saleshub.search_popular', '');
