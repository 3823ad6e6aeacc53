/* Reading the rows that a model is trained on. */
#include "postgres.h"

#include <math.h>

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/tupmacs.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"

#include "logit_source.h"
#include "logit_value.h"
#include "saleshub.h"

/* Different words of a feature that are told apart; the others count as rare. */
#define MAX_WORDS 100000
#define FETCH 5000
/* Most values that are kept, and bytes of words: what rows there are more of are sampled. */
#define MAX_VALUES (256 * 1024 * 1024)
#define MAX_WORD_MEMORY (256 * 1024 * 1024)

/* The words of a column by their text: open addressing, the size a power of two. */
struct logit_words
{
	uint32 size;
	uint32 *slots; /* ids, 0: free */
	int room;	   /* of names */
};

/* Where the values of a column are, and how they are read. */
struct reader
{
	AttrNumber attribute; /* in the rows that are read */
	struct logit_reader value;
};

/* Where a number is in every row that has no nulls. */
struct fixed
{
	int offset;
	Oid type;
};

struct reading
{
	struct logit_source *source;
	struct reader *readers; /* of the columns, then of the outcome */
	int max_rows;
	int room; /* rows that `values` has room for, a column after another */
	float *values;
	Size word_memory;
	uint64 random;
	MemoryContext context, scratch;
	struct fixed *fixed; /* of the columns, then of the outcome; NULL: not all are numbers there */
};

/* --- words --- */

static uint32
slot_of(const struct logit_column *column, const char *word, int len, uint32 hash)
{
	const struct logit_words *words = column->lookup;
	uint32 at = hash & (words->size - 1);

	while (words->slots[at] != 0)
	{
		const char *other = column->names[words->slots[at] - 1];

		if (strncmp(other, word, len) == 0 && other[len] == '\0')
			break;
		at = (at + 1) & (words->size - 1);
	}
	return at;
}

static uint32
hash_word(const char *word, int len)
{
	return DatumGetUInt32(hash_any((const unsigned char *) word, len));
}

static void
grow(struct logit_column *column)
{
	struct logit_words *words = column->lookup;

	words->size *= 2;
	words->slots = repalloc(words->slots, words->size * sizeof *words->slots);
	memset(words->slots, 0, words->size * sizeof *words->slots);
	for (int i = 0; i < column->nnames; i++)
	{
		int len = strlen(column->names[i]);

		words->slots[slot_of(column, column->names[i], len, hash_word(column->names[i], len))] =
			i + 1;
	}
}

/* The id of a word; one more word too many is MAX_WORDS + 1, which has no name. */
static uint32
word_id(struct reading *r, struct logit_column *column, const char *word, int len)
{
	struct logit_words *words = column->lookup;
	uint32 hash = hash_word(word, len);
	uint32 at = slot_of(column, word, len, hash);

	if (words->slots[at] != 0)
		return words->slots[at];
	if (column->nnames == MAX_WORDS || r->word_memory > MAX_WORD_MEMORY)
		return MAX_WORDS + 1;
	if (column->nnames * 2 >= words->size)
	{
		grow(column);
		at = slot_of(column, word, len, hash);
	}
	if (column->nnames == words->room)
	{
		words->room *= 2;
		column->names = repalloc(column->names, words->room * sizeof *column->names);
	}
	column->names[column->nnames++] =
		memcpy(MemoryContextAllocZero(r->context, len + 1), word, len);
	r->word_memory += len + 1 + sizeof(void *) + 16;
	words->slots[at] = column->nnames;
	return column->nnames;
}

static struct logit_words *
words_new(struct logit_column *column)
{
	struct logit_words *words = palloc0(sizeof *words);

	words->size = 64;
	words->slots = palloc0(words->size * sizeof *words->slots);
	words->room = 32;
	column->names = palloc(words->room * sizeof *column->names);
	return words;
}

/* --- rows --- */

static void
check_outcome(float outcome)
{
	if (outcome != 0 && outcome != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("an outcome is neither 0 nor 1"),
				 errhint("Use a boolean column, or one of numbers that are 0 or 1.")));
}

