/*
 * The score of a lead: the sum of the points of the rules that hold, kept within 0 to 100, with
 * the reasons that add up to it. Computed before the row is written, so that no reader ever sees
 * a lead and its score disagree.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/typcache.h"

#include "saleshub.h"
#include "score.h"

PG_FUNCTION_INFO_V1(sh_lead_score);
PG_FUNCTION_INFO_V1(sh_lead_score_lock);
PG_FUNCTION_INFO_V1(sh_score_is_current);
PG_FUNCTION_INFO_V1(sh_score_predicate_true);
PG_FUNCTION_INFO_V1(sh_score_lock_rules);
PG_FUNCTION_INFO_V1(sh_score_rescore);

/* Organisations whose rules a backend keeps; past that all are dropped and start anew. */
#define CACHED_ORGS 64

/* Makes the advisory lock of an organisation's rules differ from other uses of its id. */
#define RULES_LOCK_SEED UINT64CONST(0x73636f72652d7275)

struct cached_rules
{
	pg_uuid_t org; /* key */
	struct sh_stamp stamp;
	struct score_rules *rules;
};

/* Where the columns of crm.lead are; made anew when the relation changes. */
struct lead_columns
{
	Oid relid; /* InvalidOid: not valid */
	AttrNumber org;
	AttrNumber score;
	AttrNumber grade;
	AttrNumber probability;
	AttrNumber reasons;
	AttrNumber custom;
	AttrNumber fields[FIELD_COUNT];
};

static HTAB *cache = NULL;
static Oid rule_relid = InvalidOid;
static struct lead_columns columns;

/* Set while sh_score_rescore runs: the rules just changed, so the cache cannot vouch for them. */
static struct
{
	const struct score_rules *rules;
	pg_uuid_t org;
} pinned;

const char *sh_score_cause = NULL;

static void
on_relation_change(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == columns.relid)
		columns.relid = InvalidOid;
	if (relid == InvalidOid || relid == rule_relid)
		rule_relid = InvalidOid;
}

static void
watch_relations(void)
{
	static bool watching = false;

	if (!watching)
		CacheRegisterRelcacheCallback(on_relation_change, (Datum) 0);
	watching = true;
}

static Oid
rule_relation(void)
{
	if (!OidIsValid(rule_relid))
	{
		watch_relations();
		rule_relid = get_relname_relid("score_rule", get_namespace_oid("crm", false));
		if (!OidIsValid(rule_relid))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_TABLE),
					 errmsg("relation \"crm.score_rule\" does not exist"),
					 errhint("Run SELECT saleshub.install().")));
	}
	return rule_relid;
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
static const struct lead_columns *
columns_of(Oid relid, TupleDesc desc)
{
	if (OidIsValid(relid) && columns.relid == relid)
		return &columns;
	watch_relations();
	columns.relid = InvalidOid;
	columns.org = column_of(desc, "org_id", UUIDOID);
	columns.score = column_of(desc, "score", INT4OID);
	columns.grade = column_of(desc, "grade", TEXTOID);
	columns.probability = column_of(desc, "probability", NUMERICOID);
	columns.reasons = column_of(desc, "score_reasons", JSONBOID);
	columns.custom = column_of(desc, "custom", JSONBOID);
	for (int i = 0; i < FIELD_COUNT; i++)
		columns.fields[i] = column_of(desc, sh_predicate_column(i), type_of_field(i));
	columns.relid = relid;
	return &columns;
}

static int64
rules_lock_key(const pg_uuid_t *org)
{
	return (int64) DatumGetUInt64(hash_any_extended(org->data, UUID_LEN, RULES_LOCK_SEED));
}

/*
 * Writers of leads share this lock until their transaction ends and whoever changes rules takes
 * it alone: no lead is written by old rules after the leads were scored by the new ones.
 */
static void
lock_rules(const pg_uuid_t *org, bool alone)
{
	(void) DirectFunctionCall1(alone ? pg_advisory_xact_lock_int8 :
									   pg_advisory_xact_lock_shared_int8,
							   Int64GetDatum(rules_lock_key(org)));
}

