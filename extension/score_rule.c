/*
 * The scoring rules of an organisation, compiled and remembered. What holds is the latest row of
 * crm.score_version, which triggers make of the tables of rules.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "saleshub.h"
#include "score.h"

PG_FUNCTION_INFO_V1(sh_score_defaults);
PG_FUNCTION_INFO_V1(sh_score_keep_rules);
PG_FUNCTION_INFO_V1(sh_score_lock_rules);
PG_FUNCTION_INFO_V1(sh_score_moved);

/* Organisations whose rules a backend keeps; past that all are dropped and start anew. */
#define CACHED_ORGS 64

/* Makes the advisory lock of an organisation's rules differ from other uses of its id. */
#define RULES_LOCK_SEED UINT64CONST(0x73636f72652d7275)

#define MILLI 1000

/* Of organisations that said nothing else; nowhere else are they written down. */
#define CAP_DEFAULT 100
#define DELTA_DEFAULT 1
static const int fit_default[] = { 80, 60, 40, 20 };
static const int engagement_default[] = { 50, 20 };

static struct sh_org_cache cache = { .name = "saleshub rules",
									 .relation.name = "score_version",
									 .most = CACHED_ORGS };

/* Rules that are being put into force: the cache cannot vouch for them. */
static struct
{
	const struct score_rules *rules;
	pg_uuid_t org;
} pinned;

/* --- the lock --- */

/*
 * Writers of leads and their events share this lock until their transaction ends and whoever
 * changes rules takes it alone: no lead is written by old rules after the leads were scored by
 * the new ones.
 */
static void
lock_rules(const pg_uuid_t *org, bool alone)
{
	sh_org_lock(org, RULES_LOCK_SEED, alone);
}

void
sh_score_share_rules(const pg_uuid_t *org)
{
	lock_rules(org, false);
}

void
sh_score_lock_rules_alone(const pg_uuid_t *org)
{
	lock_rules(org, true);
}

/* saleshub.score_keep_rules(): keep the rules of this organisation as they are until the end. */
Datum
sh_score_keep_rules(PG_FUNCTION_ARGS)
{
	pg_uuid_t org;

	if (sh_context_org(&org))
		lock_rules(&org, false);
	PG_RETURN_VOID();
}

/* saleshub.score_lock_rules(org uuid): wait for writers of leads and keep new ones out. */
Datum
sh_score_lock_rules(PG_FUNCTION_ARGS)
{
	lock_rules(PG_GETARG_UUID_P(0), true);
	PG_RETURN_VOID();
}

/* saleshub.score_moved(org uuid): what is remembered of the organisation's rules is out of date. */
Datum
sh_score_moved(PG_FUNCTION_ARGS)
{
	sh_slot_touch(sh_relation(&cache.relation), PG_GETARG_UUID_P(0));
	PG_RETURN_VOID();
}

/* --- defaults --- */

static void
push_points(JsonbParseState **state, const char *key, const int *points, int count)
{
	sh_json_key(state, key);
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < count; i++)
		sh_json_element(state, INT4OID, Int32GetDatum(points[i]), false);
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

