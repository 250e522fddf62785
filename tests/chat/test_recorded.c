/* test_recorded.c - what real servers answered (replies/README.md) is read, and read rightly: every
 * answer, every error's words, and log-probabilities wherever a server gave some. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "chat/chat.h"
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *folder;

static void load(const char *name, silr_buf *out)
{
    silr_error err;
    char *path = silr_path_join(folder, name);

    silr_buf_reset(out);
    assert_int_equal(silr_file_read(out, path, 1 << 20, &err), SILR_OK);
    silr_free(path);
}

/* Status in the name: SERVER-CASE.STATUS.json; 0: not a reply. */
static int status_of(const char *name)
{
    const char *dot = strchr(name, '.');
    return dot && strlen(dot) > 4 && strcmp(dot + 4, ".json") == 0 ? (int)strtol(dot + 1, NULL, 10) : 0;
}

static bool any(const char *name, const char *const *parts)
{
    for (; *parts; parts++)
        if (strstr(name, *parts))
            return true;
    return false;
}

/* 200, and yet no answer: other paths, errors in the body, answers without a choice or a word. */
static const char *const no_answer[] = {"-models.", "-error", "-no-choices", "-empty", "-null", "-endpoint", NULL};

static void check(const char *name, const silr_buf *b, size_t *answers, size_t *errors, size_t *sure)
{
    int status = status_of(name);
    char why[200], code[80];
    silr_reply r;
    bool good = silr_reply_read(&r, b->data, b->len, why);

    if (status == 200 && !good && !any(name, no_answer))
        fail_msg("%s: %s", name, why);
    if (status >= 400 && good)
        fail_msg("%s: an error was read as an answer", name);
    if (status >= 400) {
        silr_reply_error(b->data, b->len, why, code);
        if (!why[0] && b->data[0] == '{')
            fail_msg("%s: no words in the error", name);
        ++*errors;
    }
    if (!good)
        return;
    ++*answers;
    assert_true(r.n_choices > 0 && r.choice[0].content && r.choice[0].finish);
    assert_int_equal(strlen(r.choice[0].content), r.choice[0].len);
    assert_true(r.usage.prompt_tokens >= r.usage.cached_tokens);
    for (size_t i = 0; i < r.choice[0].n_places; i++) {
        assert_true(isfinite(r.choice[0].place[i].token.logprob));
        *sure += r.choice[0].place[i].n_top > 0;
    }
    if (strstr(name, "-logprobs.200") && !strstr(name, "transformers") && r.choice[0].n_places == 0)
        fail_msg("%s: its log-probabilities were not found", name);
    silr_reply_clear(&r);
}

static void every_reply_is_read(void **state)
{
    DIR *dir = opendir(folder);
    struct dirent *e;
    silr_buf b = {0};
    size_t answers = 0, errors = 0, sure = 0;
    (void)state;

    assert_non_null(dir);
    while ((e = readdir(dir)))
        if (status_of(e->d_name)) {
            load(e->d_name, &b);
            check(e->d_name, &b, &answers, &errors, &sure);
        }
    closedir(dir);
    silr_buf_clear(&b);
    print_message("%zu answers, %zu errors, %zu places with alternatives\n", answers, errors, sure);
    assert_true(answers > 50 && errors > 30 && sure > 20);
}

/* The first token's alternatives of a real server, summed by hand: "The" and " The" are one class. */
static void log_probabilities_of_a_real_answer(void **state)
{
    static char *classes[] = {"The", "This"};
    silr_task task = {.n_classes = 2, .classes = classes};
    silr_buf b = {0};
    silr_reply r;
    char why[200];
    float logp[2];
    double mass[2] = {0};
    const silr_token_place *p;
    (void)state;

    load("llama-logprobs.200.json", &b);
    assert_true(silr_reply_read(&r, b.data, b.len, why));
    p = &r.choice[0].place[0];
    for (size_t i = 0; i < p->n_top; i++) {
        const char *t = p->top[i].token + (p->top[i].token[0] == ' ');
        for (int k = 0; k < 2; k++)
            if (strcasecmp(t, classes[k]) == 0)
                mass[k] += exp(p->top[i].logprob);
    }
    assert_true(mass[0] > 0 && mass[1] > 0);
    assert_true(silr_answer_logp(&task, &r.choice[0], 0, logp));
    assert_true(fabs((double)logp[0] - log(mass[0] / (mass[0] + mass[1]))) < 0.02);
    silr_reply_clear(&r);
    silr_buf_clear(&b);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_reply_is_read),
        cmocka_unit_test(log_probabilities_of_a_real_answer),
    };
    folder = argc > 1 ? argv[1] : "replies";
    return cmocka_run_group_tests(tests, NULL, NULL);
}
