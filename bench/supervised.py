"""supervised.py - drives bench/supervised and its peers on one corpus; see supervised.sh.

    supervised.py PROGRAM CORPUS SCRATCH ROUNDS

A text is in the test part when its SHA-256 says so (one in five), and the training part is in the
order of that hash, because fastText learns in the order of the file. fastText runs twice: with
its defaults, and with -lr 1 -epoch 25, which is where its accuracy is best on these corpora.
"""
import gzip
import hashlib
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import time


def split(corpus, stem):
    rows = []
    with (gzip.open if corpus.endswith(".gz") else open)(corpus, "rb") as f:
        for line in f:
            row = json.loads(line.decode("utf-8", "replace"))
            text = re.sub(r"\s+", " ", row["text"]).strip()
            rows.append((hashlib.sha256(text.encode()).digest(), row["label"], text))
    rows.sort()
    with open(stem + ".train", "w") as train, open(stem + ".test", "w") as test:
        for digest, label, text in rows:
            print(f"__label__{label} {text}", file=test if digest[3] % 5 == 0 else train)
    return stem + ".train", stem + ".test"


def child_seconds(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, out


def silr(program, train, test, stem):
    _, out = child_seconds([program, train, test, stem + ".model"])
    accuracy, seconds, speed = map(float, out.split())
    return accuracy, seconds, speed


def fasttext(train, test, stem, extra):
    seconds, _ = child_seconds(["fasttext", "supervised", "-input", train, "-output", stem + ".ft",
                                "-wordNgrams", "2", "-thread", "1", "-verbose", "0"] + extra)
    _, out = child_seconds(["fasttext", "test", stem + ".ft.bin", test])
    return float(re.search(r"P@1\s+([0-9.]+)", out).group(1)), seconds, 0


def read(path):
    pairs = [line.rstrip("\n").split(" ", 1) for line in open(path)]
    return [p[1] for p in pairs], [p[0] for p in pairs]


def sklearn(train, test):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.svm import LinearSVC
    start = time.process_time()
    x, y = read(train)
    vectorizer = TfidfVectorizer(ngram_range=(1, 2))
    model = LinearSVC().fit(vectorizer.fit_transform(x), y)
    seconds = time.process_time() - start
    x, y = read(test)
    start = time.process_time()
    guess = model.predict(vectorizer.transform(x))
    speed = len(x) / (time.process_time() - start)
    return sum(a == b for a, b in zip(guess, y)) / len(y), seconds, speed


def main():
    program, corpus, scratch, rounds = sys.argv[1:]
    name = "bbc-news" if "bbc" in corpus else "rotten_tomatoes"
    stem = os.path.join(scratch, name)
    train, test = split(corpus, stem)
    ways = {"silr": lambda: silr(program, train, test, stem)}
    if shutil.which("fasttext"):
        ways["fasttext"] = lambda: fasttext(train, test, stem, [])
        ways["fasttext, lr 1, 25 epochs"] = lambda: fasttext(train, test, stem,
                                                             ["-lr", "1", "-epoch", "25"])
    else:
        print("skipped: fasttext is not installed")
    try:
        import sklearn as _  # noqa: F401
        ways["scikit-learn LinearSVC"] = lambda: sklearn(train, test)
    except ImportError:
        print("skipped: scikit-learn is not installed")
    runs = {way: [] for way in ways}
    for _ in range(int(rounds)):
        for way, run in ways.items():
            runs[way].append(run())
    print(f"{name}: median of {rounds}, one thread")
    print(f"  {'':28}{'accuracy':>9}{'CPU s':>9}{'silr / it':>11}{'texts/s':>10}")
    for way, results in runs.items():
        ratios = [ours[1] / its[1] for ours, its in zip(runs["silr"], results)]
        speed = statistics.median(r[2] for r in results)
        print(f"  {way:28}{statistics.median(r[0] for r in results):9.4f}"
              f"{statistics.median(r[1] for r in results):9.3f}{statistics.median(ratios):11.3f}"
              f"{f'{speed:10.0f}' if speed else '':>10}")


main()
