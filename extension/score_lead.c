/*
 * Scores in rows of crm.lead: computed before a row is written, so that no reader ever sees a
 * lead and its score disagree. The score of a lead with events is that of an instant, score_as_of,
 * and moves when what it depends on changes; other writes leave it alone.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "saleshub.h"
#include "score.h"

PG_FUNCTION_INFO_V1(sh_lead_score);
PG_FUNCTION_INFO_V1(sh_lead_score_lock);
PG_FUNCTION_INFO_V1(sh_score_is_current);
PG_FUNCTION_INFO_V1(sh_score_predicate_true);
PG_FUNCTION_INFO_V1(sh_score_rescore);

/* The columns that scoring writes. */
enum
{
	SCORE,
	FIT,
	ENGAGEMENT,
	AS_OF,
	GRADE,
	REASONS,
	WRITTEN
};

struct written
{
	Datum values[WRITTEN];
	bool nulls[WRITTEN];
};

static struct score_columns columns;
static Oid columns_relid = InvalidOid;

static void
on_relation_change(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == columns_relid)
		columns_relid = InvalidOid;
}

static AttrNumber
column_of(TupleDesc desc, const char *name, Oid type)
{
	int attno = SPI_fnumber(desc, name);

	if (attno <= 0 || SPI_gettypeid(desc, attno) != type)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of a lead is missing or has another type", name)));
	return (AttrNumber) attno;
}

static Oid
type_of_field(enum predicate_field field)
{
	switch (sh_predicate_type(field))
	{
		case TYPE_INTEGER:
			return INT4OID;
		case TYPE_NUMERIC:
			return NUMERICOID;
		case TYPE_BOOLEAN:
			return BOOLOID;
		case TYPE_TAGS:
			return TEXTARRAYOID;
		default:
			return TEXTOID;
	}
}

/* The columns of the relation that the row type belongs to; shards share names, not numbers. */
const struct score_columns *
sh_score_columns(Oid relid, TupleDesc desc)
{
	static bool watching = false;

	if (OidIsValid(relid) && columns_relid == relid)
		return &columns;
	if (!watching)
		CacheRegisterRelcacheCallback(on_relation_change, (Datum) 0);
	watching = true;
	columns_relid = InvalidOid;
	columns.org = column_of(desc, "org_id", UUIDOID);
	columns.lead = column_of(desc, "lead_id", UUIDOID);
	columns.status = column_of(desc, "status", TEXTOID);
	columns.deleted = column_of(desc, "deleted_at", TIMESTAMPTZOID);
	columns.score = column_of(desc, "score", NUMERICOID);
	columns.fit = column_of(desc, "fit", NUMERICOID);
	columns.engagement = column_of(desc, "engagement", NUMERICOID);
	columns.as_of = column_of(desc, "score_as_of", TIMESTAMPTZOID);
	columns.grade = column_of(desc, "grade", TEXTOID);
	columns.reasons = column_of(desc, "score_reasons", JSONBOID);
	columns.custom = column_of(desc, "custom", JSONBOID);
	for (int i = 0; i < FIELD_LEAD_COUNT; i++)
		columns.fields[i] = column_of(desc, sh_predicate_column(i), type_of_field(i));
	columns_relid = relid;
	return &columns;
}

void
sh_score_row(Oid relid, TupleDesc desc, HeapTuple tuple, struct predicate_row *out)
{
	const struct score_columns *cols = sh_score_columns(relid, desc);

	memset(out->folded, 0, sizeof(out->folded));
	for (int i = 0; i < FIELD_LEAD_COUNT; i++)
		out->values[i] = heap_getattr(tuple, cols->fields[i], desc, &out->nulls[i]);
	out->custom = heap_getattr(tuple, cols->custom, desc, &out->custom_null);
	out->custom_read = NULL;
}

static void
numbers_of(const struct score_columns *cols, int *out)
{
	out[SCORE] = cols->score;
	out[FIT] = cols->fit;
	out[ENGAGEMENT] = cols->engagement;
	out[AS_OF] = cols->as_of;
	out[GRADE] = cols->grade;
	out[REASONS] = cols->reasons;
}

static void
read_written(HeapTuple tuple, TupleDesc desc, const struct score_columns *cols, struct written *out)
{
	int numbers[WRITTEN];

	numbers_of(cols, numbers);
	for (int i = 0; i < WRITTEN; i++)
		out->values[i] = heap_getattr(tuple, numbers[i], desc, &out->nulls[i]);
}

