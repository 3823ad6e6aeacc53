#include <string.h>
#include <strings.h>

#include "multipart.h"
#include "text.h"

/* --- the media type --- */

/* Parameters of a header value; both ends move as they are read. */
struct parameters
{
	const char *at, *end;
};

static void
skip_blanks(struct parameters *p)
{
	while (p->at < p->end && (*p->at == ' ' || *p->at == '\t'))
		p->at++;
}

static bool
is_token(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
		   (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

/* What is_token holds for, into out with a NUL; false: longer than that has room for. */
static bool
take_token(struct parameters *p, char *out, size_t size)
{
	size_t n = 0;

	while (p->at < p->end && is_token(*p->at) && n + 1 < size)
		out[n++] = *p->at++;
	out[n] = '\0';
	return p->at == p->end || !is_token(*p->at);
}

/* The same behind an opening quote, up to and with the closing one; false also without that. */
static bool
take_quoted(struct parameters *p, char *out, size_t size)
{
	size_t n = 0;

	while (p->at < p->end && *p->at != '"')
	{
		/* browsers write a quote as %22 and a backslash as itself; others escape both */
		if (*p->at == '\\' && p->end - p->at > 1 && (p->at[1] == '"' || p->at[1] == '\\'))
			p->at++;
		if (n + 1 == size)
			return false;
		out[n++] = *p->at++;
	}
	out[n] = '\0';
	return p->at < p->end && *p->at++ == '"';
}

/*
 * The next ; name=value: the name as a token, the value unquoted into value (room for size, with
 * NUL). 1: there is one, 0: no more, -1: malformed or too long.
 */
static int
next_parameter(struct parameters *p, char *name, size_t name_size, char *value, size_t size)
{
	skip_blanks(p);
	if (p->at == p->end)
		return 0;
	if (*p->at++ != ';')
		return -1;
	skip_blanks(p);
	if (p->at == p->end)
		return 0;
	if (!take_token(p, name, name_size) || name[0] == '\0' || p->at == p->end || *p->at++ != '=')
		return -1;
	if (p->at < p->end && *p->at == '"')
	{
		p->at++;
		return take_quoted(p, value, size) ? 1 : -1;
	}
	return take_token(p, value, size) ? 1 : -1;
}

static size_t
type_length(const char *base, size_t len)
{
	size_t n = 0;

	while (n < len && base[n] != ';' && base[n] != ' ' && base[n] != '\t')
		n++;
	return n;
}

static bool
equals(const char *base, size_t len, const char *word)
{
	return len == strlen(word) && strncasecmp(base, word, len) == 0;
}

bool
multipart_type(const char *base, size_t len)
{
	return equals(base, type_length(base, len), "multipart/form-data");
}

static bool
is_boundary(const char *boundary)
{
	size_t len = strlen(boundary);

	for (size_t i = 0; i < len; i++)
	{
		char c = boundary[i];

		if (!(c >= '0' && c <= '9') && !(c >= 'A' && c <= 'Z') && !(c >= 'a' && c <= 'z') &&
			!strchr("'()+_,-./:=? ", c))
			return false;
	}
	return len > 0 && boundary[len - 1] != ' ';
}

bool
multipart_boundary(const char *base, size_t len, char out[MULTIPART_BOUNDARY + 1])
{
	struct parameters p = { base + type_length(base, len), base + len };
	char name[32], value[MULTIPART_BOUNDARY + 1];
	bool found = false;
	int more;

	while ((more = next_parameter(&p, name, sizeof name, value, sizeof value)) == 1)
	{
		if (strcasecmp(name, "boundary") != 0)
			continue;
		if (found || !is_boundary(value))
			return false;
		found = true;
		memcpy(out, value, sizeof value);
	}
	return found && more == 0;
}

/* UTF-8''a%20b, as RFC 8187 writes what is not ASCII. */
static bool
extended_value(const char *value, char *out, size_t size)
{
	size_t len = strlen(value);
	const char *quote = strchr(value, '\'');
	size_t n;

	quote = quote ? strchr(quote + 1, '\'') : NULL;
	if (strncasecmp(value, "utf-8'", 6) != 0 || !quote || len >= size)
		return false;
	if (!text_url_decode(quote + 1, strlen(quote + 1), false, out, &n))
		return false;
	out[n] = '\0';
	return true;
}

bool
multipart_filename(const char *base, size_t len, char *out, size_t size)
{
	struct parameters p = { base + type_length(base, len), base + len };
	char name[32], value[1024];
	bool found = false;

	while (next_parameter(&p, name, sizeof name, value, sizeof value) == 1)
	{
		if (strcasecmp(name, "filename*") == 0 && extended_value(value, out, size))
			return true;
		if (strcasecmp(name, "filename") != 0 || strlen(value) >= size ||
			!text_is_utf8(value, strlen(value)))
			continue;
		found = true;
		memcpy(out, value, strlen(value) + 1);
	}
	return found;
}

/* --- the headers of a part --- */

static bool
refuse(struct multipart *multipart, const char *fault)
{
	multipart->fault = fault;
	return false;
}

struct headers
{
	bool disposition, has_name, has_filename, has_type;
	char name[256], filename[1024], type[256];
};

static const char *
read_disposition(struct headers *headers, const char *value, const char *end)
{
	struct parameters p = { value + type_length(value, (size_t) (end - value)), end };
	char name[32], text[sizeof headers->filename];
	int more;

	if (headers->disposition || !equals(value, (size_t) (p.at - value), "form-data"))
		return "A part's Content-Disposition is not form-data.";
	headers->disposition = true;
	while ((more = next_parameter(&p, name, sizeof name, text, sizeof text)) == 1)
	{
		bool is_name = strcasecmp(name, "name") == 0;
		bool *has = is_name ? &headers->has_name : &headers->has_filename;

		if (!is_name && strcasecmp(name, "filename") != 0)
			continue;
		if (*has || (is_name && strlen(text) >= sizeof headers->name))
			return "A part's Content-Disposition is malformed.";
		*has = true;
		memcpy(is_name ? headers->name : headers->filename, text, strlen(text) + 1);
	}
	if (more < 0 || !headers->has_name)
		return "A part's Content-Disposition is malformed.";
	return NULL;
}

/* One line; NULL or the fault. */
static const char *
read_header(struct headers *headers, const char *line, const char *end)
{
	const char *colon = memchr(line, ':', (size_t) (end - line));
	const char *value;
	size_t name_len, value_len;

	if (!colon || !is_token(line[0]))
		return "A part has a malformed header.";
	name_len = (size_t) (colon - line);
	value = colon + 1;
	while (value < end && (*value == ' ' || *value == '\t'))
		value++;
	value_len = (size_t) (end - value);
	for (const char *c = value; c < end; c++)
		if (((unsigned char) *c < ' ' && *c != '\t') || *c == 0x7f)
			return "A part has a malformed header.";
	if (equals(line, name_len, "content-disposition"))
		return read_disposition(headers, value, end);
	if (equals(line, name_len, "content-transfer-encoding") &&
		!equals(value, value_len, "binary") && !equals(value, value_len, "8bit") &&
		!equals(value, value_len, "7bit"))
		return "A part is encoded: send it as it is.";
	if (equals(line, name_len, "content-type"))
	{
		if (headers->has_type || value_len >= sizeof headers->type)
			return "A part has a malformed header.";
		headers->has_type = true;
		memcpy(headers->type, value, value_len);
	}
	return NULL;
}

/* The headers are complete: each line in head ends with CRLF. */
static bool
begin_part(struct multipart *multipart)
{
	struct headers headers = { 0 };
	struct multipart_part part = { .name = headers.name };
	char *end = multipart->head + multipart->head_len;

	for (char *line = multipart->head; line < end;)
	{
		char *stop = memchr(line, '\r', (size_t) (end - line));
		const char *fault = read_header(&headers, line, stop);

		if (fault)
			return refuse(multipart, fault);
		line = stop + 2;
	}
	if (!headers.disposition)
		return refuse(multipart, "A part has no Content-Disposition.");
	if (!text_is_utf8(headers.name, strlen(headers.name)) ||
		!text_is_utf8(headers.filename, strlen(headers.filename)))
		return refuse(multipart, "A part's name is not UTF-8.");
	if (++multipart->parts > MULTIPART_PARTS)
		return refuse(multipart, "There are too many parts.");
	if (headers.has_filename)
		part.filename = headers.filename;
	if (headers.has_type)
		part.type = headers.type;
	multipart->state = MULTIPART_DATA;
	multipart->matched = 0;
	return multipart->events->begin(multipart->data, &part);
}

/* --- the whole --- */

void
multipart_init(struct multipart *multipart, const char *boundary,
			   const struct multipart_events *events, void *data)
{
	size_t len = strlen(boundary);

	memset(multipart, 0, sizeof *multipart);
	multipart->events = events;
	multipart->data = data;
	memcpy(multipart->delimiter, "\r\n--", 4);
	memcpy(multipart->delimiter + 4, boundary, len);
	multipart->delimiter_len = 4 + len;
	multipart->matched = 2; /* the first one needs no line before it */
}

static bool
give(struct multipart *multipart, const char *base, size_t len)
{
	return len == 0 || multipart->state == MULTIPART_PREAMBLE ||
		   multipart->events->bytes(multipart->data, base, len);
}

/*
 * Bytes of a part, or before the first one, up to the next delimiter. CR stands nowhere in it but
 * at its start, so whatever did not go on like it is data. Returns how many were taken, 0: stopped.
 */
static size_t
take_data(struct multipart *multipart, const char *base, size_t len)
{
	const char *cr;
	size_t plain;

	if (multipart->matched > 0)
	{
		size_t matched = multipart->matched;

		if (*base == multipart->delimiter[matched])
		{
			if (++multipart->matched < multipart->delimiter_len)
				return 1;
			if (multipart->state == MULTIPART_DATA && !multipart->events->end(multipart->data))
				return 0;
			multipart->state = MULTIPART_DELIMITER;
			return 1;
		}
		multipart->matched = 0;
		if (!give(multipart, multipart->delimiter, matched))
			return 0;
	}
	cr = memchr(base, '\r', len);
	plain = cr ? (size_t) (cr - base) : len;
	if (!give(multipart, base, plain))
		return 0;
	multipart->matched = cr ? 1 : 0;
	return cr ? plain + 1 : plain;
}

/* A byte of the headers; they end with an empty line. */
static bool
take_head(struct multipart *multipart, char c)
{
	char *head = multipart->head;
	size_t len = multipart->head_len;

	if (len == MULTIPART_HEAD || (c == '\n') != (len > 0 && head[len - 1] == '\r'))
		return refuse(multipart,
					  len == MULTIPART_HEAD ? "A part's headers are too long." :
											  "A part has a malformed header.");
	head[len++] = c;
	multipart->head_len = len;
	if (c != '\n' || (len > 2 && head[len - 3] != '\n'))
		return true;
	multipart->head_len -= 2;
	return begin_part(multipart);
}

static bool
step(struct multipart *multipart, char c)
{
	switch (multipart->state)
	{
		case MULTIPART_DELIMITER:
			multipart->state = c == '-'				 ? MULTIPART_LAST :
							   c == ' ' || c == '\t' ? MULTIPART_PADDING :
													   MULTIPART_LF;
			return c == '-' || c == ' ' || c == '\t' || c == '\r' ||
				   refuse(multipart, "A line begins like the boundary and goes on.");
		case MULTIPART_LAST:
			multipart->state = MULTIPART_OVER;
			return c == '-' || refuse(multipart, "A line begins like the boundary and goes on.");
		case MULTIPART_PADDING:
			if (c == '\r')
				multipart->state = MULTIPART_LF;
			return c == '\r' || c == ' ' || c == '\t' ||
				   refuse(multipart, "A line begins like the boundary and goes on.");
		case MULTIPART_LF:
			multipart->state = MULTIPART_HEADERS;
			multipart->head_len = 0;
			return c == '\n' || refuse(multipart, "A bare CR follows the boundary.");
		case MULTIPART_HEADERS:
			return take_head(multipart, c);
		default: /* what follows the last part means nothing */
			return true;
	}
}

bool
multipart_feed(struct multipart *multipart, const char *base, size_t len)
{
	while (len > 0)
	{
		size_t n = 1;

		if (multipart->state == MULTIPART_PREAMBLE || multipart->state == MULTIPART_DATA)
			n = take_data(multipart, base, len);
		else if (!step(multipart, *base))
			return false;
		if (n == 0)
			return false;
		base += n;
		len -= n;
	}
	return true;
}

bool
multipart_finish(struct multipart *multipart)
{
	return multipart->state == MULTIPART_OVER ||
		   refuse(multipart, "The body ends before its last boundary.");
}
