/*
 * The chance of a lead or deal, written with the change that causes it: by the model, by hand, by
 * the stage, and the one of them that counts. And why the model says so.
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "saleshub.h"
#include "score_model.h"

PG_FUNCTION_INFO_V1(sh_probability);
PG_FUNCTION_INFO_V1(sh_probability_is_current);
PG_FUNCTION_INFO_V1(sh_probability_reasons);

enum column
{
	COLUMN_ORG,
	COLUMN_ID,
	COLUMN_STATUS,
	COLUMN_CREATED,
	COLUMN_STAGE, /* of a deal */
	COLUMN_EFFECTIVE,
	COLUMN_MANUAL,
	COLUMN_MODEL,
	COLUMN_VERSION,
	COLUMN_AGE,
	COLUMN_BY_STAGE, /* of a deal */
	COLUMNS
};

static const char *const lead_names[COLUMNS] = { "org_id",
												 "lead_id",
												 "status",
												 "created_at",
												 "status",
												 "probability",
												 "probability_manual",
												 "probability_model",
												 "probability_version",
												 "probability_age",
												 "probability_manual" };
static const char *const deal_names[COLUMNS] = { "org_id",
												 "deal_id",
												 "status",
												 "created_at",
												 "stage_id",
												 "probability",
												 "probability_manual",
												 "probability_model",
												 "probability_version",
												 "probability_age",
												 "probability_stage" };

/* What the columns of the model say. */
struct told
{
	double probability;
	int version, age;
	bool nothing; /* by no model */
};

struct row
{
	struct model_row of;
	Oid relid;
	const AttrNumber *at;
	AttrNumber numbers[COLUMNS];
};

static Datum
get(const struct row *row, enum column column, bool *isnull)
{
	return heap_getattr(row->of.tuple, row->at[column], row->of.desc, isnull);
}

static bool
status_is(const struct row *row, const char *word)
{
	bool isnull;
	text *status = (text *) DatumGetPointer(get(row, COLUMN_STATUS, &isnull));
	size_t len = strlen(word);

	return !isnull && VARSIZE_ANY_EXHDR(status) == len &&
		   memcmp(VARDATA_ANY(status), word, len) == 0;
}

static bool
is_open(const struct row *row)
{
	if (row->of.entity == MODEL_DEAL)
		return status_is(row, "open");
	return !status_is(row, "converted") && !status_is(row, "unqualified");
}

static void
identify(struct row *row)
{
	bool isnull;
	Datum org = get(row, COLUMN_ORG, &isnull);

	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION), errmsg("the organisation must be given")));
	row->of.org = *DatumGetUUIDP(org);
	row->of.id = *DatumGetUUIDP(get(row, COLUMN_ID, &isnull));
}

static const struct score_model *
model_of(const struct row *row)
{
	return sh_model_of(&row->of.org, row->of.entity, row->relid, row->of.desc);
}

static double
percent_or_share(const struct row *row, double p)
{
	return row->of.entity == MODEL_DEAL ? 100 * p : p;
}

static struct told
tell(const struct row *row)
{
	const struct score_model *model = model_of(row);
	struct told told = { .nothing = true };
	int level[UINT8_MAX + 1];
	int *levels = level;

	if (!model->logit)
		return told;
	if (model->logit->features > lengthof(level))
		levels = palloc(model->logit->features * sizeof *levels);
	sh_model_levels(model, &row->of, levels);
	told.nothing = false;
	told.version = model->version;
	told.age = row->of.age;
	told.probability = percent_or_share(row, sh_logistic(sh_logit_log_odds(model->logit, levels)));
	return told;
}

static struct told
told_before(const struct row *row)
{
	struct told told = { 0 };
	Datum p = get(row, COLUMN_MODEL, &told.nothing);
	bool isnull;
	Datum value;

	if (told.nothing)
		return told;
	told.probability = DatumGetFloat8(p);
	value = get(row, COLUMN_VERSION, &isnull);
	told.version = isnull ? 0 : DatumGetInt32(value);
	value = get(row, COLUMN_AGE, &isnull);
	told.age = isnull ? 0 : DatumGetInt16(value);
	return told;
}

static bool
same(const struct told *a, const struct told *b)
{
	return a->nothing == b->nothing &&
		   (a->nothing ||
			(a->probability == b->probability && a->version == b->version && a->age == b->age));
}

/* --- the trigger --- */

