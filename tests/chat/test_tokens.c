/* test_tokens.c - from log-probabilities of tokens to those of classes. A joint distribution over whole
 * answers is written down, the tokens' probabilities follow from it, and the classes' come back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "chat/chat.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PLACES = 40, TOPS = 130 };

static silr_task task;
static silr_token_place place[PLACES];
static silr_token top[PLACES][TOPS];
static silr_choice choice;
static silr_buf content;

static void classes(const char *const *names)
{
    task = (silr_task){.classes = (char **)(uintptr_t)names};
    while (names[task.n_classes])
        task.n_classes++;
}
#define CLASSES(...) classes((const char *const[]){__VA_ARGS__, NULL})

static void begin(void)
{
    choice = (silr_choice){.place = place, .finish = "stop"};
    silr_buf_reset(&content);
    silr_buf_puts(&content, "");
}

/* The next token that was chosen. Alternatives follow. */
static void token(const char *s, double p)
{
    silr_token_place *to = &place[choice.n_places];

    *to = (silr_token_place){.token = {s, strlen(s), log(p)}, .top = top[choice.n_places]};
    choice.n_places++;
    silr_buf_puts(&content, s);
}

static void other(const char *s, double p)
{
    silr_token_place *to = &place[choice.n_places - 1];
    to->top[to->n_top++] = (silr_token){s, strlen(s), p > 0 ? log(p) : -9999};
}

/* The chosen one among the alternatives, as servers list it. */
static void both(const char *s, double p)
{
    token(s, p);
    other(s, p);
}

static bool logp(const char *says, float *out)
{
    const char *reason;
    int label;

    choice.content = says ? says : content.data;
    choice.len = strlen(choice.content);
    label = silr_answer_label(&task, &choice, &reason);
    if (label < 0)
        fail_msg("\"%s\" names no class", choice.content);
    return silr_answer_logp(&task, &choice, label, out);
}

/* The classes' probabilities are as these, but for their sum. NULL: content is what the tokens say. */
static void is_(const char *says, const double *want)
{
    float out[64];
    double sum = 0, total = 0;

    if (!logp(says, out))
        fail_msg("\"%s\": no log-probabilities", choice.content);
    for (size_t k = 0; k < task.n_classes; k++) {
        sum += want[k];
        total += exp((double)out[k]);
    }
    assert_true(fabs(total - 1) < 1e-5);
    for (size_t k = 0; k < task.n_classes; k++)
        if (!(fabs(exp((double)out[k]) - want[k] / sum) < 1e-5))
            fail_msg("\"%s\": %s has %g, not %g", choice.content, task.classes[k], exp((double)out[k]),
                     want[k] / sum);
}
#define IS(says, ...) is_(says, (const double[]){__VA_ARGS__})

static void none(const char *says)
{
    float out[64];
    if (logp(says, out))
        fail_msg("\"%s\": log-probabilities out of nowhere", choice.content);
}

/* --- by hand ------------------------------------------------------------------------------------- */

static void first_tokens_decide(void **state)
{
    (void)state;
    CLASSES("positive", "negative");
    begin();
    both("positive", 0.6);
    other("negative", 0.3);
    other("The", 0.1);
    IS(NULL, 0.6, 0.3);

    begin(); /* variants of a name are one class */
    both("pos", 0.4);
    other(" positive", 0.1);
    other("Pos", 0.05);
    other("neg", 0.2);
    other(" Neg", 0.1);
    other("NEG", 0.02);
    other("\"negative", 0.03);
    other("**pos", 0.01);
    other("\xc4\xa0neg", 0.01);
    other("\xe2\x96\x81pos", 0.02);
    other("possibly", 0.3); /* begins like a class, and is none */
    token("itive", 1);
    IS(NULL, 0.58, 0.36);

    begin(); /* the chosen one is not always among the alternatives */
    token("positive", 0.5);
    other("negative", 0.25);
    IS(NULL, 0.5, 0.25);

    begin(); /* with what came before it in its token */
    both(" positive", 0.5);
    other(" negative", 0.2);
    other("negative", 0.05);
    IS("positive", 0.5, 0.25);
    IS(" positive", 0.5, 0.25);

    begin();
    both("Answer", 0.9);
    both(":", 0.9);
    both(" positive", 0.7);
    other(" negative", 0.2);
    IS(NULL, 0.7, 0.2);
}

