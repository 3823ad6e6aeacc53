#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "loop.h"
#include "password.h"

enum
{
	THREADS = 2,
	QUEUE = 64, /* about a second of work */
	PASSES = 2,
	MEMORY = 19 << 20
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work = PTHREAD_COND_INITIALIZER;
static struct password_job *head, **tail = &head;
static int waiting;

/* Some hash of our parameters, made at the start: what unknown names are tried against. */
static char nobody[PASSWORD_HASH];

bool
password_hash(const char *password, char out[PASSWORD_HASH])
{
	char hash[crypto_pwhash_STRBYTES];

	if (crypto_pwhash_str_alg(
			hash, password, strlen(password), PASSES, MEMORY, crypto_pwhash_ALG_ARGON2ID13) != 0)
		return false;
	snprintf(out, PASSWORD_HASH, "%s", hash);
	return true;
}

size_t
password_length(const char *password)
{
	size_t n = 0;

	for (; *password; password++)
		n += ((unsigned char) *password & 0xc0) != 0x80;
	return n;
}

static void
perform(struct password_job *job)
{
	size_t len = strlen(job->password);

	if (job->nhashes < 0 && !password_hash(job->password, job->hashes[0]))
		job->hashes[0][0] = 0;
	if (job->nhashes == 0 && crypto_pwhash_str_verify(nobody, job->password, len) == 0)
		log_event(LOG_LEVEL_WARN, "password", "the hash of nobody matched");
	for (int i = 0; i < job->nhashes; i++)
		job->matches[i] = crypto_pwhash_str_verify(job->hashes[i], job->password, len) == 0;
	sodium_memzero(job->password, sizeof job->password);
}

static void
deliver(void *data)
{
	struct password_job *job = data;

	job->done(job);
}

static void *
run(void *data)
{
	(void) data;
	while (true)
	{
		struct password_job *job;

		pthread_mutex_lock(&mutex);
		while (!head)
			pthread_cond_wait(&work, &mutex);
		job = head;
		head = job->next;
		if (!head)
			tail = &head;
		waiting--;
		pthread_mutex_unlock(&mutex);
		perform(job);
		loop_post(job->thread, deliver, job);
	}
	return NULL;
}

void
password_start(void)
{
	unsigned char secret[16];
	char text[33];
	sigset_t all, before;

	randombytes_buf(secret, sizeof secret);
	sodium_bin2hex(text, sizeof text, secret, sizeof secret);
	if (!password_hash(text, nobody))
	{
		log_event(LOG_LEVEL_ERROR, "password", "no memory for password hashes");
		exit(1);
	}
	/* signals are for the loops */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (int i = 0; i < THREADS; i++)
	{
		pthread_t id;

		if (pthread_create(&id, NULL, run, NULL) != 0)
		{
			log_event(LOG_LEVEL_ERROR, "password", "cannot start a thread");
			exit(1);
		}
		pthread_detach(id);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

bool
password_submit(struct password_job *job)
{
	bool room;

	job->thread = self->index;
	job->next = NULL;
	pthread_mutex_lock(&mutex);
	room = waiting < QUEUE;
	if (room)
	{
		*tail = job;
		tail = &job->next;
		waiting++;
		pthread_cond_signal(&work);
	}
	pthread_mutex_unlock(&mutex);
	return room;
}