/* 0, 1, or -1 for a row that has no outcome. */
static int
outcome_of(const struct logit_reader *reader, Datum value, bool null)
{
	float number;

	if (null)
		return -1;
	if (reader->type == BOOLOID)
		return DatumGetBool(value);
	number = sh_logit_float(reader, value);
	check_outcome(number);
	return number == 1;
}

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64
next_random(uint64 *state)
{
	uint64 z = (*state += UINT64CONST(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64CONST(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64CONST(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* Room for so many rows, those there are kept. */
static void
make_room(struct reading *r, int rows)
{
	struct logit_source *source = r->source;
	float *old = r->values;
	MemoryContext current = MemoryContextSwitchTo(r->context);
	uint8 *outcome = sh_logit_alloc(rows);

	r->values = sh_logit_alloc((Size) rows * Max(source->columns, 1) * sizeof *r->values);
	for (int i = 0; i < source->columns; i++)
	{
		struct logit_column *column = &source->column[i];
		float *values = r->values + (Size) i * rows;

		if (old)
			memcpy(values, old + (Size) i * r->room, source->rows * sizeof *values);
		if (column->words)
			column->ids = (uint32 *) values;
		else
			column->numbers = values;
	}
	if (old)
	{
		memcpy(outcome, source->outcome, source->rows);
		pfree(source->outcome);
		pfree(old);
	}
	source->outcome = outcome;
	r->room = rows;
	MemoryContextSwitchTo(current);
}

/* Where a row goes; -1: it is not in the sample (Vitter's algorithm R). */
static int
place(struct reading *r)
{
	struct logit_source *source = r->source;

	source->seen++;
	if (source->rows == r->max_rows)
	{
		uint64 at = next_random(&r->random) % source->seen;

		return at < (uint64) r->max_rows ? (int) at : -1;
	}
	if (source->rows == r->room)
		make_room(r, Min((int64) r->room * 2, r->max_rows));
	return source->rows++;
}

static void
take_row(struct reading *r, const Datum *values, const bool *nulls)
{
	struct logit_source *source = r->source;
	const struct reader *last = &r->readers[source->columns];
	int outcome = outcome_of(&last->value, values[last->attribute - 1], nulls[last->attribute - 1]);
	int row = outcome < 0 ? -1 : place(r);

	if (row < 0)
		return;
	source->outcome[row] = outcome;
	for (int i = 0; i < source->columns; i++)
	{
		struct logit_column *column = &source->column[i];
		const struct reader *reader = &r->readers[i];
		Datum value = values[reader->attribute - 1];
		bool null = nulls[reader->attribute - 1];

		if (column->words)
		{
			int len;
			const char *word = null ? NULL : sh_logit_text(&reader->value, value, &len);

			column->ids[row] = word ? word_id(r, column, word, len) : 0;
		}
		else
			column->numbers[row] = null ? NAN : sh_logit_float(&reader->value, value);
	}
}

/* The columns' places, when none of them and none before them varies in width. */
static struct fixed *
fixed_new(const struct reading *r, TupleDesc desc, int natts)
{
	int n = r->source->columns + 1;
	struct fixed *fixed = palloc0(n * sizeof *fixed);
	int offset = 0;

	for (int i = 0; i < n; i++)
	{
		fixed[i].type = r->readers[i].value.type;
		if (!sh_logit_fixed(fixed[i].type) && !(i == n - 1 && fixed[i].type == BOOLOID))
			return NULL;
	}
	for (int a = 0; a < natts; a++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, a);

		if (attribute->attlen <= 0)
			return NULL;
		offset = att_align_nominal(offset, attribute->attalign);
		for (int i = 0; i < n; i++)
			if (r->readers[i].attribute == attribute->attnum)
				fixed[i].offset = offset;
		offset += attribute->attlen;
	}
	return fixed;
}

/* Reads a row where its values lie; false when it must be taken apart. */
static bool
take_fixed(struct reading *r, HeapTupleHeader tuple, int natts)
{
	struct logit_source *source = r->source;
	const struct fixed *last = &r->fixed[source->columns];
	const char *data = (const char *) tuple + tuple->t_hoff;
	float outcome;
	int row;

	if ((tuple->t_infomask & HEAP_HASNULL) || HeapTupleHeaderGetNatts(tuple) < natts)
		return false;
	outcome = last->type == BOOLOID ? *(const bool *) (data + last->offset) :
									  sh_logit_at(last->type, data + last->offset);
	check_outcome(outcome);
	row = place(r);
	if (row < 0)
		return true;
	source->outcome[row] = outcome == 1;
	for (int i = 0; i < source->columns; i++)
		source->column[i].numbers[row] = sh_logit_at(r->fixed[i].type, data + r->fixed[i].offset);
	return true;
}

static void
take_breath(struct reading *r)
{
	CHECK_FOR_INTERRUPTS();
	MemoryContextReset(r->scratch);
}

/* Rows of a heap whose values lie at places known before need not go through slots. */
static void
read_fixed(struct reading *r, Relation relation, int natts)
{
	TableScanDesc scan = table_beginscan(relation, GetActiveSnapshot(), 0, NULL);
	TupleDesc desc = RelationGetDescr(relation);
	Datum *values = palloc(desc->natts * sizeof *values);
	bool *nulls = palloc(desc->natts * sizeof *nulls);
	MemoryContext old = MemoryContextSwitchTo(r->scratch);
	HeapTuple tuple;
	int n = 0;

	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		if (!take_fixed(r, tuple->t_data, natts))
		{
			heap_deform_tuple(tuple, desc, values, nulls);
			take_row(r, values, nulls);
		}
		if ((++n & 0x3ff) == 0)
			take_breath(r);
	}
	MemoryContextSwitchTo(old);
	table_endscan(scan);
}

static void
read_table(struct reading *r, Relation relation, int natts)
{
	TupleTableSlot *slot = table_slot_create(relation, NULL);
	TableScanDesc scan = table_beginscan(relation, GetActiveSnapshot(), 0, NULL);
	MemoryContext old = MemoryContextSwitchTo(r->scratch);
	int n = 0;

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		slot_getsomeattrs(slot, natts);
		take_row(r, slot->tts_values, slot->tts_isnull);
		if ((++n & 0x3ff) == 0)
			take_breath(r);
	}
	MemoryContextSwitchTo(old);
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
}

static void
read_query(struct reading *r, const char *sql)
{
	Portal portal;
	int natts = r->source->columns + 1;
	Datum *values = palloc(natts * sizeof *values);
	bool *nulls = palloc(natts * sizeof *nulls);
	MemoryContext old;

	SPI_connect();
	portal = SPI_cursor_open_with_args(NULL, sql, 0, NULL, NULL, NULL, true, 0);
	for (;;)
	{
		SPI_cursor_fetch(portal, true, FETCH);
		if (SPI_processed == 0)
			break;
		old = MemoryContextSwitchTo(r->scratch);
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			heap_deform_tuple(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, values, nulls);
			take_row(r, values, nulls);
		}
		MemoryContextSwitchTo(old);
		MemoryContextReset(r->scratch);
		SPI_freetuptable(SPI_tuptable);
		CHECK_FOR_INTERRUPTS();
	}
	SPI_cursor_close(portal);
	SPI_finish();
}

/* --- what is read --- */

static Form_pg_attribute
find_attribute(Relation relation, const char *name)
{
	TupleDesc desc = RelationGetDescr(relation);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		if (!attribute->attisdropped && strcmp(NameStr(attribute->attname), name) == 0)
			return attribute;
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("\"%s\" has no column \"%s\"", RelationGetRelationName(relation), name)));
}