static void walks_on_where_names_begin_alike(void **state)
{
    (void)state;
    CLASSES("very good", "very bad", "bad");
    begin();
    both("very", 0.5);
    other("bad", 0.3);
    both(" good", 0.8);
    other(" bad", 0.15);
    other(" much", 0.05);
    IS(NULL, 0.5 * 0.8, 0.5 * 0.15, 0.3);

    begin(); /* another way to write what they share is shared out alike */
    both("very", 0.5);
    other(" Very", 0.25);
    other("bad", 0.25);
    both(" good", 0.75);
    other(" bad", 0.25);
    IS(NULL, 0.75 * 0.75, 0.75 * 0.25, 0.25);

    CLASSES("sports", "sporty", "space");
    begin();
    both("sp", 0.9);
    both("ort", 0.8);
    other("ace", 0.2);
    both("s", 0.7);
    other("y", 0.3);
    IS(NULL, 0.9 * 0.8 * 0.7, 0.9 * 0.8 * 0.3, 0.9 * 0.2);
}

static void what_is_missing_has_bounds(void **state)
{
    (void)state;
    CLASSES("a1", "b2", "c3");
    begin();
    both("a1", 0.9);
    other("b2", 0.04);
    other("x", 0.03);
    IS(NULL, 0.9, 0.04, 0.03); /* c3 has at most the least that is told */

    begin(); /* nothing is told: the rest is everybody's */
    token("a1", 0.9);
    IS(NULL, 0.9, 0.05, 0.05);
    begin();
    token("a1", 1);
    IS(NULL, 1, 5e-7, 5e-7);

    begin(); /* a grammar forbids the others */
    both("a1", 1);
    other("x", 0);
    IS(NULL, 1, 1e-9, 1e-9);

    CLASSES("very good", "very bad", "bad");
    begin(); /* the bound is that of the place where the names part */
    both("very", 0.5);
    other("bad", 0.3);
    other("x", 0.2);
    both(" good", 0.9);
    other("x", 0.02);
    IS(NULL, 0.5 * 0.9, 0.5 * 0.02, 0.3);
}

static void inside_json(void **state)
{
    (void)state;
    CLASSES("positive", "negative");
    begin();
    both("{\"", 1);
    both("label", 1);
    both("\":\"", 1);
    both("positive", 0.75);
    other("negative", 0.25);
    both("\"}", 1);
    IS(NULL, 0.75, 0.25);

    begin(); /* a token that has the quote in it */
    both("{\"label\":", 1);
    both(" \"pos", 0.75);
    other(" \"neg", 0.25);
    both("itive\"}", 1);
    IS(NULL, 0.75, 0.25);

    CLASSES("a", "label", "e"); /* names that stand in the key, too */
    begin();
    both("{\"", 1);
    both("label", 0.9);
    other("e", 0.1);
    both("\": \"", 1);
    both("a", 0.5);
    other("label", 0.3);
    other("e", 0.2);
    both("\"}", 1);
    IS(NULL, 0.5, 0.3, 0.2);

    CLASSES("no", "yes");
    begin(); /* the label counts, not what is said beside it */
    both("{\"why\": \"no", 1);
    both(" idea\", \"label\": \"", 1);
    both("no", 0.8);
    other("yes", 0.2);
    both("\"}", 1);
    IS(NULL, 0.8, 0.2);
}

/* Thoughts, with their tokens, before the answer; and tokens of the end, which nobody reads. */
static void behind_thoughts(void **state)
{
    (void)state;
    CLASSES("positive", "negative");
    begin();
    both("<think>", 1);
    both("positive", 0.1);
    other("negative", 0.9);
    both("?", 1);
    both("</think>", 1);
    both("\n\n", 1);
    both("positive", 0.7);
    other("negative", 0.3);
    both("<|im_end|>", 1);
    IS("<think>positive?</think>\n\npositive", 0.7, 0.3);
    IS("positive", 0.7, 0.3); /* the server took the thoughts out of the content alone */
    IS("\n\npositive", 0.7, 0.3);
}

