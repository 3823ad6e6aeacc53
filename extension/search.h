/* What the files of the search engine share. How it works: docs/decisions/search.md. */
#pragma once

#include "access/htup_details.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "port/pg_bswap.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

/* Fields of a document, by which a word counts more or less. */
enum sh_search_field
{
	SEARCH_TITLE,
	SEARCH_IDENTIFIER,
	SEARCH_BODY,
	SEARCH_NOTES,
	SEARCH_FIELDS
};

/* Kinds of documents; the numbers are stored. */
enum sh_search_kind
{
	SEARCH_LEAD = 1,
	SEARCH_CONTACT,
	SEARCH_COMPANY,
	SEARCH_DEAL,
	SEARCH_ACTIVITY,
	SEARCH_KINDS = SEARCH_ACTIVITY
};

/* What is known of a document beside its words; the numbers are stored. */
enum sh_search_facet
{
	SEARCH_FACET_RECORD, /* kind and id */
	SEARCH_FACET_DAY,	 /* of the last change */
	SEARCH_FACET_KIND,
	SEARCH_FACET_OWNER,
	SEARCH_FACET_STATUS,
	SEARCH_FACET_SOURCE,
	SEARCH_FACET_COUNTRY,
	SEARCH_FACET_INDUSTRY,
	SEARCH_FACET_STAGE,
	SEARCH_FACET_TYPE,
	SEARCH_FACETS
};
/* The first facet whose values are texts, numbered per segment. */
#define SEARCH_FACET_TEXTS SEARCH_FACET_OWNER

#define SEARCH_BLOCK 128
/* Longer words are cut; no one types them. */
#define SEARCH_WORD_MAX 63

/* --- search_text.c: from text to words --- */

struct sh_search_word
{
	char text[SEARCH_WORD_MAX + 1]; /* without case and accents */
	int len;
	uint64 term;	 /* what it is looked up by: the hash of its stem */
	uint32 position; /* counted from 1 within its text; gaps where words were left out */
	int start, end;	 /* the bytes that it was made of */
	bool stop;		 /* too common to mean much */
};

typedef void (*sh_search_take)(void *arg, const struct sh_search_word *word);

/*
 * The words of a text in the language of a text search dictionary (InvalidOid: as they are), one
 * after the other. Positions go on from first; returns the position after the last.
 */
extern uint32 sh_search_words(const char *data, int len, Oid dictionary, uint32 first,
							  sh_search_take take, void *arg);
/* The term of bytes that are no word of a language: ends of telephone numbers and the like. */
extern uint64 sh_search_term(const char *data, int len, char space);

/* The dictionary of stems. */
extern Oid sh_search_dictionary(void);

/* --- search_pack.c: a document before it stands in a segment --- */

struct sh_search_pack;

extern struct sh_search_pack *sh_search_pack_new(Oid dictionary);
extern void sh_search_pack_add(struct sh_search_pack *pack, enum sh_search_field field,
							   const char *data, int len);
/*
 * Digits of a telephone number. Each run of so many of them is a term, so that any part of the
 * number is found as a phrase of its pieces; there are no more than 10,000 of them, in many
 * documents each.
 */
#define SEARCH_PHONE_PIECE 4
extern void sh_search_pack_phone(struct sh_search_pack *pack, const char *digits, int len);
/* The document as bytes; lengths gets a length code for each field, the first lowest. */
extern bytea *sh_search_pack_end(struct sh_search_pack *pack, int32 *lengths);

/* Reading one. */
struct sh_search_packed
{
	int terms;
	const uint8 *hashes; /* of 8 bytes each, ascending */
	const uint8 *posts;	 /* where each term's postings begin: 4 bytes each, from base */
	const uint8 *base;
	const uint8 *words;
	const uint8 *end;
};

extern void sh_search_packed_open(struct sh_search_packed *doc, const char *data, int len);
extern uint64 sh_search_packed_term(const struct sh_search_packed *doc, int n);
/* The posting of its nth term and, behind it, its places. */
extern const uint8 *sh_search_packed_post(const struct sh_search_packed *doc, int n);
/* The same of a term; NULL when it has not. */
extern const uint8 *sh_search_packed_find(const struct sh_search_packed *doc, uint64 term);
/* The next word from *at on (start with doc->words): its length or -1 at the end. */
extern int sh_search_packed_word(const struct sh_search_packed *doc, const uint8 **at,
								 const char **word, uint64 *term);

