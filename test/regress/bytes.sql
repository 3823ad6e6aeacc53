-- Every character there is, but NUL: written and read by the functions, in the row and the history.
\set VERBOSITY terse
\set QUIET on
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SELECT saleshub.install() IS NOT NULL AS installed;
SELECT set_config('saleshub.org_id', o ->> 'org_id', false) <> '' FROM crm.org_create('Bytes', 'Ann', 'ann@bytes.example') o;
CREATE TEMP TABLE text_ AS
SELECT n / 4096 AS n, string_agg(chr(n), '' ORDER BY n) AS t
FROM generate_series(1, 1114111) n WHERE n NOT BETWEEN 55296 AND 57343 GROUP BY 1;
SELECT sum(length(t)) FROM text_;
CREATE TEMP TABLE made AS
SELECT x.n, x.t, d FROM text_ x,
    LATERAL crm.activity_create(jsonb_build_object('type', 'note', 'subject', 'n ' || x.n, 'body', x.t, 'custom', jsonb_build_object('t', x.t, 'k' || left(x.t, 20), 1))) d;
SELECT count(*) FILTER (WHERE d ->> 'body' = t AND d #>> '{custom,t}' = t AND d -> 'custom' ? ('k' || left(t, 20))), count(*) FROM made;
SELECT count(*) FROM made m JOIN crm.activity a ON a.activity_id = (m.d ->> 'id')::uuid
WHERE convert_to(a.body, 'UTF8') = convert_to(m.t, 'UTF8');
SELECT count(*) FROM made m WHERE crm.activity_get((m.d ->> 'id')::uuid) ->> 'body' = m.t;
SELECT count(*) FROM made m JOIN crm.change_log l ON l.entity_id = (m.d ->> 'id')::uuid AND l.changed #>> '{body,1}' = m.t;
-- letters of many scripts, kept in the normal form they came in; found in another case, not in another form
SELECT count(*) FROM (VALUES ('é'), (U&'e\0301'), ('Å'), (U&'\212B'), (U&'A\030A'), (U&'\AC00'), (U&'\1100\1161'), ('ﬁ')) v (t),
    LATERAL crm.lead_create(jsonb_build_object('last_name', v.t, 'on_duplicate', 'allow')) d
WHERE convert_to(d ->> 'last_name', 'UTF8') = convert_to(v.t, 'UTF8');
SELECT jsonb_array_length(crm.lead_list(filters => jsonb_build_array(jsonb_build_object('field', 'last_name', 'value', U&'e\0301'))) -> 'data');