void
sh_score_share_rules(const pg_uuid_t *org)
{
	lock_rules(org, false);
}

/* The fetched rule, false when it makes no sense any more. In the current context. */
static bool
read_rule(const pg_uuid_t *org, HeapTuple tuple, TupleDesc desc, struct score_rule *out)
{
	bool isnull;
	Jsonb *jsonb = DatumGetJsonbP(SPI_getbinval(tuple, desc, 2, &isnull));
	List *errors = NIL;
	JsonbValue root;

	JsonbToJsonbValue(jsonb, &root);
	out->label = SPI_getvalue(tuple, desc, 1);
	out->points = DatumGetInt32(SPI_getbinval(tuple, desc, 3, &isnull));
	out->predicate = sh_predicate_compile(org, &root, &errors);
	if (!out->predicate)
		ereport(WARNING,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("scoring rule \"%s\" is not valid and does not count", out->label)));
	return out->predicate != NULL;
}

/* Read and compile the rules; the result is a context of its own below parent. */
static struct score_rules *
read_rules(const pg_uuid_t *org, MemoryContext parent)
{
	static const char sql[] =
		"SELECT label, predicate, points FROM crm.score_rule"
		" WHERE org_id OPERATOR(pg_catalog.=) $1 AND active ORDER BY position, score_rule_id";
	Oid types[1] = { UUIDOID };
	Datum values[1] = { UUIDPGetDatum(org) };
	MemoryContext context;
	MemoryContext before;
	struct sh_identity identity;
	struct score_rules *out;

	context = AllocSetContextCreate(CurrentMemoryContext, "saleshub rules", ALLOCSET_SMALL_SIZES);
	sh_owner_enter(&identity);
	SPI_connect();
	if (SPI_execute_plan(sh_plan(sql, 1, types), values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the scoring rules");
	before = MemoryContextSwitchTo(context);
	out = palloc0(sizeof(*out));
	out->context = context;
	out->rules = palloc0(Max(SPI_processed, 1) * sizeof(*out->rules));
	for (uint64 i = 0; i < SPI_processed; i++)
		if (read_rule(org, SPI_tuptable->vals[i], SPI_tuptable->tupdesc, &out->rules[out->count]))
			out->count++;
	MemoryContextSwitchTo(before);
	SPI_finish();
	sh_owner_leave(&identity);
	MemoryContextSetParent(context, parent);
	return out;
}

static void
forget_entry(struct cached_rules *entry)
{
	struct score_rules *rules = entry->rules;

	(void) hash_search(cache, &entry->org, HASH_REMOVE, NULL);
	MemoryContextDelete(rules->context);
}

static void
forget_all(void)
{
	HASH_SEQ_STATUS scan;
	struct cached_rules *entry;

	hash_seq_init(&scan, cache);
	while ((entry = hash_seq_search(&scan)) != NULL)
		forget_entry(entry);
}

/*
 * The rules that hold for a lead written now, under the shared lock. They live in the cache, or
 * in the current context where the cache may not keep them.
 */
static const struct score_rules *
rules_of(const pg_uuid_t *org)
{
	struct cached_rules *entry;
	struct score_rules *rules;
	struct sh_stamp stamp;
	bool keep;

	lock_rules(org, false);
	if (pinned.rules && memcmp(&pinned.org, org, UUID_LEN) == 0)
		return pinned.rules;
	if (!cache)
		cache = sh_table("saleshub rules",
						 sizeof(pg_uuid_t),
						 sizeof(struct cached_rules),
						 CACHED_ORGS,
						 TopMemoryContext);
	entry = hash_search(cache, org, HASH_FIND, NULL);
	if (entry && sh_slot_fresh(&entry->stamp, rule_relation(), org))
		return entry->rules;
	if (entry)
		forget_entry(entry);

	keep = sh_slot_stamp(&stamp);
	rules = read_rules(org, CurrentMemoryContext);
	if (!keep || !sh_slot_fresh(&stamp, rule_relation(), org))
		return rules;
	if (hash_get_num_entries(cache) >= CACHED_ORGS)
		forget_all();
	entry = hash_search(cache, org, HASH_ENTER, NULL);
	MemoryContextSetParent(rules->context, CacheMemoryContext);
	entry->stamp = stamp;
	entry->rules = rules;
	return rules;
}

static char
grade_of(int points)
{
	return points >= 80 ? 'A' : points >= 60 ? 'B' : points >= 40 ? 'C' : points >= 20 ? 'D' : 'E';
}

static void
push_reason(JsonbParseState **state, const char *label, int64 points)
{
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	sh_json_string(state, "label", label);
	sh_json_number(state, "points", points);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

void
sh_score(const struct score_rules *rules, struct predicate_row *row, struct score *out)
{
	JsonbParseState *state = NULL;
	int64 sum = 0;

	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < rules->count; i++)
	{
		const struct score_rule *rule = &rules->rules[i];

		if (rule->points == 0 || !sh_predicate_true(rule->predicate, row))
			continue;
		sum += rule->points;
		push_reason(&state, rule->label, rule->points);
	}
	out->points = (int) Min(Max(sum, 0), SCORE_MAX);
	out->grade = grade_of(out->points);
	if (sum > SCORE_MAX)
		push_reason(&state, "limited to 100", out->points - sum);
	if (sum < 0)
		push_reason(&state, "not below 0", out->points - sum);
	out->reasons = JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL));
}

