/*
 * Records by what files call them. Row security would keep conditions over lower() and the like
 * from using an index, since such functions might tell what they are given; so candidates are
 * found as the owner, and of these only what the member sees is returned.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"

#include "import.h"
#include "saleshub.h"

PG_FUNCTION_INFO_V1(sh_import_lookup);

struct found
{
	pg_uuid_t id; /* key */
	bool deleted;
};

static const char *
check_entity(const char *entity)
{
	static const char *const known[] = { "lead",	 "contact", "company", "deal",
										 "activity", "product", "member",  "team" };

	for (int i = 0; i < (int) lengthof(known); i++)
		if (strcmp(known[i], entity) == 0)
			return known[i];
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("there are no records of kind \"%s\"", entity)));
	return NULL;
}

/* How a field is looked up: SQL text of what a record t has, and of the same of v.value. */
struct lookup
{
	const char *has;
	const char *wants;
	const char *type;	/* of has, in arrays */
	const char *column; /* has is the column as it is; else NULL */
};

static struct lookup
lookup_by(const char *entity, const char *field)
{
	if (strcmp(field, "id") == 0)
		return (struct lookup){
			psprintf("t.%s_id", entity), "v.value::pg_catalog.uuid", "pg_catalog.uuid[]", NULL
		};
	if (strcmp(field, "name") == 0 || strcmp(field, "sku") == 0 || strcmp(field, "subject") == 0)
		return (struct lookup){ psprintf("pg_catalog.lower(t.%s)", field),
								"pg_catalog.lower(v.value)",
								"pg_catalog.text[]",
								NULL };
	if (strcmp(field, "email") == 0)
		return (
			struct lookup){ "t.email", "pg_catalog.lower(v.value)", "pg_catalog.text[]", field };
	if (strcmp(field, "domain") == 0)
		return (struct lookup){
			"t.domain", "saleshub.domain_normal(v.value)", "pg_catalog.text[]", field
		};
	if (strcmp(field, "phone") == 0)
		return (struct lookup){ "t.phone",
								"saleshub.phone_normal(v.value,"
								" (SELECT o.country FROM crm.org AS o WHERE o.org_id = $2))",
								"pg_catalog.text[]",
								field };
	if (strncmp(field, "custom.", 7) == 0)
		return (struct lookup){
			"t.custom ->> pg_catalog.substr($3, 8)", "v.value", "pg_catalog.text[]", NULL
		};
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("records are not found by \"%s\"", field)));
	return (struct lookup){ NULL };
}

