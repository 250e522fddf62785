/* test_split.c - what must stay together does, the shares are met, and threads have no say. */
#include "corpus_tests.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Folding makes texts equal that differ in white space only: any of Unicode's, anywhere. */
static void folds_white_space(void **state)
{
    static const char *const same[] = {"a b",
                                       " a  b ",
                                       "a\tb\n",
                                       "a\u00a0b",
                                       "\u3000a\u2003 b\u2028",
                                       "\xc2\x85"
                                       "a\r\n\r\nb"};
    silr_buf out = {0};
    (void)state;

    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        assert_true(silr_utf8_fold(&out, same[i], strlen(same[i])));
        assert_string_equal(out.data, "a b");
    }
    assert_true(silr_utf8_fold(&out, "\u00e9\u2019 \u200b", strlen("\u00e9\u2019 \u200b")));
    assert_string_equal(out.data, "\u00e9\u2019 \u200b"); /* look-alikes in UTF-8 stay */
    silr_buf_clear(&out);
}

/* Folding goes eight bytes at a time where it can; it must do what one character at a time does. */
static void folds_like_the_plain_way(void **state)
{
    static const char *const pieces[] = {" ",      " ",      "a",      "word",   "\t",
                                         "\u00a0", "\u00e9", "\u2003", "\u2019", "0123456789",
                                         "\x1f",   "\x7f",   "\u3000", "\u3042"};
    static const bool blank[] = {1, 1, 0, 0, 1, 1, 0, 1, 0, 0, 0, 0, 1, 0};
    silr_buf in = {0}, want = {0}, got = {0};
    silr_rng rng;
    (void)state;

    silr_rng_init(&rng, 5, SILR_RNG_TEST, 0, 0);
    for (int t = 0; t < 20000; t++) {
        bool pending = false;
        silr_buf_reset(&in);
        silr_buf_reset(&want);
        silr_buf_puts(&want, "");
        silr_buf_puts(&in, "");
        for (uint64_t n = silr_rng_below(&rng, 20); n > 0; n--) {
            size_t k = silr_rng_below(&rng, sizeof blank);
            silr_buf_puts(&in, pieces[k]);
            if (!blank[k] && pending && want.len > 0)
                silr_buf_putc(&want, ' ');
            if (!blank[k])
                silr_buf_puts(&want, pieces[k]);
            pending = blank[k];
        }
        assert_true(silr_utf8_fold(&got, in.data, in.len));
        assert_string_equal(got.data, want.data);
    }
    silr_buf_clear(&in);
    silr_buf_clear(&want);
    silr_buf_clear(&got);
}

/* 3,000 rows: every tenth text twice or more, families through `g`, some empty. */
static void grown_corpus(void)
{
    silr_buf b = {0};
    silr_rng rng;

    silr_rng_init(&rng, 11, SILR_RNG_TEST, 0, 0);
    for (int i = 0; i < 3000; i++) {
        uint64_t text = silr_rng_below(&rng, 2700), g = silr_rng_below(&rng, 900);
        silr_buf_printf(&b, "{\"id\":\"%d\",\"text\":\"", i);
        if (i % 97 == 0)
            silr_buf_puts(&b, " \\t");
        else
            silr_buf_printf(&b, "%stext%s%u", i % 2 ? " " : "", i % 3 ? "  " : " ", (unsigned)text);
        if (g < 300)
            silr_buf_printf(&b, "\",\"g\":\"g%u\",\"label\":%d}\n", (unsigned)g, i % 2 ? 1 : -1);
        else
            silr_buf_printf(&b, "\",\"g\":null,\"label\":null}\n");
    }
    put_file("grown.jsonl", b.data, b.len);
    silr_buf_clear(&b);
}