static void
write_score(const struct score *score, TimestampTz at, struct written *out)
{
	memset(out->nulls, 0, sizeof(out->nulls));
	out->values[SCORE] = NumericGetDatum(sh_score_numeric(score->points));
	out->values[FIT] = NumericGetDatum(sh_score_numeric(score->fit));
	out->values[ENGAGEMENT] = (Datum) 0;
	if (score->engaged)
		out->values[ENGAGEMENT] = NumericGetDatum(sh_score_numeric(score->engagement));
	out->values[AS_OF] = TimestampTzGetDatum(at);
	out->nulls[ENGAGEMENT] = out->nulls[AS_OF] = !score->engaged;
	out->values[GRADE] = PointerGetDatum(cstring_to_text(score->grade));
	out->values[REASONS] = JsonbPGetDatum(score->reasons);
}

/* Whether both say the same; when is not compared. */
static bool
same_written(const struct written *a, const struct written *b)
{
	for (int i = 0; i < WRITTEN; i++)
	{
		if (a->nulls[i] != b->nulls[i])
			return false;
		if (a->nulls[i] || i == AS_OF)
			continue;
		if (i == REASONS)
		{
			if (compareJsonbContainers(&DatumGetJsonbP(a->values[i])->root,
									   &DatumGetJsonbP(b->values[i])->root) != 0)
				return false;
		}
		else if (!datum_image_eq(a->values[i], b->values[i], false, -1))
			return false;
	}
	return true;
}

bool
sh_score_is_closed(Datum status, bool status_null, bool deleted)
{
	text *value = status_null ? NULL : DatumGetTextPP(status);

	return deleted || (value && VARSIZE_ANY_EXHDR(value) == 9 &&
					   memcmp(VARDATA_ANY(value), "converted", 9) == 0);
}

static bool
is_closed(HeapTuple tuple, TupleDesc desc, const struct score_columns *cols)
{
	bool isnull;
	Datum status = heap_getattr(tuple, cols->status, desc, &isnull);

	return sh_score_is_closed(status, isnull, !heap_attisnull(tuple, cols->deleted, desc));
}

static const pg_uuid_t *
needed_uuid(HeapTuple tuple, TupleDesc desc, AttrNumber attno)
{
	bool isnull;
	Datum value = heap_getattr(tuple, attno, desc, &isnull);

	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION),
				 errmsg("the organisation and the id of a lead must be given")));
	return DatumGetUUIDP(value);
}

/* --- before a row is written --- */

/* The later one of now and what the score was last computed for or by. */
static TimestampTz
present(const struct score_rules *rules, const struct written *old)
{
	TimestampTz at = GetCurrentTransactionStartTimestamp();

	if (!old->nulls[AS_OF])
		at = Max(at, DatumGetTimestampTz(old->values[AS_OF]));
	return Max(at, rules->since);
}

static void
score_insert(HeapTuple tuple, TupleDesc desc, Oid relid, struct written *out)
{
	const struct score_columns *cols = sh_score_columns(relid, desc);
	const pg_uuid_t *org = needed_uuid(tuple, desc, cols->org);
	struct predicate_row row;
	struct score score;

	sh_score_row(relid, desc, tuple, &row);
	sh_score(sh_score_rules(org, true), &row, NULL, 0, &score);
	write_score(&score, 0, out);
}

/* What happened to the lead; nothing can have to one without engagement, unless it was closed. */
static const struct score_events *
events_of_update(const struct score_rules *rules, HeapTuple old, TupleDesc desc,
				 const struct score_columns *cols, const struct written *before)
{
	if (!rules->has_events)
		return NULL;
	if (before->nulls[ENGAGEMENT] && !is_closed(old, desc, cols) && !sh_score_cause)
		return NULL;
	return sh_score_events(needed_uuid(old, desc, cols->org), needed_uuid(old, desc, cols->lead));
}

