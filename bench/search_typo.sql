-- Names of people as contacts; a thousand of them sought with one letter too few, too many, wrong, or
-- two in the wrong order, anywhere. How many, and how many were among the first three found; then
-- those that were not. Variables: file (CSV with given_name and surname in the second and third column).
\set ON_ERROR_STOP on
SET client_min_messages = warning;
BEGIN;
CREATE TEMP TABLE line (rec text, given text, surname text, a text, b text, c text, d text, e text,
                        f text, g text, h text) ON COMMIT DROP;
COPY line FROM :'file' (FORMAT csv, HEADER);
CREATE TEMP TABLE name ON COMMIT DROP AS
SELECT row_number() OVER (ORDER BY n.given, n.surname) AS number, n.*
  FROM (SELECT DISTINCT trim(l.given) AS given, trim(l.surname) AS surname FROM line AS l
         WHERE trim(l.given) <> '' AND trim(l.surname) <> '') AS n;
SELECT setseed(0.6) \g /dev/null
CREATE FUNCTION pg_temp.misspelt(s text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    i integer := 1 + floor(random() * length(s))::integer;
    c text := chr(97 + floor(random() * 26)::integer);
BEGIN
    RETURN CASE floor(random() * 4) WHEN 0 THEN left(s, i - 1) || substr(s, i + 1)
        WHEN 1 THEN left(s, i) || c || substr(s, i + 1)
        WHEN 2 THEN left(s, i - 1) || c || substr(s, i + 1)
        ELSE left(s, i - 1) || substr(s, i + 1, 1) || substr(s, i, 1) || substr(s, i + 2) END;
END
$$;
SELECT o ->> 'org_id' AS org, o ->> 'member_id' AS member
  FROM crm.org_create('Typos', 'Ann', 'ann@typo.example') AS o \gset
SELECT set_config('saleshub.org_id', :'org', true), set_config('saleshub.member_id', :'member', true),
       set_config('saleshub.member_role', 'admin', true) \g /dev/null
CREATE TEMP TABLE person ON COMMIT DROP AS
SELECT n.number, n.given || ' ' || n.surname AS name,
       (crm.contact_create(jsonb_build_object('first_name', n.given, 'last_name', n.surname)) ->> 'id')::uuid AS id
  FROM name AS n;
SELECT saleshub.search_rebuild(:'org') \g /dev/null
CREATE TEMP TABLE asked ON COMMIT DROP AS
SELECT p.id, p.name, x.typed FROM (SELECT p.* FROM person AS p ORDER BY random() LIMIT 1000) AS p,
       LATERAL (SELECT pg_temp.misspelt(p.name) AS typed) AS x;
CREATE TEMP TABLE answer ON COMMIT DROP AS
SELECT a.*, r -> 'corrected_query' AS corrected, (r ->> 'took_ms')::numeric AS took,
       coalesce((SELECT min(h.n) FROM jsonb_array_elements(r -> 'data') WITH ORDINALITY AS h (hit, n)
                  WHERE (h.hit ->> 'id')::uuid = a.id), 99) AS place
  FROM asked AS a, crm.search(a.typed, limit_ => 20) AS r;
SELECT (SELECT count(*) FROM person), count(*), count(*) FILTER (WHERE place <= 3),
       count(*) FILTER (WHERE place = 1), percentile_cont(0.5) WITHIN GROUP (ORDER BY took),
       percentile_cont(0.99) WITHIN GROUP (ORDER BY took)
  FROM answer;
SELECT 'missed:', name, typed, corrected, place FROM answer WHERE place > 3 ORDER BY name LIMIT 40;
ROLLBACK;
