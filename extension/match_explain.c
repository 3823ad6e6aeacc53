/*
 * How much two records look like one, explained: every field of the specification adds the weight
 * of its level (log2 of how much likelier that level is for one thing than for two), and the score
 * is their sum.
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

#include "match.h"
#include "saleshub.h"

PG_FUNCTION_INFO_V1(sh_match_explain);
PG_FUNCTION_INFO_V1(sh_match_score);

#define FIELD_MAX 64

struct field
{
	struct match_text name;
	enum match_kind kind;
	double weight[MATCH_SAME + 1];
	const char *a; /* normal forms */
	const char *b;
	enum match_level level;
};

/* One record is compared with many: what is known of it and of the rules is kept between calls. */
struct comparison
{
	Jsonb *rules;
	Jsonb *one;
	int count;
	struct field field[FIELD_MAX];
	bool swapped; /* first and last name changed places */
};

static const char *const level_names[] = { "missing", "differ", "close", "same" };

static JsonbValue *
member(JsonbContainer *object, const char *key, int len)
{
	return JsonContainerIsObject(object) ? getKeyJsonValueFromContainer(object, key, len, NULL) :
										   NULL;
}

static struct match_text
text_of(const JsonbValue *value)
{
	struct match_text text = { NULL, 0 };

	if (value && value->type == jbvString)
	{
		text.data = value->val.string.val;
		text.len = value->val.string.len;
	}
	else if (value && value->type == jbvNumeric)
	{
		text.data = numeric_normalize(value->val.numeric);
		text.len = strlen(text.data);
	}
	return text;
}

struct match_text
sh_match_field(Jsonb *record, const char *name, int len)
{
	const char *dot = memchr(name, '.', len);
	JsonbValue *value;

	if (!dot)
		return text_of(member(&record->root, name, len));
	value = member(&record->root, name, dot - name);
	if (!value || value->type != jbvBinary)
		return (struct match_text){ NULL, 0 };
	return text_of(member(value->val.binary.data, dot + 1, name + len - dot - 1));
}

static double
weight_of(JsonbContainer *rule, const char *key)
{
	JsonbValue *value = member(rule, key, strlen(key));

	if (!value || value->type != jbvNumeric)
		return 0;
	return DatumGetFloat8(DirectFunctionCall1(numeric_float8, NumericGetDatum(value->val.numeric)));
}

static void
read_rule(struct comparison *c, JsonbContainer *rule)
{
	struct field *field = &c->field[c->count];
	struct match_text kind = text_of(member(rule, "kind", 4));

	field->name = text_of(member(rule, "field", 5));
	if (!field->name.data || !kind.data || !sh_match_kind(kind.data, kind.len, &field->kind))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a rule of comparison has no field or an unknown kind")));
	field->weight[MATCH_DIFFER] = weight_of(rule, "differ");
	field->weight[MATCH_CLOSE] = weight_of(rule, "close");
	field->weight[MATCH_SAME] = weight_of(rule, "same");
	c->count++;
}

static void
read_rules(struct comparison *c, Jsonb *rules)
{
	int count = JsonContainerIsArray(&rules->root) ? JsonContainerSize(&rules->root) : 0;

	for (int i = 0; i < Min(count, FIELD_MAX); i++)
	{
		JsonbValue *rule = getIthJsonbValueFromContainer(&rules->root, i);

		if (rule->type == jbvBinary && JsonContainerIsObject(rule->val.binary.data))
			read_rule(c, rule->val.binary.data);
	}
}

/* Where both names differ, they may have changed places. */
static void
try_swapped(struct comparison *c)
{
	struct field *first = NULL;
	struct field *last = NULL;

	for (int i = 0; i < c->count; i++)
		if (c->field[i].kind == MATCH_FIRST_NAME)
			first = &c->field[i];
		else if (c->field[i].kind == MATCH_LAST_NAME)
			last = &c->field[i];
	if (!first || !last || first->level != MATCH_DIFFER || last->level != MATCH_DIFFER)
		return;
	/* Names of both kinds have the same normal form. */
	if (sh_match_level(MATCH_FIRST_NAME, first->a, last->b) < MATCH_CLOSE ||
		sh_match_level(MATCH_LAST_NAME, last->a, first->b) < MATCH_CLOSE)
		return;
	first->level = last->level = MATCH_CLOSE;
	c->swapped = true;
}

