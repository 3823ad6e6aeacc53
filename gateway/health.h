/* /v1/health and the operator's pages. */
#pragma once

void health_register(void);
