# Two halves: the extension (PGXS) and gateway, and the commands for people, which need nothing
# installed beforehand. `make help` lists both.

COMMANDS = run check dev stop status psql lint format bench coverage help

ifneq (,$(filter $(COMMANDS),$(MAKECMDGOALS)))

.PHONY: $(MAKECMDGOALS)
# Everything else on such a command line is built by the other half.
$(filter-out $(COMMANDS),$(MAKECMDGOALS)):
	+@$(MAKE) --no-print-directory $@

help:
	@scripts/help
run:
	@scripts/run
check:
	@scripts/check
dev:
	@scripts/stack up
stop:
	@scripts/stack down
status:
	@scripts/stack status
psql:
	@scripts/stack psql
lint:
	@scripts/lint
format:
	@scripts/format
bench:
	@scripts/bench
coverage:
	@scripts/coverage

else

# ---- the extension -------------------------------------------------------------------------

PG_CONFIG ?= pg_config
# The control file is the only place where the version is written.
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" extension/saleshub.control)

EXTENSION = extension/saleshub
MODULE_big = saleshub
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard extension/*.c)))
DATA_built = build/saleshub--$(EXTVERSION).sql
# Debian builds PostgreSQL with -Wdeclaration-after-statement; we write C11.
PG_CFLAGS = -std=gnu11 -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare \
	-Wno-declaration-after-statement
EXTRA_CLEAN = build

# Both suites start with the extension created; a test calls saleshub.install() itself.
REGRESS = $(sort $(patsubst test/regress/%.sql,%,$(wildcard test/regress/*.sql)))
REGRESS_OPTS = --inputdir=build/regress --outputdir=build/regress --load-extension=saleshub
ISOLATION = $(sort $(patsubst test/isolation/%.spec,%,$(wildcard test/isolation/*.spec)))
ISOLATION_OPTS = --inputdir=build/isolation --outputdir=build/isolation --load-extension=saleshub
REGRESS_PREP = build/regress build/isolation

PGXS := $(shell $(PG_CONFIG) --pgxs)
ifeq (,$(PGXS))
$(error pg_config not found: install postgresql-server-dev-15 (or another major), or use "make run")
endif
include $(PGXS)

$(OBJS) $(OBJS:.o=.bc): $(wildcard extension/*.h)

$(DATA_built): scripts/build-sql extension/saleshub.control sql/guard.sql \
		$(wildcard sql/schema sql/code sql/schema/*.sql sql/code/*.sql)
	@mkdir -p build
	scripts/build-sql > $@.new
	mv $@.new $@

# pg_regress wants sql/ (or specs/) and expected/ side by side.
build/regress:
	@mkdir -p $@
	@ln -s ../../test/regress $@/sql
	@ln -s ../../expected $@/expected
build/isolation:
	@mkdir -p $@
	@ln -s ../../test/isolation $@/specs
	@ln -s ../../expected $@/expected

# ---- the gateway ---------------------------------------------------------------------------

GATEWAY_OBJS = $(patsubst gateway/%.c,build/gateway/%.o,$(sort $(wildcard gateway/*.c)))
GATEWAY_CFLAGS = -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -O2 -g -DSALESHUB_VERSION='"$(EXTVERSION)"'
# -rdynamic: the gateway interposes a function of libh2o.
GATEWAY_LDFLAGS = -rdynamic
GATEWAY_LIBS = -lh2o-evloop -lwslay -lpq -lhiredis -ljwt -ljansson -lsodium -lssl -lcrypto -lz \
	-lpthread -ldl -lm

.PHONY: gateway
gateway: build/saleshub-gateway

build/saleshub-gateway: $(GATEWAY_OBJS)
	$(CC) $(GATEWAY_LDFLAGS) -o $@ $^ $(GATEWAY_LIBS)

build/gateway/%.o: gateway/%.c
	@mkdir -p $(@D)
	$(CC) $(GATEWAY_CFLAGS) -DH2O_USE_LIBUV=0 -I$(shell $(PG_CONFIG) --includedir) -MMD -MP \
		-c -o $@ $<

# Unit tests see the modules of layers 0 to 3.
LOWER = $(filter $(GATEWAY_OBJS),$(shell awk '$$1 ~ /^[0-3]$$/ { print "build/gateway/" $$2 ".o" }' \
	gateway/LAYERS))

build/gateway/lower.a: $(LOWER)
	rm -f $@
	ar rcs $@ $^

build/unit/%: test/unit/%.c build/gateway/lower.a
	@mkdir -p $(@D)
	$(CC) $(GATEWAY_CFLAGS) -DH2O_USE_LIBUV=0 -I$(shell $(PG_CONFIG) --includedir) -Igateway \
		$(GATEWAY_LDFLAGS) -MMD -MP -MF $@.d -o $@ $< build/gateway/lower.a $(GATEWAY_LIBS)

-include $(GATEWAY_OBJS:.o=.d) $(wildcard build/unit/*.d)

distclean: clean
	@for dir in .local/check .local/test-* .local; do \
		[ ! -d "$$dir" ] || STACK_DIR=$$dir scripts/stack remove || exit 1; \
	done
	rm -rf test/node_modules

endif
