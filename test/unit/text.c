/* Text: escaping, decoding and the formats of values. */
#include <stdio.h>
#include <string.h>

#include "text.h"

static int tests, failures;

static void
check(bool ok, const char *name)
{
	if (ok)
		return;
	printf("# %s\n", name);
	failures++;
}

static void
json_strings(void)
{
	static const struct
	{
		const char *base;
		size_t len;
		const char *wanted;
	} cases[] = {
		{ "", 0, "\"\"" },
		{ "a\"b\\c", 5, "\"a\\\"b\\\\c\"" },
		{ "\n\x01\x7f", 3, "\"\\u000a\\u0001\\u007f\"" },
		{ "\xc3\xa9\xf0\x9f\x98\x80", 6, "\"\xc3\xa9\xf0\x9f\x98\x80\"" },
		{ "x\xc3", 2, "\"x\xef\xbf\xbd\"" },
		{ "\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
		{ "a\0b", 3, "\"a\\u0000b\"" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
	{
		struct text text = { 0 };

		text_json(&text, cases[i].base, cases[i].len);
		check(strcmp(text.base, cases[i].wanted) == 0, cases[i].wanted);
		text_free(&text);
	}
}

static void
url_decoding(void)
{
	static const struct
	{
		const char *encoded;
		bool plus;
		const char *wanted; /* NULL: malformed */
	} cases[] = {
		{ "abc", false, "abc" }, { "a%20b", false, "a b" },		  { "a+b", false, "a+b" },
		{ "a+b", true, "a b" },	 { "%c3%A9", false, "\xc3\xa9" }, { "%", false, NULL },
		{ "%4", false, NULL },	 { "%zz", false, NULL },		  { "%00", false, NULL },
		{ "%ff", false, NULL },	 { "%c0%ae", false, NULL },		  { "%ed%a0%80", false, NULL },
		{ "", false, "" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
	{
		char out[32];
		size_t len;
		bool ok =
			text_url_decode(cases[i].encoded, strlen(cases[i].encoded), cases[i].plus, out, &len);

		check(ok == (cases[i].wanted != NULL), cases[i].encoded);
		if (ok && cases[i].wanted)
			check(len == strlen(cases[i].wanted) && memcmp(out, cases[i].wanted, len) == 0,
				  cases[i].encoded);
	}
}

static void
every(bool (*test)(const char *, size_t), bool wanted, const char *const *values)
{
	for (; *values; values++)
		check(test(*values, strlen(*values)) == wanted, *values);
}

static void
formats(void)
{
	every(text_is_uuid,
		  true,
		  (const char *[]){ "0195a1b2-0000-7000-8000-000000000001",
							"0195A1B2-0000-7000-8000-00000000000F",
							NULL });
	every(text_is_uuid,
		  false,
		  (const char *[]){ "",
							"0195a1b2000070008000000000000001",
							"{195a1b2-0000-7000-8000-00000000000}",
							"0195a1b2-0000-7000-8000-00000000000g",
							NULL });
	every(text_is_date, true, (const char *[]){ "2024-02-29", "2000-02-29", "1999-12-31", NULL });
	every(text_is_date,
		  false,
		  (const char *[]){ "2023-02-29",
							"1900-02-29",
							"2024-13-01",
							"2024-04-31",
							"2024-1-1",
							"20240101",
							"0000-01-01",
							NULL });
	every(text_is_date_time,
		  true,
		  (const char *[]){ "2024-02-29T23:59:60Z",
							"2024-01-01T00:00:00.123456+02:00",
							"2024-01-01T00:00:00-11:30",
							NULL });
	every(text_is_date_time,
		  false,
		  (const char *[]){ "2024-01-01",
							"2024-01-01T00:00:00",
							"2024-01-01 00:00:00Z",
							"2024-01-01T24:00:00Z",
							"2024-01-01T00:00:00.Z",
							"2024-01-01T00:00:00+0200",
							NULL });
	every(text_is_email,
		  true,
		  (const char *[]){ "a@b", "jo.lee+x@example.com", "\xc3\xa9@example.com", NULL });
	every(text_is_email,
		  false,
		  (const char *[]){
			  "", "@b", "a@", "a b@c", "a@b@c", "a@.b", "a@b..c", "a@b.", "<a@b>", "a@-b", NULL });
	every(text_is_uri, true, (const char *[]){ "https://example.com/a?b#c", "mailto:a@b", NULL });
	every(text_is_uri,
		  false,
		  (const char *[]){
			  "", "example.com", "http:", "1http://x", "http://a b", "http://a\"b", NULL });
}

static void
numbers(void)
{
	int64_t out;

	check(text_integer("9223372036854775807", 19, &out) && out == INT64_MAX, "largest");
	check(text_integer("-9223372036854775808", 20, &out) && out == INT64_MIN, "smallest");
	check(!text_integer("9223372036854775808", 19, &out), "too large");
	check(!text_integer("", 0, &out) && !text_integer("-", 1, &out) && !text_integer("+1", 2, &out),
		  "no digits");
	check(!text_integer(" 1", 2, &out) && !text_integer("1x", 2, &out) &&
			  !text_integer("0x1", 3, &out),
		  "not whole");
	every(text_is_number, true, (const char *[]){ "0", "-0", "1.5", "1e9", "-1.25E-3", NULL });
	every(text_is_number,
		  false,
		  (const char *[]){ "", "-", "01", ".5", "1.", "1e", "nan", "inf", "1 ", "0x1", NULL });
}

static void
identifiers(void)
{
	char a[37], b[37];
	uint8_t bytes[4];
	char hex[9];

	text_uuid(a);
	text_uuid(b);
	check(text_is_uuid(a, 36) && a[14] == '7' && strchr("89ab", a[19]), a);
	check(strcmp(a, b) != 0 && strncmp(a, b, 8) == 0, "two ids of one moment");
	check(text_unhex("00ffA5c3", 8, bytes) && bytes[1] == 0xff && bytes[2] == 0xa5, "unhex");
	check(!text_unhex("0", 1, bytes) && !text_unhex("0g", 2, bytes), "not hex");
	text_hex((const uint8_t *) "\x00\xff\xa5\xc3", 4, hex);
	check(strcmp(hex, "00ffa5c3") == 0, hex);
}

static void
story(const char *name, void (*tell)(void))
{
	int before = failures;

	tell();
	printf("%s %d - %s\n", failures == before ? "ok" : "not ok", ++tests, name);
}

int
main(void)
{
	story("any bytes become a JSON string", json_strings);
	story("percent-encoding is decoded strictly", url_decoding);
	story("formats accept what they should and nothing else", formats);
	story("numbers are whole or refused", numbers);
	story("ids and hexadecimal", identifiers);
	printf("1..%d\n", tests);
	return failures ? 1 : 0;
}
