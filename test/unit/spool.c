/* Bodies on disk: what was written comes back, the room is bounded, nothing is left behind. */
#include <dirent.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "spool.h"

static int tests, failures;
static char folder[] = "/tmp/spool-XXXXXX";

static void
check(bool ok, const char *what)
{
	if (!ok)
	{
		printf("# %s\n", what);
		failures++;
	}
}

static int
names_in_folder(void)
{
	DIR *dir = opendir(folder);
	int n = 0;

	for (struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir))
		n += entry->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return n;
}

/* Pieces of all sizes around the buffer's; read back across their borders. */
static void
comes_back(void)
{
	static const size_t pieces[] = { 1, 2, 65534, 1, 65536, 65537, 3, 200000, 7 };
	static char wrote[400000], got[400000];
	enum spool_outcome outcome;
	struct spool *spool = spool_new(true, &outcome);
	uint8_t digest[SPOOL_HASH], wanted[SPOOL_HASH];
	size_t len = 0, at = 0;
	ssize_t n;

	check(spool != NULL && outcome == SPOOL_OK, "a file is made");
	for (size_t i = 0; i < sizeof wrote; i++)
		wrote[i] = (char) (i * 31 + i / 251);
	for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++)
	{
		check(spool_write(spool, wrote + len, pieces[i]) == SPOOL_OK, "a piece is written");
		len += pieces[i];
	}
	check(spool_size(spool) == len && spool_total() == len, "its size");
	while ((n = spool_read(spool, at, got + at, 9999)) > 0)
		at += (size_t) n;
	check(n == 0 && at == len && memcmp(got, wrote, len) == 0, "what was written");
	spool_digest(spool, digest);
	SHA256((const unsigned char *) wrote, len, wanted);
	check(memcmp(digest, wanted, sizeof digest) == 0, "its hash");
	check(names_in_folder() == 0, "a name is seen");
	spool_free(spool);
	spool_free(NULL);
	check(spool_total() == 0, "the room is free again");
}

static void
room_is_bounded(void)
{
	static char piece[600 * 1024];
	enum spool_outcome outcome;
	struct spool *one = spool_new(false, &outcome);
	struct spool *two = spool_new(false, &outcome);

	check(spool_write(one, piece, sizeof piece) == SPOOL_OK, "the first has room");
	check(spool_write(two, piece, sizeof piece) == SPOOL_CROWDED, "the second has none");
	spool_free(one);
	spool_free(two);
	two = spool_new(false, &outcome);
	check(spool_write(two, piece, sizeof piece) == SPOOL_OK, "it has, once the first is gone");
	spool_free(two);
}

static void
no_folder(void)
{
	enum spool_outcome outcome = SPOOL_OK;

	config.spool_dir = "/nowhere/at/all";
	check(!spool_new(false, &outcome) && outcome == SPOOL_FAILED, "no folder, no file");
}

static void
story(const char *name, void (*tell)(void))
{
	int before = failures;

	tell();
	printf("%s %d - %s\n", failures == before ? "ok" : "not ok", ++tests, name);
}

int
main(void)
{
	if (!mkdtemp(folder))
	{
		printf("Bail out! no folder\n");
		return 1;
	}
	config.spool_dir = folder;
	config.spool_limit_mb = 1;
	story("what was written comes back", comes_back);
	story("the room is bounded for all together", room_is_bounded);
	story("without its folder nothing is kept", no_folder);
	rmdir(folder);
	printf("1..%d\n", tests);
	return failures ? 1 : 0;
}
