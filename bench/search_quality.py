"""Documents, queries and judgements of the Cranfield collection (cran.all.1400, cran.qry, cranqrel)
for search_quality.sh, what Xapian finds in them, and how good what was found is.

  search_quality.py documents|queries <folder>     tab separated, for COPY
  search_quality.py xapian <folder>                lines of: xapian, query, document, best first
  search_quality.py judge <folder>                 such lines on stdin; exits 1 when a goal is missed
"""
import math
import sys

TOP = 10


def read(path):
    """The records of a file in the format of SMART: [{'I': number, 'T': title, 'W': text}]"""
    records, field = [], None
    for line in open(path, encoding='latin-1'):
        if line.startswith('.I'):
            records.append({'I': int(line[2:])})
            field = None
        elif line[:1] == '.' and line[1:2].isupper() and not line[2:].strip():
            field = line[1]
            records[-1].setdefault(field, '')
        elif field:
            records[-1][field] += line
    return [{k: ' '.join(v.split()) if isinstance(v, str) else v for k, v in r.items()}
            for r in records]


def documents(folder):
    for doc in read(folder + '/cran.all.1400'):
        yield doc['I'], doc.get('T', ''), doc.get('W', '')


def queries(folder):
    """Judgements count queries from 1 on, whatever their number in the file."""
    for n, query in enumerate(read(folder + '/cran.qry'), 1):
        yield n, query['W']


def judgements(folder):
    """Gain of documents by query: 4 for a complete answer (1) down to 1 for minimal interest (4)."""
    gains = {}
    for line in open(folder + '/cranqrel'):
        query, doc, degree = (int(x) for x in line.split())
        gains.setdefault(query, {})[doc] = 5 - degree if 1 <= degree <= 4 else 0
    return gains


def xapian_run(folder):
    """BM25 with the English stemmer and its stop words, the parameters as Xapian has them."""
    import xapian
    base = xapian.WritableDatabase('', xapian.DB_BACKEND_INMEMORY)
    maker = xapian.TermGenerator()
    maker.set_stemmer(xapian.Stem('english'))
    for number, title, text in documents(folder):
        doc = xapian.Document()
        maker.set_document(doc)
        maker.index_text(title)
        maker.increase_termpos()
        maker.index_text(text)
        doc.set_data(str(number))
        base.add_document(doc)
    parser = xapian.QueryParser()
    parser.set_stemmer(xapian.Stem('english'))
    parser.set_stemming_strategy(xapian.QueryParser.STEM_SOME)
    parser.set_database(base)
    search = xapian.Enquire(base)
    search.set_weighting_scheme(xapian.BM25Weight())
    for number, text in queries(folder):
        search.set_query(parser.parse_query(text, 0))
        for match in search.get_mset(0, TOP):
            print('xapian', number, match.document.get_data().decode(), sep='\t')


def ndcg(found, gains):
    """Jaervelin, Kekaelaeinen: Cumulated gain-based evaluation of IR techniques (2002)"""
    best = sorted(gains.values(), reverse=True)[:TOP]
    ideal = sum(g / math.log2(i + 2) for i, g in enumerate(best))
    return sum(gains.get(d, 0) / math.log2(i + 2) for i, d in enumerate(found)) / ideal


def judge(folder):
    gains = judgements(folder)
    runs = {}
    for line in sys.stdin:
        run, query, doc = line.split()
        runs.setdefault(run, {}).setdefault(int(query), []).append(int(doc))
    means = {}
    for run, found in runs.items():
        for half in (0, 1):
            scores = [ndcg(found.get(q, [])[:TOP], gains[q])
                      for q in gains if q % 2 == half and any(gains[q].values())]
            means[run, half] = sum(scores) / len(scores)
        print(f'{run:12} nDCG@10: even queries {means[run, 0]:.4f}, odd {means[run, 1]:.4f}')
    # Settings were chosen by the even queries.
    ours = means['saleshub', 1]
    sys.exit(0 if ours >= 0.40 and ours >= means['xapian', 1] else 1)


if __name__ == '__main__':
    command, place = sys.argv[1:]
    if command in ('documents', 'queries'):
        for row in (documents if command == 'documents' else queries)(place):
            print(*(str(v).replace('\\', '\\\\') for v in row), sep='\t')
    else:
        {'xapian': xapian_run, 'judge': judge}[command](place)
