/* The console's files. */
#pragma once

#include "http.h"

/* Answers when web_root has such a file (GET and HEAD); false: not ours. */
bool page_serve(struct request *request);
