/* texts.h - made-up corpora for the tests that break things on purpose. */
#ifndef SILR_TESTS_TEXTS_H
#define SILR_TESTS_TEXTS_H

#include "base/base.h"

/* n texts of K classes as JSONL: id, text, label (the truth), by (an annotator, right four times
 * of five, silent one time of twenty). The truth of a text i with scramble && !keep[i] is drawn
 * anew. Everything else is the same for the same seed. */
silr_status texts_write(const char *path, size_t n, int K, uint64_t seed, bool scramble,
                        const bool *keep, silr_error *err);

/* A task file for them. recipe: "silr" or "paper"; extra: more lines, or "". */
silr_status texts_task(const char *path, int K, const char *recipe, const char *extra,
                       silr_error *err);

#endif
