/*
 * Records as their names are typed: those with all words but the last and a word that begins with
 * the last, in their title or identifiers. Words come from the dictionaries of the segments, the
 * records from the ends of their lists, the newest first, and it stops as soon as there are enough,
 * so that the size of the index hardly matters.
 *
 * For members who see everything: the order follows what the whole organisation has.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"

#include "saleshub.h"
#include "search_suggest.h"

PG_FUNCTION_INFO_V1(sh_search_suggest);

#define WORDS_MAX 8
#define LIMIT_MAX 50
/* Of documents that wait for a segment the latest so many are looked at. */
#define WAITING_MAX "1000"
#define FIELDS (1 << SEARCH_TITLE | 1 << SEARCH_IDENTIFIER)

/* A word that was typed; the last one may go on. */
struct typed
{
	char text[SEARCH_WORD_MAX + 1];
	int len;
	uint64 term;
	bool stop;
};

struct hit
{
	uint8 kind;
	pg_uuid_t record;
};

struct suggest
{
	pg_uuid_t org;
	struct sh_search_index *index;
	int segment_count;
	struct sh_search_segment *segments;
	int waiting_count;
	struct sh_search_waiting *waiting;
	uint32 kinds; /* bits; 0: all */
	int word_count;
	struct typed words[WORDS_MAX];
	int limit;
	int hit_count;
	struct hit hits[LIMIT_MAX];
	int next_count;
	const char *next[SUGGEST_WORDS]; /* words that go on with the last, of the hits */
	bool corrected;
};

/* --- what was typed --- */

static void
take_word(void *arg, const struct sh_search_word *word)
{
	struct suggest *s = arg;
	struct typed *typed = &s->words[s->word_count];

	if (s->word_count == WORDS_MAX)
		return;
	memcpy(typed->text, word->text, word->len + 1);
	typed->len = word->len;
	typed->term = word->term;
	typed->stop = word->stop;
	s->word_count++;
}

/* Common words are left out, but not the last one: it may become another. */
static void
read_words(struct suggest *s, text *q)
{
	int kept = 0;

	(void) sh_search_words(
		VARDATA_ANY(q), VARSIZE_ANY_EXHDR(q), sh_search_dictionary(), 1, take_word, s);
	for (int i = 0; i < s->word_count; i++)
		if (!s->words[i].stop || i == s->word_count - 1)
			s->words[kept++] = s->words[i];
	s->word_count = kept;
}

/* --- hits --- */

static bool
is_wanted(const struct suggest *s, uint8 kind)
{
	return kind != 0 && (s->kinds == 0 || s->kinds & (1u << kind));
}

static bool
is_full(const struct suggest *s)
{
	return s->hit_count >= s->limit;
}

static bool
add_hit(struct suggest *s, uint8 kind, const pg_uuid_t *record)
{
	if (!is_wanted(s, kind))
		return false;
	for (int i = 0; i < s->hit_count; i++)
		if (s->hits[i].kind == kind && memcmp(&s->hits[i].record, record, UUID_LEN) == 0)
			return false;
	s->hits[s->hit_count++] = (struct hit){ kind, *record };
	return true;
}

/* --- documents that wait --- */

static bool
waiting_has(const struct sh_search_packed *doc, uint64 term)
{
	const uint8 *post = sh_search_packed_find(doc, term);

	return post && sh_search_post_has(post, FIELDS);
}

/* Whether a document has a word that goes on with the last one typed. */
static bool
waiting_goes_on(const struct sh_search_packed *doc, const struct suggest_look *last)
{
	const uint8 *at = doc->words;
	const char *word;
	uint64 term;
	int len;

	while ((len = sh_search_packed_word(doc, &at, &word, &term)) >= 0)
		if (sh_suggest_distance(last, word, len) <= last->most && waiting_has(doc, term))
			return true;
	return false;
}

