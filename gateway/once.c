#include <openssl/sha.h>
#include <string.h>

#include "once.h"
#include "text.h"

void
once_read(struct request *request, const void *body, size_t len, struct once *once)
{
	h2o_iovec_t key = http_request_header(request, "idempotency-key");
	h2o_req_t *req = request->h2o;
	uint8_t digest[SHA256_DIGEST_LENGTH];
	struct text seed = { 0 };

	if (key.len == 0 || !req || !text_is_utf8(key.base, key.len))
		return;
	once->key = http_copy(request, key.base, key.len);
	text_printf(&seed, "%s %zu ", request->method, req->path.len);
	text_add(&seed, req->path.base, req->path.len);
	if (len > 0)
		text_add(&seed, body, len);
	SHA256((const unsigned char *) seed.base, seed.len, digest);
	text_free(&seed);
	text_hex(digest, sizeof digest, once->hash);
	once->values[0] = once->key;
	once->values[1] = once->hash;
}

static const char *
member(struct request *request, const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);

	return json_is_string(value) ?
			   http_copy(request, json_string_value(value), json_string_length(value)) :
			   NULL;
}

/*
 * The body as the database wrote it: parsing and writing it anew would change its numbers. jsonb
 * puts shorter names first, so the member stands at the beginning.
 */
static bool
raw_body(const char *detail, struct reply *reply)
{
	static const char start[] = "{\"body\": ";
	size_t skip = sizeof start - 1;
	json_error_t end;
	json_t *value;

	if (strncmp(detail, start, skip) != 0)
		return false;
	value = json_loadb(
		detail + skip, strlen(detail + skip), JSON_DECODE_ANY | JSON_DISABLE_EOF_CHECK, &end);
	if (value && !json_is_null(value))
	{
		reply->body = detail + skip;
		reply->body_len = (size_t) end.position;
	}
	json_decref(value);
	return value != NULL;
}

bool
once_replay(struct request *request, const struct pool_result *result, struct reply *reply)
{
	json_t *stored;

	if (!result->sqlstate || strcmp(result->sqlstate, "SH200") != 0 || !result->detail)
		return false;
	stored = json_loads(result->detail, 0, NULL);
	if (!stored || !raw_body(result->detail, reply))
	{
		json_decref(stored);
		return false;
	}
	reply->status = (int) json_integer_value(json_object_get(stored, "status"));
	reply->etag = member(request, stored, "etag");
	reply->location = member(request, stored, "location");
	reply->headers = json_object_get(stored, "headers");
	reply->headers = json_is_object(reply->headers) ? json_incref(reply->headers) : NULL;
	json_decref(stored);
	return true;
}
