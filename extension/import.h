/* Reading files to import: from bytes of an upload to rows of typed values. */
#pragma once

#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "utils/array.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

#include "import_csv.h"

/* import_source.c: the bytes of an upload as text that a CSV reader can take */

enum import_wide
{
	WIDE_NO,
	WIDE_LITTLE, /* UTF-16, least byte first */
	WIDE_BIG
};

struct import_source
{
	pg_uuid_t org;
	pg_uuid_t upload;
	enum import_wide wide;
	int part;	/* the next one to read */
	Size skip;	/* bytes of it that lie before the place asked for */
	bool ended; /* there are no more */
	StringInfoData text;
	Size start; /* of what is not consumed, in text */
	int64 at;	/* the same place, in bytes of the upload */
	char half[4];
	int halves; /* bytes of a character that the next part completes */
};

/* From that byte on, which must be where a row starts. Results live in the current context. */
extern void sh_source_open(struct import_source *source, const pg_uuid_t *org,
						   const pg_uuid_t *upload, int64 at, enum import_wide wide);
/* Read one more part; false at the end. */
extern bool sh_source_more(struct import_source *source);
/* Go on after so many bytes of the text. */
extern void sh_source_pass(struct import_source *source, Size size);

/* import_value.c: what people write into cells, as PostgreSQL reads it */

enum import_evidence
{
	EVIDENCE_NONE = 0,
	EVIDENCE_POINT = 1, /* numbers: a decimal point */
	EVIDENCE_COMMA = 2,
	EVIDENCE_DAY = 4, /* dates: the day comes first */
	EVIDENCE_MONTH = 8,
	EVIDENCE_NUMBER = 16, /* may be either, or says nothing of it */
	EVIDENCE_DATE = 32,
	EVIDENCE_UNSURE = 64 /* means another value the other way */
};

/*
 * Each returns NULL and the text for PostgreSQL in out, or a code that says what is wrong.
 * The texts given are trimmed and not empty; results are palloc'd.
 */
extern const char *sh_import_number(const char *text, int len, char decimal, char **out);
extern const char *sh_import_money(const char *text, int len, char decimal, char **amount,
								   char **currency);
extern const char *sh_import_date(const char *text, int len, char order, char **out);
/* A time without a zone gets this one. */
extern const char *sh_import_timestamp(const char *text, int len, char order, const char *zone,
									   char **out);
extern bool sh_import_uuid_ok(const char *p, int len);
extern const char *sh_import_boolean(const char *text, int len, char **out);
extern bool sh_import_email_ok(const char *text, int len);
/* What a cell says about how its column is written; EVIDENCE_NONE for neither number nor date. */
extern int sh_import_evidence(const char *text, int len);

/* import_layout.c: what becomes of the columns of a file */

enum import_kind
{
	IMPORT_TEXT,
	IMPORT_EMAIL,
	IMPORT_NAME, /* a full name: out the first names, out2 the last one */
	IMPORT_NUMBER,
	IMPORT_INTEGER,
	IMPORT_MONEY, /* out the amount, out2 the currency */
	IMPORT_DATE,
	IMPORT_TIMESTAMP,
	IMPORT_BOOLEAN,
	IMPORT_ENUM,
	IMPORT_UUID,
	IMPORT_TAGS
};

struct import_target
{
	char *column; /* header, for messages */
	char *field;
	int at; /* column of the file; -1: none, the fallback always */
	enum import_kind kind;
	int out;
	int out2;		/* -1: none */
	char *member;	/* of the object that out holds; NULL: out is the value */
	int most;		/* characters */
	char decimal;	/* '.', ',' or NUL: to be told from the value */
	char order;		/* 'D', 'M', 'Y' or NUL */
	char *fallback; /* for an empty cell, as in a file */
	bool required;
	bool warn;			  /* an empty cell is worth telling */
	JsonbContainer *map;  /* folded cell -> text or null; NULL: none */
	JsonbContainer *list; /* the values of an enum; NULL: any */
};

struct import_layout
{
	int encoding; /* of cells; PG_UTF8 for UTF-16 */
	enum import_wide wide;
	char delimiter;
	char quote;
	char *zone;
	bool header;
	Size limit;
	int outs;
	struct import_target *target;
	int targets;
	int key_targets; /* the first of the targets tell records apart; the first that a row has counts
					  */
	int parts;		 /* workers share the rows by key */
	int part;
	int line_column; /* of the file: the line a row had before; -1: none */
	int64 *line;	 /* only these; NULL: all */
	int lines;
	int width; /* columns of the file */
};

/* Pointers into the document remain. */
extern struct import_layout *sh_import_layout(Jsonb *document);

/* import_row.c: one row of a file as values */

enum import_status
{
	ROW_NEW,
	ROW_CREATE,
	ROW_UPDATE,
	ROW_SKIP,
	ROW_CONFLICT,
	ROW_ERROR,
	ROW_STATUSES
};

struct import_row
{
	int64 line;
	enum import_status status;
	pg_uuid_t id;
	char **cell; /* as they stand in the file, in the encoding of the database */
	int cells;
	text **out;		 /* NULL: nothing was given */
	const char *key; /* NULL: has none */
};

struct import_issue
{
	int row;
	bool error; /* else a warning */
	const char *code;
	const char *column;
	const char *message;
	const char *raw;
};

/* What rows are made with. */
struct import_maker
{
	const struct import_layout *layout;
	Oid conversion;		/* InvalidOid: cells are in the encoding of the database */
	StringInfo *object; /* per out, of the row at hand; NULL: no members yet */
	const char **given; /* per target, of the row at hand; NULL: nothing */
	struct csv_row *raw;
};

/* Append an issue about a row; texts must live as long as the list. */
extern void sh_import_issue(List **issues, int row, bool error, const char *code,
							const char *column, const char *message, const char *raw);
extern void sh_import_maker(struct import_maker *maker, const struct import_layout *layout);
/*
 * The row that was read, with its faults appended as those of row n; NULL for one that is not
 * wanted (of another worker, not asked for). All in the current context.
 */
extern struct import_row *sh_import_row(struct import_maker *maker, int n, List **issues);

/* import_batch.c */

/* Whether the rows at hand are the last of the file. */
extern bool sh_import_ended(void);

/* import_probe.c: records by values of a column */

/*
 * The place of each of the texts, from 1, and the id of a record of the organisation that has it,
 * seen or not, by the snapshot at hand; false when no index is over that column.
 */
extern bool sh_import_probe(const char *entity, const char *column, const pg_uuid_t *org,
							Datum texts, ArrayType **places, ArrayType **ids);