/*
 * A length as a byte: exact below 40, then by steps of an eighth; after Lucene's SmallFloat
 * (org.apache.lucene.util.SmallFloat.intToByte4).
 */
extern uint8 sh_search_length_code(uint32 length);
extern uint32 sh_search_length(uint8 code);

/* --- search_waiting.c: documents that wait for a segment --- */

struct sh_search_waiting
{
	pg_uuid_t record;
	uint8 kind;
	int32 lengths;
	uint16 day;
	const char *facets[SEARCH_FACETS]; /* texts; NULL: none */
	struct sh_search_packed packed;
};

/* Those of an organisation; what is put behind says in which order and how many. */
#define SEARCH_WAITING_QUERY                                                                       \
	"SELECT record_id, kind, lengths, owner_id, day, facets, packed"                               \
	" FROM saleshub.search_doc WHERE org_id = $1 AND doc IS NULL"
/* By a row of such a query; returns the bytes of its words. */
extern Size sh_search_waiting_read(struct sh_search_waiting *doc, HeapTuple row, TupleDesc desc);
/* All that such a query, a literal, finds; how many. */
extern int sh_search_waiting_query(const pg_uuid_t *org, const char *sql,
								   struct sh_search_waiting **out);

/* --- search_post.c: what is written of a term in a document --- */

/* Of one field: how often, and how long the field is. */
struct sh_search_hit
{
	uint8 field;
	uint8 code;
	uint32 count;
};

/* Append a posting of 1 to SEARCH_FIELDS hits, by field. */
extern void sh_search_post_write(StringInfo to, const struct sh_search_hit *hits, int count);
/* Read one; returns where it ends. */
extern const uint8 *sh_search_post_read(const uint8 *at, struct sh_search_hit *hits, int *count);
extern const uint8 *sh_search_post_skip(const uint8 *at);
/* Whether the term is in one of these fields, given as bits. */
extern bool sh_search_post_has(const uint8 *post, uint8 fields);

extern void sh_search_number_write(StringInfo to, uint32 number);

static inline uint32
sh_search_number(const uint8 **at)
{
	const uint8 *p = *at;
	uint32 value = *p & 127;

	for (int shift = 7; *p++ & 128; shift += 7)
		value |= (uint32) (*p & 127) << shift;
	*at = p;
	return value;
}

/* Numbers of fixed size are stored lowest byte first, whatever the machine. */
static inline uint32
sh_search_get32(const uint8 *at)
{
	uint32 value;

	memcpy(&value, at, sizeof value);
#ifdef WORDS_BIGENDIAN
	value = pg_bswap32(value);
#endif
	return value;
}

static inline uint64
sh_search_get64(const uint8 *at)
{
	uint64 value;

	memcpy(&value, at, sizeof value);
#ifdef WORDS_BIGENDIAN
	value = pg_bswap64(value);
#endif
	return value;
}

extern void sh_search_put16(StringInfo to, uint16 value);
extern void sh_search_put32(StringInfo to, uint32 value);
extern void sh_search_put64(StringInfo to, uint64 value);

/* --- search_block.c: blocks of postings --- */

/* What the head of a term says of a block; 16 bytes as they are stored. */
struct sh_search_bound
{
	uint32 last;				/* document of the segment, counted from 0 */
	uint16 part, offset;		/* where its postings are */
	uint8 count[SEARCH_FIELDS]; /* how often at most, by field; 0: not in this field */
	uint8 code[SEARCH_FIELDS];	/* the shortest length */
};

/*
 * The head of a term: the number of blocks, where the places begin (0: blocks and places stand in
 * rows of their own), the bounds, and then those.
 */
#define SEARCH_HEAD_SIZE 8
#define SEARCH_BOUND_SIZE 16
#define SEARCH_HEAD_PART (-1)
/* Added to the number of a part of blocks: the part of their places. */
#define SEARCH_PLACES_PART (-(1 << 30))

/* Have a bound hold for one more posting. */
extern void sh_search_bound_widen(struct sh_search_bound *bound, const struct sh_search_hit *hit);

