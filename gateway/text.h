/* Growing text, JSON and URL escaping, and the small checks of text that several modules need. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text
{
	char *base; /* always ends with a NUL once something was added */
	size_t len, capacity;
};

void text_free(struct text *text);
void text_add(struct text *text, const char *base, size_t len);
void text_puts(struct text *text, const char *string);
void text_printf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void text_json(struct text *text, const char *base, size_t len);

/*
 * Percent-decodes into out (room for len bytes). False on a malformed escape, a NUL or bytes that
 * are not UTF-8. plus: '+' means a space (query strings).
 */
bool text_url_decode(const char *base, size_t len, bool plus, char *out, size_t *out_len);

bool text_is_utf8(const char *base, size_t len);
bool text_is_uuid(const char *base, size_t len);
bool text_is_date(const char *base, size_t len);
/* RFC 3339 with zone; a space or 't' between date and time is not accepted. */
bool text_is_date_time(const char *base, size_t len);
bool text_is_email(const char *base, size_t len);
/* An absolute URI: scheme, ':' and no blanks or control characters. */
bool text_is_uri(const char *base, size_t len);

/* Decimal integer, whole text, within int64. */
bool text_integer(const char *base, size_t len, int64_t *out);
/* An amount: at most 15 digits before the point and 6 behind it. */
bool text_is_decimal(const char *base, size_t len);
/* A JSON number, whole text. */
bool text_is_number(const char *base, size_t len);

/* FNV-1a, 64 bits: for tables in memory, not against attackers. */
uint64_t text_hash(const char *base, size_t len);
/* Random UUID version 7 with its NUL. */
void text_uuid(char out[37]);
/* Lower case hexadecimal with its NUL; out has 2 * len + 1 bytes. */
void text_hex(const uint8_t *bytes, size_t len, char *out);
/* The reverse; false when it is not hexadecimal of that length. */
bool text_unhex(const char *base, size_t len, uint8_t *out);

/* Microseconds since the epoch, and on the clock that never jumps. */
uint64_t text_now_us(void);
uint64_t text_clock_us(void);
/* 2026-11-24T22:49:00.123Z */
void text_timestamp(uint64_t us, char out[32]);
