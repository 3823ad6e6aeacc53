-- Shapes of answers become JSON Schemas.
\set VERBOSITY terse
\set QUIET on
\pset format unaligned
\pset tuples_only on
SELECT w, saleshub.answer_word(w) FROM unnest('{text,text?,uuid,time?,date,integer,number?,boolean,object?,any,any?,Lead,Lead?,a|b,a|b?}'::text[]) w;
SELECT saleshub.answer_schema('{"id": "uuid", "name?": "text", "tags": ["text"], "counts": {"*": "integer"}, "owner": {"?": {"id": "uuid"}}, "raw": {"=": {"const": 1}}}');
SELECT saleshub.answer_schema('[]'), saleshub.answer_schema(NULL);
SELECT saleshub.answer_schema('{"id": "uid"}');
SELECT saleshub.page_shape('"Lead"');
SELECT saleshub.record_shape('[{"name": "id", "type": "uuid"}, {"name": "kind", "type": "enum", "values": ["a", "b"]},
    {"name": "price", "type": "money"}, {"name": "secret", "type": "text", "only_filter": true}]', '{"owner": "x"}');
SELECT saleshub.may_call('manager', 'rep'), saleshub.may_call('manager', 'admin'), saleshub.may_call(NULL, 'rep'), saleshub.may_call('admin', NULL);