/* Append the numbers of a block's documents, which ascend from above, to a body. */
extern void sh_search_docs_write(StringInfo to, const uint32 *docs, int count, uint32 above);
/* Read them; returns where they end. Bodies have 8 bytes to spare behind them. */
extern const uint8 *sh_search_docs_read(const uint8 *at, uint32 *docs, int count, uint32 above);
#define SEARCH_SPARE 8

/* --- search_table.c: the tables of the index --- */

enum sh_search_table
{
	SEARCH_TABLE_TERM,
	SEARCH_TABLE_BLOCK,
	SEARCH_TABLE_COLUMN,
	SEARCH_TABLE_WORD,
	SEARCH_TABLES
};

struct sh_search_index;

/*
 * Opens the index of an organisation for reading under the active snapshot. Row security is passed
 * by, as the organisation is part of every key here: callers give only that of the request or, in
 * the worker, the one that is served.
 */
extern struct sh_search_index *sh_search_index_open(const pg_uuid_t *org);
extern void sh_search_index_close(struct sh_search_index *index);

/*
 * A row by the columns behind org_id: segment_id and so many more keys. The slot is NULL when there
 * is none; it holds until the next call for the table. Attribute numbers are those of the schema.
 */
extern struct TupleTableSlot *sh_search_row(struct sh_search_index *index,
											enum sh_search_table table, int64 segment, int keys,
											const Datum *values);
/* All rows of a segment in the order of the primary key: begin with sh_search_row(…, 0, NULL). */
extern struct TupleTableSlot *sh_search_next(struct sh_search_index *index,
											 enum sh_search_table table);

/* Columns of rows that are read one after the other. */
#define SEARCH_PAGE_FIRST 3
#define SEARCH_PAGE_BODY 4
#define SEARCH_WORD_BODY 4
#define SEARCH_PART_BODY 5

/* What was read of the index. */
struct sh_search_bytes
{
	const uint8 *data; /* SEARCH_SPARE bytes may be read behind its end; NULL: there is none */
	uint32 len;
	bool owned; /* by whom it was read for */
};

/* The body of a row of blocks: of a term, and a part. */
extern void sh_search_part(struct sh_search_index *index, int64 segment, int64 term, int32 part,
						   struct sh_search_bytes *out);
/* The entry of a term in the pages of a segment. */
extern void sh_search_entry(struct sh_search_index *index, int64 segment, int64 term,
							struct sh_search_bytes *out);
extern void sh_search_bytes_free(struct sh_search_bytes *bytes);

/* --- search_segment.c: which segments there are --- */

struct sh_search_segment
{
	int64 id;
	int32 first, last; /* numbers of its documents */
	int32 docs;
	int64 words[SEARCH_FIELDS];
	int gone_count;
	uint32 *gone; /* counted from first, ascending */
	int64 gone_words[SEARCH_FIELDS];
	bool erase; /* what is gone must not be left anywhere */
};

/* The segments of an organisation by their documents, and what is gone of them. */
extern int sh_search_segments(const pg_uuid_t *org, struct sh_search_segment **out);
/*
 * Add one with these documents and words, behind all others when first is below 0; it gets its id,
 * and its first and last document.
 */
extern void sh_search_segment_add(const pg_uuid_t *org, struct sh_search_segment *segment);
/* Add the words in each field of a document to those of others. */
extern void sh_search_add_lengths(int64 *words, int32 lengths);

/* --- search_page.c: pages of terms --- */

/* Bytes of a row that fills a page of its table. */
#define SEARCH_PART_MAX 7600
#define SEARCH_PAGE_TERMS 1024

struct sh_search_page_writer
{
	int count;
	int64 first;
	uint64 differences[SEARCH_PAGE_TERMS];
	uint16 begins[SEARCH_PAGE_TERMS];
	StringInfoData entries;
};

/* Terms come in order. A page that is full is ended before the next is added. */
extern bool sh_search_page_fits(const struct sh_search_page_writer *page, int64 term,
								int entry_len);
extern void sh_search_page_add(struct sh_search_page_writer *page, int64 term, const char *entry,
							   int len);
/* Append the page to a body, and begin the next. */
extern void sh_search_page_end(struct sh_search_page_writer *page, StringInfo body);

struct sh_search_page
{
	int64 first;
	int count;
	int width;
	const uint8 *terms, *begins, *entries, *end;
};

