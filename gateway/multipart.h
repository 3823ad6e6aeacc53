/*
 * multipart/form-data (RFC 7578) as it comes, in pieces of any size. Pure, and stricter than
 * clients are sloppy: what could be read in two ways is a fault.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum
{
	MULTIPART_BOUNDARY = 70, /* RFC 2046 */
	MULTIPART_HEAD = 4096,	 /* headers of one part, bytes */
	MULTIPART_PARTS = 64
};

struct multipart_part
{
	const char *name;
	const char *filename, *type; /* NULL: not said */
};

/* Each returns false to stop; the parts' texts are valid during the call. */
struct multipart_events
{
	bool (*begin)(void *data, const struct multipart_part *part);
	bool (*bytes)(void *data, const char *base, size_t len);
	bool (*end)(void *data);
};

enum multipart_state
{
	MULTIPART_PREAMBLE,
	MULTIPART_DELIMITER, /* behind one: what kind is it? */
	MULTIPART_LAST,		 /* one dash behind it */
	MULTIPART_PADDING,
	MULTIPART_LF,
	MULTIPART_HEADERS,
	MULTIPART_DATA,
	MULTIPART_OVER
};

struct multipart
{
	const char *fault; /* NULL with false from multipart_feed: an event stopped it */

	/* private */
	const struct multipart_events *events;
	void *data;
	enum multipart_state state;
	char delimiter[MULTIPART_BOUNDARY + 5];
	size_t delimiter_len, matched;
	char head[MULTIPART_HEAD + 1];
	size_t head_len;
	int parts;
};

/* Is this Content-Type multipart/form-data? With a boundary that may be used: it is in out. */
bool multipart_type(const char *base, size_t len);
/* The name of the file in a Content-Disposition; false: it has none that can be read. */
bool multipart_filename(const char *base, size_t len, char *out, size_t size);
bool multipart_boundary(const char *base, size_t len, char out[MULTIPART_BOUNDARY + 1]);

void multipart_init(struct multipart *multipart, const char *boundary,
					const struct multipart_events *events, void *data);
bool multipart_feed(struct multipart *multipart, const char *base, size_t len);
/* The input is at its end: was it whole? */
bool multipart_finish(struct multipart *multipart);
