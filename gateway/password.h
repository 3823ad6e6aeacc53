/*
 * Password hashes: argon2id in PHC strings, computed on two helper threads so that the event loops
 * go on; a job comes back to the loop thread that gave it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum
{
	PASSWORD_MIN = 8,
	PASSWORD_MAX = 128, /* characters; as many bytes times four */
	PASSWORD_BYTES = 4 * PASSWORD_MAX,
	PASSWORD_HASH = 128, /* of a PHC string, with its NUL */
	PASSWORD_HASHES = 8
};

struct password_job
{
	char password[PASSWORD_BYTES + 1]; /* wiped when the job is done */
	/*
	 * To verify: the hashes it may match, each is tried. None: the time of one try is spent, so
	 * that an unknown name cannot be told from a wrong password. To hash: nhashes is -1 and the
	 * result stands in hashes[0], empty when it failed.
	 */
	int nhashes;
	char hashes[PASSWORD_HASHES][PASSWORD_HASH];
	bool matches[PASSWORD_HASHES];
	void (*done)(struct password_job *job); /* on the caller's loop thread; owns the job again */
	/* private */
	struct password_job *next;
	int thread;
};

void password_start(void);
/* False: too many jobs wait (answer 503); done is not called then. */
bool password_submit(struct password_job *job);

/* Hashes at once, on this thread; for the command line. False when memory fails. */
bool password_hash(const char *password, char out[PASSWORD_HASH]);
/* Number of characters of UTF-8 text. */
size_t password_length(const char *password);