static void
read_row(HeapTuple tuple, TupleDesc desc, const struct lead_columns *cols,
		 struct predicate_row *out)
{
	memset(out->folded, 0, sizeof(out->folded));
	for (int i = 0; i < FIELD_COUNT; i++)
		out->values[i] = heap_getattr(tuple, cols->fields[i], desc, &out->nulls[i]);
	out->custom = heap_getattr(tuple, cols->custom, desc, &out->custom_null);
	out->custom_read = NULL;
}

void
sh_score_row(Oid relid, TupleDesc desc, HeapTuple tuple, struct predicate_row *out)
{
	read_row(tuple, desc, columns_of(relid, desc), out);
}

static void
score_tuple(HeapTuple tuple, TupleDesc desc, const struct lead_columns *cols, struct score *out)
{
	struct predicate_row row;
	bool isnull;
	Datum org = heap_getattr(tuple, cols->org, desc, &isnull);

	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION),
				 errmsg("the organisation of a lead must be given")));
	read_row(tuple, desc, cols, &row);
	sh_score(rules_of(DatumGetUUIDP(org)), &row, out);
}

/* Whether the tuple already says what the rules say. */
static bool
is_current(HeapTuple tuple, TupleDesc desc, const struct lead_columns *cols,
		   const struct score *score)
{
	bool isnull;
	Datum value = heap_getattr(tuple, cols->score, desc, &isnull);

	if (isnull || DatumGetInt32(value) != score->points)
		return false;
	value = heap_getattr(tuple, cols->grade, desc, &isnull);
	if (isnull || VARSIZE_ANY_EXHDR(DatumGetPointer(value)) != 1 ||
		*VARDATA_ANY(DatumGetPointer(value)) != score->grade)
		return false;
	(void) heap_getattr(tuple, cols->probability, desc, &isnull);
	if (!isnull)
		return false;
	value = heap_getattr(tuple, cols->reasons, desc, &isnull);
	return !isnull &&
		   compareJsonbContainers(&DatumGetJsonbP(value)->root, &score->reasons->root) == 0;
}

