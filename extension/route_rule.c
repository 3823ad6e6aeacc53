/* Which pool a lead goes to, who of the pool may have it, and whose customer it already is. */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "match.h"
#include "normal.h"
#include "route.h"
#include "saleshub.h"

/* The rules of one organisation, as this backend read them last. */
static struct
{
	MemoryContext context; /* NULL: nothing is kept */
	pg_uuid_t org;
	bool stamped;
	struct sh_stamp stamp;
	uint64 reading;
	int count;
	struct route_rule *rules;
} kept;

static struct sh_relation rule_relation = { .name = "routing_rule" };

static char **
read_skills(Datum array, int *count)
{
	Datum *values;
	bool *nulls;
	char **out;

	deconstruct_array(
		DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, count);
	out = palloc(Max(*count, 1) * sizeof(*out));
	for (int i = 0; i < *count; i++)
		out[i] = psprintf("|%s|", nulls[i] ? "" : TextDatumGetCString(values[i]));
	return out;
}

static bool
read_rule(const pg_uuid_t *org, HeapTuple row, TupleDesc desc, struct route_rule *out)
{
	bool isnull;
	List *errors = NIL;
	JsonbValue root;

	out->id = *DatumGetUUIDP(SPI_getbinval(row, desc, 5, &isnull));
	out->name = SPI_getvalue(row, desc, 1);
	JsonbToJsonbValue(DatumGetJsonbPCopy(SPI_getbinval(row, desc, 2, &isnull)), &root);
	out->pool = *DatumGetUUIDP(SPI_getbinval(row, desc, 3, &isnull));
	out->skills = read_skills(SPI_getbinval(row, desc, 4, &isnull), &out->skill_count);
	out->predicate = sh_predicate_compile(org, &root, &errors);
	if (!out->predicate)
		ereport(WARNING,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("routing rule \"%s\" is not valid and does not count", out->name)));
	return out->predicate != NULL;
}

