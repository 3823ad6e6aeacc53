#include <string.h>
#include <strings.h>

#include "door_head.h"

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

static char
lower(unsigned char c)
{
	return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

bool
door_refuse(struct door_scan *scan, int status, const char *code, const char *detail)
{
	scan->fault = (struct door_fault){ status, code, detail };
	return false;
}

bool
door_malformed(struct door_scan *scan, const char *detail)
{
	return door_refuse(scan, 400, "bad_request", detail);
}

void
door_message_end(struct door_scan *scan)
{
	const struct door_limits *limits = scan->limits;
	uint64_t messages = scan->messages;
	bool sink = scan->sink != NULL;

	memset(scan, 0, sizeof *scan);
	scan->limits = limits;
	scan->messages = messages + 1;
	scan->pause = sink ? DOOR_OVER : DOOR_GO;
}

/* Host or the authority of an absolute target: a name, an IPv4 or a bracketed IPv6, and a port. */
bool
door_authority_valid(const char *base)
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
name_is(const struct door_scan *scan, const char *name)
{
	return scan->name_len == strlen(name) && memcmp(scan->name, name, scan->name_len) == 0;
}

bool
door_name_matters(const struct door_scan *scan)
{
	return name_is(scan, "host") || name_is(scan, "content-length") ||
		   name_is(scan, "transfer-encoding") || name_is(scan, "upgrade") ||
		   name_is(scan, "connection") || name_is(scan, "expect");
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
		return door_malformed(scan, "The request has several Host headers.");
	if (scan->value_len >= sizeof scan->host)
		return door_malformed(scan, "The Host header is too long.");
	for (size_t i = 0; i < scan->value_len; i++)
		scan->host[i] = lower(scan->value[i]);
	scan->host[scan->value_len] = 0;
	if (!door_authority_valid(scan->host))
		return door_malformed(scan, "The Host header is not valid.");
	return true;
}

static bool
field_length(struct door_scan *scan)
{
	if (scan->has_length)
		return door_malformed(scan, "The request has several Content-Length headers.");
	scan->has_length = true;
	if (scan->value_len == 0)
		return door_malformed(scan, "Content-Length is not a number.");
	for (size_t i = 0; i < scan->value_len; i++)
	{
		if (!is_digit(scan->value[i]))
			return door_malformed(scan, "Content-Length is not a number.");
	}
	if (scan->value_len > 19)
		return door_malformed(scan, "Content-Length has too many digits.");
	for (size_t i = 0; i < scan->value_len; i++)
		scan->length = scan->length * 10 + (scan->value[i] - '0');
	return true;
}

static bool
field_encoding(struct door_scan *scan)
{
	if (scan->chunked || !value_is(scan, "chunked"))
		return door_malformed(scan, "Transfer-Encoding is not exactly chunked.");
	scan->chunked = true;
	return true;
}

/* A header line is complete. */
bool
door_field_end(struct door_scan *scan)
{
	if (!scan->matters)
		return true;
	if (scan->trailer)
		return door_malformed(scan, "A trailer names a header that belongs to the head.");
	if (scan->value_len > sizeof scan->value)
		return door_malformed(scan, "A header of the connection is too long.");
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
	if (name_is(scan, "expect"))
	{
		scan->expect_continue = !scan->expect && value_is(scan, "100-continue");
		scan->expect = true;
	}
	return true;
}

bool
door_body_begin(struct door_scan *scan)
{
	if (scan->length > scan->most)
		return door_refuse(scan, 413, "too_large", "The request body is too large.");
	scan->state = scan->chunked ? DOOR_SIZE_FIRST : DOOR_BODY;
	scan->left = scan->length;
	scan->headers = 0;
	return true;
}

void
door_head_blind(char *base, size_t len)
{
	static const char *const names[][2] = {
		{ "content-length:", "x-spooled-size:" },
		{ "transfer-encoding:", "x-spooled-chunked:" },
	};
	char *end = base + len;

	for (char *line = base; line; line = memchr(line, '\n', (size_t) (end - line)))
	{
		if (*line == '\n')
			line++;
		for (size_t i = 0; i < 2; i++)
		{
			size_t n = strlen(names[i][0]);

			if ((size_t) (end - line) >= n && strncasecmp(line, names[i][0], n) == 0)
				memcpy(line, names[i][1], n);
		}
	}
}

/* The head is complete: what follows? */
bool
door_head_end(struct door_scan *scan)
{
	if (scan->hosts == 0 && !scan->http10)
		return door_malformed(scan, "The request has no Host header.");
	if (scan->authority[0] && strcmp(scan->authority, scan->host) != 0)
		return door_malformed(scan, "The Host header is not the host of the request target.");
	if (scan->has_length && scan->chunked)
		return door_malformed(scan, "The request has Content-Length and Transfer-Encoding.");
	if (scan->chunked && scan->http10)
		return door_malformed(scan, "HTTP/1.0 has no Transfer-Encoding.");
	scan->most = scan->limits->body;
	if (scan->upgrade && scan->connection_upgrade)
	{
		if (scan->chunked || scan->length > 0)
			return door_malformed(scan, "A websocket handshake has no body.");
		scan->state = DOOR_UPGRADE;
		return true;
	}
	if (scan->chunked || scan->length > 0)
	{
		scan->pause = scan->limits->ask ? DOOR_ASK : DOOR_GO;
		return scan->pause == DOOR_ASK || door_body_begin(scan);
	}
	else
	{
		bool last = !scan->has_length && scan->method[0] == 'P';

		door_message_end(scan);
		/*
		 * POST, PUT or PATCH without a length has no body by the standard, but what follows may
		 * be meant, or be taken elsewhere, as one.
		 */
		if (last)
			scan->state = DOOR_END;
	}
	return true;
}
