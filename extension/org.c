/*
 * What row triggers ask of the organisation of a row: its currency, its country, whether it
 * refuses duplicates, and whether a member is there. Kept per backend as long as cached answers
 * that depend on it would be valid.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "saleshub.h"

PG_FUNCTION_INFO_V1(sh_duplicate_blocks);

/* Past that many all are dropped and start anew. */
#define CACHED_ORGS 64
#define CACHED_MEMBERS 1024

struct cached_org
{
	pg_uuid_t org; /* key */
	struct sh_stamp stamp;
	struct sh_org facts;
};

struct member_key
{
	pg_uuid_t org;
	pg_uuid_t member;
};

struct cached_member
{
	struct member_key key;
	struct sh_stamp stamp;
};

static HTAB *orgs = NULL;
static HTAB *members = NULL;
static Oid org_relid = InvalidOid;
static Oid member_relid = InvalidOid;

static void
on_relation_change(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == org_relid)
		org_relid = InvalidOid;
	if (relid == InvalidOid || relid == member_relid)
		member_relid = InvalidOid;
}

static Oid
relation(Oid *known, const char *name)
{
	static bool watching = false;

	if (!watching)
		CacheRegisterRelcacheCallback(on_relation_change, (Datum) 0);
	watching = true;
	if (!OidIsValid(*known))
		*known = get_relname_relid(name, get_namespace_oid("crm", false));
	return *known;
}

static void
forget_all(HTAB *table)
{
	HASH_SEQ_STATUS scan;
	void *entry;

	hash_seq_init(&scan, table);
	while ((entry = hash_seq_search(&scan)) != NULL)
		hash_search(table, entry, HASH_REMOVE, NULL);
}

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
	struct cached_org *entry;
	struct sh_stamp stamp;
	bool keep;

	if (!orgs)
		orgs = sh_table("saleshub organisations",
						sizeof(pg_uuid_t),
						sizeof(struct cached_org),
						CACHED_ORGS,
						TopMemoryContext);
	entry = hash_search(orgs, org, HASH_FIND, NULL);
	if (entry && sh_slot_fresh(&entry->stamp, relation(&org_relid, "org"), org))
	{
		*out = entry->facts;
		return;
	}
	keep = sh_slot_stamp(&stamp);
	read_org(org, out);
	/* What this transaction wrote itself may be taken back. */
	if (!keep || !sh_slot_fresh(&stamp, relation(&org_relid, "org"), org))
		return;
	if (!entry && hash_get_num_entries(orgs) >= CACHED_ORGS)
		forget_all(orgs);
	entry = hash_search(orgs, org, HASH_ENTER, NULL);
	entry->stamp = stamp;
	entry->facts = *out;
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
find_member(const struct member_key *key)
{
	static const char sql[] = "SELECT FROM crm.member AS m WHERE m.org_id OPERATOR(pg_catalog.=) $1"
							  " AND m.member_id OPERATOR(pg_catalog.=) $2";
	Oid types[2] = { UUIDOID, UUIDOID };
	Datum values[2] = { UUIDPGetDatum(&key->org), UUIDPGetDatum(&key->member) };
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
	struct member_key key = { *org, *member };
	struct cached_member *entry;
	struct sh_stamp stamp;
	pg_uuid_t own;

	if (!sh_context_org(&own) || memcmp(&own, org, sizeof(own)) != 0 || !sh_slot_stamp(&stamp))
		return find_member(&key);
	if (!members)
		members = sh_table("saleshub members",
						   sizeof(key),
						   sizeof(struct cached_member),
						   CACHED_MEMBERS,
						   TopMemoryContext);
	entry = hash_search(members, &key, HASH_FIND, NULL);
	if (entry && sh_slot_fresh(&entry->stamp, relation(&member_relid, "member"), org))
		return true;
	if (!find_member(&key))
		return false;
	if (!sh_slot_fresh(&stamp, relation(&member_relid, "member"), org))
		return true;
	if (!entry && hash_get_num_entries(members) >= CACHED_MEMBERS)
		forget_all(members);
	entry = hash_search(members, &key, HASH_ENTER, NULL);
	entry->stamp = stamp;
	return true;
}