/* With a last word that is so many letters off. */
static void
find_waiting(struct suggest *s, int off)
{
	const struct typed *typed = &s->words[s->word_count - 1];
	struct suggest_look last;

	sh_suggest_look_init(&last, typed->text, typed->len, off, true);
	for (int i = 0; i < s->waiting_count && !is_full(s); i++)
	{
		const struct sh_search_waiting *doc = &s->waiting[i];
		bool all = is_wanted(s, doc->kind);

		for (int w = 0; all && w < s->word_count - 1; w++)
			all = waiting_has(&doc->packed, s->words[w].term);
		if (all && waiting_goes_on(&doc->packed, &last))
			(void) add_hit(s, doc->kind, &doc->record);
	}
}

/* --- documents of segments --- */

static bool
is_gone(const struct sh_search_segment *segment, uint32 doc)
{
	int low = 0;
	int high = segment->gone_count;

	while (low < high)
	{
		int middle = (low + high) / 2;

		if (segment->gone[middle] < doc)
			low = middle + 1;
		else
			high = middle;
	}
	return low < segment->gone_count && segment->gone[low] == doc;
}

/* Whether a list has a document in one of the fields. Asked in descending order, it reads each of
 * its blocks once. */
static bool
list_has(struct sh_search_list *list, uint32 doc)
{
	uint32 block = sh_search_list_block(list, 0, doc);
	int low = 0;
	int high;

	if (block >= list->blocks)
		return false;
	if (list->block != block)
		sh_search_list_read(list, block);
	high = list->count;
	while (low < high)
	{
		int middle = (low + high) / 2;

		if (list->doc[middle] < doc)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == list->count || list->doc[low] != doc)
		return false;
	list->at = low;
	return sh_search_post_has(sh_search_list_post(list), FIELDS);
}

static int
compare_docs(const void *a, const void *b)
{
	const struct sh_search_list *x = a, *y = b;

	return x->docs < y->docs ? -1 : x->docs > y->docs;
}

/* From the last document of the shortest list to the first. */
static bool
walk_lists(struct suggest *s, struct sh_search_segment *segment, struct sh_search_list *lists,
		   int count)
{
	struct sh_search_list *first = &lists[0];
	bool any = false;

	qsort(lists, count, sizeof(*lists), compare_docs);
	for (uint32 block = first->blocks; block-- > 0 && !is_full(s);)
	{
		CHECK_FOR_INTERRUPTS();
		sh_search_list_read(first, block);
		for (int n = first->count; n-- > 0 && !is_full(s);)
		{
			uint32 doc = first->doc[n];
			pg_uuid_t record;
			int i;

			first->at = n;
			if (!sh_search_post_has(sh_search_list_post(first), FIELDS) || is_gone(segment, doc))
				continue;
			for (i = 1; i < count && list_has(&lists[i], doc); i++)
				;
			if (i == count)
				any |= add_hit(s, sh_search_record(s->index, segment, doc, &record), &record);
		}
	}
	return any;
}

static bool
find_in_segment(struct suggest *s, struct sh_search_segment *segment, uint64 last)
{
	struct sh_search_list *lists = palloc(s->word_count * sizeof(*lists));
	bool any = false;
	int count;

	for (count = 0; count < s->word_count; count++)
		if (!sh_search_list_open(&lists[count],
								 s->index,
								 segment,
								 count == s->word_count - 1 ? last : s->words[count].term))
			break;
	if (count == s->word_count)
		any = walk_lists(s, segment, lists, count);
	for (int i = 0; i < count; i++)
		sh_search_list_close(&lists[i]);
	pfree(lists);
	return any;
}

/* Later segments have the newer documents. */
static bool
find_term(struct suggest *s, uint64 last)
{
	bool any = false;

	for (int i = s->segment_count; i-- > 0 && !is_full(s);)
		any |= find_in_segment(s, &s->segments[i], last);
	return any;
}

static void
find_words(struct suggest *s, const struct suggest_words *words)
{
	for (int i = 0; i < words->count && !is_full(s); i++)
		if (find_term(s, words->word[i].term) && s->next_count < SUGGEST_WORDS)
			s->next[s->next_count++] = words->word[i].text;
}

/* --- misspelt words --- */

static bool
is_known(struct suggest *s, const struct typed *word)
{
	for (int i = 0; i < s->segment_count; i++)
	{
		struct sh_search_list list;

		if (sh_search_list_open(&list, s->index, &s->segments[i], word->term))
		{
			sh_search_list_close(&list);
			return true;
		}
	}
	for (int i = 0; i < s->waiting_count; i++)
		if (sh_search_packed_find(&s->waiting[i].packed, word->term))
			return true;
	return false;
}