extern void sh_search_page_open(struct sh_search_page *page, int64 first, const char *body,
								int len);
extern int64 sh_search_page_term(const struct sh_search_page *page, int n);
/* -1 when it has not the term. */
extern int sh_search_page_find(const struct sh_search_page *page, int64 term);
extern const uint8 *sh_search_page_entry(const struct sh_search_page *page, int n, int *len);

/* --- search_list.c: the documents that have a term --- */

struct sh_search_list
{
	const struct sh_search_segment *segment;
	struct sh_search_index *index;
	int64 term;
	uint32 docs;
	uint32 blocks;
	const uint8 *bounds;		  /* SEARCH_BOUND_SIZE bytes each */
	const uint8 *inlined;		  /* the blocks; NULL when they stand in rows of their own */
	const uint8 *places_inlined;  /* the places, with a table of blocks before them */
	const uint8 *places_of_few;	  /* those of a term that stands in its page */
	struct sh_search_bytes entry; /* what was read to open it */
	struct sh_search_bytes head;
	struct sh_search_bytes part; /* the row that was read last */
	int part_number;
	struct sh_search_bytes place_part;
	int place_number;
	uint8 own_bound[SEARCH_BOUND_SIZE];
	/* The block that is read: */
	int64 block; /* -1: none */
	int count;
	int at;
	uint32 doc[SEARCH_BLOCK]; /* counted from the first of the segment */
	const uint8 *posts;
	uint16 post[SEARCH_BLOCK + 1]; /* where each posting begins, from posts */
	bool posts_known;
	/* Where the places of one of its documents begin. */
	int64 places_block;
	int places_at;
	const uint8 *places;
};

/* By its entry in a page, which must have SEARCH_SPARE bytes behind it and stay. */
extern void sh_search_list_take(struct sh_search_list *list, struct sh_search_index *index,
								const struct sh_search_segment *segment, int64 term,
								const uint8 *entry);
/* False when no document of the segment has the term. */
extern bool sh_search_list_open(struct sh_search_list *list, struct sh_search_index *index,
								const struct sh_search_segment *segment, uint64 term);
extern void sh_search_list_close(struct sh_search_list *list);
extern void sh_search_list_bound(const struct sh_search_list *list, uint32 block,
								 struct sh_search_bound *bound);
extern uint32 sh_search_list_last(const struct sh_search_list *list, uint32 block);
/* The first block, from this on, that may hold a document; list->blocks when there is none. */
extern uint32 sh_search_list_block(const struct sh_search_list *list, uint32 from, uint32 doc);
extern void sh_search_list_read(struct sh_search_list *list, uint32 block);
#define SEARCH_END PG_UINT32_MAX
/* Moves to the first document from this on; SEARCH_END when there is none. */
extern uint32 sh_search_list_seek(struct sh_search_list *list, uint32 doc);
/* Back to the beginning. */
extern void sh_search_list_rewind(struct sh_search_list *list);
/* The posting of the present document. */
extern const uint8 *sh_search_list_post(struct sh_search_list *list);
/* The places of the present document: numbers as sh_search_post_read()'s hits count them. */
extern const uint8 *sh_search_list_places(struct sh_search_list *list);

/* --- search_column.c: what is known of documents beside their words --- */

/* The numbers of a facet, by document counted from the first of the segment. */
extern uint16 *sh_search_column(struct sh_search_index *index,
								const struct sh_search_segment *segment,
								enum sh_search_facet facet);
/* The texts that numbers stand for, from 1 on; the first is NULL. */
extern char **sh_search_values(struct sh_search_index *index,
							   const struct sh_search_segment *segment, enum sh_search_facet facet,
							   int *count);
/* The records of a part of SEARCH_RECORDS_PART documents, SEARCH_RECORD_SIZE bytes each; or NULL.
 */
extern bytea *sh_search_records(struct sh_search_index *index,
								const struct sh_search_segment *segment, int part);
#define SEARCH_RECORD_SIZE 17
/* Kind (0: gone) and id of a document counted from the first of the segment. */
extern uint8 sh_search_record(struct sh_search_index *index,
							  const struct sh_search_segment *segment, uint32 doc,
							  pg_uuid_t *record);

/* --- search_word.c: the words of a segment --- */

