/*
 * Bodies of uploads on disk while the client sends them: files without a name, gone with the
 * process whatever happens.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum
{
	SPOOL_HASH = 32 /* SHA-256 */
};

enum spool_outcome
{
	SPOOL_OK,
	SPOOL_CROWDED, /* config.spool_limit_mb is reached, by all uploads together */
	SPOOL_FULL,	   /* the disk is */
	SPOOL_FAILED
};

struct spool;

/* NULL: SPOOL_FULL or SPOOL_FAILED, which was logged. hash: spool_digest will be asked for. */
struct spool *spool_new(bool hash, enum spool_outcome *outcome);
/* NULL is allowed. */
void spool_free(struct spool *spool);
enum spool_outcome spool_write(struct spool *spool, const char *base, size_t len);
uint64_t spool_size(const struct spool *spool);
/* Up to len bytes from offset on; 0 at the end, negative when the disk fails. */
ssize_t spool_read(struct spool *spool, uint64_t offset, char *base, size_t len);
/* Of all that was written; once, after the last write. */
void spool_digest(struct spool *spool, uint8_t digest[SPOOL_HASH]);
/* Bytes on disk, of the whole process. */
uint64_t spool_total(void);
