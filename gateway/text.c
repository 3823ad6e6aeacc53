#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "text.h"

static void
reserve(struct text *text, size_t more)
{
	size_t need = text->len + more + 1;

	if (need <= text->capacity)
		return;
	text->capacity = need < 256 ? 256 : need * 2;
	text->base = realloc(text->base, text->capacity);
	if (!text->base)
		abort();
}

void
text_free(struct text *text)
{
	free(text->base);
	memset(text, 0, sizeof *text);
}

void
text_add(struct text *text, const char *base, size_t len)
{
	reserve(text, len);
	if (len > 0)
		memcpy(text->base + text->len, base, len);
	text->len += len;
	text->base[text->len] = '\0';
}

void
text_puts(struct text *text, const char *string)
{
	text_add(text, string, strlen(string));
}

void
text_printf(struct text *text, const char *format, ...)
{
	va_list arguments;
	int len;

	va_start(arguments, format);
	len = vsnprintf(NULL, 0, format, arguments);
	va_end(arguments);
	if (len < 0)
		return;
	reserve(text, (size_t) len);
	va_start(arguments, format);
	vsnprintf(text->base + text->len, (size_t) len + 1, format, arguments);
	va_end(arguments);
	text->len += (size_t) len;
}

/* Length of the well-formed UTF-8 sequence at base, 0 when there is none. */
static size_t
utf8_sequence(const unsigned char *base, size_t len)
{
	unsigned char first = base[0];
	unsigned char low = 0x80;
	unsigned char high = 0xbf;
	size_t size;

	if (first < 0x80)
		return 1;
	if (first >= 0xc2 && first <= 0xdf)
		size = 2;
	else if (first >= 0xe0 && first <= 0xef)
		size = 3;
	else if (first >= 0xf0 && first <= 0xf4)
		size = 4;
	else
		return 0;
	if (len < size)
		return 0;
	if (first == 0xe0)
		low = 0xa0;
	else if (first == 0xed)
		high = 0x9f;
	else if (first == 0xf0)
		low = 0x90;
	else if (first == 0xf4)
		high = 0x8f;
	if (base[1] < low || base[1] > high)
		return 0;
	for (size_t i = 2; i < size; i++)
		if ((base[i] & 0xc0) != 0x80)
			return 0;
	return size;
}

bool
text_is_utf8(const char *base, size_t len)
{
	size_t i = 0;

	while (i < len)
	{
		size_t size = utf8_sequence((const unsigned char *) base + i, len - i);

		if (size == 0)
			return false;
		i += size;
	}
	return true;
}

void
text_json(struct text *text, const char *base, size_t len)
{
	size_t i = 0;

	text_add(text, "\"", 1);
	while (i < len)
	{
		unsigned char c = (unsigned char) base[i];
		size_t size;

		if (c == '"' || c == '\\')
			text_printf(text, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			text_printf(text, "\\u%04x", c);
		else if (c < 0x80)
			text_add(text, base + i, 1);
		else
		{
			size = utf8_sequence((const unsigned char *) base + i, len - i);
			if (size == 0)
				text_add(text, "\xef\xbf\xbd", 3);
			else
				text_add(text, base + i, size);
			i += size == 0 ? 1 : size;
			continue;
		}
		i++;
	}
	text_add(text, "\"", 1);
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool
text_url_decode(const char *base, size_t len, bool plus, char *out, size_t *out_len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
	{
		char c = base[i];

		if (c == '%')
		{
			int high = i + 1 < len ? hex_digit(base[i + 1]) : -1;
			int low = i + 2 < len ? hex_digit(base[i + 2]) : -1;

			if (high < 0 || low < 0)
				return false;
			c = (char) (high * 16 + low);
			i += 2;
		}
		else if (c == '+' && plus)
			c = ' ';
		if (c == '\0')
			return false;
		out[n++] = c;
	}
	*out_len = n;
	return text_is_utf8(out, n);
}

bool
text_is_uuid(const char *base, size_t len)
{
	if (len != 36)
		return false;
	for (size_t i = 0; i < len; i++)
	{
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? base[i] != '-' : hex_digit(base[i]) < 0)
			return false;
	}
	return true;
}

/* Value of exactly n digits, -1 when they are not. */
static int
digits(const char *base, size_t n)
{
	int value = 0;

	for (size_t i = 0; i < n; i++)
	{
		if (base[i] < '0' || base[i] > '9')
			return -1;
		value = value * 10 + base[i] - '0';
	}
	return value;
}

bool
text_is_date(const char *base, size_t len)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	int year, month, day, last;

	if (len != 10 || base[4] != '-' || base[7] != '-')
		return false;
	year = digits(base, 4);
	month = digits(base + 5, 2);
	day = digits(base + 8, 2);
	if (year < 1 || month < 1 || month > 12 || day < 1)
		return false;
	last = days[month - 1];
	if (month == 2 && (year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)))
		last = 29;
	return day <= last;
}

bool
text_is_date_time(const char *base, size_t len)
{
	size_t i = 19;

	if (len < 20 || !text_is_date(base, 10) || base[10] != 'T' || base[13] != ':' ||
		base[16] != ':')
		return false;
	if (digits(base + 11, 2) < 0 || digits(base + 11, 2) > 23 || digits(base + 14, 2) < 0 ||
		digits(base + 14, 2) > 59 || digits(base + 17, 2) < 0 || digits(base + 17, 2) > 60)
		return false;
	if (base[i] == '.')
	{
		size_t start = ++i;

		while (i < len && base[i] >= '0' && base[i] <= '9')
			i++;
		if (i == start || i - start > 9)
			return false;
	}
	if (i + 1 == len && (base[i] == 'Z' || base[i] == 'z'))
		return true;
	return i + 6 == len && (base[i] == '+' || base[i] == '-') && base[i + 3] == ':' &&
		   digits(base + i + 1, 2) >= 0 && digits(base + i + 1, 2) <= 15 &&
		   digits(base + i + 4, 2) >= 0 && digits(base + i + 4, 2) <= 59;
}

