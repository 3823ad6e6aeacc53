/*
 * Words of a segment, in order, some hundreds a row: how many letters each shares with the one
 * before, the others, and how many documents have it. The term stands beside it only where it is
 * the hash of a stem.
 */
#include "postgres.h"

#include "search.h"

/* In the number of other letters. */
#define STEMMED 64

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
