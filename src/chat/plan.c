/* plan.c - what asking would take: texts, tokens, money, time. Sends nothing.
 *
 * The bodies of the requests are put together as they would be sent, and those that the ledger has
 * answers to are left out. Tokens are measured where there are answers already: tokens per byte of
 * the body, as the server counted them, with the spread between answers. Without any answer they are
 * guessed at four bytes a token, with a wide margin: no tokenizer is known here. */
#include "chat/inside.h"
#include <math.h>
#include <string.h>

enum { MEASURE_ON = 400 };

/* Sums over answers: how many tokens a byte of the request, how many in an answer. */
typedef struct {
    double n, ratio, ratio2, out, out2;
} measure;

static void add(measure *m, const silr_usage *u, size_t bytes)
{
    double ratio = (double)u->prompt_tokens / (double)bytes, out = (double)u->completion_tokens;

    if (u->prompt_tokens <= 0 || bytes == 0)
        return;
    m->n++;
    m->ratio += ratio;
    m->ratio2 += ratio * ratio;
    m->out += out;
    m->out2 += out * out;
}

static double spread(double sum, double squares, double n)
{
    double mean = sum / n, var = squares / n - mean * mean;
    return n > 1 && var > 0 ? sqrt(var / (n - 1)) : 0;
}

static void forecast(silr_plan *p, const silr_task *task, const measure *m)
{
    const silr_chat_settings *c = &task->annotator.chat;
    double r = 0.25, r_low = 0.15, r_high = 0.4, o = 3, o_low = 1, o_high = 12;
    double k = (double)p->requests;

    p->measured_on = (size_t)m->n;
    if (m->n > 0) {
        double se = fmax(spread(m->ratio, m->ratio2, m->n), m->n < 5 ? 0.1 * m->ratio / m->n : 0);
        r = m->ratio / m->n;
        r_low = fmax(r - 1.96 * se, 0);
        r_high = r + 1.96 * se;
        se = fmax(spread(m->out, m->out2, m->n), m->n < 5 ? 0.3 * m->out / m->n : 0);
        o = m->out / m->n;
        o_low = fmax(o - 1.96 * se, 0);
        o_high = o + 1.96 * se;
    } else if (c->format == SILR_REPLY_JSON) {
        o = 10, o_low = 6, o_high = 25;
    }
    p->in = p->bytes * r, p->in_low = p->bytes * r_low, p->in_high = p->bytes * r_high;
    p->out = k * o, p->out_low = k * o_low, p->out_high = k * o_high;
}

static double price(const silr_task *task, double in, double out)
{
    silr_usage u = {.prompt_tokens = (int64_t)in, .completion_tokens = (int64_t)out};
    return silr_chat_cost(task, &u);
}

/* One request: known already, or to be sent. */
static silr_status look_at(silr_chat *c, const silr_chat_job *job, size_t i, int sample, silr_plan *p,
                           measure *m, bool *known, silr_error *err)
{
    silr_ask_id id;
    silr_usage u = {0};
    bool ready, found = false;
    const char *why;
    silr_status st = silr_chat_compose(c, job, i, sample, &id, &ready, &why, err);

    if (st != SILR_OK)
        return st;
    if (c->ledger && m->n < MEASURE_ON)
        st = silr_ledger_find(c->ledger, &id, &c->reply, &u, &found, err);
    else if (c->ledger)
        found = silr_ledger_has(c->ledger, &id);
    *known = *known && found;
    if (st != SILR_OK || found) {
        if (found && m->n < MEASURE_ON)
            add(m, &u, c->body.len);
        return st;
    }
    p->requests++;
    p->bytes += (double)c->body.len;
    return SILR_OK;
}

silr_status silr_chat_plan(silr_plan *out, const silr_task *task, silr_ledger *ledger,
                           const silr_example *examples, size_t n_examples,
                           const silr_chat_job *job, silr_error *err)
{
    silr_chat *c = NULL;
    silr_ledger_sums sums = {.seconds = NAN};
    measure m = {0, 0, 0, 0, 0};
    silr_status st = silr_chat_start(&c, task, ledger, examples, n_examples, false, err);

    *out = (silr_plan){.texts = job->n, .cost = NAN, .cost_low = NAN, .cost_high = NAN, .seconds = NAN};
    for (size_t i = 0; st == SILR_OK && i < job->n; i++) {
        bool known = true;
        for (int s = 0; st == SILR_OK && s < silr_chat_samples(c); s++)
            st = look_at(c, job, i, s, out, &m, &known, err);
        out->known += known;
    }
    if (st == SILR_OK && ledger)
        st = silr_ledger_sum(ledger, &sums, err);
    if (st == SILR_OK) {
        forecast(out, task, &m);
        out->cost = price(task, out->in, out->out);
        out->cost_low = price(task, out->in_low, out->out_low);
        out->cost_high = price(task, out->in_high, out->out_high);
        out->seconds = sums.seconds * (double)out->requests /
                       (double)task->annotator.chat.concurrency;
    }
    silr_chat_free(c);
    return st;
}