static void in_the_line_that_counts(void **state)
{
    (void)state;
    CLASSES("positive", "negative");
    begin();
    both("A fine film.", 1);
    both("\n", 1);
    both("positive", 0.7);
    other("negative", 0.3);
    IS(NULL, 0.7, 0.3);
    begin();
    both("The word positive occurs, but not", 1); /* the first line names and denies: it is none */
    both("hing else.\nI'd say:\n", 1);
    both("positive", 0.6);
    other("negative", 0.4);
    begin();
    both("Tone:", 1);
    both(" unpositively good\n", 1);
    both("positive", 0.6);
    other("negative", 0.4);
    IS(NULL, 0.6, 0.4); /* a word of its own */
    CLASSES("art", "party");
    begin();
    both("party", 0.8);
    other("art", 0.2);
    IS(NULL, 0.2, 0.8);
}

static void other_scripts(void **state)
{
    (void)state;
    CLASSES("\xc8\x99tiri", "\xc8\x99" "coal\xc4\x83", "altele");
    begin(); /* a character in two tokens, as bytes */
    both("\xc8", 0.8);
    other("a", 0.2);
    both("\x99", 1);
    both("tiri", 0.6);
    other("coal", 0.4);
    IS(NULL, 0.8 * 0.6, 0.8 * 0.4, 0.2);
    begin();
    both("\xc8\x98t", 0.5); /* upper case */
    other("\xc8\x99t", 0.2);
    other("\xc8\x98\x43", 0.2);
    other("Alt", 0.1);
    both("iri", 1);
    IS(NULL, 0.7, 0.2, 0.1);
    CLASSES("\xe6\xad\xa3\xe9\x9d\xa2", "\xe8\xb4\x9f\xe9\x9d\xa2");
    begin();
    both("\xe6\xad", 0.9);
    other("\xe8\xb4", 0.1);
    both("\xa3\xe9\x9d\xa2", 1);
    IS(NULL, 0.9, 0.1);
}

static void marks_for_a_space(void **state)
{
    (void)state;
    CLASSES("very good", "very bad");
    begin();
    both("\xe2\x96\x81very", 0.9);
    both("\xe2\x96\x81good", 0.6);
    other("\xe2\x96\x81" "bad", 0.4);
    IS("very good", 0.6, 0.4);
    begin();
    both("\xc4\xa0very", 0.9);
    both("\xc4\xa0good", 0.6);
    other("\xc4\xa0" "bad", 0.4);
    IS("very good", 0.6, 0.4);
}

static void true_and_false(void **state)
{
    (void)state;
    CLASSES("spam", "ham");
    task.annotator.chat.answers = SILR_ANSWERS_TRUE_FALSE;
    begin();
    both("True", 0.6);
    other("False", 0.2);
    other("false", 0.1);
    other("spam", 0.1);
    IS(NULL, 0.6, 0.3);
}

/* Where the tokens do not tell, there is no answer rather than a wrong one. */
static void no_answer(void **state)
{
    (void)state;
    CLASSES("positive", "negative");
    begin();
    none("positive"); /* no tokens at all */
    begin();
    both("something", 0.5);
    both(" else", 0.5);
    none("positive");
    begin(); /* only the first tokens are told, and the name is not among them */
    both("Answer", 0.5);
    none("Answer: positive");
    begin();
    both("Answer: ", 0.5);
    both("pos", 0.5);
    other("neg", 0.25);
    IS("Answer: positive", 0.5, 0.25); /* or just so */
    CLASSES("Sci/Tech", "World");
    begin();
    both("Sci Tech", 0.5);
    none(NULL); /* the class is known by its letters alone */
    CLASSES("very", "very good");
    begin();
    both("very", 0.5);
    other(" Very", 0.2);
    none(NULL); /* what would have come is not told */
    begin();
    both("very", 0.5);
    both("<|end|>", 0.9);
    other(" good", 0.1);
    IS("very", 0.9, 0.1);
}

/* --- by brute force ------------------------------------------------------------------------------ */

enum { FORMS = 3, MOST = 12 };

/* A way to write an answer: its tokens and how probable it is. */
typedef struct {
    char token[20][12];
    int n, k;
    double p;
} way;

static way ways[MOST * FORMS];
static int n_ways;

/* Form 0: "name", 1: " name", 2: "Name"; the name is cut into tokens of three bytes. */
static void add_way(const char *name, int k, int form, double p)
{
    way *w = &ways[n_ways++];
    size_t at = 0, len = strlen(name);

    *w = (way){.k = k, .p = p};
    for (; at < len; w->n++) {
        size_t take = len - at < 3 ? len - at : 3;
        snprintf(w->token[w->n], sizeof w->token[0], "%s%.*s", at == 0 && form == 1 ? " " : "", (int)take,
                 name + at);
        at += take;
    }
    if (form == 2)
        w->token[0][0] = (char)(w->token[0][0] - 'a' + 'A');
    strcpy(w->token[w->n++], "<|end|>");
}