static void
score_update(HeapTuple old, HeapTuple new, TupleDesc desc, Oid relid, struct written *out)
{
	const struct score_columns *cols = sh_score_columns(relid, desc);
	const struct score_rules *rules = sh_score_rules(needed_uuid(new, desc, cols->org), true);
	const struct score_events *events;
	struct predicate_row row;
	struct written before;
	struct score score;
	TimestampTz at;

	read_written(old, desc, cols, &before);
	events = events_of_update(rules, old, desc, cols, &before);
	sh_score_row(relid, desc, new, &row);
	at = before.nulls[AS_OF] ? present(rules, &before) : DatumGetTimestampTz(before.values[AS_OF]);
	sh_score(rules, &row, events, at, &score);
	write_score(&score, at, out);
	if (!score.engaged)
		return;
	if (same_written(&before, out) && is_closed(old, desc, cols) == is_closed(new, desc, cols))
		return;
	at = present(rules, &before);
	sh_score(rules, &row, events, at, &score);
	write_score(&score, at, out);
}

/* BEFORE INSERT OR UPDATE, for each row: what was given for the score's columns does not count. */
Datum
sh_lead_score(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	const struct score_columns *cols;
	struct written present_values;
	struct written now;
	HeapTuple tuple;
	TupleDesc desc;
	int numbers[WRITTEN];
	Oid relid;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		elog(ERROR, "saleshub.lead_score must be a trigger before a row is written");
	desc = RelationGetDescr(trigger->tg_relation);
	relid = RelationGetRelid(trigger->tg_relation);
	cols = sh_score_columns(relid, desc);
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
	{
		tuple = trigger->tg_newtuple;
		score_update(trigger->tg_trigtuple, tuple, desc, relid, &now);
		read_written(tuple, desc, cols, &present_values);
		if (same_written(&present_values, &now) &&
			(now.nulls[AS_OF] || present_values.values[AS_OF] == now.values[AS_OF]))
			return PointerGetDatum(tuple);
	}
	else
	{
		tuple = trigger->tg_trigtuple;
		score_insert(tuple, desc, relid, &now);
	}
	numbers_of(cols, numbers);
	return PointerGetDatum(
		heap_modify_tuple_by_cols(tuple, desc, WRITTEN, numbers, now.values, now.nulls));
}

/*
 * BEFORE INSERT OR UPDATE, for each statement: take the shared lock before any row is locked, so
 * that who changes rules and who changes leads meet at the lock and not crosswise.
 */
Datum
sh_lead_score_lock(PG_FUNCTION_ARGS)
{
	pg_uuid_t org;

	if (sh_context_org(&org))
		sh_score_share_rules(&org);
	return PointerGetDatum(NULL);
}

/* --- rows that are there --- */

const struct score_columns *
sh_score_argument(HeapTupleHeader header, HeapTupleData *tuple, TupleDesc *desc)
{
	Oid type = HeapTupleHeaderGetTypeId(header);

	*desc = lookup_rowtype_tupdesc(type, HeapTupleHeaderGetTypMod(header));
	memset(tuple, 0, sizeof(*tuple));
	tuple->t_len = HeapTupleHeaderGetDatumLength(header);
	tuple->t_data = header;
	return sh_score_columns(type == RECORDOID ? InvalidOid : get_typ_typrelid(type), *desc);
}

/*
 * saleshub.score_is_current(lead record) returns boolean: a row of crm.lead has the score that
 * its rules and events gave it at the instant it is of.
 */
Datum
sh_score_is_current(PG_FUNCTION_ARGS)
{
	const struct score_columns *cols;
	const struct score_events *events = NULL;
	const struct score_rules *rules;
	const pg_uuid_t *org;
	struct predicate_row row;
	struct written there;
	struct written right;
	HeapTupleData tuple;
	TimestampTz at;
	TupleDesc desc;
	struct score score;

	cols = sh_score_argument(PG_GETARG_HEAPTUPLEHEADER(0), &tuple, &desc);
	org = needed_uuid(&tuple, desc, cols->org);
	rules = sh_score_rules(org, true);
	read_written(&tuple, desc, cols, &there);
	at = there.nulls[AS_OF] ? 0 : DatumGetTimestampTz(there.values[AS_OF]);
	if (rules->has_events)
		events = sh_score_events(org, needed_uuid(&tuple, desc, cols->lead));
	sh_score_row(InvalidOid, desc, &tuple, &row);
	sh_score(rules, &row, events, at, &score);
	write_score(&score, at, &right);
	ReleaseTupleDesc(desc);
	PG_RETURN_BOOL(same_written(&there, &right));
}

