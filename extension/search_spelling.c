/* How far two words are apart. */
#include "postgres.h"

#include "search.h"

int
sh_search_distance(const pg_wchar *a, int alen, const pg_wchar *b, int blen, int most, bool begins)
{
	int rows[3][SEARCH_WORD_MAX + 1];
	int *older = rows[0], *old = rows[1], *row = rows[2];
	int best;

	if (alen - blen > most || (!begins && blen - alen > most))
		return most + 1;
	for (int j = 0; j <= blen; j++)
		old[j] = j;
	for (int i = 1; i <= alen; i++)
	{
		int least = row[0] = i;
		int *spare = older;

		for (int j = 1; j <= blen; j++)
		{
			int cost = a[i - 1] == b[j - 1] ? 0 : 1;

			row[j] = Min(Min(old[j] + 1, row[j - 1] + 1), old[j - 1] + cost);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = Min(row[j], older[j - 2] + 1);
			least = Min(least, row[j]);
		}
		if (least > most)
			return most + 1;
		older = old;
		old = row;
		row = spare;
	}
	best = old[blen];
	for (int j = 0; begins && j < blen; j++)
		best = Min(best, old[j]);
	return best;
}
