/*
 * Keys under which records that may be the same thing are found: hashes of normal forms, kept in
 * saleshub.match_key by triggers. The strong ones mean a duplicate almost by themselves and are
 * locked before an insert looks for others, so that two sessions cannot both find none.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

#include "match.h"
#include "saleshub.h"

PG_FUNCTION_INFO_V1(sh_match_keys);
PG_FUNCTION_INFO_V1(sh_match_lock);
PG_FUNCTION_INFO_V1(sh_match_candidates);

/* Records looked at for one key; a key that many share says little. */
#define BUCKET_MAX "60"
/* Of all found by any key, those the most promising are sought among, seen or not. */
#define PROMISING_MAX "200"
/* Records that are compared. */
#define CANDIDATES_MAX "60"

/* Letters of the word beside a word, and least letters of half a word, that make a key. */
#define NEIGHBOUR_LETTERS 3
#define HALF_LETTERS 4

struct keys
{
	const struct match_record *record;
	int count;
	char *text[MATCH_KEY_MAX];
	bool strong[MATCH_KEY_MAX];
};

/* Add the key of kind and values, unless one of them is missing. */
static void
add_key(struct keys *keys, bool strong, const char *kind, const char *a, const char *b,
		const char *c)
{
	const char *values[] = { a, b, c };
	StringInfoData text;

	if (keys->count == MATCH_KEY_MAX)
		return;
	initStringInfo(&text);
	appendStringInfoString(&text, kind);
	for (int i = 0; i < (int) lengthof(values); i++)
	{
		if (!values[i] || !*values[i])
			return;
		appendStringInfoChar(&text, '|');
		appendStringInfoString(&text, values[i]);
	}
	keys->strong[keys->count] = strong;
	keys->text[keys->count++] = text.data;
}

static void
add_one(struct keys *keys, bool strong, const char *kind, const char *value)
{
	if (value && *value)
	{
		if (keys->count == MATCH_KEY_MAX)
			return;
		keys->strong[keys->count] = strong;
		keys->text[keys->count++] = psprintf("%s|%s", kind, value);
	}
}

static const char *const field_names[MATCH_FIELDS] = { "first_name", "last_name",	 "email",
													   "phone",		 "company_name", "company_id",
													   "name",		 "domain" };

const char *
sh_match_field_name(enum match_field_number field)
{
	return field_names[field];
}

static struct match_text
field_of(const struct keys *keys, enum match_field_number field)
{
	if (keys->record->slot)
		return sh_match_column(keys->record->slot, keys->record->column[field]);
	return sh_match_field(keys->record->json, field_names[field], strlen(field_names[field]));
}

static const char *
folded(const struct keys *keys, enum match_field_number field)
{
	struct match_text value = field_of(keys, field);

	return value.data ? sh_match_fold(value.data, value.len) : "";
}

/* How the last name sounds, NULL without one. */
static const char *
sound_of_last_name(const struct keys *keys)
{
	struct match_text value = field_of(keys, MATCH_AT_LAST_NAME);

	return value.data ? sh_match_phonetic(sh_match_letters(value.data, value.len)) : NULL;
}

/* The keys of Salesforce's rule for contacts: last name, initial, and one thing more. */
static void
add_named_keys(struct keys *keys, const char *sound, const char *initial)
{
	struct match_text company = field_of(keys, MATCH_AT_COMPANY_NAME);
	struct match_text company_id = field_of(keys, MATCH_AT_COMPANY_ID);
	struct match_text email = field_of(keys, MATCH_AT_EMAIL);
	struct match_text phone = field_of(keys, MATCH_AT_PHONE);
	const char *at = email.data ? memchr(email.data, '@', email.len) : NULL;

	if (company.data)
	{
		const char *key = sh_match_company(company.data, company.len);

		add_key(keys,
				false,
				"name+company",
				sound,
				initial,
				key ? sh_match_phonetic(sh_match_letters(key, strlen(key))) : NULL);
	}
	if (company_id.data)
		add_key(
			keys, false, "name+company", sound, initial, pnstrdup(company_id.data, company_id.len));
	if (at)
		add_key(keys,
				false,
				"name+domain",
				sound,
				initial,
				sh_match_domain(at + 1, email.data + email.len - at - 1));
	if (phone.data)
	{
		char *digits = sh_match_phone(phone.data, phone.len);
		size_t len = strlen(digits);

		digits[len > 4 ? len - 4 : 0] = '\0';
		add_key(keys, false, "name+phone", sound, initial, sh_match_phone_tail(digits));
	}
}

