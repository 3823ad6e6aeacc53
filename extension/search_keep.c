/*
 * Keeping the documents of records up to date: one trigger per statement takes the documents of
 * rows that went or changed out of the index, and leaves those of rows that came or changed.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "saleshub.h"
#include "search.h"
#include "transition.h"

PG_FUNCTION_INFO_V1(sh_search_keep);

enum source_kind
{
	TEXT,
	PHONE,
	JOINED /* to the value before: one name of two parts */
};

/* Column of a record and what it is for a document. */
struct source_column
{
	const char *name;
	enum sh_search_field field;
	enum source_kind kind;
};

#define SOURCES_MAX 16

struct source
{
	const char *entity;
	enum sh_search_kind kind;
	struct source_column columns[SOURCES_MAX];
	/* by facet, from SEARCH_FACET_STATUS on */
	const char *facets[SEARCH_FACETS - SEARCH_FACET_STATUS];
};

static const struct source sources[] = {
	{ "lead",
	  SEARCH_LEAD,
	  { { "first_name", SEARCH_TITLE, TEXT },
		{ "last_name", SEARCH_TITLE, JOINED },
		{ "company_name", SEARCH_TITLE, TEXT },
		{ "email", SEARCH_IDENTIFIER, TEXT },
		{ "website", SEARCH_IDENTIFIER, TEXT },
		{ "phone", SEARCH_IDENTIFIER, PHONE },
		{ "title", SEARCH_BODY, TEXT },
		{ "city", SEARCH_BODY, TEXT },
		{ "state", SEARCH_BODY, TEXT },
		{ "country", SEARCH_BODY, TEXT },
		{ "industry", SEARCH_BODY, TEXT },
		{ "source", SEARCH_BODY, TEXT },
		{ "tags", SEARCH_BODY, TEXT },
		{ "custom", SEARCH_BODY, TEXT } },
	  { "status", "source", "country", "industry", NULL, NULL } },
	{ "contact",
	  SEARCH_CONTACT,
	  { { "first_name", SEARCH_TITLE, TEXT },
		{ "last_name", SEARCH_TITLE, JOINED },
		{ "email", SEARCH_IDENTIFIER, TEXT },
		{ "phone", SEARCH_IDENTIFIER, PHONE },
		{ "title", SEARCH_BODY, TEXT },
		{ "tags", SEARCH_BODY, TEXT },
		{ "custom", SEARCH_BODY, TEXT } },
	  { NULL } },
	{ "company",
	  SEARCH_COMPANY,
	  { { "name", SEARCH_TITLE, TEXT },
		{ "domain", SEARCH_IDENTIFIER, TEXT },
		{ "website", SEARCH_IDENTIFIER, TEXT },
		{ "phone", SEARCH_IDENTIFIER, PHONE },
		{ "industry", SEARCH_BODY, TEXT },
		{ "city", SEARCH_BODY, TEXT },
		{ "country", SEARCH_BODY, TEXT },
		{ "tags", SEARCH_BODY, TEXT },
		{ "custom", SEARCH_BODY, TEXT } },
	  { NULL, NULL, "country", "industry", NULL, NULL } },
	{ "deal",
	  SEARCH_DEAL,
	  { { "name", SEARCH_TITLE, TEXT },
		{ "amount", SEARCH_IDENTIFIER, TEXT },
		{ "product", SEARCH_BODY, TEXT },
		{ "source", SEARCH_BODY, TEXT },
		{ "lost_reason", SEARCH_BODY, TEXT },
		{ "tags", SEARCH_BODY, TEXT },
		{ "custom", SEARCH_BODY, TEXT } },
	  { "status", "source", NULL, NULL, "stage_id", NULL } },
	{ "activity",
	  SEARCH_ACTIVITY,
	  { { "subject", SEARCH_TITLE, TEXT },
		{ "email_from", SEARCH_IDENTIFIER, TEXT },
		{ "email_to", SEARCH_IDENTIFIER, TEXT },
		{ "email_cc", SEARCH_IDENTIFIER, TEXT },
		{ "location", SEARCH_BODY, TEXT },
		{ "outcome", SEARCH_BODY, TEXT },
		{ "body", SEARCH_NOTES, TEXT },
		{ "custom", SEARCH_BODY, TEXT } },
	  { NULL, NULL, NULL, NULL, NULL, "type" } },
};

#define FACET_COLUMNS lengthof(sources[0].facets)

