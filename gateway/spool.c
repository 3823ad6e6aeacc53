#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "log.h"
#include "spool.h"

enum
{
	BUFFER = 64 * 1024 /* a client may send octet by octet */
};

struct spool
{
	int fd;
	uint64_t size; /* with what waits in the buffer */
	EVP_MD_CTX *hash;
	size_t waiting;
	char buffer[BUFFER];
};

static atomic_uint_fast64_t total;

/* The flag needs a file system that knows it; the name is gone at once otherwise too. */
static int
open_unnamed(void)
{
	int fd = open(config.spool_dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char path[4096];

	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT))
		return fd;
	if (snprintf(path, sizeof path, "%s/saleshub-XXXXXX", config.spool_dir) >= (int) sizeof path)
		return -1;
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		unlink(path);
	return fd;
}

static enum spool_outcome
failed(const char *what)
{
	bool full = errno == ENOSPC || errno == EDQUOT;

	log_event(LOG_LEVEL_ERROR,
			  "spool",
			  "cannot %s a file in %s: %s",
			  what,
			  config.spool_dir,
			  strerror(errno));
	return full ? SPOOL_FULL : SPOOL_FAILED;
}

struct spool *
spool_new(bool hash, enum spool_outcome *outcome)
{
	struct spool *spool;
	int fd = open_unnamed();

	if (fd < 0)
	{
		*outcome = failed("make");
		return NULL;
	}
	spool = malloc(sizeof *spool);
	if (!spool)
		abort();
	spool->fd = fd;
	spool->size = spool->waiting = 0;
	spool->hash = NULL;
	if (hash)
	{
		spool->hash = EVP_MD_CTX_new();
		if (!spool->hash || !EVP_DigestInit_ex(spool->hash, EVP_sha256(), NULL))
			abort();
	}
	*outcome = SPOOL_OK;
	return spool;
}

void
spool_free(struct spool *spool)
{
	if (!spool)
		return;
	close(spool->fd);
	EVP_MD_CTX_free(spool->hash);
	atomic_fetch_sub(&total, spool->size);
	free(spool);
}

static enum spool_outcome
write_out(struct spool *spool, const char *base, size_t len)
{
	while (len > 0)
	{
		ssize_t n = write(spool->fd, base, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return failed("write");
		base += n;
		len -= (size_t) n;
	}
	return SPOOL_OK;
}

static enum spool_outcome
flush(struct spool *spool)
{
	size_t len = spool->waiting;

	spool->waiting = 0;
	return write_out(spool, spool->buffer, len);
}

enum spool_outcome
spool_write(struct spool *spool, const char *base, size_t len)
{
	uint64_t limit = (uint64_t) config.spool_limit_mb << 20;
	enum spool_outcome outcome = SPOOL_OK;

	spool->size += len;
	if (atomic_fetch_add(&total, len) + len > limit)
		return SPOOL_CROWDED;
	if (spool->hash)
		EVP_DigestUpdate(spool->hash, base, len);
	if (spool->waiting + len > BUFFER)
		outcome = flush(spool);
	if (outcome != SPOOL_OK || len > BUFFER)
		return outcome != SPOOL_OK ? outcome : write_out(spool, base, len);
	memcpy(spool->buffer + spool->waiting, base, len);
	spool->waiting += len;
	return SPOOL_OK;
}

uint64_t
spool_size(const struct spool *spool)
{
	return spool->size;
}

ssize_t
spool_read(struct spool *spool, uint64_t offset, char *base, size_t len)
{
	ssize_t n;

	if (flush(spool) != SPOOL_OK)
		return -1;
	do
		n = pread(spool->fd, base, len, (off_t) offset);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		failed("read");
	return n;
}

void
spool_digest(struct spool *spool, uint8_t digest[SPOOL_HASH])
{
	EVP_DigestFinal_ex(spool->hash, digest, NULL);
}

uint64_t
spool_total(void)
{
	return atomic_load(&total);
}
