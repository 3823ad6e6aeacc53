/*
 * Forms: every case is read whole, octet by octet and in two parts at every possible place, and
 * what comes out must be the same.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "multipart.h"
#include "text.h"

static int tests, failures;

static void
check(bool ok, const char *what)
{
	if (!ok)
	{
		printf("# %s\n", what);
		failures++;
	}
}

/* What the parts were, as one text: name|filename|type=bytes; */
static bool
on_begin(void *data, const struct multipart_part *part)
{
	text_printf(data,
				"%s|%s|%s=",
				part->name,
				part->filename ? part->filename : "-",
				part->type ? part->type : "-");
	return strcmp(part->name, "stop") != 0;
}

static bool
on_bytes(void *data, const char *base, size_t len)
{
	text_add(data, base, len);
	return true;
}

static bool
on_end(void *data)
{
	text_puts(data, ";");
	return true;
}

static const struct multipart_events events = { on_begin, on_bytes, on_end };

/* The parts, or "! " and the fault; first bytes at once, then the rest in steps. */
static void
read_form(struct text *out, const char *boundary, const char *base, size_t len, size_t first,
		  size_t step)
{
	struct multipart *multipart = malloc(sizeof *multipart);
	bool ok = true;

	if (!multipart)
		abort();
	multipart_init(multipart, boundary, &events, out);
	while (ok && len > 0)
	{
		size_t n = first < len ? first : len;

		ok = multipart_feed(multipart, base, n);
		base += n;
		len -= n;
		first = step;
	}
	ok = ok && multipart_finish(multipart);
	if (!ok)
	{
		out->len = 0;
		text_printf(out, "! %s", multipart->fault ? multipart->fault : "stopped");
	}
	free(multipart);
}

static void
expect(const char *name, const char *base, size_t len, const char *wanted, size_t wanted_len)
{
	for (size_t first = 1; first <= len; first++)
	{
		struct text out = { 0 };

		read_form(&out, "b", base, len, first, first == 1 ? 1 : len);
		if (out.len != wanted_len || memcmp(out.base ? out.base : "", wanted, wanted_len) != 0)
		{
			printf("# %s, split at %zu: %s\n", name, first, out.base ? out.base : "nothing");
			failures++;
			first = len;
		}
		text_free(&out);
	}
}

#define FILE_HEAD                                                                                  \
	"Content-Disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\n"                        \
	"Content-Type: text/csv\r\n\r\n"
#define VALUE(name) "Content-Disposition: form-data; name=" name "\r\n\r\n"
#define CASE(name, bytes, wanted)                                                                  \
	{                                                                                              \
		name, bytes, sizeof(bytes) - 1, wanted, sizeof(wanted) - 1                                 \
	}

