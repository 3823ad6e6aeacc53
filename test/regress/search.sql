-- Search as people use it: the query language, what is shown, who sees what, and pages.
\set VERBOSITY terse
\set QUIET on
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SELECT saleshub.install() IS NOT NULL AS installed;

CREATE FUNCTION pg_temp.refused(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text;
    detail text;
BEGIN
    EXECUTE statement;
    RETURN 'not refused';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
    RETURN concat_ws(' ', SQLSTATE, message, CASE WHEN detail LIKE '{%' THEN (
        SELECT string_agg(concat(e ->> 'parameter', ' ', e ->> 'code'), ', ')
          FROM jsonb_array_elements(detail::jsonb -> 'errors') e) END);
END;
$$;
CREATE FUNCTION pg_temp.as_member(org text, member text, role text) RETURNS void LANGUAGE sql SECURITY DEFINER AS $$
    SELECT set_config('saleshub.org_id', org, false), set_config('saleshub.member_id', member, false), set_config('saleshub.member_role', role, false) $$;
-- Titles of what is found, the best first, and what was probably meant.
CREATE FUNCTION pg_temp.found(q text, types text DEFAULT NULL, filters jsonb DEFAULT '[]') RETURNS text LANGUAGE sql AS $$
    SELECT concat(r ->> 'total', ': ', (SELECT string_agg(d ->> 'title', ', ' ORDER BY n) FROM jsonb_array_elements(r -> 'data') WITH ORDINALITY x (d, n)),
                  ' [' || (r ->> 'corrected_query') || ']')
      FROM crm.search(q, types, filters => filters) r $$;
SELECT o ->> 'org_id' AS org, o ->> 'member_id' AS ann FROM crm.org_create('Search', 'Ann', 'ann@search.example', 'EUR', 'Europe/Berlin', 'DE') o \gset
SELECT o ->> 'org_id' AS other, o ->> 'member_id' AS eve FROM crm.org_create('Elsewhere', 'Eve', 'eve@search.example') o \gset
SELECT pg_temp.as_member(:'other', :'eve', 'admin');
SELECT crm.lead_create('{"last_name": "Zanzibar", "company_name": "Hidden Harbour"}') IS NOT NULL;
SELECT pg_temp.as_member(:'org', :'ann', 'admin');
SELECT crm.member_create('{"name": "Bob", "email": "bob@search.example", "role": "rep"}') ->> 'id' AS bob \gset
SET ROLE saleshub_user;
SELECT crm.lead_create(jsonb_build_object('first_name', f, 'last_name', l, 'company_name', c, 'email', e, 'phone', p, 'title', t, 'status', s, 'source', o, 'owner_id', :'ann')) IS NOT NULL
  FROM (VALUES ('Zoë', 'Müller-Straße', 'Bäckerei Weiß', 'zoe@baeckerei-weiss.example', '+49 30 901820', 'CEO', 'new', 'referral'),
               ('John', 'O''Brien', 'U.S. Steel Works', 'john.obrien@steelworks.example', '+1 202 555 0143', 'Head of Purchasing', 'working', 'web'),
               ('Jane', 'Smith', 'Steel Chain Smiths', 'jane@chainsmiths.example', '+1 202 555 0199', 'Buyer', 'new', 'web')) v (f, l, c, e, p, t, s, o);
SELECT crm.company_create('{"name": "東京電力", "domain": "tepco.example"}') ->> 'id' AS tepco \gset
SELECT crm.contact_create(jsonb_build_object('first_name', 'Taro', 'last_name', 'Yamada', 'company_id', :'tepco', 'owner_id', :'bob')) ->> 'id' AS taro \gset
SELECT crm.activity_create(jsonb_build_object('type', 'note', 'subject', 'Visit <b>report</b>', 'body',
    'The state of the art steel furnace was shown; connections were made & the furnace smelled of "smoke". ' || repeat('Nothing more was said. ', 20) || 'At last the price of steel was named.',
    'links', '[]'::jsonb)) ->> 'id' AS note \gset
\echo words, all of them; case, accents and apostrophes do not matter
SELECT pg_temp.found(q) FROM unnest(ARRAY['mueller', 'MULLER strasse', 'zoe', 'obrien', 'o''brien steel', 'us steel', 'u.s. steel', 'steel', 'connect furnace', 'nothing at all here']) q;
\echo phrases, alternatives, without
SELECT pg_temp.found(q) FROM unnest(ARRAY['"steel works"', '"works steel"', '"state of the art"', 'works OR smiths', 'steel -works', 'steel NOT works', '-steel', '(works OR smiths) buyer', '"steel', 'steel)']) q;
\echo beginnings, fields, facets
SELECT pg_temp.found(q) FROM unnest(ARRAY['furn*', 'stee* smi*', 'title:smith', 'email:steelworks', 'name:jane', 'status:new steel', 'status:new', 'type:company', 'source:"web" -smith', 'http://steelworks.example']) q;
\echo addresses and numbers, whole and in part
SELECT pg_temp.found(q) FROM unnest(ARRAY['john.obrien@steelworks.example', 'steelworks.example', '@chainsmiths', '+1 202 555 0143', '202-555-0143', '555 0143', '5550199', '030 901820', '901820', '99 99 99 99', '2025550', '5501', '0199', '1820', '(202) 555', '555 99']) q;
\echo scripts without blanks
SELECT pg_temp.found(q) FROM unnest(ARRAY['東京', '電力', '京電', '東京電力', '大阪']) q;
\echo misspelt
SELECT pg_temp.found(q) FROM unnest(ARRAY['smiht', 'jane smyth', 'purchsing', 'stell', 'yamda', 'jon steel', 'xqzw']) q;
\echo questions of many words: any of them; of a few all, unless hardly anything has them
SELECT pg_temp.found(q) FROM unnest(ARRAY['what does a chain of steel furnaces cost in Bremen', 'steel buyer xqzwk', 'buyer furnace', '"steel works" buyer furnace', 'furnace -connections buyer', 'smoke-smelled furnace']) q;
\echo words written together
SELECT pg_temp.found(q) FROM unnest(ARRAY['steelfurnace', 'steel.chain', 'janesmith buyer', '大東京']) q;
\echo what it is made of
SELECT d ->> 'title', (SELECT string_agg(concat(x ->> 'kind', ' ', x ->> 'label'), ', ' ORDER BY x ->> 'kind', x ->> 'label') FROM jsonb_array_elements(d -> 'reasons') x)
  FROM crm.search('steel chain smyths', limit_ => 1) r, jsonb_array_elements(r -> 'data') d;
\echo kinds and filters
SELECT pg_temp.found('steel', 'activity'), pg_temp.found('steel', 'lead', '[{"field": "status", "op": "eq", "value": "new"}]'),
       pg_temp.found('steel', NULL, '[{"field": "source", "op": "in", "value": ["web", "referral"]}]');
SELECT r -> 'facets' FROM crm.search('steel', facets => 'type,status,source') r;
\echo what is shown
SELECT jsonb_pretty(d - 'id' - 'score' - 'reasons') FROM crm.search('steel price') r, jsonb_array_elements(r -> 'data') d;
SELECT d ->> 'snippet' FROM crm.search('"smoke" report') r, jsonb_array_elements(r -> 'data') d;
SELECT bool_and(abs((d ->> 'score')::numeric - (SELECT sum((x ->> 'score')::numeric) FROM jsonb_array_elements(d -> 'reasons') x)) < 0.001) AS reasons_add_up
  FROM crm.search('steel works OR smiths') r, jsonb_array_elements(r -> 'data') d;
-- Who asks may move a record, though not make it found; what cannot be read of that counts for nothing.
SELECT r -> 'total' AS total, r -> 'hits' -> 0 ->> 'id' = :'note' AS first, r -> 'hits' -> 0 -> 'reasons' @> '[{"kind": "affinity", "score": 5}]' AS told
  FROM saleshub.search_run('steel', jsonb_build_object('total', true, 'boosts', jsonb_build_array(
         jsonb_build_object('type', 'activity', 'id', :'note', 'boost', 5), jsonb_build_object('type', 'company', 'id', :'tepco', 'boost', 9),
         jsonb_build_object('type', 'house', 'id', :'note', 'boost', 9), 'x', '{}'::jsonb))) r;
\echo at once: changes, the bin, and back
SELECT crm.lead_update((d ->> 'id')::uuid, '{"company_name": "Copper Works"}') IS NOT NULL AS changed, (d ->> 'id')::uuid AS john FROM crm.search('obrien') r, jsonb_array_elements(r -> 'data') d \gset
SELECT pg_temp.found('steel'), pg_temp.found('copper');
SELECT crm.lead_delete(:'john') IS NOT NULL;
SELECT pg_temp.found('copper');
SELECT crm.lead_restore(:'john') IS NOT NULL;
SELECT pg_temp.found('copper');
\echo who sees what
SELECT pg_temp.found('zanzibar');
RESET ROLE;
UPDATE crm.org SET settings = settings || '{"visibility": {"rep": {"lead": "own", "contact": "own", "company": "all", "deal": "own", "activity": "own"}}}' WHERE org_id = :'org';
SET ROLE saleshub_user;
SELECT pg_temp.as_member(:'org', :'bob', 'rep');
SELECT pg_temp.found('steel'), pg_temp.found('stell'), pg_temp.found('furn*'), pg_temp.found('yamada'), pg_temp.found('-yamada'), pg_temp.found('tepco');
SELECT r -> 'facets', r -> 'total' FROM crm.search('type:lead OR type:contact', facets => 'type,status') r WHERE r -> 'facets' -> 'status' = '[]';
-- What others write changes nothing for whoever does not see it.
SELECT r -> 'data' -> 0 -> 'score' AS score FROM crm.search('yamada') r \gset
SELECT pg_temp.as_member(:'org', :'ann', 'admin');
SELECT crm.lead_create(jsonb_build_object('last_name', 'Yamada', 'company_name', 'Yamada ' || n, 'owner_id', :'ann')) IS NOT NULL FROM generate_series(1, 3) n;
SELECT pg_temp.as_member(:'org', :'bob', 'rep');
SELECT (r -> 'data' -> 0 -> 'score')::text = :'score' AS unmoved FROM crm.search('yamada') r;
\echo hidden fields are not searched
RESET ROLE;
UPDATE crm.org SET settings = settings || '{"visibility": {"rep": {}}, "fields": {"rep": {"lead": {"email": "hidden"}, "company": {"name": "hidden"}}}}' WHERE org_id = :'org';
SELECT saleshub.hidden_fields('lead');
SET ROLE saleshub_user;
SELECT pg_temp.found('chainsmiths'), pg_temp.found('email:chainsmiths'), pg_temp.found('smith');
-- Nor shown, in a snippet or to a suggestion, nor used to order a question of many words.
SELECT d ->> 'title', d ->> 'snippet' FROM crm.search('smith') r, jsonb_array_elements(r -> 'data') d;
SELECT concat_ws(' | ', s.title, s.subtitle, s.content) FROM saleshub.search_show('lead', ARRAY(SELECT l.lead_id FROM crm.lead l WHERE l.last_name = 'Smith')) s;
SELECT concat_ws(' | ', s.title, s.subtitle) FROM saleshub.search_show('contact', ARRAY[:'taro'::uuid]) s UNION ALL SELECT s.title FROM saleshub.search_show('company', ARRAY[:'tepco'::uuid]) s;
SELECT pg_temp.as_member(:'org', :'ann', 'admin');
SELECT pg_temp.found('chainsmiths'), pg_temp.found('email:chainsmiths');
SELECT d ->> 'snippet' FROM crm.search('smith') r, jsonb_array_elements(r -> 'data') d;
SELECT concat_ws(' | ', s.title, s.subtitle) FROM saleshub.search_show('contact', ARRAY[:'taro'::uuid]) s;
\echo pages that stay where they are while data changes
SELECT count(crm.lead_create(jsonb_build_object('last_name', 'Page', 'company_name', 'Lot ' || repeat('filler ', n % 4), 'owner_id', :'ann'))) FROM generate_series(1, 25) n;
CREATE TEMP TABLE seen (id uuid);
CREATE FUNCTION pg_temp.pages() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    place text;
    answer jsonb;
    turns int := 0;
BEGIN
    DELETE FROM seen;
    LOOP
        answer := crm.search('page', limit_ => 4, cursor_ => place);
        INSERT INTO seen SELECT (d ->> 'id')::uuid FROM jsonb_array_elements(answer -> 'data') d;
        place := answer ->> 'next_cursor';
        turns := turns + 1;
        EXIT WHEN place IS NULL OR turns > 50;
        PERFORM crm.lead_create('{"last_name": "Other", "company_name": "page page page in a company name"}');
    END LOOP;
    RETURN format('%s pages, %s seen, %s of them once', turns, (SELECT count(*) FROM seen), (SELECT count(DISTINCT id) FROM seen));
END
$$;
SELECT pg_temp.pages();
SELECT count(*) FROM crm.lead l WHERE l.last_name = 'Page' AND l.lead_id NOT IN (SELECT id FROM seen);
RESET ROLE;
SELECT saleshub.search_rebuild(:'org') > 0;
SET ROLE saleshub_user;
SELECT pg_temp.pages();
SELECT count(*) FROM crm.lead l WHERE l.last_name = 'Page' AND l.lead_id NOT IN (SELECT id FROM seen);
\echo the same from segments
SELECT pg_temp.found(q) FROM unnest(ARRAY['mueller', 'o''brien copper', '"state of the art"', 'works OR smiths', 'steel -works', 'furn*', 'name:jane', 'status:new steel', '555 0199', '京電', 'jane smyth']) q;
SELECT r -> 'facets' FROM crm.search('steel', facets => 'type,status,source') r;
\echo erased people leave the index
SELECT crm.subject_erase('{"email": "jane@chainsmiths.example"}') ? 'erased';
RESET ROLE;
SELECT pg_temp.found('smith') LIKE '%Jane%';
SELECT count(*) > 0 AS due FROM saleshub.search_due() d WHERE d = :'org';
SELECT saleshub.search_org_maintain(:'org') > 0;
SELECT saleshub.search_org_maintain(:'org') >= 0;
SELECT saleshub.search_org_maintain(:'org');
SELECT count(*) AS due FROM saleshub.search_due() d WHERE d = :'org';
SELECT count(*) FROM saleshub.search_word w WHERE w.org_id = :'org' AND position('insmiths'::bytea IN w.body) > 0;
\echo what was probably meant is ranked by the same statistics
SET ROLE saleshub_user;
SELECT crm.lead_create(jsonb_build_object('first_name', f, 'last_name', l)) IS NOT NULL FROM (VALUES ('Marta', 'Quill'), ('Maria', 'Quirk')) v (f, l);
SELECT jsonb_array_length(r -> 'hits') AS hits, r ->> 'corrected', (r -> 'statistics' -> 'docs') = (saleshub.search_run('maria quirk', '{}') -> 'statistics' -> 'docs') AS same
  FROM saleshub.search_run('marta quirk', '{}') r;
\echo what no one asks
SELECT pg_temp.refused(format('SELECT crm.search(%L)', repeat('a ', 3000)));
SELECT pg_temp.refused(format('SELECT crm.search(%L)', (SELECT string_agg('w' || n, ' ') FROM generate_series(1, 200) n)));
SELECT pg_temp.refused(format('SELECT crm.search(%L)', repeat('(', 40) || 'a'));
SELECT pg_temp.refused($$SELECT crm.search('a', types => 'lead,house', facets => 'size', cursor_ => 'x')$$);
SELECT pg_temp.found(q) FROM unnest(ARRAY['', '   ', '""', '-', '*', '()', ')(', '"', 'a:', ':', 'title:', '- - -', 'OR', 'OR OR', 'NOT', E'\\', '%', '''; DROP TABLE crm.lead; --']) q;
SELECT pg_temp.refused('SELECT * FROM saleshub.search_doc');
SELECT pg_temp.as_member('', '', '');
SELECT pg_temp.refused($$SELECT saleshub.search_run('a', '{}')$$);