/* The columns that can be features: numbers, and what has words. */
static List *
all_features(Relation relation, const char *label)
{
	TupleDesc desc = RelationGetDescr(relation);
	List *names = NIL;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		struct logit_reader reader;

		if (attribute->attisdropped || strcmp(NameStr(attribute->attname), label) == 0)
			continue;
		sh_logit_reader(&reader, attribute->atttypid);
		if (!reader.words || reader.type == BOOLOID || reader.type == TEXTOID ||
			reader.type == VARCHAROID || reader.type == BPCHAROID || type_is_enum(reader.type))
			names = lappend(names, pstrdup(NameStr(attribute->attname)));
	}
	return names;
}

static void
set_reader(struct reader *reader, Form_pg_attribute attribute)
{
	reader->attribute = attribute->attnum;
	sh_logit_reader(&reader->value, attribute->atttypid);
}

static void
add_column(struct reading *r, int i, Form_pg_attribute attribute)
{
	struct logit_column *column = &r->source->column[i];

	set_reader(&r->readers[i], attribute);
	column->name = pstrdup(NameStr(attribute->attname));
	column->words = r->readers[i].value.words;
	if (column->words)
		column->lookup = words_new(column);
}

static void
check_privilege(Relation relation, const struct reading *r)
{
	Oid relid = RelationGetRelid(relation);

	if (pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) == ACLCHECK_OK)
		return;
	for (int i = 0; i <= r->source->columns; i++)
		if (pg_attribute_aclcheck(relid, r->readers[i].attribute, GetUserId(), ACL_SELECT) !=
			ACLCHECK_OK)
			aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, RelationGetRelationName(relation));
}