/* The keys of a person with this form of its first name. */
static void
add_first_name(struct keys *keys, const char *first, const char *sound)
{
	const char *first_sound = sh_match_phonetic(first);

	/* In one order, so that names that changed places meet. */
	if (*first_sound)
		add_one(keys,
				false,
				"name",
				strcmp(first_sound, sound) < 0 ? psprintf("%s|%s", first_sound, sound) :
												 psprintf("%s|%s", sound, first_sound));
	if (*first)
		add_named_keys(keys, sound, pnstrdup(first, pg_mblen(first)));
}

static void
add_person(struct keys *keys)
{
	struct match_text email = field_of(keys, MATCH_AT_EMAIL);
	struct match_text phone = field_of(keys, MATCH_AT_PHONE);
	const char *first = folded(keys, MATCH_AT_FIRST_NAME);
	const char *sound = sound_of_last_name(keys);
	const char *word = pnstrdup(first, strcspn(first, " "));
	const char *full;

	if (email.data)
		add_one(keys, true, "email", sh_match_email(email.data, email.len));
	if (phone.data)
		add_one(keys, true, "phone", sh_match_phone_tail(sh_match_phone(phone.data, phone.len)));
	if (!sound)
		return;
	add_first_name(keys, word, sound);
	for (int i = 0; *word && (full = sh_match_full_name(word, i)) != NULL; i++)
		if (strcmp(full, word) != 0)
			add_first_name(keys, full, sound);
}

/* A word with the place, and the beginning or the end, of the word beside it. */
static void
add_neighbours(struct keys *keys, const char *word, int len, const char *side, const char *other,
			   int other_len)
{
	int letters = pg_mbstrlen_with_len(other, other_len);
	int head = pg_mbcharcliplen(other, other_len, Min(letters, NEIGHBOUR_LETTERS));
	int before_tail = pg_mbcharcliplen(other, other_len, Max(letters - NEIGHBOUR_LETTERS, 0));

	if (pg_mbstrlen_with_len(word, len) < NEIGHBOUR_LETTERS)
		return;
	add_key(keys, false, "word^", pnstrdup(word, len), side, pnstrdup(other, head));
	add_key(keys,
			false,
			"word$",
			pnstrdup(word, len),
			side,
			pnstrdup(other + before_tail, other_len - before_tail));
}

/* The halves of a single word, such that words of which one has a letter more share one. */
static void
add_halves(struct keys *keys, const char *word)
{
	int len = strlen(word);
	int letters = pg_mbstrlen_with_len(word, len);

	for (int half = (letters - 1) / 2; half <= letters / 2; half++)
	{
		int head = pg_mbcharcliplen(word, len, half);
		int before_tail = pg_mbcharcliplen(word, len, letters - half);

		if (half < HALF_LETTERS)
			continue;
		add_one(keys, false, "head", pnstrdup(word, head));
		add_one(keys, false, "tail", word + before_tail);
	}
}

/*
 * Keys of a name that one typing error leaves: what is wrong in one word is not at its beginning or
 * not at its end, and the words beside it are right. They find more than similar trigrams do, and
 * by equality.
 */
static void
add_misspelt(struct keys *keys, const char *name)
{
	const char *space = strchr(name, ' ');

	if (!space)
		add_halves(keys, name);
	for (const char *word = name; space;)
	{
		const char *next = space + 1;
		int len = space - word;
		int next_len = strcspn(next, " ");

		add_neighbours(keys, word, len, "after", next, next_len);
		add_neighbours(keys, next, next_len, "before", word, len);
		word = next;
		space = strchr(next, ' ');
	}
}

static void
add_company(struct keys *keys)
{
	struct match_text name = field_of(keys, MATCH_AT_NAME);
	struct match_text domain = field_of(keys, MATCH_AT_DOMAIN);
	struct match_text phone = field_of(keys, MATCH_AT_PHONE);
	const char *key = name.data ? sh_match_company(name.data, name.len) : NULL;

	if (domain.data)
		add_one(keys, true, "domain", sh_match_domain(domain.data, domain.len));
	if (key)
	{
		const char *letters = sh_match_letters(key, strlen(key));

		add_one(keys, true, "company", letters);
		add_one(keys, false, "sound", sh_match_phonetic(letters));
		add_misspelt(keys, key);
	}
	if (phone.data)
		add_one(keys, false, "phone", sh_match_phone_tail(sh_match_phone(phone.data, phone.len)));
}

static struct match_text
rule_text(JsonbContainer *rule, const char *key)
{
	JsonbValue *value = getKeyJsonValueFromContainer(rule, key, strlen(key), NULL);

	if (!value || value->type != jbvString)
		return (struct match_text){ NULL, 0 };
	return (struct match_text){ value->val.string.val, value->val.string.len };
}