static const struct
{
	const char *name, *bytes;
	size_t len;
	const char *wanted;
	size_t wanted_len;
} forms[] = {
	CASE("a file and a value", "--b\r\n" FILE_HEAD "1,2\r\n\r\n--b\r\n" VALUE("x") "y\r\n--b--\r\n",
		 "file|a.csv|text/csv=1,2\r\n;x|-|-=y;"),
	CASE("all octets", "--b\r\n" FILE_HEAD "\0\r\r\n\n\r-\r\n-\r\n--\r\n--B\r\n--\0b\xff\r\n--b--",
		 "file|a.csv|text/csv=\0\r\r\n\n\r-\r\n-\r\n--\r\n--B\r\n--\0b\xff;"),
	CASE("an empty part", "--b\r\n" VALUE("x") "\r\n--b--", "x|-|-=;"),
	CASE("no parts", "--b--\r\n", ""),
	CASE("words before and after",
		 "hello\r\nthere\r\n--b\r\n" VALUE("x") "y\r\n--b--\r\nbye\r\n--b\r\nrubbish", "x|-|-=y;"),
	CASE("blanks behind the boundary", "--b \t\r\n" VALUE("x") "y\r\n--b--", "x|-|-=y;"),
	CASE("header names in any case",
		 "--b\r\ncOnTeNt-DiSpOsItIoN:form-data;NAME=x\r\nX-Other: 1\r\n\r\ny\r\n--b--", "x|-|-=y;"),
	CASE("escapes in a name", "--b\r\n" VALUE("\"a\\\"b\\\\c\\d\"") "y\r\n--b--",
		 "a\"b\\c\\d|-|-=y;"),
	CASE("an empty file name",
		 "--b\r\nContent-Disposition: form-data; name=f; filename=\"\"\r\n\r\n\r\n--b--", "f||-=;"),
	CASE("a value that looks like headers",
		 "--b\r\n" VALUE("x") "Content-Type: a\r\n\r\nz\r\n--b--",
		 "x|-|-=Content-Type: a\r\n\r\nz;"),
	CASE("stopped by its reader", "--b\r\n" VALUE("stop") "y\r\n--b--", "! stopped"),
	CASE("a line that begins like the boundary", "--b\r\n" VALUE("x") "y\r\n--bc\r\n--b--",
		 "! A line begins like the boundary and goes on."),
	CASE("one dash behind it", "--b\r\n" VALUE("x") "y\r\n--b-\r\n",
		 "! A line begins like the boundary and goes on."),
	CASE("words behind it", "--b hello\r\n", "! A line begins like the boundary and goes on."),
	CASE("a bare CR behind it", "--b\rX", "! A bare CR follows the boundary."),
	CASE("LF for CRLF", "--b\n" VALUE("x") "y\r\n--b--",
		 "! A line begins like the boundary and goes on."),
	CASE("cut off in the data", "--b\r\n" VALUE("x") "y",
		 "! The body ends before its last boundary."),
	CASE("cut off in the boundary", "--b\r\n" VALUE("x") "y\r\n--b-",
		 "! The body ends before its last boundary."),
	CASE("another boundary", "--a\r\n" VALUE("x") "y\r\n--a--",
		 "! The body ends before its last boundary."),
	CASE("no headers", "--b\r\n\r\ny\r\n--b--", "! A part has no Content-Disposition."),
	CASE("another disposition", "--b\r\nContent-Disposition: attachment; name=x\r\n\r\ny\r\n--b--",
		 "! A part's Content-Disposition is not form-data."),
	CASE("two dispositions",
		 "--b\r\nContent-Disposition: form-data; name=x\r\n" VALUE("y") "y\r\n--b--",
		 "! A part's Content-Disposition is not form-data."),
	CASE("no name", "--b\r\nContent-Disposition: form-data; filename=x\r\n\r\ny\r\n--b--",
		 "! A part's Content-Disposition is malformed."),
	CASE("two names", "--b\r\n" VALUE("x; name=y") "y\r\n--b--",
		 "! A part's Content-Disposition is malformed."),
	CASE("an open quote", "--b\r\n" VALUE("\"x") "y\r\n--b--",
		 "! A part's Content-Disposition is malformed."),
	CASE("a folded header", "--b\r\nContent-Disposition: form-data;\r\n name=x\r\n\r\ny\r\n--b--",
		 "! A part's Content-Disposition is malformed."),
	CASE("a NUL in a header", "--b\r\n" VALUE("x\0") "y\r\n--b--",
		 "! A part has a malformed header."),
	CASE("a bare LF in a header", "--b\r\nX: y\n" VALUE("x") "y\r\n--b--",
		 "! A part has a malformed header."),
	CASE("a header without a colon", "--b\r\nX\r\n" VALUE("x") "y\r\n--b--",
		 "! A part has a malformed header."),
	CASE("a name that is not UTF-8", "--b\r\n" VALUE("\"\xff\"") "y\r\n--b--",
		 "! A part's name is not UTF-8."),
	CASE("base64", "--b\r\nContent-Transfer-Encoding: base64\r\n" VALUE("x") "eQ==\r\n--b--",
		 "! A part is encoded: send it as it is."),
};

static void
forms_are_read(void)
{
	for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
		expect(forms[i].name, forms[i].bytes, forms[i].len, forms[i].wanted, forms[i].wanted_len);
}

/* A body of before, n times unit, after. */
static void
expect_many(const char *name, const char *before, const char *unit, size_t n, const char *after,
			const char *wanted)
{
	struct text body = { 0 };
	struct text out = { 0 };

	text_puts(&body, before);
	for (size_t i = 0; i < n; i++)
		text_puts(&body, unit);
	text_puts(&body, after);
	read_form(&out, "b", body.base, body.len, body.len, body.len);
	check(strncmp(out.base ? out.base : "", wanted, strlen(wanted)) == 0, name);
	text_free(&out);
	text_free(&body);
}

static void
limits_hold(void)
{
	static const char part[] = "--b\r\n" VALUE("x") "\r\n";

	expect_many("as many parts as allowed", "", part, MULTIPART_PARTS, "--b--", "x|-|-=;");
	expect_many(
		"one part more", "", part, MULTIPART_PARTS + 1, "--b--", "! There are too many parts.");
	expect_many("endless headers",
				"--b\r\n",
				"X: y\r\n",
				MULTIPART_HEAD,
				"",
				"! A part's headers are too long.");
	expect_many("an endless name",
				"--b\r\nContent-Disposition: form-data; name=",
				"x",
				300,
				"\r\n\r\ny\r\n--b--",
				"! A part's Content-Disposition is malformed.");
	expect_many("an endless file name",
				"--b\r\nContent-Disposition: form-data; name=x; filename=",
				"x",
				2000,
				"\r\n\r\ny\r\n--b--",
				"! A part's Content-Disposition is malformed.");
	expect_many(
		"only carriage returns", "--b\r\n" VALUE("x"), "\r", 5000, "\r\n--b--", "x|-|-=\r\r");
	expect_many("nearly the boundary, often",
				"--b\r\n" VALUE("x"),
				"\r\n--",
				5000,
				"\r\n--b--",
				"x|-|-=\r\n--\r\n--");
}

