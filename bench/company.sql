-- How many misspelt names of companies share a key with the right one, and how many records do
-- that are compared in vain: names of common words and surnames, a third of them once more with a
-- letter too few, too many, wrong, or two in the wrong order.
\set QUIET on
BEGIN;
SET LOCAL client_min_messages = warning;
SELECT setseed(0.3) \g /dev/null
CREATE TEMP TABLE first_word ON COMMIT DROP AS
SELECT initcap(w) AS w, 1.0 / (n + 3) AS often FROM string_to_table('global united advanced first general american national pacific atlantic northern southern western eastern royal premier dynamic integrated digital smart green blue silver golden alpha beta delta omega apex vertex zenith summit pioneer frontier liberty heritage phoenix falcon eagle lion titan atlas orion nova stellar lunar solar quantum cyber nano bio eco agri aqua terra aero medi pharma nutri vita opti maxi mega ultra prime core central metro urban rural coastal highland lakeside riverside stone iron steel copper crystal diamond pearl amber jade ruby cedar maple willow birch hazel laurel magnolia orchid lotus', ' ') WITH ORDINALITY AS x (w, n);
CREATE TEMP TABLE last_word ON COMMIT DROP AS
SELECT initcap(w) AS w FROM string_to_table('systems solutions technologies industries logistics consulting partners holdings group services software analytics media energy capital finance trading motors foods textiles plastics chemicals metals mining engineering construction design studio labs pharmaceuticals health care insurance travel tours hotels marine aviation security networks telecom electronics instruments tools machinery packaging printing publishing education research ventures investments properties realty estates', ' ') AS x (w);
CREATE TEMP TABLE surname ON COMMIT DROP AS
SELECT initcap(string_agg(substr('banodirelumakosivetagupewiharyfomejunicalo', 1 + 2 * ((n * 97 / (20 ^ g)::integer) % 20), 2), '')) AS w
FROM generate_series(1, 3000) n, generate_series(0, 2) g GROUP BY n;
CREATE FUNCTION pg_temp.misspelt(s text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    i integer := 1 + floor(random() * length(regexp_replace(s, ' (GmbH|Inc|Ltd)$', '')))::integer;
    c text := chr(97 + floor(random() * 26)::integer);
BEGIN
    RETURN CASE floor(random() * 4) WHEN 0 THEN left(s, i - 1) || substr(s, i + 1)
        WHEN 1 THEN left(s, i) || c || substr(s, i + 1)
        WHEN 2 THEN left(s, i - 1) || c || substr(s, i + 1)
        ELSE left(s, i - 1) || substr(s, i + 1, 1) || substr(s, i, 1) || substr(s, i + 2) END;
END
$$;
CREATE TEMP TABLE name ON COMMIT DROP AS
SELECT n AS thing, false AS wrong, CASE
    WHEN random() < 0.45 THEN (SELECT w FROM first_word WHERE n = n ORDER BY -ln(random() + 1e-9) / often LIMIT 1)
        || ' ' || (SELECT w FROM last_word WHERE n = n ORDER BY random() LIMIT 1)
    WHEN random() < 0.5 THEN (SELECT w FROM surname WHERE n = n ORDER BY random() LIMIT 1)
        || ' ' || (SELECT w FROM last_word WHERE n = n ORDER BY random() LIMIT 1)
    WHEN random() < 0.5 THEN (SELECT w FROM surname WHERE n = n ORDER BY random() LIMIT 1)
        || (SELECT lower(w) FROM surname WHERE n = n ORDER BY random() LIMIT 1)
    ELSE (SELECT w FROM surname WHERE n = n ORDER BY random() LIMIT 1)
        || ' & ' || (SELECT w FROM surname WHERE n = n ORDER BY random() LIMIT 1) END
    || (ARRAY[' GmbH', ' Inc', '', ' Ltd'])[1 + floor(random() * 4)::integer] AS name
FROM generate_series(1, 4500) n;
INSERT INTO name SELECT thing, true, pg_temp.misspelt(name) FROM name ORDER BY random() LIMIT 1500;
CREATE TEMP TABLE key ON COMMIT DROP AS
SELECT n.ctid AS id, n.thing, n.name, k FROM name n,
    unnest(saleshub.match_keys('company', jsonb_build_object('name', n.name), '[]')) k;
ANALYZE key;
WITH bucket AS (SELECT k FROM key GROUP BY k HAVING count(*) BETWEEN 2 AND 60),
candidate AS (
    SELECT DISTINCT a.id AS a, b.id AS b, a.thing = b.thing AS same, a.name AS one, b.name AS other
    FROM key a JOIN bucket USING (k) JOIN key b USING (k) WHERE a.id < b.id
)
SELECT format('companies: records %s, misspelt %s, candidates a record %s, found %s, scored as duplicates %s',
    (SELECT count(*) FROM name), 1500, round(count(*)::numeric / (SELECT count(*) FROM name), 2),
    round(count(*) FILTER (WHERE same)::numeric / 1500, 4),
    round(count(*) FILTER (WHERE same AND saleshub.match_score(saleshub.match_defaults('company'),
        jsonb_build_object('name', one), jsonb_build_object('name', other)) >= 8)::numeric / 1500, 4)),
    count(*)::numeric / (SELECT count(*) FROM name) <= 2 AND count(*) FILTER (WHERE same) >= 1500 * 0.95
FROM candidate;
ROLLBACK;
