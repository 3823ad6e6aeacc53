/* Names of live channels, and the signed ids by which connections are resumed. */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "channel.h"
#include "config.h"
#include "pid.h"

#define ID "0195a1b2-0000-7000-8000-00000000000a"
#define ME "0195a1b2-0000-7000-8000-00000000000b"

struct config config = { .jwt_secret = "a secret of the test that is long enough" };

static int tests, failures;

static void
is(bool ok, const char *name)
{
	tests++;
	failures += !ok;
	printf("%sok %d - %s\n", ok ? "" : "not ", tests, name);
}

static bool
goes(const char *name, const char *entity, const char *id)
{
	struct channel channel;

	return channel_parse(name, &channel) && channel_matches(&channel, ME, entity, id);
}

static void
grammar(void)
{
	static const char *const good[] = {
		"feed", "user:me", "dash:main", "list:lead", "list:stage_history", "entity:lead:" ID
	};
	static const char *const bad[] = { "",
									   "feeds",
									   "user:" ME,
									   "dash:",
									   "list:",
									   "list:Lead",
									   "list:_x",
									   "list:lead:x",
									   "list:le\"ad",
									   "entity:lead",
									   "entity:lead:",
									   "entity:lead:" ID "0",
									   "entity::" ID,
									   "entity:lead:0195A1B2-0000-7000-8000-00000000000A",
									   "entity:lead:{" ID "}",
									   "entity:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:" ID };
	struct channel channel;
	bool ok = true;

	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		ok &= channel_parse(good[i], &channel) && strcmp(channel.name, good[i]) == 0;
	is(ok, "names of the grammar");
	ok = true;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ok &= !channel_parse(bad[i], &channel);
	is(ok, "nothing else");
}

static void
matching(void)
{
	is(goes("entity:lead:" ID, "lead", ID), "a record's own channel");
	is(!goes("entity:lead:" ID, "deal", ID) && !goes("entity:lead:" ID, "lead", ME),
	   "not another's");
	is(goes("list:deal", "deal", ID) && !goes("list:deal", "lead", ID), "a list of one type");
	is(goes("dash:main", "activity", ID) && !goes("dash:main", "company", ID),
	   "the dashboard: what it counts");
	is(goes("feed", "company", ID) && !goes("feed", "session", ID),
	   "the feed: everything but sessions");
	is(goes("user:me", "member", ME) && !goes("user:me", "member", ID), "user:me is oneself");
	is(goes("user:me", "reminder", ME) && !goes("user:me", "reminder", ID) &&
		   !goes("feed", "reminder", ME),
	   "reminders are told to whom they are for");
}

static void
concerning(void)
{
	is(channel_concerns("*", "lead/a lead/all") && channel_concerns(" lead/b ", ""),
	   "who may have all has all, and everybody what concerns everybody");
	is(channel_concerns(" deal/all lead/a lead/b ", "lead/b lead/all") &&
		   channel_concerns(" deal/all lead/a ", "deal/nobody deal/all"),
	   "one token in common is enough");
	is(!channel_concerns(" lead/ab lead/a ", "lead/b lead/all") &&
		   !channel_concerns(" lead/ab ", "lead/a") && !channel_concerns(" xlead/a ", "lead/a") &&
		   !channel_concerns("", "lead/a") && !channel_concerns("  ", "lead/a  "),
	   "a part of a token is none");
}

static void
signed_ids(void)
{
	struct pid pid = { .connection = ID, .org = ME, .member = ID, .epoch = "abc123", .issued = 7 };
	struct pid read;
	char text[PID_MAX], other[PID_MAX];
	bool believed = false;

	pid_write(&pid, text);
	is(pid_read(text, &read) && strcmp(read.connection, ID) == 0 && strcmp(read.org, ME) == 0 &&
		   strcmp(read.member, ID) == 0 && strcmp(read.epoch, "abc123") == 0 && read.issued == 7,
	   "what was written is read");
	for (size_t i = 0; text[i]; i++)
	{
		memcpy(other, text, sizeof other);
		other[i] ^= 1;
		believed |= pid_read(other, &read);
		memcpy(other, text, sizeof other);
		other[i] = '\0';
		believed |= pid_read(other, &read);
	}
	is(!believed, "nothing altered or cut is");
	pid.issued = 8;
	pid_write(&pid, other);
	is(strcmp(text, other) != 0, "a later one is another one");
	config.jwt_secret = "another secret";
	is(!pid_read(text, &read), "nor is another secret's");
}

int
main(void)
{
	if (sodium_init() < 0)
		return 1;
	grammar();
	matching();
	concerning();
	signed_ids();
	printf("1..%d\n", tests);
	return failures ? 1 : 0;
}
