-- The reader in C: some rows of a file at a time, in the memory of the transaction.

CREATE FUNCTION saleshub.import_look(upload uuid, encoding text, delimiter text, header boolean)
    RETURNS jsonb
    LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_import_look';
COMMENT ON FUNCTION saleshub.import_look(uuid, text, text, boolean) IS
    'What the first MB of a file says about it: {encoding, delimiter, header, rows, whole, columns: [{name, looks_like, decimal, date_format, filled, samples}]}; what is given is taken as it is. "?" means that both ways are possible';

CREATE FUNCTION saleshub.import_open(layout jsonb, upload uuid, at bigint, line bigint) RETURNS void
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_import_open';
COMMENT ON FUNCTION saleshub.import_open(jsonb, uuid, bigint, bigint) IS
    'Opens a file for the rest of the transaction, at a byte where a row begins; from 0 its mark and header are passed over';

CREATE FUNCTION saleshub.import_fetch(
    most integer, OUT rows integer, OUT at bigint, OUT line bigint, OUT done boolean)
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_import_fetch';
COMMENT ON FUNCTION saleshub.import_fetch(integer) IS
    'Reads the next rows; fewer than asked for where a key comes again, whose row begins the next batch. at and line are where to go on';

CREATE FUNCTION saleshub.import_rows(status text) RETURNS SETOF record
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE ROWS 1000 AS 'MODULE_PATHNAME', 'sh_import_rows';
COMMENT ON FUNCTION saleshub.import_rows(text) IS
    'The rows at hand with a status (new, create, update, skip, conflict, error): n, line, id and the values as text, as saleshub.import_shape declares them';

CREATE FUNCTION saleshub.import_put(value integer, n integer[], texts text[]) RETURNS void
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_import_put';
COMMENT ON FUNCTION saleshub.import_put(integer, integer[], text[]) IS
    'Replaces a value of these rows';

CREATE FUNCTION saleshub.import_mark(status text, n integer[], ids uuid[]) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_import_mark';
COMMENT ON FUNCTION saleshub.import_mark(text, integer[], uuid[]) IS
    'Says what becomes of these rows, and the ids of their records; with create and no ids they get new ones. A row with an error keeps it';

CREATE FUNCTION saleshub.import_note(
    error boolean, code text, col text, n integer[], messages text[], raws text[]) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_import_note';
COMMENT ON FUNCTION saleshub.import_note(boolean, text, text, integer[], text[], text[]) IS
    'Notes errors, which mark their rows, or warnings';

CREATE FUNCTION saleshub.import_issues(
    OUT line bigint, OUT error boolean, OUT col text, OUT code text, OUT message text,
    OUT raw text, OUT cells text[]) RETURNS SETOF record
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_import_issues';
COMMENT ON FUNCTION saleshub.import_issues() IS
    'What was noted about the rows at hand, with the cells of those that have errors';

CREATE FUNCTION saleshub.import_counts() RETURNS integer[]
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_import_counts';
COMMENT ON FUNCTION saleshub.import_counts() IS
    'Of the rows at hand: all, new, create, update, skip, conflict, error, and how many have warnings';

CREATE FUNCTION saleshub.import_lookup(
    entity text, field text, texts text[], OUT n integer, OUT id uuid, OUT deleted boolean) RETURNS SETOF record
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE ROWS 1000 AS 'MODULE_PATHNAME', 'sh_import_lookup';
COMMENT ON FUNCTION saleshub.import_lookup(text, text, text[]) IS
    'Records that have one of these texts in a field (id, name, email, phone, domain, sku, subject, custom.<key>), as far as the member sees them; n says which text, from 1';

CREATE FUNCTION saleshub.import_nearest(word text, known text[]) RETURNS text
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_import_nearest';
COMMENT ON FUNCTION saleshub.import_nearest(text, text[]) IS
    'The known word that differs from this one in one or two letters; NULL for none';

CREATE FUNCTION saleshub.import_shape(layout jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT 'r(n integer, line bigint, id uuid'
           || coalesce(string_agg(format(', c%s text', i), '' ORDER BY i), '') || ')'
    FROM generate_series(0, (import_shape.layout ->> 'outs')::integer - 1) i;
END;
COMMENT ON FUNCTION saleshub.import_shape(jsonb) IS
    'SQL text that declares the columns of saleshub.import_rows().';

CREATE FUNCTION saleshub.import_value(layout jsonb, col text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN 'r.c' || saleshub.import_place(layout -> 'columns', 'column', col);
COMMENT ON FUNCTION saleshub.import_value(jsonb, text) IS
    'SQL text of the value that a row gives for a column; NULL when the file has none.';