/* saleshub.score_defaults() returns jsonb: {cap, history_delta, thresholds} */
Datum
sh_score_defaults(PG_FUNCTION_ARGS)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	sh_json_number(&state, "cap", CAP_DEFAULT);
	sh_json_number(&state, "history_delta", DELTA_DEFAULT);
	sh_json_key(&state, "thresholds");
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	sh_json_string(&state, "by", "points");
	push_points(&state, "fit", fit_default, lengthof(fit_default));
	push_points(&state, "engagement", engagement_default, lengthof(engagement_default));
	pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	PG_RETURN_JSONB_P(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

/* --- compiling --- */

static void
default_tiers(struct score_tiers *out, const int *points, int count)
{
	out->count = count;
	for (int i = 0; i < count; i++)
		out->from[i] = (int64) points[i] * MILLI;
}

static int64
milli_or(JsonbContainer *object, const char *key, int64 otherwise)
{
	Numeric number = sh_json_numeric(object, key);

	return number ? sh_score_milli(number) : otherwise;
}

static void
compile_tiers(JsonbContainer *cuts, const char *kind, struct score_tiers *out)
{
	JsonbContainer *list = sh_json_container(cuts, kind);

	if (!list)
		return;
	out->count = Min(JsonContainerSize(list), SCORE_TIERS);
	for (int i = 0; i < out->count; i++)
	{
		JsonbValue *value = getIthJsonbValueFromContainer(list, i);

		out->from[i] = value->type == jbvNumeric ? sh_score_milli(value->val.numeric) : 0;
	}
}

static void
compile_groups(JsonbContainer *list, struct score_rules *out)
{
	int count = list ? JsonContainerSize(list) : 0;

	out->groups = palloc0((count + 2) * sizeof(*out->groups));
	out->groups[0].cap = -1;
	out->groups[1].cap = -1;
	out->groups[1].engagement = true;
	out->group_count = 2;
	for (int i = 0; i < count; i++)
	{
		JsonbContainer *json = getIthJsonbValueFromContainer(list, i)->val.binary.data;
		struct score_group *group = &out->groups[out->group_count++];

		group->id =
			*DatumGetUUIDP(DirectFunctionCall1(uuid_in, CStringGetDatum(sh_json_text(json, "id"))));
		group->name = sh_json_text(json, "name");
		group->engagement = strcmp(sh_json_text(json, "kind"), "engagement") == 0;
		group->cap = milli_or(json, "cap", -1);
	}
}

static int
group_index(const struct score_rules *rules, const char *name, bool per_event)
{
	for (int i = 2; name && i < rules->group_count; i++)
		if (strcmp(rules->groups[i].name, name) == 0)
			return i;
	return per_event ? 1 : 0;
}

/* False when the rule does not count: it is not active, or makes no sense any more. */
static bool
compile_rule(const pg_uuid_t *org, JsonbContainer *json, struct score_rules *rules,
			 struct score_rule *out)
{
	JsonbValue *predicate = sh_json_member(json, "predicate");
	List *errors = NIL;

	if (!sh_json_truth(json, "active", true))
		return false;
	out->label = sh_json_text(json, "label");
	out->points = sh_json_int(json, "points", 0);
	out->per_event = sh_json_truth(json, "per_event", false);
	out->max_n = sh_json_int(json, "max_n", 0);
	out->window = sh_json_int(json, "window_hours", 0);
	out->half_life = sh_json_int(json, "half_life_hours", 0);
	out->group = group_index(rules, sh_json_text(json, "group"), out->per_event);
	if (predicate)
		out->predicate = out->per_event ? sh_predicate_compile_event(predicate, &errors) :
										  sh_predicate_compile(org, predicate, &errors);
	if (!out->predicate)
		ereport(WARNING,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("scoring rule \"%s\" is not valid and does not count", out->label)));
	return out->predicate != NULL;
}

static void
compile_epochs(JsonbContainer *json, struct score_rules *out)
{
	int count = json ? JsonContainerSize(json) : 0;

	out->epochs = palloc(Max(count, 1) * sizeof(*out->epochs));
	for (int i = 0; i < count; i++)
	{
		JsonbContainer *epoch = getIthJsonbValueFromContainer(json, i)->val.binary.data;

		out->epochs[i].half_life = sh_json_int(epoch, "half_life_hours", 1);
		out->epochs[i].epoch = sh_json_int(epoch, "epoch", 0);
	}
	out->epoch_count = count;
}