/* Words before the last that no document has become the likeliest that one has: also they may not
 * be written out. */
static void
correct_words(struct suggest *s)
{
	for (int i = 0; i < s->word_count - 1; i++)
	{
		struct typed *typed = &s->words[i];
		struct suggest_words *words;

		if (typed->len < 2 || is_known(s, typed))
			continue;
		words =
			sh_suggest_going_on(&s->org, s->segments, s->segment_count, typed->text, typed->len);
		if (words->count == 0)
		{
			words = sh_suggest_similar(
				&s->org, s->segments, s->segment_count, typed->text, typed->len, false);
			s->corrected |= words->count > 0;
		}
		if (words->count == 0)
			continue;
		strlcpy(typed->text, words->word[0].text, sizeof typed->text);
		typed->len = strlen(typed->text);
		typed->term = words->word[0].term;
	}
}

static void
find_all(struct suggest *s)
{
	const struct typed *last = &s->words[s->word_count - 1];
	int off = sh_suggest_tolerance(last->len);

	correct_words(s);
	find_waiting(s, 0);
	find_words(s,
			   sh_suggest_going_on(&s->org, s->segments, s->segment_count, last->text, last->len));
	/* Its stem may be that of words which do not begin with it. */
	(void) find_term(s, last->term);
	if (s->hit_count > 0 || off == 0)
		return;
	find_waiting(s, off);
	find_words(
		s, sh_suggest_similar(&s->org, s->segments, s->segment_count, last->text, last->len, true));
	s->corrected |= s->hit_count > 0;
}

/* --- the answer --- */

static void
push_next(JsonbParseState **state, const struct suggest *s)
{
	sh_json_key(state, "queries");
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < s->next_count; i++)
	{
		JsonbValue v = { .type = jbvString };
		StringInfoData query;

		initStringInfo(&query);
		for (int w = 0; w < s->word_count - 1; w++)
			appendStringInfo(&query, "%s ", s->words[w].text);
		appendStringInfoString(&query, s->next[i]);
		v.val.string.val = query.data;
		v.val.string.len = query.len;
		pushJsonbValue(state, WJB_ELEM, &v);
	}
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

static JsonbValue *
answer(const struct suggest *s)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	sh_json_key(&state, "hits");
	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < s->hit_count; i++)
	{
		pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
		sh_json_string(&state, "type", sh_kind_name(s->hits[i].kind));
		sh_json_uuid(&state, "id", &s->hits[i].record);
		pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	}
	pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	push_next(&state, s);
	sh_json_bool(&state, "corrected", s->corrected);
	return pushJsonbValue(&state, WJB_END_OBJECT, NULL);
}

/* search_suggest_run(q text, options jsonb) returns jsonb */
Datum
sh_search_suggest(PG_FUNCTION_ARGS)
{
	JsonbContainer *options = &PG_GETARG_JSONB_P(1)->root;
	JsonbContainer *kinds = sh_json_container(options, "types");
	struct suggest *s = palloc0(sizeof(*s));
	Jsonb *done;

	if (!sh_context_org(&s->org))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("no organisation is set"),
				 errhint("Set saleshub.org_id.")));
	s->limit = Max(0, Min(sh_json_int(options, "limit", 8), LIMIT_MAX));
	s->kinds = kinds ? sh_search_kinds(kinds) : 0;
	read_words(s, PG_GETARG_TEXT_PP(0));
	if (s->word_count > 0 && s->limit > 0)
	{
		s->index = sh_search_index_open(&s->org);
		s->segment_count = sh_search_segments(&s->org, &s->segments);
		s->waiting_count = sh_search_waiting_query(
			&s->org,
			SEARCH_WAITING_QUERY " ORDER BY record_id DESC, kind DESC LIMIT " WAITING_MAX,
			&s->waiting);
		find_all(s);
		sh_search_index_close(s->index);
	}
	done = JsonbValueToJsonb(answer(s));
	PG_RETURN_JSONB_P(done);
}