/* The query that reads the columns in their order, the outcome last; readers count from 1 then. */
static char *
query_of(struct reading *r, Relation relation, const char *label)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	for (int i = 0; i < r->source->columns; i++)
	{
		appendStringInfo(&sql, "%s, ", quote_identifier(r->source->column[i].name));
		r->readers[i].attribute = i + 1;
	}
	r->readers[r->source->columns].attribute = r->source->columns + 1;
	appendStringInfo(&sql,
					 "%s FROM %s",
					 quote_identifier(label),
					 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(relation)),
												RelationGetRelationName(relation)));
	return sql.data;
}

/* As many rows as the table may have, so that room need not be made again. */
static int
rows_to_expect(Relation relation, int max_rows)
{
	double density = 0;

	if (relation->rd_rel->relkind == RELKIND_RELATION && relation->rd_rel->relpages > 0)
		density = relation->rd_rel->reltuples / relation->rd_rel->relpages *
				  RelationGetNumberOfBlocks(relation);
	return (int) Min(max_rows, Max(4096, density * 1.02));
}

struct logit_source *
sh_logit_read(Oid table, const char *label, List *features, int max_rows, uint64 seed)
{
	Relation relation = table_open(table, AccessShareLock);
	struct reading r = { .random = seed };
	Form_pg_attribute outcome = find_attribute(relation, label);
	int natts = outcome->attnum;
	ListCell *cell;
	int i = 0;

	r.context = CurrentMemoryContext;
	r.scratch = AllocSetContextCreate(r.context, "rows to train on", ALLOCSET_DEFAULT_SIZES);
	r.source = palloc0(sizeof *r.source);
	if (features == NIL)
		features = all_features(relation, label);
	r.source->columns = list_length(features);
	r.source->column = palloc0(r.source->columns * sizeof *r.source->column);
	r.max_rows = Min(max_rows, MAX_VALUES / Max(r.source->columns, 1));
	r.readers = palloc0((r.source->columns + 1) * sizeof *r.readers);
	foreach (cell, features)
	{
		Form_pg_attribute attribute = find_attribute(relation, lfirst(cell));

		natts = Max(natts, attribute->attnum);
		add_column(&r, i++, attribute);
	}
	set_reader(&r.readers[i], outcome);
	if (r.readers[i].value.words && r.readers[i].value.type != BOOLOID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("the outcome \"%s\" is neither a boolean nor a number", label)));
	make_room(&r, rows_to_expect(relation, r.max_rows));
	/* A direct scan would go past row security, and views have no rows of their own. */
	if (relation->rd_rel->relkind == RELKIND_RELATION &&
		check_enable_rls(table, InvalidOid, false) != RLS_ENABLED)
	{
		check_privilege(relation, &r);
		if (relation->rd_tableam == GetHeapamTableAmRoutine())
			r.fixed = fixed_new(&r, RelationGetDescr(relation), natts);
		if (r.fixed)
			read_fixed(&r, relation, natts);
		else
			read_table(&r, relation, natts);
	}
	else
		read_query(&r, query_of(&r, relation, label));
	MemoryContextDelete(r.scratch);
	table_close(relation, AccessShareLock);
	return r.source;
}