/* The columns of a record that count, in one row. */
enum
{
	ORG,
	ID,
	DELETED,
	OWNER,
	CHANGED,
	FACETS,
	SOURCES = FACETS + FACET_COLUMNS,
	COLUMNS = SOURCES + SOURCES_MAX
};

struct keeper
{
	const struct source *source;
	TupleDesc desc;
	AttrNumber at[COLUMNS]; /* 0: there is none */
	bool coming;			/* there are documents to be written */
	Oid dictionary;
	struct sh_rows *rows;
	int gone_count, gone_size;
	Datum *gone_orgs, *gone_ids;
	MemoryContext row; /* reset after each */
};

static const char *const doc_columns[] = { "org_id",   "kind", "record_id", "lengths",
										   "owner_id", "day",  "facets",	"packed" };
static const char *const gone_columns[] = { "org_id", "doc", "lengths" };

/* --- the document of a row --- */

static void
add_strings(struct sh_search_pack *pack, enum sh_search_field field, Jsonb *value)
{
	JsonbIterator *it = JsonbIteratorInit(&value->root);
	JsonbValue v;
	JsonbIteratorToken token;

	while ((token = JsonbIteratorNext(&it, &v, false)) != WJB_DONE)
		if ((token == WJB_VALUE || token == WJB_ELEM) && v.type == jbvString)
			sh_search_pack_add(pack, field, v.val.string.val, v.val.string.len);
}

static void
add_array(struct sh_search_pack *pack, enum sh_search_field field, Datum value)
{
	Datum *texts;
	bool *nulls;
	int count;

	deconstruct_array(
		DatumGetArrayTypeP(value), TEXTOID, -1, false, TYPALIGN_INT, &texts, &nulls, &count);
	for (int i = 0; i < count; i++)
		if (!nulls[i])
		{
			text *one = DatumGetTextPP(texts[i]);

			sh_search_pack_add(pack, field, VARDATA_ANY(one), VARSIZE_ANY_EXHDR(one));
		}
}

static void
add_text(struct sh_search_pack *pack, const struct source_column *column, text *value)
{
	const char *data = VARDATA_ANY(value);
	int len = VARSIZE_ANY_EXHDR(value);

	if (column->kind == PHONE)
	{
		char *digits = palloc(len + 1);
		int count = 0;

		for (int i = 0; i < len && data[i] != 'x'; i++)
			if (isdigit((unsigned char) data[i]))
				digits[count++] = data[i];
		sh_search_pack_phone(pack, digits, count);
	}
	else
		sh_search_pack_add(pack, column->field, data, len);
}

static void
add_value(struct keeper *k, struct sh_search_pack *pack, int n, Datum value)
{
	const struct source_column *column = &k->source->columns[n];

	switch (TupleDescAttr(k->desc, k->at[SOURCES + n] - 1)->atttypid)
	{
		case JSONBOID:
			add_strings(pack, column->field, DatumGetJsonbP(value));
			break;
		case TEXTARRAYOID:
			add_array(pack, column->field, value);
			break;
		case NUMERICOID:
		{
			/* 1200.00 is looked for as 1200. */
			Datum plain = DirectFunctionCall1(numeric_trim_scale, value);
			char *text = DatumGetCString(DirectFunctionCall1(numeric_out, plain));

			sh_search_pack_add(pack, column->field, text, strlen(text));
			break;
		}
		default:
			add_text(pack, column, DatumGetTextPP(value));
	}
}

/* Two columns of one name go in as one value, so that a phrase may span them. */
static void
add_name(struct keeper *k, struct sh_search_pack *pack, int n, Datum first, Datum last)
{
	text *a = DatumGetTextPP(first);
	text *b = DatumGetTextPP(last);
	StringInfoData both;

	initStringInfo(&both);
	appendBinaryStringInfo(&both, VARDATA_ANY(a), VARSIZE_ANY_EXHDR(a));
	appendStringInfoChar(&both, ' ');
	appendBinaryStringInfo(&both, VARDATA_ANY(b), VARSIZE_ANY_EXHDR(b));
	sh_search_pack_add(pack, k->source->columns[n].field, both.data, both.len);
}

static bytea *
pack_row(struct keeper *k, TupleTableSlot *row, int32 *lengths)
{
	struct sh_search_pack *pack = sh_search_pack_new(k->dictionary);

	for (int i = 0; i < SOURCES_MAX && k->at[SOURCES + i] > 0; i++)
	{
		bool isnull;
		Datum value = slot_getattr(row, k->at[SOURCES + i], &isnull);

		if (isnull)
			continue;
		if (i + 1 < SOURCES_MAX && k->source->columns[i + 1].kind == JOINED)
		{
			Datum last = slot_getattr(row, k->at[SOURCES + i + 1], &isnull);

			if (!isnull)
			{
				add_name(k, pack, i++, value, last);
				continue;
			}
		}
		add_value(k, pack, i, value);
	}
	return sh_search_pack_end(pack, lengths);
}

