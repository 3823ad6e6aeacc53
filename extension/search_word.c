/*
 * Words of a segment, in order, some hundreds a row: how many letters each shares with the one
 * before, the others, and how many documents have it. The term stands beside it only where it is
 * the hash of a stem.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "saleshub.h"
#include "search.h"

/* In the number of other letters. */
#define STEMMED 64
/* What stands behind every word that begins so: the last code point, or bytes that are none. */
#define BEHIND (GetDatabaseEncoding() == PG_UTF8 ? "\xF4\x8F\xBF\xBF" : "\xFF\xFF\xFF\xFF")

void
sh_search_words_write(StringInfo to, const char *before, int before_len, const char *word, int len,
					  uint64 term, uint32 docs)
{
	bool stemmed = term != sh_search_term(word, len, 'w');
	int shared = 0;

	while (before && shared < Min(len, before_len) && before[shared] == word[shared])
		shared++;
	appendStringInfoCharMacro(to, (char) shared);
	appendStringInfoCharMacro(to, (char) ((len - shared) | (stemmed ? STEMMED : 0)));
	appendBinaryStringInfo(to, word + shared, len - shared);
	if (stemmed)
		sh_search_put64(to, term);
	sh_search_number_write(to, docs);
}

void
sh_search_words_open(struct sh_search_words *words, const char *body, int len)
{
	words->at = (const uint8 *) body;
	words->end = words->at + len;
	words->len = 0;
}

bool
sh_search_words_next(struct sh_search_words *words)
{
	const uint8 *at = words->at;
	int rest;
	bool stemmed;

	if (at >= words->end)
		return false;
	words->shared = *at++;
	rest = *at & (STEMMED - 1);
	stemmed = *at++ & STEMMED;
	memcpy(words->word + words->shared, at, rest);
	words->len = words->shared + rest;
	words->word[words->len] = '\0';
	at += rest;
	words->stem = stemmed ? at : NULL;
	at += stemmed ? 8 : 0;
	words->docs = sh_search_number(&at);
	words->at = at;
	return true;
}

uint64
sh_search_words_term(const struct sh_search_words *words)
{
	return words->stem ? sh_search_get64(words->stem) :
						 sh_search_term(words->word, words->len, 'w');
}

/* Rows are found by their first word: from the last not behind the beginning on. */
void
sh_search_words_read(const pg_uuid_t *org, const struct sh_search_segment *segment,
					 const char *begin, int len, sh_search_take_row take, void *arg)
{
	static const Oid types[] = { UUIDOID, INT8OID, TEXTOID, TEXTOID };
	char *behind = psprintf("%.*s%s", len, begin, BEHIND);
	struct sh_identity identity;

	sh_owner_enter(&identity);
	SPI_connect();
	if (SPI_execute_plan(
			sh_plan("SELECT w.body FROM saleshub.search_word w"
					" WHERE w.org_id = $1 AND w.segment_id = $2 AND w.first_word >= coalesce(("
					"SELECT max(f.first_word) FROM saleshub.search_word f WHERE f.org_id = $1"
					" AND f.segment_id = $2 AND f.first_word <= $3), '')"
					" AND w.first_word <= $4 ORDER BY w.first_word",
					4,
					types),
			(Datum[]){ UUIDPGetDatum(org),
					   Int64GetDatum(segment->id),
					   PointerGetDatum(cstring_to_text_with_len(begin, len)),
					   CStringGetTextDatum(behind) },
			NULL,
			true,
			0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the words of the search index");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool isnull;
		bytea *body = DatumGetByteaPP(
			SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
		struct sh_search_words words;

		sh_search_words_open(&words, VARDATA_ANY(body), VARSIZE_ANY_EXHDR(body));
		take(arg, &words);
	}
	SPI_finish();
	sh_owner_leave(&identity);
}
