/* Which company and which person a lead means: by strong keys only, and never guessed. */
#include "postgres.h"

#include "common/hashfn.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "convert.h"
#include "match.h"
#include "saleshub.h"

/* Candidates named in an error; more make it no clearer. */
#define CANDIDATES "10"

PG_FUNCTION_INFO_V1(sh_convert_lock);

/*
 * What leads are known by shares this many locks of an organisation, so that a batch of any size
 * holds few. A conversion waits for another without need once in a while.
 */
#define LOCKS 256

static uint64
hash_of(const void *data, int length)
{
	return DatumGetUInt64(hash_any_extended(data, length, 0));
}

static int64
lock_key(const struct conversion *c, const char *kind, const char *value)
{
	uint64 org = hash_of(c->org.data, UUID_LEN);
	char *text = psprintf("%s|%s", kind, value);
	uint64 hash = hash_of(text, strlen(text));

	pfree(text);
	return (int64) (org / LOCKS * LOCKS + hash % LOCKS);
}

static int
compare_keys(const void *a, const void *b)
{
	int64 x = *(const int64 *) a;
	int64 y = *(const int64 *) b;

	return x < y ? -1 : x > y ? 1 : 0;
}

static void
take_locks(int64 *keys, int count)
{
	qsort(keys, count, sizeof(*keys), compare_keys);
	for (int i = 0; i < count; i++)
		if (i == 0 || keys[i] != keys[i - 1])
			(void) DirectFunctionCall1(pg_advisory_xact_lock_int8, Int64GetDatum(keys[i]));
}

void
sh_convert_lock_keys(const struct conversion *c)
{
	const struct
	{
		const char *kind;
		const char *value;
	} known_by[] = { { "domain", c->domain ? sh_domain_unicode(c->domain) : NULL },
					 { "company", c->company_key },
					 { "email", c->email ? sh_domain_unicode(c->email) : NULL },
					 { "phone", c->phone } };
	int64 keys[lengthof(known_by)] = { 0 };
	int count = 0;

	for (int i = 0; i < (int) lengthof(known_by); i++)
		if (known_by[i].value)
			keys[count++] = lock_key(c, known_by[i].kind, known_by[i].value);
	take_locks(keys, count);
}

/*
 * saleshub.convert_lock(ids uuid[]) returns void. First all leads with their activities, then
 * all that they are known by: after that, no conversion of these can wait in a circle with another.
 */
Datum
sh_convert_lock(PG_FUNCTION_ARGS)
{
	static const char known_by[] =
		"SELECT k.kind, k.value FROM crm.lead AS l, LATERAL (VALUES"
		" ('domain', saleshub.domain_unicode(saleshub.lead_domain(l.website, l.email))),"
		" ('company', saleshub.company_key(l.company_name)), "
		" ('email', saleshub.domain_unicode(l.email)), ('phone', l.phone)) AS k (kind, value) "
		"WHERE l.org_id = $1 AND l.lead_id = ANY ($3)"
		" AND l.deleted_at IS NULL AND k.value IS NOT NULL AND $2 IS NOT NULL";
	struct conversion *c;
	struct convert_args *args;
	pg_uuid_t org;
	Datum leads = PG_GETARG_DATUM(0);
	int64 *keys;
	uint64 count;

	if (!sh_context_org(&org))
		PG_RETURN_VOID();
	SPI_connect();
	c = palloc0(sizeof(*c));
	c->org = org;
	sh_convert_hold(c, &leads);
	args = sh_convert_args(c);
	sh_convert_arg_uuids(args, leads);
	count = sh_convert_run(known_by, args);
	keys = palloc(Max(count, 1) * sizeof(*keys));
	for (uint64 i = 0; i < count; i++)
		keys[i] = lock_key(c,
						   SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1),
						   SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2));
	take_locks(keys, (int) count);
	SPI_finish();
	PG_RETURN_VOID();
}

/* Take the only hit of a search as the target, if one is wanted; others are candidates. */
static void
take_hits(struct convert_target *target, uint64 hits, StringInfo candidates)
{
	bool taken = target->mode == CONVERT_AUTO && hits == 1;

	if (taken)
		target->present = sh_convert_id(1, &target->id);
	for (uint64 i = 0; !taken && i < hits; i++)
		appendStringInfo(candidates,
						 "%s%s",
						 candidates->len > 0 ? ", " : "",
						 SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2));
}

static void
match_company(struct conversion *c, StringInfo candidates)
{
	static const char by_domain[] =
		"SELECT c.company_id,"
		" jsonb_build_object('type', 'company', 'id', c.company_id, 'name', c.name)::text"
		" FROM crm.company AS c WHERE c.org_id = $1 AND c.domain = ANY (saleshub.domain_forms($3)) "
		"AND c.deleted_at IS NULL"
		" AND $2 IS NOT NULL ORDER BY c.company_id LIMIT " CANDIDATES;
	static const char by_name[] =
		"SELECT c.company_id,"
		" jsonb_build_object('type', 'company', 'id', c.company_id, 'name', c.name)::text"
		" FROM crm.company AS c WHERE c.org_id = $1 AND saleshub.company_key(c.name) = $3"
		" AND c.deleted_at IS NULL AND $2 IS NOT NULL ORDER BY c.company_id LIMIT " CANDIDATES;
	struct convert_args *args = sh_convert_args(c);
	uint64 hits = 0;

	if (c->domain)
	{
		sh_convert_arg_text(args, c->domain);
		hits = sh_convert_run(by_domain, args);
	}
	if (hits == 0 && c->company_key)
	{
		args = sh_convert_args(c);
		sh_convert_arg_text(args, c->company_key);
		hits = sh_convert_run(by_name, args);
	}
	take_hits(&c->company, hits, candidates);
}

