CREATE FUNCTION saleshub.bernoulli_sum_interval(
    p double precision[], amount numeric[], level double precision DEFAULT 0.8,
    OUT lower numeric, OUT upper numeric, OUT error numeric, OUT method text)
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_bernoulli_sum_interval';
COMMENT ON FUNCTION saleshub.bernoulli_sum_interval(double precision[], numeric[], double precision) IS
    'Where the sum of amounts lies that each come with probability p or not at all, independent of one another: below lower and above upper with at most (1 - level) / 2 each. Method exact, or grid when there are too many sums; error says how far off that may be';
