/* doubt.c - a text that cannot be answered, or an endpoint that answers nobody?
 *
 * A request that fails for good tells nothing by itself: its text may be one that this model chokes on,
 * or the network may be down. What tells is whether others are answered. So nothing is given up before
 * a sign of life:
 *
 *   worn      requests that failed as often as is allowed. After the next sign of life each has one
 *             more attempt; it has failed when that fails, too, with others answered in between.
 *   refused   requests that the server says it will not answer (400 and the like). They have failed
 *             when somebody is answered after them.
 *
 * Where no sign comes by itself, as nothing else is under way, a small question is asked that any
 * endpoint can answer: the control. Without an answer to it the call ends, and nothing is marked. */
#include "chat/asking.h"
#include <string.h>

enum {
    FIRST_REFUSED = 10, /* of texts in a row, while nobody has ever been answered */
    MOST_REFUSED = 100, /* later: among texts of one kind many may be refused */
    CONTROLS = 3        /* attempts */
};

static void push(silr_flight **list, silr_flight *f, size_t *n)
{
    f->beside = *list;
    *list = f;
    ++*n;
}

void silr_doubt_worn(silr_asker *a, silr_flight *f, const char *why)
{
    snprintf(a->doubt, sizeof a->doubt, "%s", why);
    push(&a->worn, f, &a->n_worn);
}

silr_status silr_doubt_refused(silr_asker *a, silr_flight *f, const char *why, silr_error *err)
{
    snprintf(a->doubt, sizeof a->doubt, "%s", why);
    silr_free(f->why);
    if (!(f->why = silr_strdup(why)))
        return silr_fail_memory(err);
    push(&a->refused, f, &a->n_refused);
    return SILR_OK;
}

silr_status silr_doubt_over(silr_asker *a, silr_error *err)
{
    silr_status st = SILR_OK;
    silr_flight *f;

    a->signs++;
    while (st == SILR_OK && (f = a->worn)) {
        a->worn = f->beside;
        a->n_worn--;
        st = silr_flight_wait(a, f, silr_now(), err);
    }
    while (st == SILR_OK && (f = a->refused)) {
        a->refused = f->beside;
        a->n_refused--;
        st = silr_asker_give_up(a, f, f->why, err);
    }
    return st;
}

static bool too_many(const silr_asker *a)
{
    return a->n_refused >= (a->signs == 0 ? FIRST_REFUSED : MOST_REFUSED);
}

bool silr_doubt_pauses(const silr_asker *a)
{
    return a->worn || a->control || too_many(a);
}

/* As plain as can be: no parameter that a server could refuse. */
static bool word_control(silr_chat *c)
{
    const silr_chat_settings *s = &c->task->annotator.chat;
    silr_buf *b = &c->body;

    silr_buf_reset(b);
    silr_buf_puts(b, "{\"model\":");
    silr_buf_json(b, s->model, strlen(s->model));
    silr_buf_puts(b, ",\"messages\":[{\"role\":\"user\",\"content\":\"Answer with the word yes.\"}]");
    if (c->known && c->server.tokens != SILR_TOKENS_NONE)
        silr_buf_printf(b, ",\"%s\":%lld",
                        c->server.tokens == SILR_TOKENS_OLD ? "max_tokens" : "max_completion_tokens",
                        (long long)(c->server.reasons ? s->reasoning_tokens : 0) + 16);
    silr_buf_putc(b, '}');
    return !b->failed;
}

silr_status silr_doubt_settle(silr_asker *a, silr_error *err)
{
    bool at_end = a->n_refused > 0 && a->next >= a->job->n && a->n_waiting == 0;
    silr_ask_id none = {{0}};

    if (a->control || a->flying > 0 || a->stopping || (!a->worn && !too_many(a) && !at_end))
        return SILR_OK;
    if (!word_control(a->c))
        return silr_fail_memory(err);
    if (silr_asker_limited(a, a->c->body.len, false))
        return SILR_OK;
    if (!(a->control = silr_flight_new(a, SIZE_MAX, 0, &none)))
        return silr_fail_memory(err);
    return silr_flight_send(a, a->control, err);
}

silr_status silr_doubt_controlled(silr_asker *a, bool answered, bool passing, const char *why,
                                  silr_error *err)
{
    silr_flight *f = a->control;

    if (!answered && passing && f->attempt < CONTROLS) {
        double wait = silr_backoff(f->attempt, silr_rng_double(&a->jitter), -1);
        return silr_flight_wait(a, f, silr_now() + wait, err);
    }
    a->control = NULL;
    silr_flight_free(a, f);
    if (answered)
        return silr_doubt_over(a, err);
    if (a->worn)
        silr_asker_stop_peer(a, "%s answers nobody: %.300s; what was answered is kept, the same command "
                             "goes on", silr_chat_url(a->c->task), why);
    else
        silr_asker_stop_peer(a, "%s: %zu requests were refused and then none was answered: %.300s",
                             silr_chat_url(a->c->task), a->n_refused, a->doubt);
    return SILR_OK;
}
