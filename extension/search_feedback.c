/*
 * Questions of many words: what the best records found have in common says what the question is
 * about, also where a record says it in other words. Rocchio: "Relevance feedback in information
 * retrieval", 1971, without being told what is relevant; as in Abdul-Jaleel and others: "UMass at
 * TREC 2004", section 2 (RM3), words are weighed by their share of each record's text and its
 * score, and here by their idf. Such words change the order of what is found, not what is found.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "saleshub.h"
#include "search_eval.h"

/* Records that are taken for right, in how many of them a word must be, and words that are added.
 */
#define RECORDS 5
#define COMMON 2
#define WORDS 10
#define CANDIDATES 40
/* Words of a record that are looked at. */
#define TEXT_BYTES 16384
#define LETTERS_MIN 3

struct related
{
	uint64 term; /* key */
	char word[SEARCH_WORD_MAX + 1];
	int records;
	int last;  /* record that it was counted for */
	int count; /* in the present record */
	double share;
};

struct reader
{
	HTAB *words;
	int record;
	int count;
};

static void
take_word(void *arg, const struct sh_search_word *word)
{
	struct reader *r = arg;
	struct related *related;
	bool found;

	r->count++;
	if (word->stop || word->len < LETTERS_MIN || isdigit((unsigned char) word->text[0]))
		return;
	related = hash_search(r->words, &word->term, HASH_ENTER, &found);
	if (!found)
	{
		memset((char *) related + sizeof(uint64), 0, sizeof(*related) - sizeof(uint64));
		strlcpy(related->word, word->text, sizeof related->word);
		related->last = -1;
	}
	if (related->last != r->record)
	{
		related->last = r->record;
		related->records++;
		related->count = 0;
	}
	related->count++;
}

/* The text of a record as the member sees it. */
static text *
text_of(uint8 kind, const pg_uuid_t *record, MemoryContext context)
{
	static const Oid types[] = { TEXTOID, UUIDOID };
	text *found = NULL;
	bool isnull;
	Datum value;

	SPI_connect();
	if (SPI_execute_plan(
			sh_plan("SELECT concat_ws(' ', s.title, s.content)"
					" FROM saleshub.search_show($1, ARRAY[$2]) s",
					2,
					types),
			(Datum[]){ CStringGetTextDatum(sh_kind_name(kind)), UUIDPGetDatum(record) },
			NULL,
			true,
			1) != SPI_OK_SELECT)
		elog(ERROR, "could not read what was found");
	if (SPI_processed > 0)
	{
		value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
		if (!isnull)
		{
			MemoryContext before = MemoryContextSwitchTo(context);

			found = DatumGetTextPCopy(value);
			MemoryContextSwitchTo(before);
		}
	}
	SPI_finish();
	return found;
}

static void
read_record(struct eval *eval, struct reader *r, const struct eval_hit *hit)
{
	HASH_SEQ_STATUS scan;
	struct related *related;
	pg_uuid_t record;
	uint8 kind = sh_part_record(eval, hit->part, hit->doc, &record);
	text *value = text_of(kind, &record, CurrentMemoryContext);

	if (!value)
		return;
	r->count = 0;
	sh_search_words(VARDATA(value),
					pg_mbcliplen(VARDATA(value), (int) VARSIZE(value) - VARHDRSZ, TEXT_BYTES),
					eval->query->dictionary,
					1,
					take_word,
					r);
	hash_seq_init(&scan, r->words);
	while ((related = hash_seq_search(&scan)) != NULL)
		if (related->last == r->record)
			related->share += hit->score * related->count / Max(r->count, 1);
	r->record++;
}

static bool
is_asked_for(const struct query *query, uint64 term)
{
	for (int i = 0; i < query->term_count; i++)
		if (query->terms[i].term == term)
			return true;
	return false;
}

static int
compare_shares(const void *a, const void *b)
{
	const struct related *x = *(struct related *const *) a;
	const struct related *y = *(struct related *const *) b;

	if (x->share != y->share)
		return x->share > y->share ? -1 : 1;
	return x->term < y->term ? -1 : 1;
}

bool
sh_feedback_candidates(struct eval *eval)
{
	struct query *query = eval->query;
	struct reader r = { NULL, 0, 0 };
	HASH_SEQ_STATUS scan;
	struct related *related;
	struct related **all;
	int count = 0;

	if (!query->question || eval->scoring.feedback <= 0 || eval->hit_count < RECORDS ||
		query->term_count + CANDIDATES > QUERY_TERMS_MAX)
		return false;
	r.words = sh_table(
		"saleshub related", sizeof(uint64), sizeof(struct related), 512, CurrentMemoryContext);
	for (int i = 0; i < RECORDS; i++)
		read_record(eval, &r, &eval->hits[i]);
	all = palloc(Max(hash_get_num_entries(r.words), 1) * sizeof(*all));
	hash_seq_init(&scan, r.words);
	while ((related = hash_seq_search(&scan)) != NULL)
		if (related->records >= COMMON && !is_asked_for(query, related->term))
			all[count++] = related;
	qsort(all, count, sizeof(*all), compare_shares);
	for (int i = 0; i < Min(count, CANDIDATES); i++)
	{
		int n = sh_query_term(query, all[i]->term, all[i]->word, QUERY_ANYWHERE, 0);

		query->terms[n].related = true;
		query->terms[n].share = all[i]->share;
	}
	hash_destroy(r.words);
	return count > 0;
}

void
sh_feedback_choose(struct eval *eval)
{
	struct query *query = eval->query;

	/* Their boosts are 0 until they are chosen, the first first. */
	for (int chosen = 0; chosen < WORDS; chosen++)
	{
		struct query_term *best = NULL;
		double first = 0;

		for (int i = 0; i < query->term_count; i++)
		{
			struct query_term *term = &query->terms[i];

			if (!term->related || term->docs == 0)
				continue;
			first = Max(first, term->share * term->idf);
			if (term->boost == 0 && (!best || term->share * term->idf > best->share * best->idf))
				best = term;
		}
		if (!best)
			return;
		best->boost = eval->scoring.feedback * best->share * best->idf / first;
	}
}
