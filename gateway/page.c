#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"
#include "page.h"
#include "text.h"

enum
{
	MAX_FILE = 16 * 1024 * 1024
};

static const char policy[] =
	"default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; style-src 'self'; "
	"object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

static const struct
{
	const char *ending, *type;
} types[] = {
	{ ".html", "text/html; charset=utf-8" },
	{ ".js", "text/javascript; charset=utf-8" },
	{ ".mjs", "text/javascript; charset=utf-8" },
	{ ".css", "text/css; charset=utf-8" },
	{ ".json", "application/json" },
	{ ".webmanifest", "application/manifest+json" },
	{ ".svg", "image/svg+xml" },
	{ ".png", "image/png" },
	{ ".ico", "image/x-icon" },
	{ ".woff2", "font/woff2" },
	{ ".txt", "text/plain; charset=utf-8" },
};

static const char *
type_of(const char *path)
{
	size_t len = strlen(path);

	for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
	{
		size_t n = strlen(types[i].ending);

		if (len > n && strcmp(path + len - n, types[i].ending) == 0)
			return types[i].type;
	}
	return NULL;
}

/* The file's path below web_root: only plain names, no hidden ones, known endings. */
static const char *
safe_path(struct request *request)
{
	h2o_req_t *req = request->h2o;
	size_t len = req->query_at == SIZE_MAX ? req->path.len : req->query_at;
	char *path = http_alloc(request, len + sizeof "index.html");

	if (len == 0 || req->path.base[0] != '/')
		return NULL;
	for (size_t i = 0; i < len; i++)
	{
		char c = req->path.base[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
			!strchr("/._-", c))
			return NULL;
		if (c == '.' && i > 0 && (req->path.base[i - 1] == '/' || req->path.base[i - 1] == '.'))
			return NULL;
	}
	memcpy(path, req->path.base, len);
	if (path[len - 1] == '/')
		memcpy(path + len, "index.html", sizeof "index.html");
	return type_of(path) ? path + 1 : NULL;
}

static char *
read_whole(int fd, size_t size)
{
	char *content = malloc(size + 1);
	size_t done = 0;

	if (!content)
		abort();
	while (done < size)
	{
		ssize_t n = read(fd, content + done, size - done);

		if (n <= 0)
		{
			free(content);
			return NULL;
		}
		done += (size_t) n;
	}
	return content;
}

static void
send_file(struct request *request, const char *path, const char *content, size_t size)
{
	uint8_t digest[SHA256_DIGEST_LENGTH];
	char etag[33];

	SHA256((const unsigned char *) content, size, digest);
	text_hex(digest, 16, etag);
	http_header(request, "content-security-policy", policy);
	http_header(request, "cache-control", "no-cache");
	http_reply_etag_as(request, 200, type_of(path), etag, false, content, size);
}

bool
page_serve(struct request *request)
{
	const char *path;
	struct stat status;
	char *content = NULL;
	int root, fd;

	if (config.web_root[0] == '\0' || (strcmp(request->method, "GET") != 0 && !request->head))
		return false;
	path = safe_path(request);
	root = path ? open(config.web_root, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	if (root < 0)
		return false;
	fd = openat(root, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	close(root);
	if (fd < 0)
		return false;
	if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size <= MAX_FILE)
		content = read_whole(fd, (size_t) status.st_size);
	close(fd);
	if (!content)
		return false;
	request->route = "page";
	send_file(request, path, content, (size_t) status.st_size);
	free(content);
	return true;
}
