/*
 * One function per state; each takes the next byte and returns false with the fault set. Bodies
 * are skipped in one go.
 */
#include <string.h>

#include "door_head.h"

static bool
is_digit(unsigned char c)
{
	return c >= '0' && c <= '9';
}

/* What a byte may be part of. */
enum
{
	TEXT = 1,	/* a header value or a chunk extension */
	TARGET = 2, /* a request target */
	TOKEN = 4	/* a header name (RFC 9110 5.6.2) */
};

static const uint8_t classes[256] = {
	['\t'] = TEXT,
	[' '] = TEXT,
	['!'] = TEXT | TARGET | TOKEN,
	['"'] = TEXT | TARGET,
	['#'] = TEXT | TOKEN,
	['$' ... '\''] = TEXT | TARGET | TOKEN,
	['(' ... ')'] = TEXT | TARGET,
	['*' ... '+'] = TEXT | TARGET | TOKEN,
	[','] = TEXT | TARGET,
	['-' ... '.'] = TEXT | TARGET | TOKEN,
	['/'] = TEXT | TARGET,
	['0' ... '9'] = TEXT | TARGET | TOKEN,
	[':' ... '@'] = TEXT | TARGET,
	['A' ... 'Z'] = TEXT | TARGET | TOKEN,
	['[' ... ']'] = TEXT | TARGET,
	['^' ... 'z'] = TEXT | TARGET | TOKEN,
	['{'] = TEXT | TARGET,
	['|'] = TEXT | TARGET | TOKEN,
	['}'] = TEXT | TARGET,
	['~'] = TEXT | TARGET | TOKEN,
	[0x80 ... 0xff] = TEXT,
};

static bool
is(unsigned char c, uint8_t what)
{
	return (classes[c] & what) != 0;
}