/* Words of a row of search_word, one after the other. */
struct sh_search_words
{
	const uint8 *at, *end;
	char word[SEARCH_WORD_MAX + 1];
	int len;
	int shared; /* letters that it has of the word before */
	uint32 docs;
	const uint8 *stem; /* the term, where it is not that of the word itself */
};

extern void sh_search_words_open(struct sh_search_words *words, const char *body, int len);
/* False behind the last. */
extern bool sh_search_words_next(struct sh_search_words *words);
/* What the present one is looked up by. */
extern uint64 sh_search_words_term(const struct sh_search_words *words);
/* Append one to a body; before: the word before it there, NULL for the first. */
extern void sh_search_words_write(StringInfo to, const char *before, int before_len,
								  const char *word, int len, uint64 term, uint32 docs);

/* Read the rows of a segment whose words may begin so, in order. */
typedef void (*sh_search_take_row)(void *arg, struct sh_search_words *words);
extern void sh_search_words_read(const pg_uuid_t *org, const struct sh_search_segment *segment,
								 const char *begin, int len, sh_search_take_row take, void *arg);

/* --- search_spelling.c --- */

/*
 * Letters to be changed, left out, put in or exchanged with their neighbour (optimal string
 * alignment, Boytsov: "Indexing methods for approximate dictionary searching", 2011) to make one
 * word of the other, or begins: the first of the best beginning of the other. Above most: more than
 * that.
 */
extern int sh_search_distance(const pg_wchar *a, int alen, const pg_wchar *b, int blen, int most,
							  bool begins);

/* Which letters a word has, as bits; each change of one puts in, or takes out, one at most. */
static inline uint64
sh_search_letters(const char *word, int len)
{
	uint64 letters = 0;

	for (int i = 0; i < len; i++)
		letters |= UINT64CONST(1) << ((uint8) word[i] % 64);
	return letters;
}

/* --- search_write.c: making segments --- */

/* Documents whose records, or numbers of a facet, stand in one row. */
#define SEARCH_RECORDS_PART 448
#define SEARCH_NUMBERS_PART 3800

struct sh_search_writer;

extern struct sh_search_writer *sh_search_writer_open(const pg_uuid_t *org, int64 segment);
extern void sh_search_writer_term(struct sh_search_writer *writer, uint64 term);
/* Documents of the term, ascending. */
extern void sh_search_writer_doc(struct sh_search_writer *writer, uint32 doc, const uint8 *post,
								 int post_len, const uint8 *places, int places_len);
/* Documents of the present term so far. */
extern uint32 sh_search_writer_docs(const struct sh_search_writer *writer);
/* Words in the order of their bytes. */
extern void sh_search_writer_word(struct sh_search_writer *writer, const char *word, int len,
								  uint64 term, uint32 docs);
/* Facet by facet, document by document. */
extern void sh_search_writer_record(struct sh_search_writer *writer, uint8 kind,
									const pg_uuid_t *record);
extern void sh_search_writer_number(struct sh_search_writer *writer, enum sh_search_facet facet,
									uint16 number);
extern void sh_search_writer_values(struct sh_search_writer *writer, enum sh_search_facet facet,
									const char *const *values, int count);
extern void sh_search_writer_close(struct sh_search_writer *writer);

/* --- search_flush.c --- */

/* Where the places behind a posting end. */
extern const uint8 *sh_search_places_end(const uint8 *post, const uint8 *places);

/* --- search_facet.c --- */

/* lead, contact and so on; NULL when there is no such kind. */
extern const char *sh_kind_name(int kind);
/* The kind of this name; 0: there is none. */
extern int sh_kind_of(const char *name);

/* --- search_options.c --- */

/* The texts of an array. */
extern const char **sh_search_texts(JsonbContainer *array, int *count);
/* The bits of kinds that an array names. */
extern uint32 sh_search_kinds(JsonbContainer *array);

/* --- search_names.c: numbers for the texts of a facet --- */

struct sh_search_names;

extern struct sh_search_names *sh_search_names_new(void);
/* From 1 on; 0 for NULL. */
extern uint16 sh_search_names_number(struct sh_search_names *names, const char *text);
extern void sh_search_names_write(struct sh_search_names *names, struct sh_search_writer *writer,
								  enum sh_search_facet facet);
