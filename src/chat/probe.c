/* probe.c - one question to an endpoint, to find out what it can do; kept nowhere. */
#include "chat/inside.h"
#include <math.h>
#include <string.h>

typedef struct {
    const silr_task *task;
    silr_probe *out;
} probing;

static const char text[] = "This is a test.";

static const char *text_of(void *ctx, size_t i, size_t *len)
{
    (void)ctx, (void)i;
    *len = sizeof text - 1;
    return text;
}

static silr_status answered(void *ctx, size_t i, int sample, const silr_reply *reply,
                            const silr_ask_id *id, const char *why, silr_error *err)
{
    probing *p = ctx;
    silr_buf b = {0};
    const char *reason;
    float logp[64];
    int label;
    (void)i, (void)sample, (void)id;

    if (!reply)
        return silr_fail(err, SILR_EPEER, "%s: %s", silr_chat_url(p->task), why);
    label = silr_answer_label(p->task, &reply->choice[0], &reason);
    silr_buf_json(&b, reply->choice[0].content, strnlen(reply->choice[0].content, 60));
    if (label >= 0)
        silr_buf_printf(&b, ", which is the class %s", p->task->classes[label]);
    else
        silr_buf_printf(&b, ": %s", reason);
    if (label >= 0 && silr_answer_logp(p->task, &reply->choice[0], label, logp))
        silr_buf_printf(&b, ", probability %.3f", exp((double)logp[label]));
    if (reply->usage.prompt_tokens > 0)
        silr_buf_printf(&b, "; %lld tokens in, %lld out", (long long)reply->usage.prompt_tokens,
                        (long long)reply->usage.completion_tokens);
    snprintf(p->out->answer, sizeof p->out->answer, "%s", b.data ? b.data : "");
    silr_buf_clear(&b);
    return SILR_OK;
}

silr_status silr_chat_probe(silr_probe *out, const silr_task *task, silr_error *err)
{
    probing p = {task, out};
    silr_chat_job job = {.ctx = &p, .n = 1, .what = "asking the endpoint", .text = text_of,
                         .answered = answered};
    silr_ledger *ledger = NULL;
    silr_chat *c = NULL;
    silr_buf words = {0};
    silr_status st;

    *out = (silr_probe){.seconds = NAN};
    if ((st = silr_ledger_in_memory(&ledger, err)) == SILR_OK &&
        (st = silr_chat_new(&c, task, ledger, NULL, 0, err)) == SILR_OK)
        st = silr_chat_ask(c, &job, err);
    if (st == SILR_OK) {
        out->seconds = c->round_trip;
        out->requests = c->sent;
        silr_server_tell(&c->server, task, &words);
        snprintf(out->server, sizeof out->server, "%s", words.data ? words.data : "");
    }
    silr_buf_clear(&words);
    silr_chat_free(c);
    silr_ledger_free(ledger);
    return st;
}