static Datum
facets_of(struct keeper *k, TupleTableSlot *row)
{
	Datum texts[FACET_COLUMNS];
	bool nulls[FACET_COLUMNS];
	int dims[1] = { FACET_COLUMNS };
	int lower[1] = { 1 };

	for (int i = 0; i < (int) FACET_COLUMNS; i++)
	{
		nulls[i] = true;
		if (k->at[FACETS + i] == 0)
			continue;
		texts[i] = slot_getattr(row, k->at[FACETS + i], &nulls[i]);
		if (!nulls[i] && TupleDescAttr(k->desc, k->at[FACETS + i] - 1)->atttypid == UUIDOID)
			texts[i] =
				CStringGetTextDatum(DatumGetCString(DirectFunctionCall1(uuid_out, texts[i])));
	}
	return PointerGetDatum(
		construct_md_array(texts, nulls, 1, dims, lower, TEXTOID, -1, false, TYPALIGN_INT));
}

static void
add_document(struct keeper *k, TupleTableSlot *row)
{
	MemoryContext before = MemoryContextSwitchTo(k->row);
	Datum values[lengthof(doc_columns)];
	bool nulls[lengthof(doc_columns)] = { false };
	int32 lengths;
	bool isnull;

	values[7] = PointerGetDatum(pack_row(k, row, &lengths));
	values[0] = slot_getattr(row, k->at[ORG], &isnull);
	values[1] = Int16GetDatum(k->source->kind);
	values[2] = slot_getattr(row, k->at[ID], &isnull);
	values[3] = Int32GetDatum(lengths);
	values[4] = slot_getattr(row, k->at[OWNER], &nulls[4]);
	values[5] = Int16GetDatum(
		(int16) Min(DatumGetTimestampTz(slot_getattr(row, k->at[CHANGED], &isnull)) / USECS_PER_DAY,
					PG_INT16_MAX));
	values[6] = facets_of(k, row);
	sh_rows_add(k->rows, values, nulls);
	MemoryContextSwitchTo(before);
	MemoryContextReset(k->row);
}

/* --- documents that go --- */

static void
note_gone(struct keeper *k, TupleTableSlot *row)
{
	bool isnull;

	if (k->gone_count == k->gone_size)
	{
		k->gone_size = Max(64, k->gone_size * 2);
		k->gone_orgs = k->gone_orgs ? repalloc(k->gone_orgs, k->gone_size * sizeof(Datum)) :
									  palloc(k->gone_size * sizeof(Datum));
		k->gone_ids = k->gone_ids ? repalloc(k->gone_ids, k->gone_size * sizeof(Datum)) :
									palloc(k->gone_size * sizeof(Datum));
	}
	k->gone_orgs[k->gone_count] =
		datumCopy(slot_getattr(row, k->at[ORG], &isnull), false, UUID_LEN);
	k->gone_ids[k->gone_count++] =
		datumCopy(slot_getattr(row, k->at[ID], &isnull), false, UUID_LEN);
}

/* Those that stand in a segment leave a mark. */
static void
take_out(struct keeper *k)
{
	static const Oid types[] = { UUIDARRAYOID, UUIDARRAYOID, INT2OID };
	struct sh_identity identity;
	struct sh_rows *gone;

	if (k->gone_count == 0)
		return;
	sh_owner_enter(&identity);
	SPI_connect();
	if (SPI_execute_plan(
			sh_plan("DELETE FROM saleshub.search_doc d USING unnest($1, $2) g (org_id, record_id)"
					" WHERE d.org_id = g.org_id AND d.record_id = g.record_id AND d.kind = $3"
					" RETURNING d.org_id, d.doc, d.lengths",
					3,
					types),
			(Datum[]){ PointerGetDatum(construct_array(
						   k->gone_orgs, k->gone_count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR)),
					   PointerGetDatum(construct_array(
						   k->gone_ids, k->gone_count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR)),
					   Int16GetDatum(k->source->kind) },
			NULL,
			false,
			0) != SPI_OK_DELETE_RETURNING)
		elog(ERROR, "could not take documents out of the search index");
	gone = sh_rows_open("saleshub", "search_gone", gone_columns, lengthof(gone_columns), false);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		Datum values[lengthof(gone_columns)];
		bool isnull;
		bool waiting;

		values[0] = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull);
		values[1] = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2, &waiting);
		values[2] = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 3, &isnull);
		if (!waiting)
			sh_rows_add(gone, values, NULL);
	}
	sh_rows_close(gone);
	SPI_finish();
	sh_owner_leave(&identity);
}

