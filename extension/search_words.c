/* What the index makes of a text, for those who want to look. */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/numeric.h"

#include "saleshub.h"
#include "search.h"

PG_FUNCTION_INFO_V1(sh_search_words_sql);
PG_FUNCTION_INFO_V1(sh_search_length_sql);

static void
take_word(void *arg, const struct sh_search_word *word)
{
	JsonbParseState **state = arg;

	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	/* The text goes when the next word comes. */
	sh_json_string(state, "word", pstrdup(word->text));
	sh_json_number(state, "term", (int64) word->term);
	sh_json_number(state, "place", word->position);
	sh_json_bool(state, "stop", word->stop);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

Datum
sh_search_words_sql(PG_FUNCTION_ARGS)
{
	text *value = PG_GETARG_TEXT_PP(0);
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	sh_search_words(
		VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), sh_search_dictionary(), 1, take_word, &state);
	PG_RETURN_JSONB_P(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL)));
}

Datum
sh_search_length_sql(PG_FUNCTION_ARGS)
{
	int32 length = PG_GETARG_INT32(0);

	if (length < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a length must not be negative: %d", length)));
	PG_RETURN_INT32((int32) sh_search_length(sh_search_length_code((uint32) length)));
}