/* The organisation's own fields: {"field", "key": "strong" | "weak" | "name"}. */
static void
add_rule(struct keys *keys, JsonbContainer *rule)
{
	struct match_text field = rule_text(rule, "field");
	struct match_text key = rule_text(rule, "key");
	struct match_text value;
	const char *kind;

	if (!field.data || !key.data)
		return;
	value = keys->record->slot ? sh_match_slot_field(keys->record->slot, field.data, field.len) :
								 sh_match_field(keys->record->json, field.data, field.len);
	if (!value.data)
		return;
	kind = pnstrdup(field.data, field.len);
	value.data = sh_match_letters(value.data, value.len);
	if (key.len == 4 && memcmp(key.data, "name", 4) == 0)
		add_key(keys, false, "named", kind, value.data, sound_of_last_name(keys));
	else
		add_one(keys, key.len == 6 && memcmp(key.data, "strong", 6) == 0, kind, value.data);
}

static void
collect(struct keys *keys, const char *entity, const struct match_record *record, Jsonb *rules)
{
	int count = JsonContainerIsArray(&rules->root) ? JsonContainerSize(&rules->root) : 0;

	keys->record = record;
	keys->count = 0;
	if (strcmp(entity, "company") == 0)
		add_company(keys);
	else
		add_person(keys);
	for (int i = 0; i < count; i++)
	{
		JsonbValue *rule = getIthJsonbValueFromContainer(&rules->root, i);

		if (rule->type == jbvBinary && JsonContainerIsObject(rule->val.binary.data))
			add_rule(keys, rule->val.binary.data);
	}
}

static int64
hash_of(const void *data, size_t len)
{
	return (int64) DatumGetUInt64(hash_any_extended(data, len, 0));
}

static int
compare_keys(const void *a, const void *b)
{
	int64 x = *(const int64 *) a;
	int64 y = *(const int64 *) b;

	return x < y ? -1 : x > y ? 1 : 0;
}

int
sh_match_hashes(const char *entity, const struct match_record *record, Jsonb *rules, int64 *out)
{
	struct keys keys;
	int count = 0;

	collect(&keys, entity, record, rules);
	for (int i = 0; i < keys.count; i++)
		out[i] = hash_of(keys.text[i], strlen(keys.text[i]));
	if (keys.count > 1)
		qsort(out, keys.count, sizeof(*out), compare_keys);
	for (int i = 0; i < keys.count; i++)
		if (i == 0 || out[i] != out[i - 1])
			out[count++] = out[i];
	return count;
}