static void
match_contact(struct conversion *c, StringInfo candidates)
{
	static const char by_email[] =
		"SELECT c.contact_id, jsonb_build_object('type', 'contact', 'id', c.contact_id,"
		" 'name', nullif(concat_ws(' ', c.first_name, c.last_name), ''), 'email', c.email)::text"
		" FROM crm.contact AS c WHERE c.org_id = $1"
		" AND c.email = ANY (saleshub.domain_forms($3)) AND c.deleted_at IS NULL"
		" AND $2 IS NOT NULL ORDER BY c.contact_id LIMIT " CANDIDATES;
	static const char by_phone[] =
		"SELECT c.contact_id, jsonb_build_object('type', 'contact', 'id', c.contact_id,"
		" 'name', nullif(concat_ws(' ', c.first_name, c.last_name), ''), 'email', c.email)::text"
		" FROM crm.contact AS c WHERE c.org_id = $1 AND c.phone = $3 AND c.deleted_at IS NULL"
		" AND $2 IS NOT NULL"
		" AND saleshub.name_similarity(concat_ws(' ', c.first_name, c.last_name), $4) >= 0.85"
		" ORDER BY c.contact_id LIMIT " CANDIDATES;
	struct convert_args *args = sh_convert_args(c);
	uint64 hits = 0;

	if (c->email)
	{
		sh_convert_arg_text(args, c->email);
		hits = sh_convert_run(by_email, args);
	}
	if (hits == 0 && c->phone && c->person)
	{
		args = sh_convert_args(c);
		sh_convert_arg_text(args, c->phone);
		sh_convert_arg_text(args, c->person);
		hits = sh_convert_run(by_phone, args);
	}
	take_hits(&c->contact, hits, candidates);
}

/* What is to be created may be there already. */
static void
note_duplicates(struct conversion *c)
{
	StringInfoData found;

	if (c->dup == CONVERT_DUP_ALLOW)
		return;
	initStringInfo(&found);
	if (c->company.mode == CONVERT_CREATE)
		match_company(c, &found);
	if (c->contact.mode == CONVERT_CREATE)
		match_contact(c, &found);
	if (found.len > 0 && c->dup == CONVERT_DUP_BLOCK)
		ereport(ERROR,
				(errcode(SH_AMBIGUOUS),
				 errmsg("what the lead becomes is there already"),
				 errdetail_internal("{\"code\": \"duplicate\", \"candidates\": [%s]}", found.data),
				 errhint("Link it, or allow duplicates.")));
	c->duplicates = psprintf("[%s]", found.data);
}

void
sh_convert_match(struct conversion *c)
{
	StringInfoData candidates;

	initStringInfo(&candidates);
	if (c->company.mode == CONVERT_AUTO)
		match_company(c, &candidates);
	if (c->contact.mode == CONVERT_AUTO)
		match_contact(c, &candidates);
	if (candidates.len > 0)
		ereport(
			ERROR,
			(errcode(SH_AMBIGUOUS),
			 errmsg("more than one record matches the lead"),
			 errdetail_internal("{\"code\": \"ambiguous\", \"candidates\": [%s]}", candidates.data),
			 errhint("Name the one that is meant with mode link, or ask for a new one with "
					 "mode create.")));
	note_duplicates(c);
}

static void
lock_target(const struct conversion *c, const struct convert_target *target, const char *sql)
{
	struct convert_args *args = sh_convert_args(c);

	if (!target->present)
		return;
	sh_convert_arg_uuid(args, &target->id);
	if (sh_convert_run(sql, args) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("the %s was changed by somebody else meanwhile", target->type),
				 errhint("Try again.")));
}

/* The three types in the order of their names; one record of each. */
void
sh_convert_lock_targets(const struct conversion *c)
{
	lock_target(c,
				&c->company,
				"SELECT FROM crm.company WHERE org_id = $1 AND company_id = $3"
				" AND deleted_at IS NULL AND $2 IS NOT NULL FOR NO KEY UPDATE");
	lock_target(c,
				&c->contact,
				"SELECT FROM crm.contact WHERE org_id = $1 AND contact_id = $3"
				" AND deleted_at IS NULL AND $2 IS NOT NULL FOR NO KEY UPDATE");
	lock_target(c,
				&c->deal,
				"SELECT FROM crm.deal WHERE org_id = $1 AND deal_id = $3"
				" AND deleted_at IS NULL AND $2 IS NOT NULL FOR NO KEY UPDATE");
}
