-- The search index: an inverted index in ordinary tables. What was written lately waits in
-- search_doc as it was analysed; the worker moves it into segments, which never change, and merges
-- small segments into larger ones. A document that changed or went leaves a mark in search_gone.

CREATE TABLE IF NOT EXISTS saleshub.search_doc (
    org_id uuid NOT NULL,
    kind smallint NOT NULL,
    record_id uuid NOT NULL,
    doc integer,
    lengths integer NOT NULL,
    owner_id uuid,
    day smallint,
    facets text[],
    packed bytea,
    PRIMARY KEY (org_id, record_id, kind)
);
ALTER TABLE saleshub.search_doc ALTER COLUMN packed SET STORAGE EXTERNAL;

COMMENT ON TABLE saleshub.search_doc IS 'One document for each record that is found; written by triggers.';
COMMENT ON COLUMN saleshub.search_doc.kind IS '1 lead, 2 contact, 3 company, 4 deal, 5 activity.';
COMMENT ON COLUMN saleshub.search_doc.doc IS
    'Its number within the organisation once it stands in a segment; NULL while it waits for that.';
COMMENT ON COLUMN saleshub.search_doc.lengths IS
    'Words in each field, a byte each as sh_search_length_code() gives it.';
COMMENT ON COLUMN saleshub.search_doc.day IS 'Days from 2000-01-01 to its last change; while it waits.';
COMMENT ON COLUMN saleshub.search_doc.packed IS 'Its words with fields and places; while it waits.';

-- In the order in which queries read them, else the planner may take the primary key for it.
CREATE INDEX IF NOT EXISTS search_doc_waiting_idx
    ON saleshub.search_doc (org_id, record_id, kind) WHERE doc IS NULL;

SELECT saleshub.protect('saleshub.search_doc', '');

CREATE TABLE IF NOT EXISTS saleshub.search_segment (
    org_id uuid NOT NULL,
    segment_id bigint GENERATED ALWAYS AS IDENTITY,
    first_doc integer NOT NULL,
    last_doc integer NOT NULL,
    docs integer NOT NULL,
    words bigint[] NOT NULL,
    fresh boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, segment_id)
);
CREATE INDEX IF NOT EXISTS search_segment_fresh_idx ON saleshub.search_segment (org_id) WHERE fresh;

COMMENT ON TABLE saleshub.search_segment IS
    'Parts of the index, each of the documents from first_doc to last_doc; they never change.';
COMMENT ON COLUMN saleshub.search_segment.words IS 'Words in each field, of all its documents.';
COMMENT ON COLUMN saleshub.search_segment.fresh IS
    'Whether it is to be merged with its neighbours has yet to be looked at.';

SELECT saleshub.protect('saleshub.search_segment', '');

CREATE TABLE IF NOT EXISTS saleshub.search_term (
    org_id uuid NOT NULL,
    segment_id bigint NOT NULL,
    first_term bigint NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (org_id, segment_id, first_term)
);
ALTER TABLE saleshub.search_term ALTER COLUMN body SET STORAGE EXTERNAL;
ALTER TABLE saleshub.search_term SET (toast_tuple_target = 8160);

COMMENT ON TABLE saleshub.search_term IS
    'Terms of a segment in order, some hundreds a row, with the documents of those that few have.';

SELECT saleshub.protect('saleshub.search_term', '');

CREATE TABLE IF NOT EXISTS saleshub.search_block (
    org_id uuid NOT NULL,
    segment_id bigint NOT NULL,
    term bigint NOT NULL,
    part integer NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (org_id, segment_id, term, part)
);
ALTER TABLE saleshub.search_block ALTER COLUMN body SET STORAGE EXTERNAL;
ALTER TABLE saleshub.search_block SET (toast_tuple_target = 8160);

COMMENT ON TABLE saleshub.search_block IS 'Blocks of 128 documents that have a term.';
COMMENT ON COLUMN saleshub.search_block.part IS
    'Counted from 0; -1: the head, which says of each block its last document, place and bounds; places of words in the same blocks have the same number less 2^30.';

SELECT saleshub.protect('saleshub.search_block', '');

CREATE TABLE IF NOT EXISTS saleshub.search_column (
    org_id uuid NOT NULL,
    segment_id bigint NOT NULL,
    facet smallint NOT NULL,
    part integer NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (org_id, segment_id, facet, part)
);
ALTER TABLE saleshub.search_column ALTER COLUMN body SET STORAGE EXTERNAL;
ALTER TABLE saleshub.search_column SET (toast_tuple_target = 8160);

COMMENT ON TABLE saleshub.search_column IS
    'What is known of the documents of a segment beside their words, one facet after the other.';
COMMENT ON COLUMN saleshub.search_column.part IS 'Counted from 0; -1: the values that numbers stand for.';

SELECT saleshub.protect('saleshub.search_column', '');

CREATE TABLE IF NOT EXISTS saleshub.search_word (
    org_id uuid NOT NULL,
    segment_id bigint NOT NULL,
    first_word text COLLATE "C" NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (org_id, segment_id, first_word)
);
ALTER TABLE saleshub.search_word ALTER COLUMN body SET STORAGE EXTERNAL;
ALTER TABLE saleshub.search_word SET (toast_tuple_target = 8160);

COMMENT ON TABLE saleshub.search_word IS
    'Words of a segment in order, some hundreds a row, with the terms that they are looked up by.';

SELECT saleshub.protect('saleshub.search_word', '');

CREATE TABLE IF NOT EXISTS saleshub.search_gone (
    org_id uuid NOT NULL,
    doc integer NOT NULL,
    lengths integer NOT NULL,
    erase boolean NOT NULL DEFAULT false,
    PRIMARY KEY (org_id, doc)
);

COMMENT ON TABLE saleshub.search_gone IS
    'Documents of segments that changed or went since; merges leave them out.';

COMMENT ON COLUMN saleshub.search_gone.erase IS
    'The person was erased: its words leave the index as soon as the worker comes to it.';

SELECT saleshub.protect('saleshub.search_gone', '');

SELECT saleshub.search_on('crm.lead', 'lead');
SELECT saleshub.search_on('crm.contact', 'contact');
SELECT saleshub.search_on('crm.company', 'company');
SELECT saleshub.search_on('crm.deal', 'deal');
SELECT saleshub.search_on('crm.activity', 'activity');
