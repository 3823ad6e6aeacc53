/*
 * Layout, big endian: "SHC1" key[32] boot:8 asof:8 status:2 nslots:2 etag:2 gseq:2 body:4, then
 * the slots (4 each), etag NUL, gseq NUL, body, and the keyed checksum of all before it. A length
 * of 0xffff says that etag or gseq is absent.
 */
#include <stdlib.h>
#include <string.h>

#include <h2o.h>
#include <sodium.h>

#include "entry.h"

enum
{
	HEAD = 4 + CACHE_KEY + 8 + 8 + 2 + 2 + 2 + 2 + 4,
	ABSENT = 0xffff,
	TEXT_MAX = 1024
};

static const char magic[4] = { 'S', 'H', 'C', '1' };

static char *
put(char *at, uint64_t value, int bytes)
{
	for (int i = bytes - 1; i >= 0; i--, value >>= 8)
		at[i] = (char) (value & 0xff);
	return at + bytes;
}

static uint64_t
take(const char **at, int bytes)
{
	uint64_t value = 0;

	for (int i = 0; i < bytes; i++)
		value = value << 8 | (uint8_t) (*at)[i];
	*at += bytes;
	return value;
}

static char *
put_text(char *at, const char *text)
{
	size_t len = text ? strlen(text) + 1 : 0;

	if (len)
		memcpy(at, text, len);
	return at + len;
}

static struct entry *
allocate(const uint8_t key[CACHE_KEY], size_t blob_len, uint16_t nslots)
{
	struct entry *entry = h2o_mem_alloc(sizeof *entry + blob_len);

	memset(entry, 0, sizeof *entry);
	entry->references = 1;
	memcpy(entry->key, key, CACHE_KEY);
	entry->blob_len = blob_len;
	entry->slots = h2o_mem_alloc(sizeof *entry->slots * (nslots ? nslots : 1));
	return entry;
}

static void
checksum(const uint8_t secret[ENTRY_SECRET], const char *blob, size_t len, uint8_t mac[ENTRY_MAC])
{
	crypto_generichash(mac, ENTRY_MAC, (const uint8_t *) blob, len, secret, ENTRY_SECRET);
}

/* Points the view into a blob whose checksum holds; false when its lengths do not add up. */
static bool
read_view(struct entry *entry)
{
	struct cache_entry *view = &entry->view;
	const char *at = entry->blob + sizeof magic + CACHE_KEY;
	size_t etag, gseq, left = entry->blob_len - HEAD - ENTRY_MAC;

	view->stamp.boot = (int64_t) take(&at, 8);
	view->stamp.asof = (int64_t) take(&at, 8);
	view->status = (int) take(&at, 2);
	view->nslots = (uint16_t) take(&at, 2);
	etag = take(&at, 2);
	gseq = take(&at, 2);
	view->body_len = take(&at, 4);
	size_t etag_len = etag == ABSENT ? 0 : etag + 1, gseq_len = gseq == ABSENT ? 0 : gseq + 1;
	if (left != view->nslots * 4u + etag_len + gseq_len + view->body_len)
		return false;
	for (int i = 0; i < view->nslots; i++)
		entry->slots[i] = (uint32_t) take(&at, 4);
	view->slots = entry->slots;
	view->etag = etag == ABSENT ? NULL : at;
	view->gseq = gseq == ABSENT ? NULL : at + etag_len;
	view->body = at + etag_len + gseq_len;
	return (!view->etag || strlen(view->etag) == etag) &&
		   (!view->gseq || strlen(view->gseq) == gseq);
}

struct entry *
entry_make(const uint8_t secret[ENTRY_SECRET], const uint8_t key[CACHE_KEY],
		   const struct cache_entry *from)
{
	size_t etag = from->etag ? strlen(from->etag) : 0, gseq = from->gseq ? strlen(from->gseq) : 0;

	if (from->stamp.boot == 0 || from->nslots > CACHE_MAX_SLOTS ||
		from->body_len > CACHE_MAX_BODY || etag > TEXT_MAX || gseq > TEXT_MAX)
		return NULL;
	size_t len = HEAD + from->nslots * 4u + (from->etag ? etag + 1 : 0) +
				 (from->gseq ? gseq + 1 : 0) + from->body_len + ENTRY_MAC;
	struct entry *entry = allocate(key, len, from->nslots);
	char *at = entry->blob;

	memcpy(at, magic, sizeof magic);
	memcpy(at + sizeof magic, key, CACHE_KEY);
	at = put(at + sizeof magic + CACHE_KEY, (uint64_t) from->stamp.boot, 8);
	at = put(at, (uint64_t) from->stamp.asof, 8);
	at = put(at, (uint64_t) from->status, 2);
	at = put(at, from->nslots, 2);
	at = put(at, from->etag ? etag : ABSENT, 2);
	at = put(at, from->gseq ? gseq : ABSENT, 2);
	at = put(at, from->body_len, 4);
	for (int i = 0; i < from->nslots; i++)
		at = put(at, from->slots[i], 4);
	at = put_text(put_text(at, from->etag), from->gseq);
	if (from->body_len)
		memcpy(at, from->body, from->body_len);
	checksum(secret, entry->blob, len - ENTRY_MAC, (uint8_t *) entry->blob + len - ENTRY_MAC);
	read_view(entry);
	return entry;
}

struct entry *
entry_read(const uint8_t secret[ENTRY_SECRET], const uint8_t key[CACHE_KEY], const char *blob,
		   size_t len)
{
	uint8_t mac[ENTRY_MAC];

	if (len < HEAD + ENTRY_MAC ||
		len > HEAD + ENTRY_MAC + CACHE_MAX_BODY + CACHE_MAX_SLOTS * 4 + 2 * TEXT_MAX + 2 ||
		memcmp(blob, magic, sizeof magic) != 0 || memcmp(blob + sizeof magic, key, CACHE_KEY) != 0)
		return NULL;
	checksum(secret, blob, len - ENTRY_MAC, mac);
	if (sodium_memcmp(mac, blob + len - ENTRY_MAC, ENTRY_MAC) != 0)
		return NULL;
	const char *nslots_at = blob + sizeof magic + CACHE_KEY + 18;
	uint64_t nslots = take(&nslots_at, 2);
	if (nslots > CACHE_MAX_SLOTS)
		return NULL;
	struct entry *entry = allocate(key, len, (uint16_t) nslots);
	memcpy(entry->blob, blob, len);
	if (!read_view(entry))
	{
		entry_release(entry);
		return NULL;
	}
	return entry;
}

void
entry_keep(struct entry *entry)
{
	entry->references++;
}

void
entry_release(struct entry *entry)
{
	if (--entry->references > 0)
		return;
	free(entry->slots);
	free(entry);
}

size_t
entry_size(const struct entry *entry)
{
	return sizeof *entry + entry->blob_len + entry->view.nslots * sizeof *entry->slots + 64;
}