static char
lower(unsigned char c)
{
	return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

static bool
on_start(struct door_scan *scan, unsigned char c)
{
	if (c == '\r' && scan->message == 1)
	{
		scan->state = DOOR_START_LF;
		return true;
	}
	scan->state = DOOR_METHOD;
	if (c < 'A' || c > 'Z')
		return door_malformed(scan, "The request line does not begin with a method.");
	scan->method[scan->position++] = c;
	return true;
}

static bool
on_start_lf(struct door_scan *scan, unsigned char c)
{
	if (c != '\n')
		return door_malformed(scan, "A bare CR stands before the request line.");
	scan->state = DOOR_START;
	return true;
}

static bool
on_method(struct door_scan *scan, unsigned char c)
{
	static const char *const known[] = {
		"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"
	};

	if (c >= 'A' && c <= 'Z')
	{
		if (scan->position + 1 == sizeof scan->method)
			return door_refuse(scan, 501, "not_implemented", "The method is not known.");
		scan->method[scan->position++] = c;
		return true;
	}
	if (c != ' ')
		return door_malformed(scan, "The method holds a character that is not allowed.");
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
	{
		if (strcmp(scan->method, known[i]) == 0)
		{
			scan->state = DOOR_TARGET_FIRST;
			scan->position = 0;
			return true;
		}
	}
	return door_refuse(scan, 501, "not_implemented", "The method is not known.");
}

static bool
on_target_first(struct door_scan *scan, unsigned char c)
{
	scan->target = 1;
	if (c == '/')
		scan->state = DOOR_TARGET;
	else if (lower(c) == 'h')
	{
		scan->state = DOOR_SCHEME;
		scan->position = 1;
	}
	else
		return door_malformed(scan, "The request target is not a path.");
	return true;
}

static bool
on_scheme(struct door_scan *scan, unsigned char c)
{
	static const char scheme[] = "http://";

	scan->target++;
	/* https:// differs by one letter before the colon */
	if (scan->position == 4 && lower(c) == 's' && scan->target == 5)
		return true;
	if (lower(c) != scheme[scan->position])
		return door_malformed(scan, "The request target is not a path.");
	scan->position++;
	if (scheme[scan->position] == 0)
	{
		scan->state = DOOR_TARGET_HOST;
		scan->position = 0;
	}
	return true;
}

static bool target_end(struct door_scan *scan);

static bool
on_target_host(struct door_scan *scan, unsigned char c)
{
	scan->target++;
	if (c == '/' || c == '?' || c == ' ')
	{
		scan->authority[scan->position] = 0;
		if (!door_authority_valid(scan->authority))
			return door_malformed(scan, "The host of the request target is not valid.");
		if (c == ' ')
			return target_end(scan);
		scan->state = DOOR_TARGET;
		return true;
	}
	if (scan->position + 1 == sizeof scan->authority)
		return door_malformed(scan, "The host of the request target is too long.");
	scan->authority[scan->position++] = lower(c);
	return true;
}

static bool
on_target(struct door_scan *scan, unsigned char c)
{
	if (c == ' ')
		return target_end(scan);
	if (!is(c, TARGET))
		return door_malformed(scan, "The request target holds a character that is not allowed.");
	if (++scan->target > scan->limits->target)
		return door_refuse(scan, 414, "uri_too_long", "The request target is too long.");
	return true;
}

static bool
target_end(struct door_scan *scan)
{
	scan->state = DOOR_VERSION;
	scan->position = 0;
	return true;
}

static bool
on_version(struct door_scan *scan, unsigned char c)
{
	static const char form[] = "HTTP/0.0";

	if (scan->position < 8)
	{
		if (form[scan->position] == '0' ? !is_digit(c) : c != form[scan->position])
			return door_malformed(scan, "The request line does not end with an HTTP version.");
		scan->version[scan->position++] = c;
		return true;
	}
	if (c != '\r')
		return door_malformed(scan, "The request line does not end after the HTTP version.");
	scan->http10 = strcmp(scan->version, "HTTP/1.0") == 0;
	if (!scan->http10 && strcmp(scan->version, "HTTP/1.1") != 0)
		return door_refuse(scan, 505, "version_not_supported", "Use HTTP/1.1.");
	scan->state = DOOR_LINE_LF;
	return true;
}

static bool
on_line_lf(struct door_scan *scan, unsigned char c)
{
	if (c != '\n')
		return door_malformed(scan, "A bare CR stands in the request head.");
	scan->state = DOOR_FIELD;
	return true;
}

/* The start of a header line, of a trailer line, or the empty line. */
static bool
on_field(struct door_scan *scan, unsigned char c)
{
	if (c == '\r')
	{
		scan->state = DOOR_HEAD_LF;
		return true;
	}
	if (c == ' ' || c == '\t')
		return door_malformed(scan, "A header line begins with a space.");
	if (!is(c, TOKEN))
		return door_malformed(scan, "A header name holds a character that is not allowed.");
	if (++scan->headers > scan->limits->headers)
		return door_refuse(scan, 431, "head_too_large", "The request has too many headers.");
	scan->state = DOOR_NAME_REST;
	scan->name[0] = lower(c);
	scan->name_len = 1;
	scan->value_len = 0;
	return true;
}

static bool
on_name(struct door_scan *scan, unsigned char c)
{
	if (c == ':')
	{
		scan->state = DOOR_VALUE_REST;
		scan->matters = door_name_matters(scan);
		return true;
	}
	if (!is(c, TOKEN))
		return door_malformed(scan, "A header name holds a character that is not allowed.");
	/* a name that does not fit is none of those that matter: its length says so */
	if (scan->name_len < sizeof scan->name)
		scan->name[scan->name_len++] = lower(c);
	return true;
}

static bool
on_value(struct door_scan *scan, unsigned char c)
{
	if (c == '\r')
	{
		scan->state = DOOR_VALUE_LF;
		return true;
	}
	if (!is(c, TEXT))
		return door_malformed(scan, "A header value holds a control character.");
	if (scan->value_len == 0 && (c == ' ' || c == '\t'))
		return true;
	if (scan->value_len < sizeof scan->value)
		scan->value[scan->value_len] = c;
	scan->value_len++;
	return true;
}

static bool
on_value_lf(struct door_scan *scan, unsigned char c)
{
	if (c != '\n')
		return door_malformed(scan, "A bare CR stands in a header value.");
	scan->state = DOOR_FIELD;
	return door_field_end(scan);
}

static bool
on_head_lf(struct door_scan *scan, unsigned char c)
{
	if (c != '\n')
		return door_malformed(scan, "A bare CR stands in the request head.");
	if (!scan->trailer)
		return door_head_end(scan);
	door_message_end(scan);
	return true;
}

static bool on_size_first(struct door_scan *scan, unsigned char c);

static bool
on_size(struct door_scan *scan, unsigned char c)
{
	if (c == '\r')
		scan->state = DOOR_SIZE_LF;
	else if (c == ';')
		scan->state = DOOR_EXTENSION;
	else
		return on_size_first(scan, c);
	return true;
}

static bool
on_size_first(struct door_scan *scan, unsigned char c)
{
	int digit;

	if (is_digit(c))
		digit = c - '0';
	else if (lower(c) >= 'a' && lower(c) <= 'f')
		digit = lower(c) - 'a' + 10;
	else
		return door_malformed(scan, "A chunk size is not a hexadecimal number.");
	if (++scan->position > 16)
		return door_malformed(scan, "A chunk size has too many digits.");
	scan->chunk = scan->chunk * 16 + digit;
	if (scan->chunk > scan->most - scan->body)
		return door_refuse(scan, 413, "too_large", "The request body is too large.");
	scan->state = DOOR_SIZE;
	return true;
}

static bool
on_extension(struct door_scan *scan, unsigned char c)
{
	if (c == '\r')
	{
		scan->state = DOOR_SIZE_LF;
		return true;
	}
	if (!is(c, TEXT))
		return door_malformed(scan, "A chunk extension holds a control character.");
	if (++scan->extensions > DOOR_EXTENSIONS)
		return door_refuse(scan, 413, "too_large", "The chunk extensions are too long.");
	return true;
}

static bool
on_size_lf(struct door_scan *scan, unsigned char c)
{
	if (c != '\n')
		return door_malformed(scan, "A bare CR stands in a chunk header.");
	scan->position = 0;
	if (scan->chunk == 0)
	{
		scan->trailer = true;
		scan->state = DOOR_FIELD;
		return true;
	}
	scan->left = scan->chunk;
	scan->chunk = 0;
	scan->state = DOOR_DATA;
	return true;
}

static bool
on_data_cr(struct door_scan *scan, unsigned char c)
{
	if (c != '\r')
		return door_malformed(scan, "A chunk is longer than its size.");
	scan->state = DOOR_DATA_LF;
	return true;
}

static bool
on_data_lf(struct door_scan *scan, unsigned char c)
{
	if (c != '\n')
		return door_malformed(scan, "A chunk is longer than its size.");
	scan->state = DOOR_SIZE_FIRST;
	return true;
}

static bool
on_upgrade(struct door_scan *scan, unsigned char c)
{
	(void) c;
	return door_malformed(scan, "Bytes follow a websocket handshake before its answer.");
}

static bool
on_end(struct door_scan *scan, unsigned char c)
{
	(void) c;
	return door_malformed(scan, "Bytes follow a request that has no Content-Length.");
}

static bool (*const steps[])(struct door_scan *scan, unsigned char c) = {
	[DOOR_START] = on_start,		   [DOOR_START_LF] = on_start_lf,
	[DOOR_METHOD] = on_method,		   [DOOR_TARGET_FIRST] = on_target_first,
	[DOOR_SCHEME] = on_scheme,		   [DOOR_TARGET_HOST] = on_target_host,
	[DOOR_TARGET] = on_target,		   [DOOR_VERSION] = on_version,
	[DOOR_LINE_LF] = on_line_lf,	   [DOOR_FIELD] = on_field,
	[DOOR_NAME_REST] = on_name,		   [DOOR_VALUE_REST] = on_value,
	[DOOR_VALUE_LF] = on_value_lf,	   [DOOR_HEAD_LF] = on_head_lf,
	[DOOR_SIZE_FIRST] = on_size_first, [DOOR_SIZE] = on_size,
	[DOOR_EXTENSION] = on_extension,   [DOOR_SIZE_LF] = on_size_lf,
	[DOOR_DATA_CR] = on_data_cr,	   [DOOR_DATA_LF] = on_data_lf,
	[DOOR_UPGRADE] = on_upgrade,	   [DOOR_END] = on_end,
};

/* Body bytes go to the sink, if there is one; returns how many. */
static size_t
pass(struct door_scan *scan, const char *base, size_t len)
{
	size_t n = len < scan->left ? len : (size_t) scan->left;

	if (scan->sink && !scan->sink(scan->sink_data, base, n))
		return n;
	scan->left -= n;
	scan->body += n;
	scan->message += n;
	if (scan->left == 0)
	{
		if (scan->state == DOOR_DATA)
			scan->state = DOOR_DATA_CR;
		else
			door_message_end(scan);
	}
	return n;
}

/*
 * The longest parts of a head, a value that does not matter and the target, are taken in one go;
 * whatever is not plain is left to the state's function. Returns how many bytes were taken.
 */
static size_t
plain(struct door_scan *scan, const char *base, size_t len)
{
	bool target = scan->state == DOOR_TARGET;
	size_t room = scan->limits->head - scan->head;
	size_t n = 0;

	if (scan->trailer || !(target || (scan->state == DOOR_VALUE_REST && !scan->matters)))
		return 0;
	if (target && room > scan->limits->target - scan->target)
		room = scan->limits->target - scan->target;
	if (len > room)
		len = room;
	while (n < len && is(base[n], target ? TARGET : TEXT))
		n++;
	if (target)
		scan->target += n;
	scan->head += n;
	scan->message += n;
	return n;
}

/* Bytes of the head, and of trailers, are counted against the limits whatever they are. */
static bool
within_limits(struct door_scan *scan)
{
	if (scan->state > DOOR_HEAD_LF)
		return true;
	if (scan->trailer)
	{
		if (++scan->extensions > DOOR_EXTENSIONS)
			return door_refuse(scan, 431, "head_too_large", "The trailers are too long.");
		return true;
	}
	if (++scan->head > scan->limits->head)
		return door_refuse(scan, 431, "head_too_large", "The request head is too large.");
	return true;
}

size_t
door_scan(struct door_scan *scan, const char *base, size_t len)
{
	size_t at = 0;

	if (scan->pause == DOOR_OVER)
		scan->pause = DOOR_GO;
	while (at < len && scan->fault.status == 0 && scan->pause == DOOR_GO)
	{
		if (scan->state == DOOR_DATA || scan->state == DOOR_BODY)
		{
			at += pass(scan, base + at, len - at);
			continue;
		}
		at += plain(scan, base + at, len - at);
		if (at == len)
			break;
		scan->message++;
		if (within_limits(scan))
			steps[scan->state](scan, base[at]);
		at++;
	}
	return at;
}

bool
door_scan_body(struct door_scan *scan, uint64_t most)
{
	scan->pause = DOOR_GO;
	scan->most = most;
	return door_body_begin(scan);
}

void
door_scan_again(struct door_scan *scan)
{
	uint64_t messages = scan->messages;

	scan->sink = NULL;
	door_message_end(scan);
	scan->messages = messages;
}

bool
door_scan_in_body(const struct door_scan *scan)
{
	return scan->trailer || (scan->state >= DOOR_SIZE_FIRST && scan->state <= DOOR_BODY);
}
