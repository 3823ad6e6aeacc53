/*
 * Models that crm.score_train published, applied to rows of leads and deals: the champion is
 * compiled once a backend and organisation, and used until it is replaced.
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "saleshub.h"
#include "score_model.h"

PG_FUNCTION_INFO_V1(sh_score_model_changed);

/* Models that a backend keeps; past that all are dropped and start anew. */
#define CACHED_MODELS 64

#define CUSTOM "custom."
#define GIVEN "_given"

static struct sh_org_cache cache = { .name = "saleshub models",
									 .relation.name = "score_model",
									 .most = CACHED_MODELS,
									 .by_columns = true };

/* --- compiling --- */

static bool
ends_with(const char *name, const char *end)
{
	size_t n = strlen(name), m = strlen(end);

	return n > m && strcmp(name + n - m, end) == 0;
}

static void
compile_column(struct model_feature *out, const struct logit_feature *feature, TupleDesc desc,
			   const char *name)
{
	int attribute = SPI_fnumber(desc, name);

	if (attribute <= 0)
		return;
	sh_logit_reader(&out->reader, SPI_gettypeid(desc, attribute));
	if (out->reader.words != feature->words)
		return;
	out->source = SOURCE_COLUMN;
	out->attribute = attribute;
}

static void
compile_feature(struct model_feature *out, const struct logit_feature *feature, TupleDesc desc)
{
	const char *name = feature->name;

	if (strcmp(name, "age") == 0)
		out->source = SOURCE_AGE;
	else if (strcmp(name, "activities") == 0)
		out->source = SOURCE_ACTIVITIES;
	else if (strncmp(name, CUSTOM, strlen(CUSTOM)) == 0)
	{
		out->source = SOURCE_CUSTOM;
		out->attribute = SPI_fnumber(desc, "custom");
		out->key = name + strlen(CUSTOM);
		out->key_len = strlen(out->key);
		sh_logit_reader(&out->reader, feature->words ? TEXTOID : NUMERICOID);
	}
	else if (ends_with(name, GIVEN))
	{
		char *column = pnstrdup(name, strlen(name) - strlen(GIVEN));
		int attribute = SPI_fnumber(desc, column);

		out->source = attribute > 0 ? SOURCE_GIVEN : SOURCE_NONE;
		out->attribute = attribute;
	}
	else
		compile_column(out, feature, desc, name);
}

/* Log odds as the calibration has them. */
static void
calibrate(struct logit_model *logit, Jsonb *calibration)
{
	double b = sh_json_double(&calibration->root, "scale", 1);
	double a = sh_json_double(&calibration->root, "shift", 0);

	logit->intercept = a + b * logit->intercept;
	for (int i = 0; i < logit->offset[logit->features]; i++)
		logit->log_odds[i] *= b;
}

static void
compile(struct score_model *model, Jsonb *json, Jsonb *calibration, TupleDesc desc)
{
	model->logit = sh_logit_from_json(json);
	calibrate(model->logit, calibration);
	model->feature = palloc0(Max(model->logit->features, 1) * sizeof *model->feature);
	for (int f = 0; f < model->logit->features; f++)
	{
		compile_feature(&model->feature[f], &model->logit->feature[f], desc);
		if (model->feature[f].source == SOURCE_ACTIVITIES)
			model->counts_activities = true;
	}
}

/* In a context of its own below the current one. */
static struct score_model *
read_model(const pg_uuid_t *org, enum model_entity entity, TupleDesc desc)
{
	static const char sql[] =
		"SELECT version, model, calibration FROM crm.score_model"
		" WHERE org_id OPERATOR(pg_catalog.=) $1 AND entity OPERATOR(pg_catalog.=) $2"
		" AND state OPERATOR(pg_catalog.=) 'champion'";
	Oid types[2] = { UUIDOID, TEXTOID };
	Datum values[2] = { UUIDPGetDatum(org),
						CStringGetTextDatum(entity == MODEL_LEAD ? "lead" : "deal") };
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "saleshub model", ALLOCSET_SMALL_SIZES);
	struct score_model *model = MemoryContextAllocZero(context, sizeof *model);
	struct sh_identity identity;

	model->context = context;
	sh_owner_enter(&identity);
	SPI_connect();
	if (SPI_execute_plan(sh_plan(sql, 2, types), values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read the model");
	if (SPI_processed > 0)
	{
		HeapTuple tuple = SPI_tuptable->vals[0];
		TupleDesc row = SPI_tuptable->tupdesc;
		MemoryContext before = MemoryContextSwitchTo(context);
		bool isnull;

		model->version = DatumGetInt32(SPI_getbinval(tuple, row, 1, &isnull));
		compile(model,
				DatumGetJsonbP(SPI_getbinval(tuple, row, 2, &isnull)),
				DatumGetJsonbP(SPI_getbinval(tuple, row, 3, &isnull)),
				desc);
		MemoryContextSwitchTo(before);
	}
	SPI_finish();
	sh_owner_leave(&identity);
	return model;
}

const struct score_model *
sh_model_of(const pg_uuid_t *org, enum model_entity entity, Oid relid, TupleDesc desc)
{
	struct score_model *model;
	struct sh_stamp stamp;
	uint32 words[UUID_LEN / sizeof(uint32)] = { entity, relid };
	pg_uuid_t part;

	memcpy(&part, words, sizeof(part));
	model = OidIsValid(relid) ? sh_org_kept(&cache, org, &part) : NULL;
	if (model)
		return model;
	(void) sh_slot_stamp(&stamp);
	model = read_model(org, entity, desc);
	if (OidIsValid(relid))
		(void) sh_org_keep(&cache, org, &part, &stamp, model, model->context);
	return model;
}

/* AFTER each row of crm.score_model: who keeps the champion learns of it at commit. */
Datum
sh_score_model_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc desc;
	bool isnull;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		elog(ERROR, "saleshub.score_model_changed must be a trigger for each row");
	desc = RelationGetDescr(trigger->tg_relation);
	sh_slot_touch(RelationGetRelid(trigger->tg_relation),
				  DatumGetUUIDP(heap_getattr(
					  trigger->tg_trigtuple, SPI_fnumber(desc, "org_id"), desc, &isnull)));
	return PointerGetDatum(NULL);
}