bool
sh_score_would(const struct score_rules *rules, TupleDesc desc, HeapTuple tuple,
			   const struct score_events *events, struct score *out)
{
	struct predicate_row row;
	struct written there;
	struct written right;
	TimestampTz at;

	read_written(tuple, desc, sh_score_columns(InvalidOid, desc), &there);
	at = there.nulls[AS_OF] ? present(rules, &there) : DatumGetTimestampTz(there.values[AS_OF]);
	sh_score_row(InvalidOid, desc, tuple, &row);
	sh_score(rules, &row, events, at, out);
	write_score(out, at, &right);
	if (same_written(&there, &right))
		return false;
	if (out->engaged)
		sh_score(rules, &row, events, present(rules, &there), out);
	return true;
}

/* saleshub.score_predicate_true(predicate jsonb, lead record) returns boolean */
Datum
sh_score_predicate_true(PG_FUNCTION_ARGS)
{
	struct predicate *predicate;
	struct predicate_row row;
	HeapTupleData tuple;
	List *errors = NIL;
	JsonbValue root;
	TupleDesc desc;
	pg_uuid_t org;
	bool holds;

	JsonbToJsonbValue(PG_GETARG_JSONB_P(0), &root);
	predicate = sh_predicate_compile(sh_context_org(&org) ? &org : NULL, &root, &errors);
	if (!predicate)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("the condition is not valid")));
	(void) sh_score_argument(PG_GETARG_HEAPTUPLEHEADER(1), &tuple, &desc);
	sh_score_row(InvalidOid, desc, &tuple, &row);
	holds = sh_predicate_true(predicate, &row);
	ReleaseTupleDesc(desc);
	PG_RETURN_BOOL(holds);
}

/* --- new rules --- */

/* The leads to which something may have happened; Datums in the current context. */
static Datum *
leads_with_events(const pg_uuid_t *org, int *count)
{
	static const char sql[] = "SELECT lead_id FROM saleshub.score_linked($1)";
	Oid types[1] = { UUIDOID };
	Datum values[1] = { UUIDPGetDatum(org) };

	return sh_score_ids(sql, 1, types, values, count);
}

/* The others: their score is of their fields alone. Events are pinned, and none are theirs. */
static uint64
write_scores(const pg_uuid_t *org)
{
	/* Setting a column to itself is enough: the trigger puts in what belongs there. */
	static const char sql[] = "UPDATE crm.lead AS l SET score = l.score"
							  " WHERE l.org_id OPERATOR(pg_catalog.=) $1 AND l.deleted_at IS NULL"
							  " AND l.status OPERATOR(pg_catalog.<>) 'converted'"
							  " AND l.engagement IS NULL AND NOT saleshub.score_is_current(l)";
	Oid types[1] = { UUIDOID };
	Datum values[1] = { UUIDPGetDatum(org) };
	struct sh_identity identity;
	uint64 rows;

	sh_owner_enter(&identity);
	SPI_connect();
	if (SPI_execute_plan(sh_plan(sql, 1, types), values, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not score the leads");
	rows = SPI_processed;
	SPI_finish();
	sh_owner_leave(&identity);
	return rows;
}

/*
 * saleshub.score_rescore(org uuid) returns bigint: score the open leads of an organisation by
 * its present rules; the number of leads without events whose score or reasons changed.
 */
Datum
sh_score_rescore(PG_FUNCTION_ARGS)
{
	pg_uuid_t *org = PG_GETARG_UUID_P(0);
	struct score_rules *rules;
	volatile uint64 rows = 0;

	sh_score_lock_rules_alone(org);
	rules = sh_score_read_rules(org);
	PG_TRY();
	{
		int count;
		Datum *leads;

		sh_score_pin_rules(rules, org);
		leads = leads_with_events(org, &count);
		sh_score_leads(org, leads, NULL, count, "rules");
		sh_score_cause = "rules";
		sh_score_pin_events(sh_table(
			"saleshub no events", UUID_LEN, sizeof(struct score_events), 1, CurrentMemoryContext));
		rows = write_scores(org);
	}
	PG_FINALLY();
	{
		sh_score_pin_events(NULL);
		sh_score_pin_rules(NULL, NULL);
		sh_score_cause = NULL;
	}
	PG_END_TRY();
	MemoryContextDelete(rules->context);
	PG_RETURN_INT64((int64) rows);
}
