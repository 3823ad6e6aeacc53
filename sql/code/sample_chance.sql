-- Chance for the sample data: every draw is a function of its key, so the same seed and day give
-- the same rows, ids included, on any machine and in any order.

CREATE FUNCTION saleshub.sample_draw(key text)
RETURNS float8
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN ('x' || substr(md5(key), 1, 8))::bit(32)::bigint / 4294967296.0::float8;
COMMENT ON FUNCTION saleshub.sample_draw(text) IS 'A number in [0, 1) that depends on the key alone';

CREATE FUNCTION saleshub.sample_normal(key text)
RETURNS float8
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN sqrt(-2 * ln(1 - saleshub.sample_draw(key || ' r')))
       * cosd(360 * saleshub.sample_draw(key || ' a'));
COMMENT ON FUNCTION saleshub.sample_normal(text) IS
    'A draw from the standard normal distribution (Box-Muller)';

CREATE FUNCTION saleshub.sample_pick(words text[], key text)
RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN words[1 + floor(saleshub.sample_draw(key) * cardinality(words))::int];
COMMENT ON FUNCTION saleshub.sample_pick(text[], text) IS 'One of the words, each as likely';

CREATE FUNCTION saleshub.sample_delay(key text, median interval, spread float8)
RETURNS interval
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN make_interval(secs => round(extract(epoch FROM median)::float8
                                   * exp(spread * saleshub.sample_normal(key)))::float8);
COMMENT ON FUNCTION saleshub.sample_delay(text, interval, float8) IS
    'A log-normal duration in whole seconds; spread is the sigma of its logarithm';

CREATE FUNCTION saleshub.sample_id(at timestamptz, key text)
RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0')
        || '7' || substr(md5(key), 1, 3)
        || '8' || substr(md5(key), 4, 15))::uuid;
COMMENT ON FUNCTION saleshub.sample_id(timestamptz, text) IS
    'The UUIDv7 of that millisecond with the digest of the key in place of chance';

CREATE FUNCTION saleshub.sample_ascii(words text)
RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN regexp_replace(lower(translate(
    replace(replace(replace(replace(replace(replace(replace(words,
        'ä', 'ae'), 'ö', 'oe'), 'ü', 'ue'), 'ß', 'ss'), 'Ä', 'Ae'), 'Ö', 'Oe'), 'Ü', 'Ue'),
    'áàâãåăéèêëíìîïóòôõøúùûýñçćčńśşšźżžłđğıÁÀÂÅÉÈÊÍÓÚÑÇĆČŚŠŹŻŽŁĐİ',
    'aaaaaaeeeeiiiiooooouuuyncccnssszzzldgiAAAAEEEIOUNCCCSSZZZLDI')),
    '[^a-z0-9]', '', 'g');
COMMENT ON FUNCTION saleshub.sample_ascii(text) IS
    'The words as part of an address: a to z and digits, letters without their marks';

CREATE FUNCTION saleshub.sample_phone(pattern text, key text)
RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN regexp_replace(pattern, '#+$',
    lpad((floor(saleshub.sample_draw(key)
                * 10 ^ (length(pattern) - length(rtrim(pattern, '#')))))::bigint::text,
         length(pattern) - length(rtrim(pattern, '#')), '0'));
COMMENT ON FUNCTION saleshub.sample_phone(text, text) IS
    'A number of the range: # at the end of the pattern are digits';