static int
age_now(const struct row *row, HeapTuple old)
{
	bool isnull;
	Datum value;

	if (row->of.entity == MODEL_LEAD)
	{
		value = get(row, COLUMN_CREATED, &isnull);
		return isnull ? 0 :
						sh_model_lead_age(DatumGetTimestampTz(value),
										  GetCurrentTransactionStartTimestamp());
	}
	if (!old)
		return 0;
	value = heap_getattr(old, row->at[COLUMN_STAGE], row->of.desc, &isnull);
	if (!isnull)
	{
		bool none;
		Datum now = get(row, COLUMN_STAGE, &none);

		if (none || memcmp(DatumGetUUIDP(now), DatumGetUUIDP(value), UUID_LEN) != 0)
			return 0;
	}
	value = get(row, COLUMN_AGE, &isnull);
	return isnull ? 0 : DatumGetInt16(value);
}

/* Percent with two digits, and never those of a deal that is decided. */
static Datum
percent(double p)
{
	char digits[32];

	pg_snprintf(digits, sizeof digits, "%.2f", Min(Max(p, 0.01), 99.99));
	return DirectFunctionCall3(
		numeric_in, CStringGetDatum(digits), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
}

/* The one that counts: by hand, else by the model, else by the stage. */
static Datum
effective(const struct row *row, const struct told *told, bool *isnull)
{
	Datum manual = get(row, COLUMN_MANUAL, isnull);

	if (row->of.entity == MODEL_DEAL && !is_open(row))
		return get(row, COLUMN_EFFECTIVE, isnull);
	if (!*isnull)
		return manual;
	if (!told->nothing)
	{
		*isnull = false;
		return row->of.entity == MODEL_DEAL ?
				   percent(told->probability) :
				   DirectFunctionCall1(float8_numeric, Float8GetDatum(told->probability));
	}
	if (row->of.entity == MODEL_DEAL)
		return get(row, COLUMN_BY_STAGE, isnull);
	*isnull = true;
	return (Datum) 0;
}

static bool
same_number(Datum a, bool a_null, Datum b, bool b_null)
{
	return a_null == b_null && (a_null || DatumGetBool(DirectFunctionCall2(numeric_eq, a, b)));
}

static HeapTuple
with_told(const struct row *row, const struct told *told)
{
	struct told before = told_before(row);
	int numbers[4];
	Datum values[4];
	bool nulls[4];
	bool was_null;
	Datum was = get(row, COLUMN_EFFECTIVE, &was_null);

	values[0] = effective(row, told, &nulls[0]);
	if (same(&before, told) && same_number(was, was_null, values[0], nulls[0]))
		return row->of.tuple;
	numbers[0] = row->at[COLUMN_EFFECTIVE];
	numbers[1] = row->at[COLUMN_MODEL];
	numbers[2] = row->at[COLUMN_VERSION];
	numbers[3] = row->at[COLUMN_AGE];
	nulls[1] = nulls[2] = nulls[3] = told->nothing;
	values[1] = Float8GetDatum(told->probability);
	values[2] = Int32GetDatum(told->version);
	values[3] = Int16GetDatum((int16) told->age);
	return heap_modify_tuple_by_cols(row->of.tuple, row->of.desc, 4, numbers, values, nulls);
}

/* BEFORE INSERT OR UPDATE, for each row of crm.lead or crm.deal. */
Datum
sh_probability(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	struct row row = { 0 };
	struct told told = { .nothing = true };
	HeapTuple old = NULL;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		elog(ERROR, "saleshub.probability must be a trigger before a row is written");
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		old = trigger->tg_trigtuple;
	row.of.tuple = old ? trigger->tg_newtuple : trigger->tg_trigtuple;
	row.of.desc = RelationGetDescr(trigger->tg_relation);
	row.of.entity = strncmp(trigger->tg_trigger->tgname, "deal", 4) == 0 ? MODEL_DEAL : MODEL_LEAD;
	row.of.is_new = !old;
	row.relid = RelationGetRelid(trigger->tg_relation);
	row.at = sh_columns_needed(
		trigger->tg_relation, row.of.entity == MODEL_DEAL ? deal_names : lead_names, COLUMNS);
	identify(&row);
	if (is_open(&row))
	{
		row.of.age = age_now(&row, old);
		told = tell(&row);
	}
	else if (old)
	{
		struct row was = row;

		was.of.tuple = old;
		told = told_before(&was);
	}
	return PointerGetDatum(with_told(&row, &told));
}

/* --- about rows that are there --- */

/* A row of crm.lead or crm.deal given as a record; release the descriptor when done. */
static void
row_argument(struct row *row, HeapTupleHeader header, HeapTupleData *tuple)
{
	Oid type = HeapTupleHeaderGetTypeId(header);
	const char *const *names = row->of.entity == MODEL_DEAL ? deal_names : lead_names;

	row->of.desc = lookup_rowtype_tupdesc(type, HeapTupleHeaderGetTypMod(header));
	memset(tuple, 0, sizeof *tuple);
	tuple->t_len = HeapTupleHeaderGetDatumLength(header);
	tuple->t_data = header;
	row->of.tuple = tuple;
	row->relid = type == RECORDOID ? InvalidOid : get_typ_typrelid(type);
	for (int i = 0; i < COLUMNS; i++)
	{
		row->numbers[i] = SPI_fnumber(row->of.desc, names[i]);
		if (row->numbers[i] <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("the row has no column \"%s\"", names[i])));
	}
	row->at = row->numbers;
	identify(row);
}

