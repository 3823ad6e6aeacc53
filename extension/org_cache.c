/*
 * What a backend keeps of organisations, compiled or found, for as long as nobody changes the
 * table that it was read from.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "saleshub.h"

struct key
{
	pg_uuid_t org;
	pg_uuid_t part;
};

struct kept
{
	struct key key;
	struct sh_stamp stamp;
	void *value;
	MemoryContext context; /* NULL: the value needs none */
};

/* Processes have room for ten callbacks; hence one for all relations. */
static struct sh_relation *watched = NULL;
static uint64 changes = 0;

static void
on_relation_change(Datum arg, Oid relid)
{
	changes++;
	for (struct sh_relation *r = watched; r; r = r->next)
		if (relid == InvalidOid || relid == r->oid)
			r->oid = InvalidOid;
}

Oid
sh_relation(struct sh_relation *relation)
{
	if (OidIsValid(relation->oid))
		return relation->oid;
	if (!watched)
		CacheRegisterRelcacheCallback(on_relation_change, (Datum) 0);
	if (!relation->watched)
	{
		relation->next = watched;
		watched = relation;
	}
	relation->watched = true;
	relation->oid = get_relname_relid(relation->name, get_namespace_oid("crm", false));
	if (!OidIsValid(relation->oid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation \"crm.%s\" does not exist", relation->name),
				 errhint("Run SELECT saleshub.install().")));
	return relation->oid;
}

static struct key
key_of(const pg_uuid_t *org, const pg_uuid_t *part)
{
	struct key key = { .org = *org };

	if (part)
		key.part = *part;
	return key;
}

static void
forget(struct sh_org_cache *cache, struct kept *entry)
{
	MemoryContext context = entry->context;

	(void) hash_search(cache->entries, &entry->key, HASH_REMOVE, NULL);
	if (context)
		MemoryContextDelete(context);
}

static void
forget_all(struct sh_org_cache *cache)
{
	HASH_SEQ_STATUS scan;
	struct kept *entry;

	hash_seq_init(&scan, cache->entries);
	while ((entry = hash_seq_search(&scan)) != NULL)
		forget(cache, entry);
}

void *
sh_org_kept(struct sh_org_cache *cache, const pg_uuid_t *org, const pg_uuid_t *part)
{
	struct key key = key_of(org, part);
	Oid relid = sh_relation(&cache->relation);
	struct kept *entry;

	if (!cache->entries)
		cache->entries = sh_table(
			cache->name, sizeof(struct key), sizeof(struct kept), cache->most, TopMemoryContext);
	if (cache->by_columns && cache->changes != changes)
		forget_all(cache);
	cache->changes = changes;
	entry = hash_search(cache->entries, &key, HASH_FIND, NULL);
	if (entry && sh_slot_fresh(&entry->stamp, relid, org))
		return entry->value;
	if (entry)
		forget(cache, entry);
	return NULL;
}

bool
sh_org_keep(struct sh_org_cache *cache, const pg_uuid_t *org, const pg_uuid_t *part,
			const struct sh_stamp *stamp, void *value, MemoryContext context)
{
	struct key key = key_of(org, part);
	struct kept *entry;

	/* What this transaction wrote itself may be taken back: that is not fresh. */
	if (!sh_slot_fresh(stamp, sh_relation(&cache->relation), org) ||
		(cache->by_columns && cache->changes != changes))
		return false;
	if (hash_get_num_entries(cache->entries) >= cache->most)
		forget_all(cache);
	entry = hash_search(cache->entries, &key, HASH_ENTER, NULL);
	if (context)
		MemoryContextSetParent(context, CacheMemoryContext);
	entry->stamp = *stamp;
	entry->value = value;
	entry->context = context;
	return true;
}