/* --- the rows of a statement --- */

static bool
is_live(struct keeper *k, TupleTableSlot *row)
{
	bool isnull = true;

	if (k->at[DELETED] > 0)
		slot_getattr(row, k->at[DELETED], &isnull);
	return isnull;
}

static bool
is_changed(struct keeper *k, TupleTableSlot *before, TupleTableSlot *after)
{
	for (int i = 0; i < COLUMNS; i++)
		if (i != DELETED && i != CHANGED && k->at[i] > 0 &&
			!sh_transition_same(before, after, k->at[i]))
			return true;
	return false;
}

/* Whether the document that a row had goes, and whether one comes; both when it changed. */
static void
what_becomes(struct keeper *k, TupleTableSlot *before, TupleTableSlot *after, bool *goes,
			 bool *comes)
{
	*goes = before && is_live(k, before);
	*comes = after && is_live(k, after);
	if (*goes && *comes && !is_changed(k, before, after))
		*goes = *comes = false;
}

/* First what goes: of a document that changed, the old must be out before the new is written. */
static void
walk(struct keeper *k, TriggerData *td, bool adding)
{
	struct sh_transition rows;
	TupleTableSlot *before;
	TupleTableSlot *after;

	sh_transition_open(&rows, td);
	while (sh_transition_next(&rows, &before, &after))
	{
		bool goes, comes;

		what_becomes(k, before, after, &goes, &comes);
		k->coming |= comes;
		if (goes && !adding)
			note_gone(k, before);
		if (comes && adding)
			add_document(k, after);
	}
	sh_transition_close(&rows);
}

/* --- the trigger --- */

static const struct source *
source_of(const char *entity)
{
	for (int i = 0; i < (int) lengthof(sources); i++)
		if (strcmp(sources[i].entity, entity) == 0)
			return &sources[i];
	elog(ERROR, "no documents are made of \"%s\"", entity);
}

/* The names of its columns; no column has the name "". */
static const char *const *
names_of(const struct source *source)
{
	static const char *all[lengthof(sources)][COLUMNS];
	const char **names = all[source - sources];

	if (names[ORG])
		return names;
	for (int i = 0; i < (int) FACET_COLUMNS; i++)
		names[FACETS + i] = source->facets[i] ? source->facets[i] : "";
	for (int i = 0; i < SOURCES_MAX; i++)
		names[SOURCES + i] = source->columns[i].name ? source->columns[i].name : "";
	names[ID] = MemoryContextStrdup(TopMemoryContext, psprintf("%s_id", source->entity));
	names[DELETED] = "deleted_at";
	names[OWNER] = "owner_id";
	names[CHANGED] = "updated_at";
	names[ORG] = "org_id";
	return names;
}

static void
prepare(struct keeper *k, TriggerData *td)
{
	k->desc = RelationGetDescr(td->tg_relation);
	k->source = source_of(td->tg_trigger->tgargs[0]);
	memcpy(k->at, sh_columns(td->tg_relation, names_of(k->source), COLUMNS), sizeof(k->at));
	k->dictionary = sh_search_dictionary();
	k->row =
		AllocSetContextCreate(CurrentMemoryContext, "saleshub document", ALLOCSET_DEFAULT_SIZES);
}

Datum
sh_search_keep(PG_FUNCTION_ARGS)
{
	TriggerData *td = (TriggerData *) fcinfo->context;
	struct keeper keeper = { 0 };

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(td->tg_event) ||
		!TRIGGER_FIRED_FOR_STATEMENT(td->tg_event) || td->tg_trigger->tgnargs != 1)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("saleshub.search_keep() is a trigger after statements")));
	prepare(&keeper, td);
	if (td->tg_oldtable)
	{
		walk(&keeper, td, false);
		take_out(&keeper);
	}
	/* Most updates change nothing that is searched. */
	if (td->tg_newtable && (keeper.coming || !td->tg_oldtable))
	{
		keeper.rows =
			sh_rows_open("saleshub", "search_doc", doc_columns, lengthof(doc_columns), false);
		walk(&keeper, td, true);
		sh_rows_close(keeper.rows);
	}
	MemoryContextDelete(keeper.row);
	return PointerGetDatum(NULL);
}