static void groups_stay_together(void **state)
{
    by_hand h;
    silr_task *task = task_for(&h, "grown.jsonl");
    silr_corpus *c;
    silr_buf *folded;
    size_t n, share[3] = {0}, largest = 0, straddling = 0, *size;
    (void)state;

    task->corpus.group = "g";
    grown_corpus();
    c = read_or_fail(task);
    n = silr_corpus_size(c);
    folded = silr_calloc(n, sizeof *folded);
    size = silr_calloc(n, sizeof *size);
    for (size_t i = 0; i < n; i++) {
        size_t len;
        const char *t = silr_corpus_text(c, i, &len);
        assert_true(silr_utf8_fold(&folded[i], t, len));
        share[silr_corpus_split(c, i)]++;
        assert_true(silr_corpus_group(c, i) < silr_corpus_groups(c));
        if (++size[silr_corpus_group(c, i)] > largest)
            largest = size[silr_corpus_group(c, i)];
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++) {
            const char *a = silr_corpus_column(c, i, "g"), *b = silr_corpus_column(c, j, "g");
            bool one = folded[i].len > 0 && folded[i].len == folded[j].len &&
                       strcmp(folded[i].data, folded[j].data) == 0;
            if (one || (a && b && strcmp(a, b) == 0))
                straddling += silr_corpus_group(c, i) != silr_corpus_group(c, j);
            if (silr_corpus_group(c, i) == silr_corpus_group(c, j))
                straddling += silr_corpus_split(c, i) != silr_corpus_split(c, j);
        }
    assert_int_equal(straddling, 0);
    assert_true(labs((long)share[0] - (long)(0.7 * (double)n)) <= (long)largest);
    assert_true(labs((long)share[1] - (long)(0.1 * (double)n)) <= (long)largest);
    assert_true(silr_corpus_info(c)->duplicates > 500);
    assert_int_equal(silr_corpus_info(c)->empty, 31);
    for (size_t i = 0; i < n; i++)
        silr_buf_clear(&folded[i]);
    silr_free(folded);
    silr_free(size);
    silr_corpus_free(c);
}

/* Everything that a corpus answers, in one hash. */
static uint64_t all_of_it(const silr_corpus *c)
{
    uint64_t h = 0;
    for (size_t i = 0; i < silr_corpus_size(c); i++) {
        uint64_t v[6] = {h,
                         silr_corpus_hash(c, i),
                         silr_corpus_group(c, i),
                         (uint64_t)silr_corpus_split(c, i),
                         (uint64_t)silr_corpus_truth(c, i),
                         silr_corpus_empty(c, i)};
        h = silr_hash64(v, sizeof v, 0);
    }
    return h;
}

static void same_for_any_threads(void **state)
{
    by_hand h;
    silr_task *task = task_for(&h, "grown.jsonl");
    uint64_t one;
    silr_corpus *c;
    (void)state;

    grown_corpus();
    task->threads = 1;
    c = read_or_fail(task);
    one = all_of_it(c);
    silr_corpus_free(c);
    task->threads = 4;
    c = read_or_fail(task);
    assert_true(all_of_it(c) == one);
    silr_corpus_free(c);
    task->seed = 2; /* another seed, another split */
    c = read_or_fail(task);
    assert_true(all_of_it(c) != one);
    silr_corpus_free(c);
}

/* A document's lot hangs on its own text, so that of most others does not change with a new row. */
static void split_of_others_is_stable(void **state)
{
    by_hand h;
    silr_task *task = task_for(&h, "order.txt");
    silr_corpus *c, *d;
    silr_buf b = {0};
    size_t moved = 0;
    (void)state;

    for (int i = 0; i < 400; i++)
        silr_buf_printf(&b, "text number %d\n", i);
    put_file("order.txt", b.data, b.len);
    c = read_or_fail(task);
    silr_buf_puts(&b, "one more\n");
    put_file("order.txt", b.data, b.len);
    d = read_or_fail(task);
    for (size_t i = 0; i < 400; i++)
        moved += silr_corpus_split(c, i) != silr_corpus_split(d, i);
    assert_true(moved <= 2);
    silr_corpus_free(c);
    silr_corpus_free(d);
    silr_buf_clear(&b);
}

static void shares_of_nothing(void **state)
{
    by_hand h;
    silr_task *task = task_for(&h, "order.txt");
    silr_corpus *c;
    (void)state;

    put_text("order.txt", "a\nb\nc\nd\ne\n");
    task->corpus.train = 1;
    task->corpus.validation = task->corpus.test = 0;
    c = read_or_fail(task);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(silr_corpus_split(c, i), SILR_TRAIN);
    silr_corpus_free(c);
    task->corpus.train = 0;
    task->corpus.test = 1;
    c = read_or_fail(task);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(silr_corpus_split(c, i), SILR_TEST);
    silr_corpus_free(c);
}

const struct CMUnitTest split_tests[] = {
    cmocka_unit_test(folds_white_space),         cmocka_unit_test(folds_like_the_plain_way),
    cmocka_unit_test(groups_stay_together),      cmocka_unit_test(same_for_any_threads),
    cmocka_unit_test(split_of_others_is_stable), cmocka_unit_test(shares_of_nothing),
};
const size_t n_split_tests = sizeof split_tests / sizeof split_tests[0];
