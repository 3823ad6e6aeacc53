#!/bin/bash
# What the trainer finds, beside what scikit-learn finds by Newton's method: the same coefficients on
# random and on awkward data, few rows and many. The design matrix is the levels of every row; the
# coefficients of the fit follow from the model's log odds, which are calibrated and centred.
# shellcheck disable=SC2034
conf='fsync = off'
# shellcheck source=test/tap/server.bash disable=SC2154
. "$SCRATCH/server.bash"
if ! /usr/bin/python3 -c 'import sklearn' 2>/dev/null; then
	echo '1..0 # SKIP python3-sklearn is not installed and could not be'
	exit 0
fi
cat >"$SCRATCH/cases.py" <<'PY'
"""cases.py make <folder>: data sets and what to train; cases.py compare <folder>: differences."""
import json
import sys
import warnings
import numpy as np

random = np.random.default_rng(20261125)
sign = lambda z: random.random(len(z)) < 1 / (1 + np.exp(-z))


def plain(n, columns):
    x = random.normal(size=(n, columns))
    return x, sign(x @ random.normal(size=columns) - 0.5)


def words(n):
    """Words by Zipf's law, half of the rows without one, beside a number."""
    w = random.zipf(1.3, size=n) % 3000
    x = random.normal(size=n)
    won = sign(np.where(w % 3 == 0, 1.5, -0.5) + x)
    return [[None if random.random() < .5 else 'w%d' % a, b] for a, b in zip(w, x)], won


def twins(n):
    """The same column five times, and its opposite: only the penalty tells them apart."""
    x = random.normal(size=n)
    return np.column_stack([x, x, x, x, x, -x]), sign(2 * x)


def separated(n):
    x = random.normal(size=n)
    return np.column_stack([x, random.normal(size=n)]), x > 0


def seldom(n):
    x = random.normal(size=(n, 4))
    return x, sign(x[:, 0] * 1.5 - 4.6)


def holes(n):
    x = random.normal(size=(n, 6))
    won = sign(x[:, 0] + x[:, 1])
    x[random.random(x.shape) < .4] = np.nan
    x[:, 5] = 7
    x[random.random(n) < .01, 2] = np.inf
    x[random.random(n) < .01, 2] = -np.inf
    return x, won


def lumps(n):
    """Counts with few values, of which zero is most."""
    x = random.poisson(.4, size=(n, 5)).astype(float)
    return x, sign(x.sum(axis=1) - 2)


# name: rows, features and outcome; how it is trained
CASES = {
    'plain': (plain(5000, 8), dict(l2=1)),
    'few': (plain(400, 2), dict(l2=3, bins=5, rare=10)),
    'weak penalty': (plain(20000, 6), dict(l2=0.001)),
    'strong penalty': (plain(8000, 5), dict(l2=5000)),
    'words': (words(20000), dict(l2=1, rare=5)),
    'twins': (twins(5000), dict(l2=0.5)),
    'separated': (separated(2000), dict(l2=0.01)),
    'seldom': (seldom(60000), dict(l2=1)),
    'holes': (holes(10000), dict(l2=1)),
    'lumps': (lumps(30000), dict(l2=10)),
    'many levels': (plain(4000, 12), dict(l2=2, bins=100, rare=1)),
    'many rows': (plain(100000, 8), dict(l2=1, bins=10)),
    'many rows, seldom': (seldom(120000), dict(l2=0.1)),
    'penalty chosen': (plain(3000, 4), dict()),
}


