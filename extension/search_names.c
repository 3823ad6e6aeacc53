/* Texts of a facet, numbered from 1 on in the order in which they come; 0 is none. */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/memutils.h"

#include "saleshub.h"
#include "search.h"

/* Bytes of a text that tell it from others. */
#define NAME_MAX_BYTES 255

struct name
{
	char text[NAME_MAX_BYTES + 1];
	uint16 number;
};

struct sh_search_names
{
	HTAB *known;
	int count, size;
	const char **texts;
};

struct sh_search_names *
sh_search_names_new(void)
{
	struct sh_search_names *names = palloc(sizeof(*names));

	names->known = sh_table(
		"saleshub facet", NAME_MAX_BYTES + 1, sizeof(struct name), 64, CurrentMemoryContext);
	names->count = 0;
	names->size = 64;
	names->texts = palloc(names->size * sizeof(*names->texts));
	return names;
}

uint16
sh_search_names_number(struct sh_search_names *names, const char *text)
{
	char key[NAME_MAX_BYTES + 1] = { 0 };
	struct name *name;
	bool found;

	if (!text)
		return 0;
	strlcpy(key, text, sizeof key);
	name = hash_search(names->known, key, HASH_FIND, &found);
	if (found)
		return name->number;
	/* A facet of more values than this is none to choose from. */
	if (names->count == PG_UINT16_MAX)
		return 0;
	if (names->count == names->size)
		names->texts = repalloc(names->texts, (names->size *= 2) * sizeof(*names->texts));
	name = hash_search(names->known, key, HASH_ENTER, &found);
	name->number = (uint16) (names->count + 1);
	names->texts[names->count++] = pstrdup(key);
	return name->number;
}

void
sh_search_names_write(struct sh_search_names *names, struct sh_search_writer *writer,
					  enum sh_search_facet facet)
{
	if (names->count > 0)
		sh_search_writer_values(writer, facet, names->texts, names->count);
	hash_destroy(names->known);
}
