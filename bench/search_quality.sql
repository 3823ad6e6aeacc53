-- Notes of a collection, written and found through the public functions; beside it ts_rank_cd of any
-- of the words. Variables: folder of documents.tsv and queries.tsv. Lines of: run, query, document.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
BEGIN;
CREATE TEMP TABLE document (number int, title text, body text) ON COMMIT DROP;
CREATE TEMP TABLE query (number int, q text) ON COMMIT DROP;
\set file '\'' :folder '/documents.tsv\''
COPY document FROM :file;
\set file '\'' :folder '/queries.tsv\''
COPY query FROM :file;
SELECT o ->> 'org_id' AS org, o ->> 'member_id' AS member
  FROM crm.org_create('Quality', 'Ann', 'ann@quality.example') AS o \gset
SELECT set_config('saleshub.org_id', :'org', true), set_config('saleshub.member_id', :'member', true),
       set_config('saleshub.member_role', 'admin', true) \g /dev/null
CREATE TEMP TABLE note ON COMMIT DROP AS
SELECT d.number, (crm.activity_create(jsonb_build_object('type', 'note',
           'subject', coalesce(nullif(d.title, ''), 'untitled'), 'body', d.body)) ->> 'id')::uuid AS id
  FROM document AS d;
SELECT saleshub.search_rebuild(:'org') \g /dev/null
SELECT 'saleshub', q.number, n.number
  FROM query AS q, crm.search(q.q, types => 'activity', limit_ => 10) AS r,
       jsonb_array_elements(r -> 'data') WITH ORDINALITY AS h (hit, place)
  JOIN note AS n ON n.id = (h.hit ->> 'id')::uuid
 ORDER BY q.number, h.place;
CREATE TEMP TABLE vector ON COMMIT DROP AS
SELECT d.number, setweight(to_tsvector('english', d.title), 'A') || setweight(to_tsvector('english', d.body), 'D') AS words
  FROM document AS d;
SELECT 'ts_rank_cd', q.number, f.number
  FROM query AS q,
       LATERAL (SELECT replace(plainto_tsquery('english', q.q)::text, '&', '|')::tsquery AS words) AS w,
       LATERAL (SELECT v.number FROM vector AS v WHERE v.words @@ w.words
                 ORDER BY ts_rank_cd(v.words, w.words) DESC, v.number LIMIT 10) AS f;
ROLLBACK;