static bool begins_like(const way *a, const way *b, int n)
{
    for (int i = 0; i < n; i++)
        if (i >= a->n || strcmp(a->token[i], b->token[i]) != 0)
            return false;
    return true;
}

/* The answer `said` with all that a server could tell of it. */
static void say(const way *said)
{
    begin();
    for (int d = 0; d < said->n; d++) {
        double before = 0;
        for (int i = 0; i < n_ways; i++)
            before += begins_like(&ways[i], said, d) ? ways[i].p : 0;
        double here = 0;
        for (int i = 0; i < n_ways; i++)
            here += begins_like(&ways[i], said, d + 1) ? ways[i].p : 0;
        token(said->token[d], here / before);
        for (int i = 0; i < n_ways; i++) {
            double p = 0;
            bool seen = false;
            if (!begins_like(&ways[i], said, d) || d >= ways[i].n)
                continue;
            for (int j = 0; j < i; j++)
                seen = seen || (begins_like(&ways[j], said, d) && d < ways[j].n &&
                                strcmp(ways[j].token[d], ways[i].token[d]) == 0);
            for (int j = 0; j < n_ways && !seen; j++)
                if (begins_like(&ways[j], said, d) && d < ways[j].n &&
                    strcmp(ways[j].token[d], ways[i].token[d]) == 0)
                    p += ways[j].p;
            if (!seen)
                other(ways[i].token[d], p / before);
        }
    }
}

/* How many of its tokens the name a has in common with b. */
static size_t shared(const char *a, const char *b)
{
    size_t at = 0;

    while (a[at] && b[at] && strncmp(a + at, b + at, 3) == 0)
        at += strnlen(a + at, 3);
    return at;
}

/* Classes that part from what was said with the same token cannot be told apart: their sum is told. */
static void check_groups(const char *says, const char *const *names, int K, int said, const double *pi)
{
    float out[64];

    if (!logp(says, out))
        fail_msg("\"%s\" of %d classes: no log-probabilities", says, K);
    for (int k = 0; k < K; k++) {
        size_t with = shared(names[k], names[said]);
        double want = 0, got = 0;
        for (int j = 0; j < K; j++) {
            bool alike = j == k || (k != said && j != said && shared(names[j], names[said]) == with &&
                                    shared(names[j], names[k]) > with);
            want += alike ? pi[j] : 0;
            got += alike ? exp((double)out[j]) : 0;
        }
        if (!(fabs(got - want) < 1e-5))
            fail_msg("\"%s\": %s and its like have %g, not %g", says, names[k], got, want);
    }
}

/* The form of a name does not depend on the class; then, whichever way was said, the classes'
 * probabilities come back, although most of the ways were never walked. */
static void a_joint_distribution_comes_back(void **state)
{
    static const char letters[] = "abo";
    silr_rng rng;
    (void)state;

    silr_rng_init(&rng, 5, SILR_RNG_TEST, 0, 0);
    for (int round = 0; round < 3000; round++) {
        char name[MOST][16];
        const char *names[MOST + 1] = {NULL};
        double pi[MOST], form[FORMS], sum = 0, all = 0;
        int K = 2 + (int)silr_rng_below(&rng, MOST - 1), i = 0;
        for (int k = 0; k < K; k++, i = 0) {
            int len = 2 + (int)silr_rng_below(&rng, 6);
            for (int c = 0; c < len; c++)
                name[k][c] = letters[silr_rng_below(&rng, 3)];
            name[k][len] = '\0';
            for (i = 0; i < k && strcmp(name[i], name[k]) != 0; i++)
                ;
            if (i < k) { /* once more */
                k--;
                continue;
            }
            names[k] = name[k];
            sum += pi[k] = 0.02 + silr_rng_double(&rng);
        }
        for (int v = 0; v < FORMS; v++)
            all += form[v] = 0.01 + silr_rng_double(&rng);
        n_ways = 0;
        for (int k = 0; k < K; k++)
            for (int v = 0; v < FORMS; v++)
                add_way(name[k], k, v, pi[k] / sum * form[v] / all);
        classes(names);
        const way *said = &ways[silr_rng_below(&rng, (uint64_t)n_ways)];
        silr_buf b = {0};
        for (int d = 0; d + 1 < said->n; d++)
            silr_buf_puts(&b, said->token[d]);
        say(said);
        for (int k = 0; k < K; k++)
            pi[k] /= sum;
        check_groups(b.data, names, K, said->k, pi);
        silr_buf_clear(&b);
    }
}

