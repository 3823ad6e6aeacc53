#include <string.h>

#include "channel.h"
#include "text.h"

/* The noun of a table: a letter, then letters and underscores. */
static bool
is_type(const char *base, size_t len)
{
	if (len < 1 || len >= CHANNEL_TYPE || base[0] == '_')
		return false;
	for (size_t i = 0; i < len; i++)
		if (!(base[i] >= 'a' && base[i] <= 'z') && base[i] != '_')
			return false;
	return true;
}

static bool
is_lower(const char *text)
{
	for (; *text; text++)
		if (*text >= 'A' && *text <= 'F')
			return false;
	return true;
}

bool
channel_parse(const char *name, struct channel *out)
{
	size_t len = strlen(name);
	const char *type, *id;

	memset(out, 0, sizeof *out);
	if (len >= sizeof out->name)
		return false;
	memcpy(out->name, name, len);
	if (strcmp(name, "feed") == 0 || strcmp(name, "user:me") == 0 || strcmp(name, "dash:main") == 0)
	{
		out->kind = name[0] == 'f' ? CHANNEL_FEED : name[0] == 'u' ? CHANNEL_USER : CHANNEL_DASH;
		return true;
	}
	if (strncmp(name, "list:", 5) == 0 && is_type(name + 5, len - 5))
	{
		out->kind = CHANNEL_LIST;
		memcpy(out->type, name + 5, len - 5);
		return true;
	}
	if (strncmp(name, "entity:", 7) != 0)
		return false;
	type = name + 7;
	id = strchr(type, ':');
	if (!id || !is_type(type, (size_t) (id - type)) || !text_is_uuid(id + 1, strlen(id + 1)) ||
		!is_lower(id + 1))
		return false;
	out->kind = CHANNEL_ENTITY;
	memcpy(out->type, type, (size_t) (id - type));
	memcpy(out->id, id + 1, 36);
	return true;
}

/* What the numbers of the dashboard are counted from. */
static bool
is_counted(const char *entity)
{
	return strcmp(entity, "lead") == 0 || strcmp(entity, "deal") == 0 ||
		   strcmp(entity, "activity") == 0;
}

bool
channel_matches(const struct channel *channel, const char *member, const char *entity,
				const char *entity_id)
{
	switch (channel->kind)
	{
		case CHANNEL_ENTITY:
			return strcmp(channel->id, entity_id) == 0 && strcmp(channel->type, entity) == 0;
		case CHANNEL_LIST:
			return strcmp(channel->type, entity) == 0;
		case CHANNEL_DASH:
			return is_counted(entity);
		case CHANNEL_FEED:
			return strcmp(entity, "session") != 0 && strcmp(entity, "rights") != 0 &&
				   strcmp(entity, "reminder") != 0;
		case CHANNEL_USER:
			return (strcmp(entity, "member") == 0 || strcmp(entity, "reminder") == 0) &&
				   strcmp(entity_id, member) == 0;
	}
	return false;
}

/* Both are made of words without blanks; held begins and ends with one. */
static bool
holds(const char *held, const char *token, size_t len)
{
	for (const char *at = held; (at = strchr(at, ' ')); at++)
		if (strncmp(at + 1, token, len) == 0 && at[1 + len] == ' ')
			return true;
	return false;
}

bool
channel_concerns(const char *held, const char *tokens)
{
	if (!*tokens || strcmp(held, "*") == 0)
		return true;
	while (*tokens)
	{
		size_t len = strcspn(tokens, " ");

		if (len && holds(held, tokens, len))
			return true;
		tokens += len + (tokens[len] == ' ');
	}
	return false;
}