static void
read_rules(const pg_uuid_t *org)
{
	static const char sql[] =
		"SELECT name, predicate, routing_pool_id, skills, routing_rule_id FROM crm.routing_rule"
		" WHERE org_id OPERATOR(pg_catalog.=) $1 AND active ORDER BY position, routing_rule_id";
	Oid types[1] = { UUIDOID };
	Datum values[1] = { UUIDPGetDatum(org) };
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "saleshub routing rules", ALLOCSET_SMALL_SIZES);
	MemoryContext before;
	struct sh_identity identity;

	kept.org = *org;
	kept.stamped = sh_slot_stamp(&kept.stamp);
	kept.reading = sh_route_reading();
	kept.count = 0;
	sh_owner_enter(&identity);
	SPI_connect();
	if (SPI_execute_plan(sh_plan(sql, 1, types), values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the routing rules");
	before = MemoryContextSwitchTo(context);
	kept.rules = palloc0(Max(SPI_processed, 1) * sizeof(*kept.rules));
	for (uint64 i = 0; i < SPI_processed; i++)
		if (read_rule(org, SPI_tuptable->vals[i], SPI_tuptable->tupdesc, &kept.rules[kept.count]))
			kept.count++;
	MemoryContextSwitchTo(before);
	SPI_finish();
	sh_owner_leave(&identity);
	MemoryContextSetParent(context, CacheMemoryContext);
	kept.context = context;
}

/* The rules as they are now, or as they were when the statement under way asked first. */
static void
have_rules(const pg_uuid_t *org)
{
	if (kept.context && memcmp(&kept.org, org, UUID_LEN) == 0 &&
		(kept.reading == sh_route_reading() ||
		 (kept.stamped && sh_slot_fresh(&kept.stamp, sh_relation(&rule_relation), org))))
		return;
	if (kept.context)
		MemoryContextDelete(kept.context);
	kept.context = NULL;
	read_rules(org);
}

const struct route_rule *
sh_route_rule(struct route_lead *lead)
{
	have_rules(&lead->org);
	for (int i = 0; i < kept.count; i++)
		if (sh_predicate_true(kept.rules[i].predicate, &lead->row))
			return &kept.rules[i];
	return NULL;
}

static bool
has_skills(const struct route_member *member, const struct route_rule *rule)
{
	for (int i = 0; rule && i < rule->skill_count; i++)
		if (!member->skills || !strstr(member->skills, rule->skills[i]))
			return false;
	return true;
}

static bool
is_other(const struct route_member *member, const struct route_lead *lead)
{
	for (int i = 0; i < lead->other_count; i++)
		if (memcmp(&lead->others[i], &member->member, UUID_LEN) == 0)
			return true;
	return false;
}

static const char *
why_blocked(const struct route_pool *pool, const struct route_member *member,
			const struct route_rule *rule, const struct route_lead *lead)
{
	if (is_other(member, lead))
		return "had this lead before";
	if (!has_skills(member, rule))
		return "lacks a required skill";
	if (member->territory < 0)
		return "outside the territory";
	if (member->capacity >= 0 &&
		member->load + sh_route_cost(member, lead->grade) > member->capacity)
		return "at capacity";
	if (member->quota >= 0 && member->today >= member->quota)
		return "quota of the day used up";
	if (member->opens_at > 0 && !pool->next_open)
		return "outside working hours";
	return NULL;
}

static Datum
text_or_null(const struct route_lead *lead, enum predicate_field field, char *null)
{
	*null = lead->row.nulls[field] ? 'n' : ' ';
	return lead->row.values[field];
}

/* How closely the territories of each member fit the place of the lead. */
static void
find_territories(struct route_pool *pool, const struct route_lead *lead)
{
	static const char sql[] = "SELECT * FROM saleshub.routing_territories($1, $2, $3, $4, $5, $6)";
	Oid types[6] = { UUIDOID, UUIDOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID };
	char nulls[7] = "      ";
	Datum values[6] = { UUIDPGetDatum(&pool->org), UUIDPGetDatum(&pool->id) };
	struct sh_identity identity;
	bool isnull;

	values[2] = text_or_null(lead, FIELD_COUNTRY, &nulls[2]);
	values[3] = text_or_null(lead, FIELD_STATE, &nulls[3]);
	values[4] = text_or_null(lead, FIELD_CITY, &nulls[4]);
	values[5] = text_or_null(lead, FIELD_POSTAL_CODE, &nulls[5]);
	sh_owner_enter(&identity);
	SPI_connect();
	SPI_execute_plan(sh_plan(sql, 6, types), values, nulls, false, 0);
	for (uint64 n = 0; n < SPI_processed; n++)
	{
		HeapTuple row = SPI_tuptable->vals[n];
		pg_uuid_t *id = DatumGetUUIDP(SPI_getbinval(row, SPI_tuptable->tupdesc, 1, &isnull));

		for (int i = 0; i < pool->count; i++)
			if (memcmp(&pool->members[i].member, id, UUID_LEN) == 0)
				pool->members[i].territory =
					DatumGetInt32(SPI_getbinval(row, SPI_tuptable->tupdesc, 2, &isnull));
	}
	SPI_finish();
	sh_owner_leave(&identity);
}

static bool
may_have(const struct route_member *member)
{
	return !member->excluded && !member->blocked;
}

/* Of those left, the ones whose territory fits most closely. */
static void
keep_closest(struct route_pool *pool)
{
	int best = 0;

	for (int i = 0; i < pool->count; i++)
		if (may_have(&pool->members[i]))
			best = Max(best, pool->members[i].territory);
	for (int i = 0; i < pool->count; i++)
		if (may_have(&pool->members[i]) && pool->members[i].territory < best)
			pool->members[i].blocked = "a closer territory is served";
}

/* Of those left, who is at work; when nobody is, who will be first. */
static void
keep_first_open(struct route_pool *pool)
{
	TimestampTz first = PG_INT64_MAX;

	for (int i = 0; i < pool->count; i++)
		if (may_have(&pool->members[i]))
			first = Min(first, pool->members[i].opens_at);
	for (int i = 0; i < pool->count; i++)
		if (may_have(&pool->members[i]) && pool->members[i].opens_at > first)
			pool->members[i].blocked = "another one opens earlier";
}

void
sh_route_block(struct route_pool *pool, const struct route_rule *rule,
			   const struct route_lead *lead)
{
	bool territorial = false;

	pool->grade = lead->grade;
	for (int i = 0; i < pool->count; i++)
	{
		pool->members[i].territory = pool->members[i].territorial ? -1 : 0;
		territorial |= pool->members[i].territorial;
	}
	if (territorial)
		find_territories(pool, lead);
	for (int i = 0; i < pool->count; i++)
		pool->members[i].blocked = why_blocked(pool, &pool->members[i], rule, lead);
	if (territorial)
		keep_closest(pool);
	if (pool->next_open)
		keep_first_open(pool);
}

/* --- the owner at the same company --- */

/* Whether an organisation has companies or contacts at all, as this backend asked last. */
static struct
{
	pg_uuid_t org;
	bool known;
	uint64 reading;
	bool any;
} customers;

static bool
ask(const char *sql, int nargs, const Oid *types, Datum *values, const char *nulls)
{
	struct sh_identity identity;
	bool isnull;
	Datum answer;

	sh_owner_enter(&identity);
	SPI_connect();
	SPI_execute_plan(sh_plan(sql, nargs, types), values, nulls, false, 1);
	answer = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	SPI_finish();
	sh_owner_leave(&identity);
	return !isnull && DatumGetBool(answer);
}

static bool
has_customers(const pg_uuid_t *org)
{
	static const char sql[] =
		"SELECT EXISTS (SELECT FROM crm.company AS c WHERE c.org_id = $1 AND c.deleted_at IS NULL)"
		" OR EXISTS (SELECT FROM crm.contact AS c WHERE c.org_id = $1 AND c.deleted_at IS NULL)";
	Oid types[1] = { UUIDOID };
	Datum values[1] = { UUIDPGetDatum(org) };

	if (customers.known && customers.reading == sh_route_reading() &&
		memcmp(&customers.org, org, UUID_LEN) == 0)
		return customers.any;
	customers.known = false;
	customers.any = ask(sql, 1, types, values, NULL);
	customers.org = *org;
	customers.reading = sh_route_reading();
	customers.known = true;
	return customers.any;
}

static struct span
field_of(const struct route_lead *lead, enum predicate_field field)
{
	return sh_span_of(lead->row.nulls[field] ? NULL : DatumGetTextPP(lead->row.values[field]));
}

/* The domain that a web or mail address names, unless it hands out addresses to everybody. */
static struct span
own_domain(struct span address)
{
	struct span domain = address;

	if (domain.data)
		domain = sh_normal_domain(domain);
	if (domain.data && sh_domain_is_free(domain.data, domain.len))
		domain.data = NULL;
	return domain;
}

/* A quick look whether saleshub.routing_sticky() could find somebody. */
static bool
may_be_known(const struct route_lead *lead)
{
	static const char sql[] =
		"SELECT EXISTS (SELECT FROM crm.company AS c WHERE c.org_id = $1 AND c.domain = $2"
		" AND c.deleted_at IS NULL)"
		" OR EXISTS (SELECT FROM crm.company AS c WHERE c.org_id = $1"
		" AND pg_catalog.lower(c.name) = pg_catalog.lower($3) AND c.deleted_at IS NULL)"
		" OR EXISTS (SELECT FROM crm.contact AS c WHERE c.org_id = $1 AND c.email = $4"
		" AND c.deleted_at IS NULL)";
	Oid types[4] = { UUIDOID, TEXTOID, TEXTOID, TEXTOID };
	char nulls[5] = "    ";
	Datum values[4] = { UUIDPGetDatum(&lead->org) };
	struct span domain;

	if (!has_customers(&lead->org))
		return false;
	domain = own_domain(field_of(lead, FIELD_WEBSITE));
	if (!domain.data)
		domain = own_domain(field_of(lead, FIELD_EMAIL));
	nulls[1] = domain.data ? ' ' : 'n';
	if (domain.data)
		values[1] = PointerGetDatum(cstring_to_text_with_len(domain.data, domain.len));
	values[2] = text_or_null(lead, FIELD_COMPANY_NAME, &nulls[2]);
	values[3] = text_or_null(lead, FIELD_EMAIL, &nulls[3]);
	return ask(sql, 4, types, values, nulls);
}

bool
sh_route_sticky(const struct route_lead *lead, pg_uuid_t *member, struct route_reason *reason)
{
	static const char sql[] = "SELECT * FROM saleshub.routing_sticky($1, $2, $3, $4, $5)";
	Oid types[5] = { UUIDOID, TEXTOID, TEXTOID, TEXTOID, UUIDARRAYOID };
	char nulls[6] = "     ";
	Datum values[5] = { UUIDPGetDatum(&lead->org) };
	Datum *others = palloc(Max(lead->other_count, 1) * sizeof(Datum));
	MemoryContext context = CurrentMemoryContext;
	MemoryContext before;
	struct sh_identity identity;
	bool isnull = true;

	values[1] = text_or_null(lead, FIELD_EMAIL, &nulls[1]);
	values[2] = text_or_null(lead, FIELD_COMPANY_NAME, &nulls[2]);
	values[3] = text_or_null(lead, FIELD_WEBSITE, &nulls[3]);
	if ((nulls[1] == 'n' && nulls[2] == 'n' && nulls[3] == 'n') || !may_be_known(lead))
		return false;
	for (int i = 0; i < lead->other_count; i++)
		others[i] = UUIDPGetDatum(&lead->others[i]);
	values[4] = PointerGetDatum(
		construct_array(others, lead->other_count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
	sh_owner_enter(&identity);
	SPI_connect();
	SPI_execute_plan(sh_plan(sql, 5, types), values, nulls, false, 0);
	if (SPI_processed > 0)
	{
		Datum id = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);

		if (!isnull)
			*member = *DatumGetUUIDP(id);
		before = MemoryContextSwitchTo(context);
		reason->candidates = DatumGetJsonbPCopy(
			SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &(bool){ false }));
		MemoryContextSwitchTo(before);
	}
	SPI_finish();
	sh_owner_leave(&identity);
	reason->rule = "sticky owner";
	reason->chosen = "owner at the same company";
	return !isnull;
}