/* What the values mean, in the form in which records have it; 0 for none. */
static Datum
normal_forms(const struct lookup *by, Datum wanted, const pg_uuid_t *org, Datum field)
{
	Oid types[3] = { TEXTARRAYOID, UUIDOID, TEXTOID };
	Datum values[3] = { wanted, UUIDPGetDatum(org), field };
	bool isnull = true;
	Datum forms;
	char *sql = psprintf("SELECT pg_catalog.array_agg((%s)::pg_catalog.text ORDER BY v.n)"
						 " FROM pg_catalog.unnest($1) WITH ORDINALITY AS v (value, n)"
						 " WHERE $2 IS NOT NULL AND $3 IS NOT NULL",
						 by->wants);

	if (SPI_execute_with_args(sql, 3, types, values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not normalise values");
	forms = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	return isnull ? (Datum) 0 : forms;
}

/* The same by SQL. */
static bool
query_candidates(const char *entity, const struct lookup *by, Datum *values, MemoryContext memory,
				 ArrayType **places, ArrayType **ids)
{
	Oid types[3] = { TEXTARRAYOID, UUIDOID, TEXTOID };
	MemoryContext caller;
	bool isnull;
	bool noids;
	Datum place;
	Datum id;
	/* One condition for all values: a plan that takes a poor index then reads an organisation once,
	 * not once a value. */
	char *sql =
		psprintf("SELECT pg_catalog.array_agg(v.n::pg_catalog.int4), pg_catalog.array_agg(t.id)"
				 " FROM (SELECT t.%s_id AS id, (%s)::pg_catalog.text AS has FROM crm.%s AS t"
				 " WHERE t.org_id = $2 AND %s = ANY ($1::%s) AND $3 IS NOT NULL) AS t"
				 " JOIN pg_catalog.unnest($1) WITH ORDINALITY AS v (value, n) ON v.value = t.has",
				 entity,
				 by->has,
				 entity,
				 by->has,
				 by->type);

	if (SPI_execute_with_args(sql, 3, types, values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not look records up");
	place = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	id = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &noids);
	if (isnull || noids)
		return false;
	caller = MemoryContextSwitchTo(memory);
	*places = DatumGetArrayTypePCopy(place);
	*ids = DatumGetArrayTypePCopy(id);
	MemoryContextSwitchTo(caller);
	return true;
}

/* The place of each value and the ids of its records, as two arrays; false when there are none. */
static bool
find_candidates(const char *entity, const char *field, Datum wanted, const pg_uuid_t *org,
				MemoryContext memory, ArrayType **places, ArrayType **ids)
{
	struct lookup by = lookup_by(entity, field);
	Datum values[3] = { 0, UUIDPGetDatum(org), CStringGetTextDatum(field) };
	struct sh_identity identity;
	bool found = false;

	sh_owner_enter(&identity);
	values[0] = normal_forms(&by, wanted, org, values[2]);
	if (values[0])
		found = (by.column && sh_import_probe(entity, by.column, org, values[0], places, ids)) ||
				query_candidates(entity, &by, values, memory, places, ids);
	sh_owner_leave(&identity);
	return found && ARR_NDIM(*ids) > 0;
}

/* Those that the member sees. What the undo of an import deleted is none of them. */
static HTAB *
see(const char *entity, ArrayType *ids, const pg_uuid_t *org, MemoryContext memory)
{
	Oid types[2] = { UUIDARRAYOID, UUIDOID };
	Datum values[2] = { PointerGetDatum(ids), UUIDPGetDatum(org) };
	HTAB *seen;
	const char *news = strcmp(entity, "member") == 0 ?
						   " AND t.email NOT LIKE 'removed-%@removed.invalid'" :
						   " AND (t.deleted_at IS NULL OR NOT EXISTS (SELECT FROM crm.import AS i"
						   " WHERE i.org_id = $2 AND i.deletion_id = t.deletion_id))";
	char *sql = psprintf("SELECT t.%s_id, t.deleted_at IS NOT NULL FROM crm.%s AS t"
						 " WHERE t.org_id = $2 AND t.%s_id = ANY ($1)%s",
						 entity,
						 entity,
						 entity,
						 strcmp(entity, "team") == 0 ? "" : news);

	seen = sh_table("saleshub records seen", sizeof(pg_uuid_t), sizeof(struct found), 1024, memory);
	if (SPI_execute_with_args(sql, 2, types, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not look at records");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple tuple = SPI_tuptable->vals[i];
		bool isnull;
		pg_uuid_t *id = DatumGetUUIDP(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 1, &isnull));
		struct found *found = hash_search(seen, id, HASH_ENTER, NULL);

		found->deleted = DatumGetBool(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 2, &isnull));
	}
	return seen;
}

static void
put_found(Tuplestorestate *store, TupleDesc desc, ArrayType *places, ArrayType *ids, HTAB *seen)
{
	Datum *place;
	Datum *id;
	bool *nulls;
	int count;

	deconstruct_array(places, INT4OID, 4, true, TYPALIGN_INT, &place, &nulls, &count);
	deconstruct_array(ids, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR, &id, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		struct found *found = hash_search(seen, DatumGetUUIDP(id[i]), HASH_FIND, NULL);
		Datum values[3] = { place[i], id[i], 0 };
		bool none[3] = { false };

		if (!found)
			continue;
		values[2] = BoolGetDatum(found->deleted);
		tuplestore_putvalues(store, desc, values, none);
	}
}

/*
 * saleshub.import_lookup(entity text, field text, texts text[], OUT n integer, OUT id uuid,
 * OUT deleted boolean): n from 1
 */
Datum
sh_import_lookup(PG_FUNCTION_ARGS)
{
	const char *entity = check_entity(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	const char *field = text_to_cstring(PG_GETARG_TEXT_PP(1));
	MemoryContext memory = CurrentMemoryContext;
	TupleDesc desc;
	Tuplestorestate *store = sh_result_begin(fcinfo, &desc);
	ArrayType *places;
	ArrayType *ids;
	pg_uuid_t org;

	if (!sh_context_org(&org))
		return (Datum) 0;
	SPI_connect();
	if (find_candidates(entity, field, PG_GETARG_DATUM(2), &org, memory, &places, &ids))
		put_found(store, desc, places, ids, see(entity, ids, &org, memory));
	SPI_finish();
	return (Datum) 0;
}
