/*
 * What row triggers ask of the organisation of a row: its currency, its country, whether it
 * refuses duplicates, and whether a member is there. Kept per backend as long as cached answers
 * that depend on it would be valid.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "saleshub.h"

PG_FUNCTION_INFO_V1(sh_duplicate_blocks);

/* Past that many all are dropped and start anew. */
#define CACHED_ORGS 64
#define CACHED_MEMBERS 1024

static struct sh_org_cache orgs = { .name = "saleshub organisations",
									.relation.name = "org",
									.most = CACHED_ORGS };
static struct sh_org_cache members = { .name = "saleshub members",
									   .relation.name = "member",
									   .most = CACHED_MEMBERS };

/* --- the organisation --- */

static void
read_text(int column, char *out, Size size)
{
	char *value = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column);

	strlcpy(out, value ? value : "", size);
}

static void
read_org(const pg_uuid_t *org, struct sh_org *out)
{
	static const char sql[] = "SELECT o.currency, o.country, saleshub.duplicate_blocked(o.settings)"
							  " FROM crm.org AS o WHERE o.org_id OPERATOR(pg_catalog.=) $1";
	Oid types[1] = { UUIDOID };
	Datum values[1] = { UUIDPGetDatum(org) };
	struct sh_identity identity;

	memset(out, 0, sizeof(*out));
	sh_owner_enter(&identity);
	SPI_connect();
	if (SPI_execute_plan(sh_plan(sql, 1, types), values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read an organisation");
	if (SPI_processed > 0)
	{
		read_text(1, out->currency, sizeof(out->currency));
		read_text(2, out->country, sizeof(out->country));
		read_text(3, out->duplicates_blocked, sizeof(out->duplicates_blocked));
	}
	SPI_finish();
	sh_owner_leave(&identity);
}

void
sh_org(const pg_uuid_t *org, struct sh_org *out)
{
	struct sh_org *facts = sh_org_kept(&orgs, org, NULL);
	MemoryContext context;
	struct sh_stamp stamp;

	if (facts)
	{
		*out = *facts;
		return;
	}
	(void) sh_slot_stamp(&stamp);
	read_org(org, out);
	context =
		AllocSetContextCreate(CurrentMemoryContext, "saleshub organisation", ALLOCSET_SMALL_SIZES);
	facts = MemoryContextAlloc(context, sizeof(*facts));
	*facts = *out;
	if (!sh_org_keep(&orgs, org, NULL, &stamp, facts, context))
		MemoryContextDelete(context);
}

/*
 * saleshub.duplicate_blocks(org uuid, noun text) returns boolean: like
 * saleshub.duplicate_policy(org, noun) = 'block', for the trigger that every inserted record meets.
 */
Datum
sh_duplicate_blocks(PG_FUNCTION_ARGS)
{
	const char *asked = GetConfigOption("saleshub.duplicates", true, false);
	struct sh_org org;

	if (asked && (strcmp(asked, "allow") == 0 || strcmp(asked, "warn") == 0))
		PG_RETURN_BOOL(false);
	if (asked && strcmp(asked, "block") == 0)
		PG_RETURN_BOOL(true);
	sh_org(PG_GETARG_UUID_P(0), &org);
	/* None of the names is a part of another. */
	PG_RETURN_BOOL(strstr(org.duplicates_blocked, text_to_cstring(PG_GETARG_TEXT_PP(1))) != NULL);
}

/* --- its members --- */

static bool
find_member(const pg_uuid_t *org, const pg_uuid_t *member)
{
	static const char sql[] = "SELECT FROM crm.member AS m WHERE m.org_id OPERATOR(pg_catalog.=) $1"
							  " AND m.member_id OPERATOR(pg_catalog.=) $2";
	Oid types[2] = { UUIDOID, UUIDOID };
	Datum values[2] = { UUIDPGetDatum(org), UUIDPGetDatum(member) };
	bool found;

	SPI_connect();
	SPI_execute_plan(sh_plan(sql, 2, types), values, NULL, false, 1);
	found = SPI_processed > 0;
	SPI_finish();
	return found;
}

/*
 * Members are asked for with the caller's rights. Of the own organisation everybody sees all, so
 * those found are kept.
 */
bool
sh_org_has_member(const pg_uuid_t *org, const pg_uuid_t *member)
{
	static bool found = true;
	struct sh_stamp stamp;
	pg_uuid_t own;

	if (!sh_context_org(&own) || memcmp(&own, org, sizeof(own)) != 0)
		return find_member(org, member);
	if (sh_org_kept(&members, org, member))
		return true;
	(void) sh_slot_stamp(&stamp);
	if (!find_member(org, member))
		return false;
	(void) sh_org_keep(&members, org, member, &stamp, &found, NULL);
	return true;
}

/* --- its locks --- */

void
sh_org_lock(const pg_uuid_t *org, uint64 seed, bool alone)
{
	Datum key = hash_any_extended(org->data, UUID_LEN, seed);

	(void) DirectFunctionCall1(
		alone ? pg_advisory_xact_lock_int8 : pg_advisory_xact_lock_shared_int8, key);
}