static void
boundaries(void)
{
	static const char longest[] =
		"multipart/form-data; "
		"boundary=0123456789012345678901234567890123456789012345678901234567890123456789";
	static const char longer[] =
		"multipart/form-data; "
		"boundary=01234567890123456789012345678901234567890123456789012345678901234567890";
	static const struct
	{
		const char *type, *boundary; /* NULL: refused */
	} types[] = {
		{ "multipart/form-data; boundary=abc", "abc" },
		{ "Multipart/Form-Data;BOUNDARY=\"a b\"", "a b" },
		{ "multipart/form-data; charset=utf-8; boundary=x;", "x" },
		{ longest, longest + 30 },
		{ longer, NULL },
		{ "multipart/form-data", NULL },
		{ "multipart/form-data; boundary", NULL },
		{ "multipart/form-data; boundary=", NULL },
		{ "multipart/form-data; boundary=\"\"", NULL },
		{ "multipart/form-data; boundary=\"a ", NULL },
		{ "multipart/form-data; boundary=\"a \"", NULL },
		{ "multipart/form-data; boundary=\"a\r\nb\"", NULL },
		{ "multipart/form-data; boundary=\"a\\\"b\"", NULL },
		{ "multipart/form-data; boundary=a; boundary=b", NULL },
		{ "multipart/form-data; boundary=a b", NULL },
	};

	for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
	{
		const char *type = types[i].type;
		char out[MULTIPART_BOUNDARY + 1];
		bool ok = multipart_boundary(type, strlen(type), out);

		check(multipart_type(type, strlen(type)), type);
		check(ok == (types[i].boundary != NULL) && (!ok || strcmp(out, types[i].boundary) == 0),
			  type);
	}
	check(!multipart_type("multipart/mixed; boundary=a", 27), "mixed is no form");
	check(!multipart_type("multipart/form-dat", 18), "cut short");
	check(!multipart_type("", 0), "nothing");
}

static void
file_names(void)
{
	static const struct
	{
		const char *value, *name; /* NULL: none */
	} names[] = {
		{ "attachment; filename=a.csv", "a.csv" },
		{ "attachment; filename=\"a b.csv\"", "a b.csv" },
		{ "attachment; filename=x; filename*=UTF-8''%e2%82%ac%20rates", "\u20ac rates" },
		{ "attachment; filename*=utf-8'en'a; filename=x", "a" },
		{ "attachment; filename*=latin1''a; filename=x", "x" },
		{ "attachment; filename*=UTF-8''%ff; filename=x", "x" },
		{ "attachment; filename*=UTF-8''%00", NULL },
		{ "attachment", NULL },
		{ "attachment; filename=\"\xff\"", NULL },
	};

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
	{
		char out[64];
		bool ok = multipart_filename(names[i].value, strlen(names[i].value), out, sizeof out);

		check(ok == (names[i].name != NULL) && (!ok || strcmp(out, names[i].name) == 0),
			  names[i].value);
	}
}

/* Random damage: never a crash, never an outcome that depends on the split. */
static void
damage(void)
{
	static const char good[] =
		"--b\r\n" FILE_HEAD "1,2\r\n--\r\n\r\n--b\r\n" VALUE("x") "y\r\n--b--\r\n";
	static const char alphabet[] = "\r\n\t -b:;=\"\\\0\x7f\xff";
	unsigned int seed = 1;

	for (int round = 0; round < 20000; round++)
	{
		char bytes[sizeof good];
		size_t len = sizeof good - 1;
		struct text whole = { 0 }, parts = { 0 };

		memcpy(bytes, good, sizeof good);
		for (int changes = 1 + rand_r(&seed) % 3; changes > 0; changes--)
			bytes[rand_r(&seed) % len] = alphabet[rand_r(&seed) % (sizeof alphabet - 1)];
		read_form(&whole, "b", bytes, len, len, len);
		read_form(&parts, "b", bytes, len, 1 + rand_r(&seed) % len, 1 + rand_r(&seed) % 9);
		if (whole.len != parts.len ||
			(whole.len > 0 && memcmp(whole.base, parts.base, whole.len) != 0))
		{
			printf("# damage round %d read otherwise in parts\n", round);
			failures++;
		}
		text_free(&whole);
		text_free(&parts);
	}
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
	story("forms are read the same however the bytes arrive", forms_are_read);
	story("limits hold", limits_hold);
	story("boundaries that may be used", boundaries);
	story("names of files", file_names);
	story("damaged forms are read the same in parts", damage);
	printf("1..%d\n", tests);
	return failures ? 1 : 0;
}
