-- Leads: the normal form of what is written, and what a converted one allows.
\set VERBOSITY terse
\set QUIET on
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SELECT saleshub.install() IS NOT NULL AS installed;

-- What a statement is refused for: SQLSTATE, message, and pointer or parameter with code of each error.
CREATE FUNCTION pg_temp.refused(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text;
    detail text;
    errors text;
BEGIN
    EXECUTE statement;
    RETURN 'not refused';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
    IF detail LIKE '{%' THEN
        SELECT string_agg(concat(e ->> 'pointer', e ->> 'parameter', ' ', e ->> 'code'), ', ' ORDER BY e::text)
        INTO errors FROM jsonb_array_elements(detail::jsonb -> 'errors') e;
    END IF;
    RETURN concat(SQLSTATE, ' ', regexp_replace(message, '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '<id>', 'g'),
                  ' [' || errors || ']');
END;
$$;

CREATE FUNCTION pg_temp.enter(org jsonb, role text DEFAULT 'admin') RETURNS void LANGUAGE sql AS $$
    SELECT set_config('saleshub.org_id', org ->> 'org_id', false),
           set_config('saleshub.member_id', org ->> 'member_id', false),
           set_config('saleshub.member_role', role, false);
$$;

SELECT crm.org_create('Leads', 'Ann', 'ann@leads.example', 'EUR', 'Europe/Berlin', 'DE') AS org \gset
SELECT pg_temp.enter(:'org');
SET ROLE saleshub_user;

SELECT d ->> 'first_name', d ->> 'last_name', d ->> 'email', d -> 'title', d -> 'tags', d -> 'annual_revenue'
FROM crm.lead_create('{"first_name": "  Grace ", "last_name": "Hopper\n", "email": " Grace@Navy.MIL ", "title": "  ",
    "tags": ["cobol", " navy", "", "cobol"], "annual_revenue": 1500000.5}') d;

-- telephone numbers, by the country of the lead, else of the organisation
SELECT country, phone, saleshub.phone_normal(phone, country)
FROM (VALUES
    ('DE', '030 / 123 45 67'), ('DE', '+49 (0)30 1234567'), ('DE', '0049-30-1234567'), ('DE', '1234567'),
    ('DE', '110'), ('US', '(212) 555-0123'), ('US', '1-212-555-0123 ext. 42'), ('US', '555-0123'),
    ('IT', '06 1234 5678'), ('ES', '912 345 678'), ('PL', '22 123 45 67'), ('RU', '8 495 123-45-67'), ('GB', '020 7946 0958'), ('FR', '01 23 45 67 89'),
    (NULL, '030 1234567'), ('XX', '030 1234567'), ('DE', '+1 212 555 0123'),
    ('DE', 'call me'), ('DE', '12'), ('DE', '+49'), ('DE', '12345678901234567890'), ('DE', '12+34567'))
    AS p (country, phone);
SELECT crm.lead_create('{"email": "a@leads.example", "phone": "030 1234567"}') -> 'phone',
       crm.lead_create('{"email": "a@leads.example", "phone": "030 1234567", "country": "FR"}') -> 'phone',
       crm.lead_create('{"email": "a@leads.example", "phone": "030 1234567", "country": "Atlantis"}') -> 'phone';

-- addresses of e-mail and of the web
SELECT email, saleshub.email_ok(email) FROM unnest(ARRAY[
    'a@b.co', 'a.b+c@sub.example.com', 'o''hara@example.ie', 'müller@bücher.example',
    'a', 'a@b', '@b.co', 'a@', 'a@b..co', 'a@@b.co', '.a@b.co', 'a..b@b.co', 'a@-b.co', 'a@b.c', 'a b@c.de',
    'a@b.co,c@d.ef', 'a@b_c.de', repeat('a', 65) || '@b.co']) email;
SELECT url, saleshub.website_ok(url), saleshub.domain_normal(url) FROM unnest(ARRAY[
    'example.com', 'https://www.Example.com:8080/a?b#c', 'http://user@example.com', 'www.example.com.',
    'javascript:alert(1)', 'ftp://example.com', 'nowhere', 'https://a b.com']) url;

-- an address is found however it is written
SELECT crm.lead_list(filters => '[{"field": "email", "value": "GRACE@navy.mil"}]', count_ => true) -> 'total',
       crm.lead_list(filters => '[{"field": "email", "op": "in", "value": ["Grace@Navy.mil", "a@b.c"]}]', count_ => true) -> 'total';

-- what is wrong with a row is told at once, by SQL as by function
SELECT pg_temp.refused($$SELECT crm.lead_create('{"first_name": "X"}')$$);
SELECT pg_temp.refused($$INSERT INTO crm.lead (first_name, email, phone, website, employees, annual_revenue, status, owner_id)
    VALUES ('X', 'nope', 'call me', 'javascript:alert(1)', -1, 'NaN', 'odd', crm.uuid_v7())$$);
SELECT pg_temp.refused($$INSERT INTO crm.lead (email, annual_revenue, annual_revenue_currency) VALUES ('a@leads.example', 1, 'EURO')$$);

-- a lead becomes converted by conversion only, and then stays as it is
SELECT crm.lead_create('{"last_name": "Done"}') ->> 'id' AS lead \gset
SELECT pg_temp.refused(format($$SELECT crm.lead_update(%L, '{"status": "converted"}')$$, :'lead'));
SELECT pg_temp.refused(format($$UPDATE crm.lead SET status = 'converted' WHERE lead_id = %L$$, :'lead'));
SELECT pg_temp.refused($$SET saleshub.converting = on$$);
RESET ROLE;
BEGIN;
SET LOCAL saleshub.converting = on;
UPDATE crm.lead SET status = 'converted', converted_at = '2026-01-02 03:04:05+00' WHERE lead_id = :'lead';
COMMIT;
SET ROLE saleshub_user;
SELECT crm.lead_get(:'lead') -> 'converted';
SELECT pg_temp.refused(format($$SELECT crm.lead_update(%L, '{"title": "x"}')$$, :'lead'));
SELECT pg_temp.refused(format('SELECT crm.lead_delete(%L)', :'lead'));
SELECT pg_temp.refused(format($$UPDATE crm.lead SET status = 'new' WHERE lead_id = %L$$, :'lead'));
RESET ROLE;