void
sh_score_compile(const pg_uuid_t *org, Jsonb *definition, struct score_rules *out)
{
	JsonbContainer *root = definition ? &definition->root : NULL;
	JsonbContainer *rules = sh_json_container(root, "rules");
	JsonbContainer *cuts = sh_json_container(root, "cuts");
	int count = rules ? JsonContainerSize(rules) : 0;

	out->cap = root ? milli_or(root, "cap", CAP_DEFAULT * MILLI) : CAP_DEFAULT * MILLI;
	out->delta = DELTA_DEFAULT * MILLI;
	if (root)
		out->delta = milli_or(root, "history_delta", out->delta);
	default_tiers(&out->fit, fit_default, lengthof(fit_default));
	default_tiers(&out->engagement, engagement_default, lengthof(engagement_default));
	compile_tiers(cuts, "fit", &out->fit);
	compile_tiers(cuts, "engagement", &out->engagement);
	compile_groups(sh_json_container(root, "groups"), out);
	out->rules = palloc0(Max(count, 1) * sizeof(*out->rules));
	for (int i = 0; i < count; i++)
	{
		struct score_rule *rule = &out->rules[out->count];

		if (!compile_rule(org, getIthJsonbValueFromContainer(rules, i)->val.binary.data, out, rule))
			continue;
		out->has_events = out->has_events || rule->per_event;
		out->count++;
	}
}

/* --- reading --- */

static void
take_version(const pg_uuid_t *org, HeapTuple tuple, TupleDesc desc, struct score_rules *out)
{
	bool isnull;
	Jsonb *epochs;

	out->version = DatumGetInt32(SPI_getbinval(tuple, desc, 1, &isnull));
	out->since = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 2, &isnull));
	sh_score_compile(org, DatumGetJsonbP(SPI_getbinval(tuple, desc, 3, &isnull)), out);
	epochs = DatumGetJsonbP(SPI_getbinval(tuple, desc, 4, &isnull));
	compile_epochs(&epochs->root, out);
}

struct score_rules *
sh_score_read_rules(const pg_uuid_t *org)
{
	static const char sql[] =
		"SELECT v.version, v.at, v.definition, (SELECT coalesce(jsonb_agg(jsonb_build_object("
		"'half_life_hours', e.half_life_hours, 'epoch', e.epoch)), '[]') FROM crm.score_epoch AS e"
		" WHERE e.org_id OPERATOR(pg_catalog.=) $1)"
		" FROM crm.score_version AS v WHERE v.org_id OPERATOR(pg_catalog.=) $1"
		" ORDER BY v.version DESC LIMIT 1";
	Oid types[1] = { UUIDOID };
	Datum values[1] = { UUIDPGetDatum(org) };
	MemoryContext context;
	MemoryContext before;
	struct sh_identity identity;
	struct score_rules *out;

	context = AllocSetContextCreate(CurrentMemoryContext, "saleshub rules", ALLOCSET_SMALL_SIZES);
	sh_owner_enter(&identity);
	SPI_connect();
	if (SPI_execute_plan(sh_plan(sql, 1, types), values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read the scoring rules");
	before = MemoryContextSwitchTo(context);
	out = palloc0(sizeof(*out));
	out->context = context;
	out->since = DT_NOBEGIN;
	if (SPI_processed > 0)
		take_version(org, SPI_tuptable->vals[0], SPI_tuptable->tupdesc, out);
	else
		sh_score_compile(org, NULL, out);
	MemoryContextSwitchTo(before);
	SPI_finish();
	sh_owner_leave(&identity);
	return out;
}

/* --- the rules in force --- */

void
sh_score_pin_rules(const struct score_rules *rules, const pg_uuid_t *org)
{
	pinned.rules = rules;
	if (rules)
		pinned.org = *org;
}

bool
sh_score_rules_pinned(void)
{
	return pinned.rules != NULL;
}

const struct score_rules *
sh_score_rules(const pg_uuid_t *org, bool locked)
{
	const struct score_rules *kept;
	struct score_rules *rules;
	struct sh_stamp stamp;

	if (locked)
		lock_rules(org, false);
	if (pinned.rules && memcmp(&pinned.org, org, UUID_LEN) == 0)
		return pinned.rules;
	kept = sh_org_kept(&cache, org, NULL);
	if (kept)
		return kept;
	(void) sh_slot_stamp(&stamp);
	rules = sh_score_read_rules(org);
	(void) sh_org_keep(&cache, org, NULL, &stamp, rules, rules->context);
	return rules;
}
