#!/bin/bash
# A gateway module includes only modules of its own layer or a lower one (gateway/LAYERS).
cd "$(dirname "$0")/../.." || exit 1
awk '
	FILENAME == "gateway/LAYERS" {
		if ($0 !~ /^#/ && NF == 2)
			layer[$2] = $1
		next
	}
	FNR == 1 {
		module = FILENAME
		sub(/.*\//, "", module)
		sub(/\.[ch]$/, "", module)
		if (!(module in layer)) {
			print FILENAME ": not in gateway/LAYERS"
			bad = 1
		}
	}
	/^#include "/ {
		split($0, part, "\"")
		other = part[2]
		sub(/\.h$/, "", other)
		if (!(other in layer)) {
			print FILENAME ":" FNR ": " part[2] " is not in gateway/LAYERS"
			bad = 1
		} else if (layer[other] > layer[module]) {
			print FILENAME ":" FNR ": layer " layer[module] " includes " part[2] " of layer " layer[other]
			bad = 1
		}
	}
	# What the lower layers must not know, and what the upper ones must not.
	/h2o_req_t/ && layer[module] <= 3 {
		print FILENAME ":" FNR ": layer " layer[module] " knows h2o_req_t"
		bad = 1
	}
	/PGresult|redisReply/ && layer[module] >= 4 && layer[module] != 5 {
		print FILENAME ":" FNR ": layer " layer[module] " knows " substr($0, match($0, /PGresult|redisReply/), RLENGTH)
		bad = 1
	}
	END { exit bad }
' gateway/LAYERS gateway/*.[ch]