/* saleshub.probability_is_current(entity text, record) returns boolean */
Datum
sh_probability_is_current(PG_FUNCTION_ARGS)
{
	struct row row = { .of.entity = sh_model_entity(text_to_cstring(PG_GETARG_TEXT_PP(0))) };
	HeapTupleData tuple;
	struct told before;
	struct told now;
	Datum was;
	Datum is;
	bool was_null;
	bool is_null;

	row_argument(&row, PG_GETARG_HEAPTUPLEHEADER(1), &tuple);
	before = told_before(&row);
	row.of.age = before.nothing ? 0 : before.age;
	now = is_open(&row) ? tell(&row) : before;
	if (before.nothing)
		now.age = 0;
	was = get(&row, COLUMN_EFFECTIVE, &was_null);
	is = effective(&row, &now, &is_null);
	ReleaseTupleDesc(row.of.desc);
	PG_RETURN_BOOL(same(&before, &now) && same_number(was, was_null, is, is_null));
}

/* What a level says: a word, a range, or that nothing is known. */
static char *
level_text(const struct logit_feature *feature, int level)
{
	if (level == 0)
		return NULL;
	if (feature->words)
		return level < feature->levels - 1 ? feature->word[level - 1] : "other";
	if (feature->nedges == 0)
		return "given";
	if (level == 1)
		return psprintf("< %.6g", feature->edges[0]);
	if (level > feature->nedges)
		return psprintf(">= %.6g", feature->edges[feature->nedges - 1]);
	return psprintf("%.6g to < %.6g", feature->edges[level - 2], feature->edges[level - 1]);
}

static void
push_reason(JsonbParseState **state, const struct score_model *model, int f, int level, double z)
{
	const struct logit_feature *feature = &model->logit->feature[f];
	double log_odds = model->logit->log_odds[model->logit->offset[f] + level];

	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	sh_json_string(state, "feature", feature->name);
	sh_json_string(state, "value", level_text(feature, level));
	sh_logit_push(state, "log_odds", log_odds);
	sh_logit_push(state, "odds_ratio", exp(Min(Max(log_odds, -700), 700)));
	sh_logit_push(state, "delta_p", sh_logistic(z) - sh_logistic(z - log_odds));
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

/*
 * saleshub.probability_reasons(entity text, record) returns jsonb: as the row stands, at the age
 * it was told of; NULL when there is no champion.
 */
Datum
sh_probability_reasons(PG_FUNCTION_ARGS)
{
	struct row row = { .of.entity = sh_model_entity(text_to_cstring(PG_GETARG_TEXT_PP(0))) };
	JsonbParseState *state = NULL;
	const struct score_model *model;
	HeapTupleData tuple;
	int *level;
	double z;
	bool isnull;
	Datum age;

	row_argument(&row, PG_GETARG_HEAPTUPLEHEADER(1), &tuple);
	age = get(&row, COLUMN_AGE, &isnull);
	row.of.age = isnull ? 0 : DatumGetInt16(age);
	model = model_of(&row);
	if (!model->logit)
	{
		ReleaseTupleDesc(row.of.desc);
		PG_RETURN_NULL();
	}
	level = palloc(Max(model->logit->features, 1) * sizeof *level);
	sh_model_levels(model, &row.of, level);
	z = sh_logit_log_odds(model->logit, level);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	sh_logit_push(&state, "probability", percent_or_share(&row, sh_logistic(z)));
	sh_logit_push(&state, "log_odds", z);
	sh_logit_push(&state, "intercept", model->logit->intercept);
	sh_json_number(&state, "version", model->version);
	sh_json_key(&state, "reasons");
	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int f = 0; f < model->logit->features; f++)
		push_reason(&state, model, f, level[f], z);
	pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	ReleaseTupleDesc(row.of.desc);
	PG_RETURN_JSONB_P(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}
