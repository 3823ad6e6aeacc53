"""Reads what COPY wrote in binary, and fits a logistic regression with scikit-learn as it comes."""
import sys
import numpy as np
from sklearn.linear_model import LogisticRegression

width = 21
row = np.dtype([('fields', '>i2')] + [f for i in range(width) for f in (('l%d' % i, '>i4'), ('f%d' % i, '>f8'))])
raw = np.fromfile(sys.argv[1], dtype=np.uint8)
table = raw[19:-2].view(row)
x = np.column_stack([table['f%d' % i] for i in range(1, width)]).astype('f8')
fit = LogisticRegression().fit(x, table['f0'] > 0.5)
print(len(x), fit.n_iter_[0])