/* With few alternatives told: still a distribution, and the class that was said in it. */
static void few_alternatives(void **state)
{
    silr_rng rng;
    (void)state;

    silr_rng_init(&rng, 6, SILR_RNG_TEST, 0, 0);
    CLASSES("positive", "negative", "neutral", "very positive", "very negative", "mixed");
    for (int round = 0; round < 2000; round++) {
        double sum = 0;
        float out[64];
        n_ways = 0;
        for (int k = 0; k < 6; k++)
            for (int v = 0; v < FORMS; v++)
                add_way(task.classes[k], k, v, silr_rng_double(&rng) + 1e-6);
        const way *said = &ways[silr_rng_below(&rng, (uint64_t)n_ways)];
        silr_buf b = {0};
        for (int d = 0; d + 1 < said->n; d++)
            silr_buf_puts(&b, said->token[d]);
        say(said);
        for (size_t i = 0; i < choice.n_places; i++)
            place[i].n_top = silr_rng_below(&rng, place[i].n_top + 1);
        if (!logp(b.data, out))
            fail_msg("\"%s\"", b.data);
        for (int k = 0; k < 6; k++) {
            assert_true(isfinite(out[k]) && out[k] <= 0);
            sum += exp((double)out[k]);
        }
        assert_true(fabs(sum - 1) < 1e-5);
        silr_buf_clear(&b);
    }
}

/* However odd: an end, and a distribution if anything. */
static void anything_at_all(void **state)
{
    static const char *const pieces[] = {"pos", "itive", "neg", " ", "very", "\xe2\x96\x81", "\xc4\xa0", "\"", "{\"label\":",
                                         "\n", "<think>", "</think>", "\xc8", "\x99", "", "positive", "a very long token "
                                         "that is longer than any name of a class can be, which is two hundred and fifty "
                                         "five bytes, so that it has to go on and on for a good while longer, and then some "
                                         "more, until at last it is long enough to be of no use whatsoever to anybody here."};
    enum { N = sizeof pieces / sizeof *pieces };
    silr_rng rng;
    (void)state;

    silr_rng_init(&rng, 7, SILR_RNG_TEST, 0, 0);
    CLASSES("positive", "very positive", "negative", "\xc8\x99tiri", "");
    for (int round = 0; round < 20000; round++) {
        float out[64];
        const char *reason;
        begin();
        for (uint64_t n = silr_rng_below(&rng, 9); n > 0; n--) {
            token(pieces[silr_rng_below(&rng, N)], silr_rng_double(&rng));
            for (uint64_t t = silr_rng_below(&rng, 6); t > 0; t--)
                other(pieces[silr_rng_below(&rng, N)], silr_rng_double(&rng));
        }
        if (round % 3 == 0)
            silr_buf_puts(&content, "positive");
        choice.content = content.data;
        choice.len = content.len;
        for (int label = -1; label < 5; label++)
            if (silr_answer_logp(&task, &choice, label, out))
                for (int k = 0; k < 5; k++)
                    assert_true(isfinite(out[k]));
        silr_answer_label(&task, &choice, &reason);
    }
}

static int clean(void **state)
{
    (void)state;
    silr_buf_clear(&content);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_tokens_decide),
        cmocka_unit_test(walks_on_where_names_begin_alike),
        cmocka_unit_test(what_is_missing_has_bounds),
        cmocka_unit_test(inside_json),
        cmocka_unit_test(behind_thoughts),
        cmocka_unit_test(in_the_line_that_counts),
        cmocka_unit_test(other_scripts),
        cmocka_unit_test(marks_for_a_space),
        cmocka_unit_test(true_and_false),
        cmocka_unit_test(no_answer),
        cmocka_unit_test(a_joint_distribution_comes_back),
        cmocka_unit_test(few_alternatives),
        cmocka_unit_test(anything_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, clean);
}
