-- Texts in one form: white space, addresses, domains, telephone numbers, tags.
\set VERBOSITY terse
\set QUIET on
\pset format unaligned
\pset tuples_only on
\pset null '(null)'
SET client_min_messages = warning;

-- White space goes, also the kind at which no line breaks, but only at the ends.
SELECT n, '[' || saleshub.clean(v) || ']' FROM unnest(ARRAY[
    E' \t a\u00a0b \r\n', E'\u00a0', '', ' ', E'\u2003a', 'ä ', E'\u00a0ä\u00a0\u00a0', NULL]) WITH ORDINALITY t (v, n) ORDER BY n;
SELECT saleshub.tags_normal(ARRAY[' b', 'a', NULL, 'b ', '', 'B', E'\u00a0a']),
       saleshub.tags_normal('{{x,y},{x,z}}'), saleshub.tags_normal('{}'), saleshub.tags_normal(NULL),
       saleshub.tags_normal('{" "}');

SELECT v, saleshub.email_ok(v) FROM unnest(ARRAY[
    'a@b.co', 'ä.ö+ü@müller.example', 'a@b', '@b.co', 'a@', 'a@@b.co', 'a b@c.de', 'a@b c.de', '.a@b.co', 'a.@b.co', 'a..b@c.de',
    'a@b..de', 'a@-b.de', 'a@b-.de', 'a@b.d', 'a@b.1e', 'a@b.e1', 'a@b_c.de', 'a(b@c.de', 'a"b@c.de', E'a\u2003b@c.de',
    E'a\u00a0b@c.de', '😀@x.example', '']) v;
-- 64 characters before the @, 254 in all, counted as characters.
SELECT saleshub.email_ok(repeat('ä', 64) || '@b.co'), saleshub.email_ok(repeat('ä', 65) || '@b.co'),
       saleshub.email_ok('a@' || repeat('ä.', 124) || 'co'), saleshub.email_ok('a@' || repeat('ä.', 125) || 'co'),
       saleshub.email_ok(NULL);
SELECT v, saleshub.domain_ok(v) FROM unnest(ARRAY[
    'b.co', 'b', 'b.', '.b.co', 'a..co', 'a.c', 'a.1c', 'a.c1', 'xn--mller-kva.example', 'a-.co', '-a.co', 'a.-co', 'a.co-', 'a/b.co',
    'a.b:80', 'a?b.co', '例え.テスト', 'a.ö', 'a.öö']) v;
SELECT saleshub.domain_ok(repeat('a', 250) || '.co'), saleshub.domain_ok(repeat('ä', 251) || '.co');
SELECT v, saleshub.website_ok(v) FROM unnest(ARRAY[
    'a.b', 'http://a.b', 'HTTPS://a.b/c d', 'https://a.b/<x>', 'ftp://a.b', 'a', 'a.', '.a', '..a', 'http://', 'http://.a', 'a/b.c', 'a?b.c',
    'javascript:alert(1).x', 'a.b?q=1#x', 'müller.de/ä']) v;
SELECT v, saleshub.domain_normal(v) FROM unnest(ARRAY[
    ' HTTPS://user@WWW.Example.COM.:8080/path?x#y ', 'www.www.a.b', 'a@b.c', 'a/b@c', 'http://', 'x+y-z.1://a.b', '1x://a.b', 'ÄÖ.de',
    '.', 'a..', 'mailto:a@b.c', E'\u00a0', '', '?x', 'www.']) v;

SELECT saleshub.calling_code('de'), saleshub.calling_code('US'), saleshub.calling_code('ZZ'), saleshub.calling_code('Germany'),
       saleshub.calling_code(''), saleshub.calling_code(NULL);
SELECT v, c, saleshub.phone_normal(v, c) FROM (VALUES
    ('030 / 123-4567', 'DE'), ('+49 (0)30 1234567', 'US'), ('0049 30 1234567', NULL), ('(212) 555-0100', 'us'), ('1 212 555 0100', 'CA'),
    ('12 1255 5010 0', 'US'), ('8 495 123-45-67', 'RU'), ('06 1234 5678', 'IT'), ('20 12 34 56', 'DK'), ('020 12 34 56', 'DK'),
    ('030 1234567', NULL), ('030 1234567 x12', 'DE'), ('030 1234567, Ext. 1234', 'DE'), ('030 1234567 extension 1', 'DE'),
    ('030 1234567;#99', 'DE'), ('030 1234567 x1234567', 'DE'), ('030 1234567 x', 'DE'), ('x12', 'DE'), ('12x3x45', 'DE'), ('12', 'DE'),
    ('123', 'DE'), ('+12', 'DE'), ('+123456', 'DE'), ('+1234567', 'DE'), ('1+2345678', 'DE'), ('1 (0) +2345678', 'DE'), ('((0)+49 30 123456', 'DE'),
    ('+0 123456789', 'DE'), ('00 0123456789', 'DE'), ('030–123456', 'DE'), (E'030\u2003123456', 'DE'), (E'030\u00a0123456', 'DE'),
    ('030_123456', 'DE'), ('٣٠١٢٣٤٥', 'DE'), ('123456789012345678', 'DE'), ('(0)(0)', 'DE'), ('', 'DE'), (NULL, 'DE')) t (v, c);