/* saleshub.match_keys(entity text, record jsonb, rules jsonb) returns bigint[]: sorted */
Datum
sh_match_keys(PG_FUNCTION_ARGS)
{
	struct match_record record = { .json = PG_GETARG_JSONB_P(1) };
	int64 hashes[MATCH_KEY_MAX];
	Datum values[MATCH_KEY_MAX];
	int count = sh_match_hashes(
		text_to_cstring(PG_GETARG_TEXT_PP(0)), &record, PG_GETARG_JSONB_P(2), hashes);

	for (int i = 0; i < count; i++)
		values[i] = Int64GetDatum(hashes[i]);
	PG_RETURN_ARRAYTYPE_P(
		construct_array(values, count, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* What the conversion of leads locks, too: the address and number as the record has them. */
static void
add_plain(struct keys *keys, const char *entity)
{
	struct match_text name = field_of(keys, MATCH_AT_NAME);

	if (strcmp(entity, "company") == 0 && name.data)
		add_one(keys, true, "company", sh_company_key(name.data, name.len));
	for (int i = 0; i < 3; i++)
	{
		static const enum match_field_number plain[] = { MATCH_AT_EMAIL,
														 MATCH_AT_PHONE,
														 MATCH_AT_DOMAIN };
		struct match_text value = field_of(keys, plain[i]);

		if (value.data)
			add_one(keys, true, field_names[plain[i]], pnstrdup(value.data, value.len));
	}
}

/* saleshub.match_lock(entity text, record jsonb, rules jsonb, org uuid) */
Datum
sh_match_lock(PG_FUNCTION_ARGS)
{
	char *entity = text_to_cstring(PG_GETARG_TEXT_PP(0));
	struct match_record record = { .json = PG_GETARG_JSONB_P(1) };
	pg_uuid_t *org = PG_GETARG_UUID_P(3);
	struct keys keys;
	int64 locks[MATCH_KEY_MAX];
	int count = 0;

	collect(&keys, entity, &record, PG_GETARG_JSONB_P(2));
	add_plain(&keys, entity);
	for (int i = 0; i < keys.count; i++)
	{
		StringInfoData name;

		if (!keys.strong[i])
			continue;
		initStringInfo(&name);
		appendBinaryStringInfo(&name, (const char *) org->data, UUID_LEN);
		appendStringInfoString(&name, keys.text[i]);
		locks[count++] = hash_of(name.data, name.len);
	}
	if (count > 1)
		qsort(locks, count, sizeof(*locks), compare_keys);
	for (int i = 0; i < count; i++)
		(void) DirectFunctionCall1(pg_advisory_xact_lock_int8, Int64GetDatum(locks[i]));
	PG_RETURN_VOID();
}

/* Of these ids, in order of promise, the first that the caller may see. */
static Datum
visible(const char *entity, Datum org, Datum ids, bool *isnull)
{
	static const char by_contact[] =
		"SELECT array_agg(v.id) FROM (SELECT u.id FROM unnest($2) WITH ORDINALITY AS u (id, n)"
		" JOIN crm.contact AS r ON r.org_id = $1 AND r.contact_id = u.id AND r.deleted_at IS NULL"
		" ORDER BY u.n LIMIT " CANDIDATES_MAX ") AS v";
	static const char by_lead[] =
		"SELECT array_agg(v.id) FROM (SELECT u.id FROM unnest($2) WITH ORDINALITY AS u (id, n)"
		" JOIN crm.lead AS r ON r.org_id = $1 AND r.lead_id = u.id AND r.deleted_at IS NULL"
		" ORDER BY u.n LIMIT " CANDIDATES_MAX ") AS v";
	static const char by_company[] =
		"SELECT array_agg(v.id) FROM (SELECT u.id FROM unnest($2) WITH ORDINALITY AS u (id, n)"
		" JOIN crm.company AS r ON r.org_id = $1 AND r.company_id = u.id AND r.deleted_at IS NULL"
		" ORDER BY u.n LIMIT " CANDIDATES_MAX ") AS v";
	const char *sql = strcmp(entity, "company") == 0 ? by_company :
					  strcmp(entity, "lead") == 0	 ? by_lead :
													   by_contact;
	Oid types[2] = { UUIDOID, UUIDARRAYOID };
	Datum values[2] = { org, ids };

	(void) SPI_execute_plan(sh_plan(sql, 2, types), values, NULL, false, 1);
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, isnull);
}

/*
 * saleshub.match_candidates(entity text, keys bigint[], self uuid) returns uuid[]: the keys are
 * read as the owner, the records as the caller. Who shares rare keys comes first: a key counts
 * one divided by how many have it. So what is compared is bounded, whatever names are common.
 */
Datum
sh_match_candidates(PG_FUNCTION_ARGS)
{
	static const char sql[] =
		"SELECT array_agg(c.entity_id) FROM (SELECT b.entity_id FROM ("
		" SELECT m.entity_id, count(*) OVER (PARTITION BY k.key) AS n"
		" FROM unnest($3) AS k (key), LATERAL ("
		"  SELECT m.entity_id FROM saleshub.match_key AS m WHERE m.org_id = $1 AND m.entity = $2"
		"  AND m.key = k.key AND m.entity_id IS DISTINCT FROM $4 LIMIT " BUCKET_MAX ") AS m) AS b"
		" GROUP BY b.entity_id ORDER BY sum(1.0::float8 / b.n) DESC, b.entity_id"
		" LIMIT " PROMISING_MAX ") AS c";
	Oid types[4] = { UUIDOID, TEXTOID, INT8ARRAYOID, UUIDOID };
	Datum values[4] = { 0 };
	char nulls[5] = "    ";
	struct sh_identity identity;
	pg_uuid_t org;
	Datum ids;
	bool isnull;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || !sh_context_org(&org))
		PG_RETURN_NULL();
	values[0] = UUIDPGetDatum(&org);
	values[1] = PG_GETARG_DATUM(0);
	values[2] = PG_GETARG_DATUM(1);
	values[3] = PG_ARGISNULL(2) ? (Datum) 0 : PG_GETARG_DATUM(2);
	nulls[3] = PG_ARGISNULL(2) ? 'n' : ' ';
	SPI_connect();
	sh_owner_enter(&identity);
	(void) SPI_execute_plan(sh_plan(sql, 4, types), values, nulls, false, 1);
	sh_owner_leave(&identity);
	ids = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (!isnull)
		ids = visible(text_to_cstring(PG_GETARG_TEXT_PP(0)), values[0], ids, &isnull);
	if (!isnull)
		ids = SPI_datumTransfer(ids, false, -1);
	SPI_finish();
	if (isnull)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(ids);
}
