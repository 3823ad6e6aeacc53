\set QUIET on
BEGIN;
SET LOCAL client_min_messages = warning;
CREATE TEMP TABLE febrl (
    rec_id text, given_name text, surname text, street_number text, address_1 text,
    address_2 text, suburb text, postcode text, state text, date_of_birth text, soc_sec_id text
) ON COMMIT DROP;
\copy febrl FROM '@FILE@' WITH (FORMAT csv, HEADER)
SELECT set_config('saleshub.org_id', made ->> 'org_id', true),
       set_config('saleshub.member_id', made ->> 'member_id', true),
       set_config('saleshub.member_role', 'admin', true)
FROM crm.org_create('Febrl', 'Febrl', 'febrl@example.com') AS made
\g /dev/null
-- What a contact has besides its names; log2(m/u) by hand: many different numbers and dates,
-- few postcodes, fewer states.
SELECT crm.match_field_set('contact', f.field, f.kind, f.same, f.close, f.differ, f.key)
FROM (VALUES
    ('custom.soc_sec_id', 'code', 15, 9, -4, 'strong'),
    ('custom.date_of_birth', 'date', 12, 7, -3, 'weak'),
    ('custom.postcode', 'code', 8, 4, -2, 'name'),
    ('custom.address', 'text', 9, 5, -1.5, NULL),
    ('custom.suburb', 'text', 8, 4, -1.5, NULL),
    ('custom.street_number', 'code', 5, 1, -1.5, NULL),
    ('custom.state', 'code', 2, 0, -1, NULL)
) AS f (field, kind, same, close, differ, key)
\g /dev/null
INSERT INTO crm.contact (first_name, last_name, title, custom)
-- A contact has a name; what has no letters is compared with nothing.
SELECT coalesce(nullif(btrim(given_name), ''), '?'), btrim(surname), btrim(rec_id),
       jsonb_strip_nulls(jsonb_build_object(
    'soc_sec_id', nullif(btrim(soc_sec_id), ''), 'date_of_birth', nullif(btrim(date_of_birth), ''),
    'postcode', nullif(btrim(postcode), ''), 'suburb', nullif(btrim(suburb), ''),
    'address', nullif(btrim(address_1), ''), 'street_number', nullif(btrim(street_number), ''),
    'state', nullif(btrim(state), '')))
FROM febrl;
ANALYZE crm.contact;
ANALYZE saleshub.match_key;
WITH rec AS MATERIALIZED (
    SELECT c.contact_id, split_part(c.title, '-', 2) AS truth, to_jsonb(c) AS doc
    FROM crm.contact c WHERE c.org_id = saleshub.org_id()
), candidate AS MATERIALIZED (
    SELECT DISTINCT a.entity_id AS a, b.entity_id AS b
    FROM saleshub.match_key a
    JOIN saleshub.match_key b ON b.org_id = a.org_id AND b.entity = a.entity AND b.key = a.key
        AND b.entity_id > a.entity_id
    WHERE a.org_id = saleshub.org_id() AND a.entity = 'contact'
), compared AS (
    SELECT ra.truth = rb.truth AS same,
           saleshub.match_band((saleshub.match_explain(r.rules, ra.doc, rb.doc) ->> 'score')::numeric)
               IS NOT NULL AS found
    FROM candidate k
    JOIN rec ra ON ra.contact_id = k.a
    JOIN rec rb ON rb.contact_id = k.b
    CROSS JOIN (SELECT saleshub.match_rules(saleshub.org_id(), 'contact') AS rules) r
)
SELECT (SELECT count(*) FROM rec),
       (SELECT sum(n * (n - 1) / 2) FROM (SELECT count(*) AS n FROM rec GROUP BY truth) g),
       (SELECT count(*) FROM candidate),
       count(*) FILTER (WHERE found), count(*) FILTER (WHERE found AND same)
FROM compared;
ROLLBACK;