static void
push_number(JsonbParseState **state, const char *key, double number)
{
	JsonbValue v = { .type = jbvNumeric };

	v.val.numeric = DatumGetNumeric(DirectFunctionCall3(
		numeric_in, CStringGetDatum(psprintf("%.2f", number)), 0, Int32GetDatum(-1)));
	sh_json_key(state, key);
	pushJsonbValue(state, WJB_VALUE, &v);
}

static Jsonb *
explanation(const struct comparison *c)
{
	JsonbParseState *state = NULL;
	double score = 0;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	sh_json_key(&state, "fields");
	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < c->count; i++)
	{
		const struct field *field = &c->field[i];

		if (field->level == MATCH_MISSING)
			continue;
		score += field->weight[field->level];
		pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
		sh_json_string(&state, "field", pnstrdup(field->name.data, field->name.len));
		sh_json_string(&state, "level", level_names[field->level]);
		push_number(&state, "weight", field->weight[field->level]);
		pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	}
	pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	push_number(&state, "score", score);
	if (c->swapped)
		sh_json_bool(&state, "swapped", true);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

static bool
same_jsonb(const Jsonb *a, const Jsonb *b)
{
	return VARSIZE(a) == VARSIZE(b) && memcmp(a, b, VARSIZE(a)) == 0;
}

static Jsonb *
copy_jsonb(const Jsonb *value)
{
	return memcpy(palloc(VARSIZE(value)), value, VARSIZE(value));
}

/* The rules and the one record, read anew only when they are others than in the call before. */
static struct comparison *
prepare(FmgrInfo *flinfo, Jsonb *rules, Jsonb *one)
{
	struct comparison *c = flinfo->fn_extra;
	MemoryContext old;

	if (c && same_jsonb(c->rules, rules) && same_jsonb(c->one, one))
		return c;
	old = MemoryContextSwitchTo(flinfo->fn_mcxt);
	flinfo->fn_extra = NULL;
	c = palloc0(sizeof(*c));
	c->rules = copy_jsonb(rules);
	c->one = copy_jsonb(one);
	read_rules(c, c->rules);
	for (int i = 0; i < c->count; i++)
	{
		struct field *field = &c->field[i];

		field->a =
			sh_match_normal(field->kind, sh_match_field(c->one, field->name.data, field->name.len));
	}
	MemoryContextSwitchTo(old);
	flinfo->fn_extra = c;
	return c;
}

static const struct comparison *
compare(FunctionCallInfo fcinfo)
{
	struct comparison *c = prepare(fcinfo->flinfo, PG_GETARG_JSONB_P(0), PG_GETARG_JSONB_P(1));
	Jsonb *other = PG_GETARG_JSONB_P(2);

	c->swapped = false;
	for (int i = 0; i < c->count; i++)
	{
		struct field *field = &c->field[i];

		field->b = field->a ?
					   sh_match_normal(field->kind,
									   sh_match_field(other, field->name.data, field->name.len)) :
					   NULL;
		field->level = sh_match_level(field->kind, field->a, field->b);
	}
	try_swapped(c);
	return c;
}

/* saleshub.match_explain(rules jsonb, a jsonb, b jsonb) returns jsonb */
Datum
sh_match_explain(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(explanation(compare(fcinfo)));
}

/* saleshub.match_score(rules jsonb, a jsonb, b jsonb) returns double precision */
Datum
sh_match_score(PG_FUNCTION_ARGS)
{
	const struct comparison *c = compare(fcinfo);
	double score = 0;

	for (int i = 0; i < c->count; i++)
		score += c->field[i].weight[c->field[i].level];
	/* As it is explained. */
	PG_RETURN_FLOAT8(rint(score * 100) / 100);
}
