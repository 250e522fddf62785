/* corpus_tests.h - what the tests of corpus/ share: a folder of their own, and a task by hand. */
#ifndef SILR_CORPUS_TESTS_H
#define SILR_CORPUS_TESTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "corpus/source.h"

typedef struct {
    silr_task task;
    char *classes[2], *files[4];
} by_hand;

extern char folder[]; /* of this run of the tests */
void put_file(const char *name, const char *bytes, size_t len);
void put_text(const char *name, const char *text);
/* A task over one file of the folder: column "text", two classes, 70/10/20. */
silr_task *task_for(by_hand *h, const char *file);
silr_corpus *read_or_fail(const silr_task *task);
/* The sentence of a read that must fail with SILR_EINPUT; the folder's name is left out. */
const char *complaint(const silr_task *task);
silr_status count_bad(void *ctx, const char *file, uint64_t line, const char *why, silr_error *err);

extern const struct CMUnitTest row_tests[], split_tests[];
extern const size_t n_row_tests, n_split_tests;

#endif