/* BEFORE INSERT OR UPDATE, for each row: what was given for the score's columns does not count. */
Datum
sh_lead_score(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	const struct lead_columns *cols;
	struct score score;
	HeapTuple tuple;
	TupleDesc desc;
	int numbers[4];
	Datum values[4];
	bool nulls[4] = { false, false, true, false };

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		elog(ERROR, "saleshub.lead_score must be a trigger before a row is written");
	tuple =
		TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : trigger->tg_trigtuple;
	desc = RelationGetDescr(trigger->tg_relation);
	cols = columns_of(RelationGetRelid(trigger->tg_relation), desc);
	score_tuple(tuple, desc, cols, &score);
	if (is_current(tuple, desc, cols, &score))
		return PointerGetDatum(tuple);

	numbers[0] = cols->score;
	numbers[1] = cols->grade;
	numbers[2] = cols->probability;
	numbers[3] = cols->reasons;
	values[0] = Int32GetDatum(score.points);
	values[1] = PointerGetDatum(cstring_to_text_with_len(&score.grade, 1));
	values[2] = (Datum) 0;
	values[3] = JsonbPGetDatum(score.reasons);
	return PointerGetDatum(heap_modify_tuple_by_cols(tuple, desc, 4, numbers, values, nulls));
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
		lock_rules(&org, false);
	return PointerGetDatum(NULL);
}

/* saleshub.score_lock_rules(org uuid): wait for writers of leads and keep new ones out. */
Datum
sh_score_lock_rules(PG_FUNCTION_ARGS)
{
	lock_rules(PG_GETARG_UUID_P(0), true);
	PG_RETURN_VOID();
}

/* A row of crm.lead given as a record; release the descriptor when done. */
static const struct lead_columns *
lead_argument(HeapTupleHeader header, HeapTupleData *tuple, TupleDesc *desc)
{
	Oid type = HeapTupleHeaderGetTypeId(header);

	*desc = lookup_rowtype_tupdesc(type, HeapTupleHeaderGetTypMod(header));
	memset(tuple, 0, sizeof(*tuple));
	tuple->t_len = HeapTupleHeaderGetDatumLength(header);
	tuple->t_data = header;
	return columns_of(type == RECORDOID ? InvalidOid : get_typ_typrelid(type), *desc);
}

/* saleshub.score_is_current(lead record) returns boolean: a row of crm.lead has its score. */
Datum
sh_score_is_current(PG_FUNCTION_ARGS)
{
	const struct lead_columns *cols;
	HeapTupleData tuple;
	TupleDesc desc;
	struct score score;
	bool current;

	cols = lead_argument(PG_GETARG_HEAPTUPLEHEADER(0), &tuple, &desc);
	score_tuple(&tuple, desc, cols, &score);
	current = is_current(&tuple, desc, cols, &score);
	ReleaseTupleDesc(desc);
	PG_RETURN_BOOL(current);
}

/* saleshub.score_predicate_true(predicate jsonb, lead record) returns boolean */
Datum
sh_score_predicate_true(PG_FUNCTION_ARGS)
{
	const struct lead_columns *cols;
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
	cols = lead_argument(PG_GETARG_HEAPTUPLEHEADER(1), &tuple, &desc);
	read_row(&tuple, desc, cols, &row);
	holds = sh_predicate_true(predicate, &row);
	ReleaseTupleDesc(desc);
	PG_RETURN_BOOL(holds);
}

static uint64
write_scores(const pg_uuid_t *org)
{
	/* Setting a column to itself is enough: the trigger puts in what belongs there. */
	static const char sql[] = "UPDATE crm.lead AS l SET score = l.score"
							  " WHERE l.org_id OPERATOR(pg_catalog.=) $1 AND l.deleted_at IS NULL"
							  " AND l.status OPERATOR(pg_catalog.<>) 'converted'"
							  " AND NOT saleshub.score_is_current(l)";
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
 * its present rules; the number of leads whose score or reasons changed.
 */
Datum
sh_score_rescore(PG_FUNCTION_ARGS)
{
	pg_uuid_t *org = PG_GETARG_UUID_P(0);
	struct score_rules *rules;
	volatile uint64 rows = 0;

	lock_rules(org, true);
	rules = read_rules(org, CurrentMemoryContext);
	PG_TRY();
	{
		pinned.rules = rules;
		pinned.org = *org;
		sh_score_cause = "rules";
		rows = write_scores(org);
	}
	PG_FINALLY();
	{
		pinned.rules = NULL;
		sh_score_cause = NULL;
	}
	PG_END_TRY();
	MemoryContextDelete(rules->context);
	PG_RETURN_INT64((int64) rows);
}
