/*
 * What may be found: what is not gone, what the member sees, and what the filters leave. Whoever
 * sees less than all is served as if the rest were not there: it counts in no total, no facet, no
 * frequency of a word and no average length.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/uuid.h"

#include "saleshub.h"
#include "search_eval.h"

/* What a member sees of one kind of documents. */
struct kind_scope
{
	uint8 fields; /* that it may look at; 0: it sees none */
	bool all;
	bool by_record; /* else by owner */
	int count;		/* of owners */
	const char **owners;
};

static uint64 *
seen_of(struct eval_part *part)
{
	if (!part->seen)
		part->seen = sh_bits_new(part->docs, true);
	return part->seen;
}

/* --- what is gone --- */

static void
leave_gone(struct eval_part *part)
{
	if (!part->segment)
		return;
	for (int i = 0; i < part->segment->gone_count; i++)
		bits_clear(seen_of(part), part->segment->gone[i]);
}

/* --- filters --- */

static uint64 *
kinds_bits(struct eval *eval, struct eval_part *part)
{
	const uint16 *kinds = sh_part_column(eval, part, SEARCH_FACET_KIND);
	uint64 *bits = sh_bits_new(part->docs, false);

	for (uint32 i = 0; i < part->docs; i++)
		if (kinds[i] < 32 && eval->kinds & (1u << kinds[i]))
			bits_set(bits, i);
	return bits;
}

static void
apply_filters(struct eval *eval, struct eval_part *part)
{
	part->allowed = part->seen;
	if (eval->kinds == 0 && eval->filter_count == 0)
		return;
	part->allowed = sh_bits_new(part->docs, true);
	if (part->seen)
		sh_bits_and(part->allowed, part->seen, part->docs);
	if (eval->kinds != 0)
		sh_bits_and(part->allowed, kinds_bits(eval, part), part->docs);
	for (int i = 0; i < eval->filter_count; i++)
	{
		const struct eval_filter *filter = &eval->filters[i];

		sh_bits_and(part->allowed,
					sh_match_facet(eval, part, filter->facet, filter->values, filter->count),
					part->docs);
	}
}

/* --- who sees what --- */

static void
read_scope(JsonbContainer *scope, int kind, struct kind_scope *out)
{
	JsonbContainer *of_kind = sh_json_container(scope, sh_kind_name(kind));
	JsonbContainer *owners = sh_json_container(of_kind, "owners");

	memset(out, 0, sizeof(*out));
	if (!of_kind)
		return;
	out->fields = (uint8) sh_json_int(of_kind, "fields", QUERY_ANYWHERE);
	out->all = sh_json_truth(of_kind, "all", false);
	out->by_record = sh_json_truth(of_kind, "by_record", false);
	if (owners)
		out->owners = sh_search_texts(owners, &out->count);
}

static bool
is_owner(const struct kind_scope *scope, const char *owner)
{
	for (int i = 0; owner && i < scope->count; i++)
		if (strcmp(scope->owners[i], owner) == 0)
			return true;
	return false;
}

/*
 * The numbers of activities that the member sees: row security decides, as they are seen for what
 * they are linked to.
 */
static HTAB *
visible_activities(struct eval *eval)
{
	static const Oid types[] = { UUIDOID };
	HTAB *seen =
		sh_table("saleshub visible", UUID_LEN, sizeof(pg_uuid_t), 1024, CurrentMemoryContext);

	SPI_connect();
	if (SPI_execute_plan(sh_plan("SELECT a.activity_id FROM crm.activity a"
								 " WHERE a.org_id = $1 AND a.deleted_at IS NULL",
								 1,
								 types),
						 (Datum[]){ UUIDPGetDatum(&eval->org) },
						 NULL,
						 true,
						 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the activities that are seen");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool isnull;

		hash_search(
			seen,
			DatumGetUUIDP(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull)),
			HASH_ENTER,
			NULL);
	}
	SPI_finish();
	return seen;
}

/* The fields that may be looked at of a document, 0 when it is not seen. */
static uint8
fields_of(const struct kind_scope *scope, bool owned, HTAB *seen, const pg_uuid_t *record)
{
	bool sees = scope->all || owned ||
				(scope->by_record && hash_search(seen, record, HASH_FIND, NULL) != NULL);

	return sees ? scope->fields : 0;
}

static void
apply_scope(struct eval *eval, struct eval_part *part, const struct kind_scope *scopes, HTAB *seen)
{
	const uint16 *owners = NULL;
	const uint16 *kinds = sh_part_column(eval, part, SEARCH_FACET_KIND);
	bool *owned[SEARCH_KINDS + 1] = { NULL };
	char **texts = NULL;
	int text_count = 0;
	bytea *records = NULL;

	part->fields = palloc_extended(Max(part->docs, 1), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	if (part->segment)
	{
		owners = sh_part_column(eval, part, SEARCH_FACET_OWNER);
		texts = sh_search_values(eval->index, part->segment, SEARCH_FACET_OWNER, &text_count);
		for (int kind = 1; kind <= SEARCH_KINDS; kind++)
		{
			owned[kind] = palloc0(text_count * sizeof(bool));
			for (int i = 1; i < text_count; i++)
				owned[kind][i] = is_owner(&scopes[kind], texts[i]);
		}
	}
	for (uint32 doc = 0; doc < part->docs; doc++)
	{
		uint16 kind = kinds[doc];
		pg_uuid_t record = { { 0 } };
		bool is_owned;

		if (part->segment && doc % SEARCH_RECORDS_PART == 0)
		{
			if (records)
				pfree(records);
			records =
				sh_search_records(eval->index, part->segment, (int) (doc / SEARCH_RECORDS_PART));
		}
		if (kind >= 1 && kind <= SEARCH_KINDS)
		{
			if (part->segment)
				memcpy(&record,
					   VARDATA(records) + (doc % SEARCH_RECORDS_PART) * SEARCH_RECORD_SIZE + 1,
					   UUID_LEN);
			else
				record = part->waiting[doc].record;
			is_owned = part->segment ?
						   owned[kind][owners[doc]] :
						   is_owner(&scopes[kind], part->waiting[doc].facets[SEARCH_FACET_OWNER]);
			part->fields[doc] = fields_of(&scopes[kind], is_owned, seen, &record);
		}
		if (part->fields[doc] == 0)
			bits_clear(seen_of(part), doc);
	}
}

void
sh_scope_apply(struct eval *eval, JsonbContainer *scope)
{
	struct kind_scope scopes[SEARCH_KINDS + 1];
	HTAB *seen = NULL;

	eval->restricted = scope != NULL;
	if (scope)
	{
		for (int kind = 1; kind <= SEARCH_KINDS; kind++)
			read_scope(scope, kind, &scopes[kind]);
		if (scopes[SEARCH_ACTIVITY].by_record)
			seen = visible_activities(eval);
	}
	for (int i = 0; i < eval->part_count; i++)
	{
		leave_gone(&eval->parts[i]);
		if (scope)
			apply_scope(eval, &eval->parts[i], scopes, seen);
	}
}

void
sh_scope_filter(struct eval *eval)
{
	for (int i = 0; i < eval->part_count; i++)
		apply_filters(eval, &eval->parts[i]);
}
