/*
 * Pages of the dictionary: some hundred terms of a segment in order, with the postings of those
 * that few documents have. Most words are in one document only, and a row for each would cost more
 * than what it says.
 *
 * A page is the number of its terms (2 bytes), how many bytes a term takes (1), how far each is
 * from the first, where the entry of each begins (2 bytes each, counted from the first entry), and
 * the entries. An entry: the number of documents times two, odd when they stand in rows of their
 * own; else the documents, their postings, and the places of each.
 */
#include "postgres.h"

#include "search.h"

#define PAGE_HEAD 3

static int
width_of(uint64 number)
{
	int width = 1;

	while (width < 8 && number >> (8 * width) != 0)
		width++;
	return width;
}

/* --- writing --- */

bool
sh_search_page_fits(const struct sh_search_page_writer *page, int64 term, int entry_len)
{
	int width = width_of((uint64) term - (uint64) page->first);

	return page->count < SEARCH_PAGE_TERMS &&
		   PAGE_HEAD + (page->count + 1) * (width + 2) + page->entries.len + entry_len <=
			   SEARCH_PART_MAX;
}

void
sh_search_page_add(struct sh_search_page_writer *page, int64 term, const char *entry, int len)
{
	if (page->count == 0)
		page->first = term;
	page->differences[page->count] = (uint64) term - (uint64) page->first;
	page->begins[page->count++] = (uint16) page->entries.len;
	appendBinaryStringInfo(&page->entries, entry, len);
}

void
sh_search_page_end(struct sh_search_page_writer *page, StringInfo body)
{
	int width = width_of(page->differences[page->count - 1]);

	sh_search_put16(body, (uint16) page->count);
	appendStringInfoCharMacro(body, (char) width);
	for (int i = 0; i < page->count; i++)
		for (int byte = 0; byte < width; byte++)
			appendStringInfoCharMacro(body, (char) (page->differences[i] >> (8 * byte) & 255));
	for (int i = 0; i < page->count; i++)
		sh_search_put16(body, page->begins[i]);
	appendBinaryStringInfo(body, page->entries.data, page->entries.len);
	page->count = 0;
	resetStringInfo(&page->entries);
}

/* --- reading --- */

void
sh_search_page_open(struct sh_search_page *page, int64 first, const char *body, int len)
{
	const uint8 *at = (const uint8 *) body;

	page->first = first;
	page->count = at[0] | at[1] << 8;
	page->width = at[2];
	page->terms = at + PAGE_HEAD;
	page->begins = page->terms + page->count * page->width;
	page->entries = page->begins + page->count * 2;
	page->end = at + len;
}

static inline uint64
difference_at(const struct sh_search_page *page, int n)
{
	const uint8 *at = page->terms + n * page->width;
	uint64 difference = 0;

	for (int byte = 0; byte < page->width; byte++)
		difference |= (uint64) at[byte] << (8 * byte);
	return difference;
}

int64
sh_search_page_term(const struct sh_search_page *page, int n)
{
	return (int64) ((uint64) page->first + difference_at(page, n));
}

int
sh_search_page_find(const struct sh_search_page *page, int64 term)
{
	uint64 difference = (uint64) term - (uint64) page->first;
	int low = 0;
	int high = page->count;

	while (low < high)
	{
		int middle = (low + high) / 2;

		if (difference_at(page, middle) < difference)
			low = middle + 1;
		else
			high = middle;
	}
	return low < page->count && difference_at(page, low) == difference ? low : -1;
}

const uint8 *
sh_search_page_entry(const struct sh_search_page *page, int n, int *len)
{
	const uint8 *begins = page->begins + n * 2;
	const uint8 *entry = page->entries + (begins[0] | begins[1] << 8);
	const uint8 *end =
		n + 1 < page->count ? page->entries + (begins[2] | begins[3] << 8) : page->end;

	*len = (int) (end - entry);
	return entry;
}