def make(folder):
    sql = open(folder + '/train.sql', 'w')
    for i, (name, ((x, won), options)) in enumerate(CASES.items()):
        table = 'sk.t%d' % i
        text = isinstance(x, list)
        width = len(x[0])
        columns = ', '.join('f%d %s' % (c, 'text' if text and c == 0 else 'float8') for c in range(width))
        with open('%s/t%d.csv' % (folder, i), 'w') as out:
            for row, y in zip(x, won):
                cells = ['' if v is None or v != v else str(v) for v in row]
                out.write(','.join(cells + [str(bool(y))]) + '\n')
        print('CREATE TABLE %s (%s, won boolean);' % (table, columns), file=sql)
        print("\\copy %s FROM '%s/t%d.csv' WITH (FORMAT csv)" % (table, folder, i), file=sql)
        given = ''.join(', %s => %s' % o for o in options.items())
        print("CREATE TABLE %s_model AS SELECT saleshub.logit_train('%s', 'won'%s) AS m;" % (table, table, given), file=sql)
        print("\\copy (SELECT m FROM %s_model) TO '%s/t%d.json'" % (table, folder, i), file=sql)
        print("\\copy (SELECT t.won::integer, array_to_string(saleshub.model_levels(m, t), ',') FROM %s t, %s_model)"
              " TO '%s/t%d.levels' WITH (FORMAT csv, QUOTE ' ')" % (table, table, folder, i), file=sql)


def ours(model):
    """The coefficients that the fit found: at its minimum those of a feature sum to nothing."""
    scale = model['calibration']['scale']
    coef, offset = [], 0
    for f in model['features']:
        of = np.array(f['log_odds']) / scale
        of -= of.mean()
        offset += of @ np.array(f['share'])
        coef += list(of)
    return np.array(coef), (model['intercept'] - model['calibration']['shift']) / scale - offset


def theirs(model, levels, won):
    from sklearn.linear_model import LogisticRegression
    sizes = [len(f['log_odds']) for f in model['features']]
    x = np.zeros((len(won), sum(sizes)))
    x[np.arange(len(won))[:, None], levels + np.cumsum([0] + sizes[:-1])] = 1
    # the mean of the losses is what tol is about
    fit = LogisticRegression(C=1 / model['l2'], solver='newton-cholesky', tol=1e-10 / len(won), max_iter=500)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of a line search that doubles have no more digits for
        fit.fit(x, won)
    return fit.coef_[0], fit.intercept_[0]


def compare(folder):
    for i, (name, _) in enumerate(CASES.items()):
        with open('%s/t%d.json' % (folder, i)) as f:
            model = json.loads(f.read().replace('\\\\', '\\'))
        if model['state'] != 'ready':
            print(name, model['state'], 'nothing', 'nothing', sep='\t')
            continue
        table = np.loadtxt('%s/t%d.levels' % (folder, i), delimiter=',', dtype=int)
        a, a0 = ours(model)
        b, b0 = theirs(model, table[:, 1:], table[:, 0])
        a, b = np.append(a, a0), np.append(b, b0)
        print(name, len(table), len(a), '%.1e' % (np.abs(a - b).max() / np.abs(b).max()),
              '%.1e' % (np.abs(a - b) / np.maximum(np.abs(b), np.abs(b).max() / 1000)).max(), model['converged'], sep='\t')


{'make': make, 'compare': compare}[sys.argv[1]](sys.argv[2])
PY
/usr/bin/python3 "$SCRATCH/cases.py" make "$SCRATCH"
new_server
sql -c 'CREATE SCHEMA sk'
sql -f "$SCRATCH/train.sql"
OPENBLAS_NUM_THREADS=1 /usr/bin/python3 "$SCRATCH/cases.py" compare "$SCRATCH" >"$SCRATCH/differences"
sed 's/^/# /' "$SCRATCH/differences"
while IFS=$'\t' read -r name rows coefficients most each converged; do
	ok "$(awk -v most="$most" -v each="$each" -v converged="$converged" \
		'BEGIN { print most <= 1e-6, each <= 1e-6, converged }')" '1 1 True' \
		"$name: $coefficients coefficients of $rows rows are the same to one millionth"
done <"$SCRATCH/differences"
ok "$(wc -l <"$SCRATCH/differences")" 14 'every data set was compared'
done_testing