/* --- applying --- */

static int64
count_activities(const struct model_row *row)
{
	static const char sql[] =
		"SELECT pg_catalog.count(*) FROM crm.activity_link AS l"
		" JOIN crm.activity AS a ON a.org_id OPERATOR(pg_catalog.=) l.org_id"
		" AND a.activity_id OPERATOR(pg_catalog.=) l.activity_id"
		" WHERE l.org_id OPERATOR(pg_catalog.=) $1 AND l.entity OPERATOR(pg_catalog.=) $2"
		" AND l.entity_id OPERATOR(pg_catalog.=) $3 AND a.deleted_at IS NULL";
	Oid types[3] = { UUIDOID, TEXTOID, UUIDOID };
	Datum values[3] = { UUIDPGetDatum(&row->org),
						CStringGetTextDatum(row->entity == MODEL_LEAD ? "lead" : "deal"),
						UUIDPGetDatum(&row->id) };
	struct sh_identity identity;
	int64 count;
	bool isnull;

	if (row->is_new)
		return 0;
	sh_owner_enter(&identity);
	SPI_connect();
	if (SPI_execute_plan(sh_plan(sql, 3, types), values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not count activities");
	count = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	sh_owner_leave(&identity);
	return count;
}

/* As training reads it: custom ->> key, or that as a number. */
static int
custom_level(const struct model_feature *from, const struct logit_feature *feature, Datum custom)
{
	JsonbValue *value = sh_json_member(&DatumGetJsonbP(custom)->root, from->key);

	if (!value || value->type == jbvNull)
		return 0;
	if (value->type == jbvNumeric)
	{
		if (!feature->words)
			return sh_logit_level(feature, &from->reader, NumericGetDatum(value->val.numeric));
		return sh_logit_level(feature,
							  &from->reader,
							  CStringGetTextDatum(DatumGetCString(DirectFunctionCall1(
								  numeric_out, NumericGetDatum(value->val.numeric)))));
	}
	if (!feature->words)
		return 0;
	if (value->type == jbvBool)
		return sh_logit_level(
			feature, &from->reader, CStringGetTextDatum(value->val.boolean ? "true" : "false"));
	if (value->type == jbvString)
		return sh_logit_level(feature,
							  &from->reader,
							  PointerGetDatum(cstring_to_text_with_len(value->val.string.val,
																	   value->val.string.len)));
	return 0;
}

static int
number_level(const struct logit_feature *feature, int64 value)
{
	char word[24];

	if (!feature->words)
		return sh_logit_number(feature, (float) value);
	pg_snprintf(word, sizeof word, INT64_FORMAT, value);
	return sh_logit_word(feature, word, strlen(word));
}

static int
level_of(const struct model_feature *from, const struct logit_feature *feature,
		 const struct model_row *row)
{
	Datum value = (Datum) 0;
	bool isnull = true;

	if (from->attribute > 0)
		value = heap_getattr(row->tuple, from->attribute, row->desc, &isnull);
	switch (from->source)
	{
		case SOURCE_COLUMN:
			return isnull ? 0 : sh_logit_level(feature, &from->reader, value);
		case SOURCE_GIVEN:
			return feature->words ?
					   sh_logit_word(feature, isnull ? "false" : "true", isnull ? 5 : 4) :
					   0;
		case SOURCE_CUSTOM:
			return isnull ? 0 : custom_level(from, feature, value);
		case SOURCE_AGE:
			return number_level(feature, row->age);
		case SOURCE_ACTIVITIES:
			return number_level(feature, count_activities(row));
		default:
			return 0;
	}
}

void
sh_model_levels(const struct score_model *model, const struct model_row *row, int *level)
{
	for (int f = 0; f < model->logit->features; f++)
		level[f] = level_of(&model->feature[f], &model->logit->feature[f], row);
}

int
sh_model_lead_age(TimestampTz created, TimestampTz now)
{
	static const int milestones[] = { 30, 7, 1 };

	for (int i = 0; i < lengthof(milestones); i++)
		if (created <= now - milestones[i] * USECS_PER_DAY)
			return milestones[i];
	return 0;
}

enum model_entity
sh_model_entity(const char *name)
{
	if (strcmp(name, "lead") == 0)
		return MODEL_LEAD;
	if (strcmp(name, "deal") == 0)
		return MODEL_DEAL;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("there are no models of \"%s\"", name),
			 errhint("Models are of leads and of deals.")));
}
