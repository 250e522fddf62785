/* fuzz_reply.c - the body of an HTTP answer, whatever it is: read as a reply, as an error, as what a
 * server says of its limits; and what comes of it is a class or none, probabilities or none.
 *
 * The first byte chooses the task: names with a common beginning, names of signs, true and false,
 * JSON, other scripts. */
#include "chat/chat.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *plain[] = {"positive", "negative", "very positive", "neutral"};
static char *signs[] = {"c", "c++", "c#"};
static char *other[] = {"știre", "satiră", "消息"};

static silr_task choose(unsigned char which)
{
    silr_task t = {.n_classes = 4, .classes = plain};

    t.annotator.chat.samples = 1;
    t.annotator.chat.logprobs = true;
    if (which % 5 == 1) {
        t.n_classes = 3;
        t.classes = signs;
    } else if (which % 5 == 2) {
        t.n_classes = 2;
        t.annotator.chat.answers = SILR_ANSWERS_TRUE_FALSE;
    } else if (which % 5 == 3) {
        t.annotator.chat.format = SILR_REPLY_JSON;
        t.annotator.chat.samples = 3;
    } else if (which % 5 == 4) {
        t.n_classes = 3;
        t.classes = other;
    }
    return t;
}

static void want(bool good)
{
    if (!good)
        abort();
}

static void look_at(const silr_task *t, const silr_choice *c)
{
    float logp[64];
    double sum = 0;
    const char *reason;
    int k = silr_answer_label(t, c, &reason);

    want(k == SILR_NO_LABEL ? reason != NULL : k >= 0 && (size_t)k < t->n_classes);
    if (k < 0 || !silr_answer_logp(t, c, k, logp))
        return;
    for (size_t i = 0; i < t->n_classes; i++) {
        want(logp[i] <= 1e-4f && !isnan(logp[i]));
        sum += exp((double)logp[i]);
    }
    want(fabs(sum - 1) < 1e-3);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *body = (const char *)data + 1;
    char what[200], code[80];
    silr_reply r;
    silr_server s;
    silr_task t;
    int tried = 0;

    if (size < 1)
        return 0;
    t = choose(data[0]);
    size--;
    if (silr_reply_read(&r, body, size, what)) {
        want(r.n_choices > 0);
        for (size_t i = 0; i < r.n_choices; i++)
            look_at(&t, &r.choice[i]);
        silr_reply_clear(&r);
    } else {
        want(what[0] != '\0');
    }
    silr_reply_error(body, size, what, code);
    want(strlen(what) < sizeof what && strlen(code) < sizeof code);
    s = silr_server_hopes(&t);
    for (int i = 0; i < 40 && silr_server_learn(&s, &t, i % 2 ? 400 : 422, body, size, &tried); i++)
        continue; /* it ends: there is only so much to leave out */
    silr_server_from_json(&s, body, size);
    return 0;
}
