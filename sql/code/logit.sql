-- Logistic regression: trained in the database on any table of outcomes, and explained exactly.

CREATE FUNCTION saleshub.logit_train(
    source regclass, outcome name, features text[] DEFAULT NULL, l2 double precision DEFAULT NULL,
    bins integer DEFAULT 20, rare integer DEFAULT 20, max_rows integer DEFAULT 2000000)
    RETURNS jsonb
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_logit_train';
COMMENT ON FUNCTION saleshub.logit_train(regclass, name, text[], double precision, integer, integer, integer) IS
    'Trains a logistic regression with an L2 penalty (l2; NULL: chosen by cross-validation) that predicts the outcome, a boolean or 0 and 1, from features (NULL: all columns that are numbers, texts, booleans or enums). Numbers are cut into up to so many bins at their quantiles, each of at least rare rows; words that fewer than rare rows have are one level, missing is a level; of more than max_rows rows a random sample is taken. Returns the model: state ready, insufficient (fewer than 30 of either outcome) or not_better (than the base rate), log odds per level about their mean, and the card (AUC, Brier score, log loss, ECE over ten bins, lift of the best tenth, reliability), measured on rows held out and calibrated by Platt''s scaling. Reads under the rights of the caller, row security included';

CREATE FUNCTION saleshub.logit_probability(model jsonb, subject record) RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_logit_probability';
COMMENT ON FUNCTION saleshub.logit_probability(jsonb, record) IS
    'The chance that a model gives a row, 0 to 1; columns are found by name, one that is not there is missing';

CREATE FUNCTION saleshub.logit_explain(model jsonb, subject record) RETURNS jsonb
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_logit_explain';
COMMENT ON FUNCTION saleshub.logit_explain(jsonb, record) IS
    'The chance that a model gives a row and why: {probability, log_odds, intercept, reasons: [{feature, value, log_odds}]}; intercept and reasons sum to the log odds, which are the logit of the probability';

CREATE FUNCTION saleshub.logit_score(model jsonb, VARIADIC "values" "any") RETURNS double precision
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_logit_score';
COMMENT ON FUNCTION saleshub.logit_score(jsonb, "any") IS
    'The chance that a model gives to values, one for each of its features and in their order (model -> ''features''), NULL being missing: what logit_probability says of a row, in a fraction of the time';