bool
text_is_email(const char *base, size_t len)
{
	const char *at = len > 0 ? memrchr(base, '@', len) : NULL;
	size_t host;

	if (!at || at == base || len > 254)
		return false;
	host = len - (size_t) (at - base) - 1;
	if (host == 0 || at[1] == '.' || at[1] == '-' || base[len - 1] == '.' || base[len - 1] == '-')
		return false;
	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) base[i];

		if (c <= ' ' || c == 0x7f || strchr("\"(),:;<>[\\]", c))
			return false;
		if (c == '@' && base + i != at)
			return false;
	}
	return !memmem(at, host + 1, "..", 2);
}

bool
text_is_uri(const char *base, size_t len)
{
	const char *colon = len > 0 ? memchr(base, ':', len) : NULL;

	if (!colon || colon == base || !isalpha((unsigned char) base[0]))
		return false;
	for (const char *p = base; p < colon; p++)
		if (!isalnum((unsigned char) *p) && !strchr("+-.", *p))
			return false;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char) base[i] <= ' ' || base[i] == 0x7f || strchr("<>\"\\^`{|}", base[i]))
			return false;
	return (size_t) (colon - base) + 1 < len;
}

bool
text_integer(const char *base, size_t len, int64_t *out)
{
	char copy[24];
	char *end;
	size_t sign = len > 0 && base[0] == '-' ? 1 : 0;

	if (len == sign || len >= sizeof copy || digits(base + sign, 1) < 0)
		return false;
	memcpy(copy, base, len);
	copy[len] = '\0';
	errno = 0;
	*out = strtoll(copy, &end, 10);
	return errno == 0 && end == copy + len;
}

bool
text_is_decimal(const char *base, size_t len)
{
	size_t i = len > 0 && base[0] == '-', start = i;

	while (i < len && base[i] >= '0' && base[i] <= '9')
		i++;
	if (i == start || i - start > 15)
		return false;
	if (i == len)
		return true;
	if (base[i] != '.')
		return false;
	start = ++i;
	while (i < len && base[i] >= '0' && base[i] <= '9')
		i++;
	return i == len && i > start && i - start <= 6;
}

bool
text_is_number(const char *base, size_t len)
{
	size_t i = len > 0 && base[0] == '-' ? 1 : 0;
	size_t start = i;

	while (i < len && digits(base + i, 1) >= 0)
		i++;
	if (i == start || (base[start] == '0' && i > start + 1))
		return false;
	if (i < len && base[i] == '.')
	{
		start = ++i;
		while (i < len && digits(base + i, 1) >= 0)
			i++;
		if (i == start)
			return false;
	}
	if (i < len && (base[i] == 'e' || base[i] == 'E'))
	{
		i++;
		if (i < len && (base[i] == '+' || base[i] == '-'))
			i++;
		start = i;
		while (i < len && digits(base + i, 1) >= 0)
			i++;
		if (i == start)
			return false;
	}
	return i == len;
}

void
text_uuid(char out[37])
{
	/* one system call for many */
	static __thread uint8_t random[256];
	static __thread size_t used = sizeof random;
	uint8_t b[16];
	uint64_t ms = text_now_us() / 1000;
	size_t n = 0;

	if (used == sizeof random)
	{
		if (getrandom(random, sizeof random, 0) != (ssize_t) sizeof random)
			abort();
		used = 0;
	}
	memcpy(b, random + used, sizeof b);
	used += sizeof b;
	for (int i = 0; i < 6; i++)
		b[i] = (uint8_t) (ms >> (40 - 8 * i));
	b[6] = (uint8_t) ((b[6] & 0x0f) | 0x70);
	b[8] = (uint8_t) ((b[8] & 0x3f) | 0x80);
	for (int i = 0; i < 16; i++)
	{
		if (i == 4 || i == 6 || i == 8 || i == 10)
			out[n++] = '-';
		out[n++] = "0123456789abcdef"[b[i] >> 4];
		out[n++] = "0123456789abcdef"[b[i] & 15];
	}
	out[n] = '\0';
}

uint64_t
text_hash(const char *base, size_t len)
{
	uint64_t h = 1469598103934665603u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char) base[i]) * 1099511628211u;
	return h;
}

void
text_hex(const uint8_t *bytes, size_t len, char *out)
{
	for (size_t i = 0; i < len; i++)
	{
		out[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
		out[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
	}
	out[2 * len] = '\0';
}

bool
text_unhex(const char *base, size_t len, uint8_t *out)
{
	for (size_t i = 0; i + 1 < len; i += 2)
	{
		int high = hex_digit(base[i]);
		int low = hex_digit(base[i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i / 2] = (uint8_t) (high * 16 + low);
	}
	return len % 2 == 0;
}

static uint64_t
clock_us(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t) now.tv_sec * 1000000 + (uint64_t) now.tv_nsec / 1000;
}

uint64_t
text_now_us(void)
{
	return clock_us(CLOCK_REALTIME);
}

uint64_t
text_clock_us(void)
{
	return clock_us(CLOCK_MONOTONIC);
}

void
text_timestamp(uint64_t us, char out[32])
{
	time_t seconds = (time_t) (us / 1000000);
	struct tm parts;
	size_t n;

	gmtime_r(&seconds, &parts);
	n = strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &parts);
	snprintf(out + n, 32 - n, ".%03dZ", (int) (us / 1000 % 1000));
}
