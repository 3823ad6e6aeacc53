/*
 * One function per state; each takes the next byte and returns false with the fault set. Bodies
 * are skipped in one go.
 */
#include <string.h>
#include <strings.h>

#include "door_scan.h"

static bool
refuse(struct door_scan *scan, int status, const char *code, const char *detail)
{
	scan->fault = (struct door_fault){ status, code, detail };
	return false;
}

static bool
malformed(struct door_scan *scan, const char *detail)
{
	return refuse(scan, 400, "bad_request", detail);
}

static bool
is_digit(unsigned char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_alnum(unsigned char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* RFC 9110 5.6.2 */
static bool
is_token(unsigned char c)
{
	return is_alnum(c) || (c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* What a header value or a chunk extension may hold. */
static bool
is_text(unsigned char c)
{
	return c == '\t' || (c >= 0x20 && c != 0x7f);
}

static char
lower(unsigned char c)
{
	return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

static void
message_end(struct door_scan *scan)
{
	const struct door_limits *limits = scan->limits;
	uint64_t messages = scan->messages;

	memset(scan, 0, sizeof *scan);
	scan->limits = limits;
	scan->messages = messages + 1;
}

/* Host or the authority of an absolute target: a name, an IPv4 or a bracketed IPv6, and a port. */
static bool
authority_valid(const char *base)
{
	size_t i = 0;

	if (base[0] == '[')
	{
		i = strspn(base + 1, "0123456789abcdef:.") + 1;
		if (i < 3 || base[i] != ']')
			return false;
		i++;
	}
	else
	{
		while (is_alnum(base[i]) || (base[i] && strchr("-._~", base[i])))
			i++;
		if (i == 0)
			return false;
	}
	if (base[i] != ':')
		return base[i] == 0;
	i++;
	return strspn(base + i, "0123456789") == strlen(base + i) && strlen(base + i) <= 5;
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
		return malformed(scan, "The request line does not begin with a method.");
	scan->method[scan->position++] = c;
	return true;
}

static bool
on_start_lf(struct door_scan *scan, unsigned char c)
{
	if (c != '\n')
		return malformed(scan, "A bare CR stands before the request line.");
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
			return refuse(scan, 501, "not_implemented", "The method is not known.");
		scan->method[scan->position++] = c;
		return true;
	}
	if (c != ' ')
		return malformed(scan, "The method holds a character that is not allowed.");
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
	{
		if (strcmp(scan->method, known[i]) == 0)
		{
			scan->state = DOOR_TARGET_FIRST;
			scan->position = 0;
			return true;
		}
	}
	return refuse(scan, 501, "not_implemented", "The method is not known.");
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
		return malformed(scan, "The request target is not a path.");
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
		return malformed(scan, "The request target is not a path.");
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
		if (!authority_valid(scan->authority))
			return malformed(scan, "The host of the request target is not valid.");
		if (c == ' ')
			return target_end(scan);
		scan->state = DOOR_TARGET;
		return true;
	}
	if (scan->position + 1 == sizeof scan->authority)
		return malformed(scan, "The host of the request target is too long.");
	scan->authority[scan->position++] = lower(c);
	return true;
}

static bool
on_target(struct door_scan *scan, unsigned char c)
{
	if (c == ' ')
		return target_end(scan);
	if (c <= 0x20 || c >= 0x7f || c == '#')
		return malformed(scan, "The request target holds a character that is not allowed.");
	if (++scan->target > scan->limits->target)
		return refuse(scan, 414, "uri_too_long", "The request target is too long.");
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
			return malformed(scan, "The request line does not end with an HTTP version.");
		scan->version[scan->position++] = c;
		return true;
	}
	if (c != '\r')
		return malformed(scan, "The request line does not end after the HTTP version.");
	scan->http10 = strcmp(scan->version, "HTTP/1.0") == 0;
	if (!scan->http10 && strcmp(scan->version, "HTTP/1.1") != 0)
		return refuse(scan, 505, "version_not_supported", "Use HTTP/1.1.");
	scan->state = DOOR_LINE_LF;
	return true;
}

static bool
on_line_lf(struct door_scan *scan, unsigned char c)
{
	if (c != '\n')
		return malformed(scan, "A bare CR stands in the request head.");
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
		return malformed(scan, "A header line begins with a space.");
	if (!is_token(c))
		return malformed(scan, "A header name holds a character that is not allowed.");
	if (++scan->headers > scan->limits->headers)
		return refuse(scan, 431, "head_too_large", "The request has too many headers.");
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
		return true;
	}
	if (!is_token(c))
		return malformed(scan, "A header name holds a character that is not allowed.");
	/* a name that does not fit is none of those that matter: its length says so */
	if (scan->name_len < sizeof scan->name)
		scan->name[scan->name_len++] = lower(c);
	return true;
}

static bool field_end(struct door_scan *scan);

static bool
on_value(struct door_scan *scan, unsigned char c)
{
	if (c == '\r')
	{
		scan->state = DOOR_VALUE_LF;
		return true;
	}
	if (!is_text(c))
		return malformed(scan, "A header value holds a control character.");
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
		return malformed(scan, "A bare CR stands in a header value.");
	scan->state = DOOR_FIELD;
	return field_end(scan);
}

static bool
name_is(const struct door_scan *scan, const char *name)
{
	return scan->name_len == strlen(name) && memcmp(scan->name, name, scan->name_len) == 0;
}

static bool
value_is(const struct door_scan *scan, const char *value)
{
	return scan->value_len == strlen(value) &&
		   strncasecmp(scan->value, value, scan->value_len) == 0;
}

/* Is token one of the comma separated words of the value? */
static bool
value_lists(const struct door_scan *scan, const char *token)
{
	const char *at = scan->value, *end = at + scan->value_len;

	while (at < end)
	{
		const char *stop = memchr(at, ',', end - at);
		size_t len;

		if (!stop)
			stop = end;
		while (at < stop && (*at == ' ' || *at == '\t'))
			at++;
		len = stop - at;
		while (len > 0 && (at[len - 1] == ' ' || at[len - 1] == '\t'))
			len--;
		if (len == strlen(token) && strncasecmp(at, token, len) == 0)
			return true;
		at = stop + 1;
	}
	return false;
}

static bool
field_host(struct door_scan *scan)
{
	if (scan->hosts++ > 0)
		return malformed(scan, "The request has several Host headers.");
	if (scan->value_len >= sizeof scan->host)
		return malformed(scan, "The Host header is too long.");
	for (size_t i = 0; i < scan->value_len; i++)
		scan->host[i] = lower(scan->value[i]);
	scan->host[scan->value_len] = 0;
	if (!authority_valid(scan->host))
		return malformed(scan, "The Host header is not valid.");
	return true;
}

static bool
field_length(struct door_scan *scan)
{
	if (scan->has_length)
		return malformed(scan, "The request has several Content-Length headers.");
	scan->has_length = true;
	if (scan->value_len == 0)
		return malformed(scan, "Content-Length is not a number.");
	for (size_t i = 0; i < scan->value_len; i++)
	{
		if (!is_digit(scan->value[i]))
			return malformed(scan, "Content-Length is not a number.");
	}
	if (scan->value_len > 19)
		return malformed(scan, "Content-Length has too many digits.");
	for (size_t i = 0; i < scan->value_len; i++)
		scan->length = scan->length * 10 + (scan->value[i] - '0');
	return true;
}

static bool
field_encoding(struct door_scan *scan)
{
	if (scan->chunked || !value_is(scan, "chunked"))
		return malformed(scan, "Transfer-Encoding is not exactly chunked.");
	scan->chunked = true;
	return true;
}

/* A header line is complete. */
static bool
field_end(struct door_scan *scan)
{
	static const char *const framing[] = { "host",	  "content-length", "transfer-encoding",
										   "upgrade", "connection",		"expect" };
	bool matters = false;

	for (size_t i = 0; i < sizeof framing / sizeof framing[0]; i++)
		matters = matters || name_is(scan, framing[i]);
	if (!matters)
		return true;
	if (scan->trailer)
		return malformed(scan, "A trailer names a header that belongs to the head.");
	if (scan->value_len > sizeof scan->value)
		return malformed(scan, "A header of the connection is too long.");
	while (scan->value_len > 0 && strchr(" \t", scan->value[scan->value_len - 1]))
		scan->value_len--;
	if (name_is(scan, "host"))
		return field_host(scan);
	if (name_is(scan, "content-length"))
		return field_length(scan);
	if (name_is(scan, "transfer-encoding"))
		return field_encoding(scan);
	if (name_is(scan, "upgrade") && value_is(scan, "websocket"))
		scan->upgrade = true;
	if (name_is(scan, "connection") && value_lists(scan, "upgrade"))
		scan->connection_upgrade = true;
	return true;
}

/* The head is complete: what follows? */
static bool
head_end(struct door_scan *scan)
{
	if (scan->hosts == 0 && !scan->http10)
		return malformed(scan, "The request has no Host header.");
	if (scan->authority[0] && strcmp(scan->authority, scan->host) != 0)
		return malformed(scan, "The Host header is not the host of the request target.");
	if (scan->has_length && scan->chunked)
		return malformed(scan, "The request has Content-Length and Transfer-Encoding.");
	if (scan->chunked && scan->http10)
		return malformed(scan, "HTTP/1.0 has no Transfer-Encoding.");
	if (scan->length > scan->limits->body)
		return refuse(scan, 413, "too_large", "The request body is too large.");
	if (scan->upgrade && scan->connection_upgrade)
	{
		if (scan->chunked || scan->length > 0)
			return malformed(scan, "A websocket handshake has no body.");
		scan->state = DOOR_UPGRADE;
		return true;
	}
	if (scan->chunked)
	{
		scan->state = DOOR_SIZE_FIRST;
		scan->headers = 0;
	}
	else if (scan->length > 0)
	{
		scan->state = DOOR_BODY;
		scan->left = scan->length;
	}
	else
	{
		bool last = !scan->has_length && scan->method[0] == 'P';

		message_end(scan);
		/*
		 * POST, PUT or PATCH without a length has no body by the standard, but what follows may
		 * be meant, or be taken elsewhere, as one.
		 */
		if (last)
			scan->state = DOOR_END;
	}
	return true;
}

static bool
on_head_lf(struct door_scan *scan, unsigned char c)
{
	if (c != '\n')
		return malformed(scan, "A bare CR stands in the request head.");
	if (!scan->trailer)
		return head_end(scan);
	message_end(scan);
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
		return malformed(scan, "A chunk size is not a hexadecimal number.");
	if (++scan->position > 16)
		return malformed(scan, "A chunk size has too many digits.");
	scan->chunk = scan->chunk * 16 + digit;
	if (scan->chunk > scan->limits->body - scan->body)
		return refuse(scan, 413, "too_large", "The request body is too large.");
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
	if (!is_text(c))
		return malformed(scan, "A chunk extension holds a control character.");
	if (++scan->extensions > DOOR_EXTENSIONS)
		return refuse(scan, 413, "too_large", "The chunk extensions are too long.");
	return true;
}

static bool
on_size_lf(struct door_scan *scan, unsigned char c)
{
	if (c != '\n')
		return malformed(scan, "A bare CR stands in a chunk header.");
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
		return malformed(scan, "A chunk is longer than its size.");
	scan->state = DOOR_DATA_LF;
	return true;
}

static bool
on_data_lf(struct door_scan *scan, unsigned char c)
{
	if (c != '\n')
		return malformed(scan, "A chunk is longer than its size.");
	scan->state = DOOR_SIZE_FIRST;
	return true;
}

static bool
on_upgrade(struct door_scan *scan, unsigned char c)
{
	(void) c;
	return malformed(scan, "Bytes follow a websocket handshake before its answer.");
}

static bool
on_end(struct door_scan *scan, unsigned char c)
{
	(void) c;
	return malformed(scan, "Bytes follow a request that has no Content-Length.");
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

/* Skips body bytes; returns how many. */
static size_t
skip(struct door_scan *scan, size_t len)
{
	size_t n = len < scan->left ? len : (size_t) scan->left;

	scan->left -= n;
	scan->body += n;
	scan->message += n;
	if (scan->left == 0)
	{
		if (scan->state == DOOR_DATA)
			scan->state = DOOR_DATA_CR;
		else
			message_end(scan);
	}
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
			return refuse(scan, 431, "head_too_large", "The trailers are too long.");
		return true;
	}
	if (++scan->head > scan->limits->head)
		return refuse(scan, 431, "head_too_large", "The request head is too large.");
	return true;
}

size_t
door_scan(struct door_scan *scan, const char *base, size_t len)
{
	size_t at = 0;

	while (at < len && scan->fault.status == 0)
	{
		if (scan->state == DOOR_DATA || scan->state == DOOR_BODY)
		{
			at += skip(scan, len - at);
			continue;
		}
		scan->message++;
		if (within_limits(scan))
			steps[scan->state](scan, base[at]);
		at++;
	}
	return at;
}

bool
door_scan_in_body(const struct door_scan *scan)
{
	return scan->trailer || (scan->state >= DOOR_SIZE_FIRST && scan->state <= DOOR_BODY);
}
