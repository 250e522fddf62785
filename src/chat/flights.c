/* flights.c - requests under way: found by the hash of what they ask, so that equal items share one. */
#include "chat/asking.h"
#include <string.h>

static silr_flight **bucket_of(silr_asker *a, const silr_ask_id *id)
{
    return &a->bucket[silr_ask_id_short(id) % SILR_BUCKETS];
}

silr_flight *silr_flight_find(silr_asker *a, const silr_ask_id *id)
{
    silr_flight *f = *bucket_of(a, id);
    while (f && memcmp(f->id.bytes, id->bytes, sizeof id->bytes) != 0)
        f = f->next;
    return f;
}

static void unlink_flight(silr_asker *a, silr_flight *f)
{
    silr_flight **p = bucket_of(a, &f->id);
    while (*p && *p != f)
        p = &(*p)->next;
    if (*p)
        *p = f->next;
}

static void link_flight(silr_asker *a, silr_flight *f)
{
    silr_flight **b = bucket_of(a, &f->id);
    f->next = *b;
    *b = f;
}

/* false: no memory, and f is as it was. */
static bool take_body(silr_asker *a, silr_flight *f)
{
    const silr_buf *body = &a->c->body;
    char *copy = silr_strndup(body->data, body->len);

    if (!copy)
        return false;
    silr_free(f->body);
    a->on_the_way += (double)body->len - (double)f->len;
    f->body = copy;
    f->len = body->len;
    f->wording = a->wording;
    f->sampled = a->samples > 1;
    return true;
}

silr_flight *silr_flight_new(silr_asker *a, size_t item, int sample, const silr_ask_id *id)
{
    silr_flight *f = silr_calloc(1, sizeof *f);

    if (!f || !take_body(a, f)) {
        silr_free(f);
        return NULL;
    }
    f->item = item;
    f->sample = sample;
    f->id = *id;
    link_flight(a, f);
    return f;
}

silr_status silr_flight_reword(silr_asker *a, silr_flight *f, const silr_ask_id *id, silr_error *err)
{
    silr_status st = silr_flight_unclaim(a, f, err);

    if (st != SILR_OK)
        return st;
    if (!take_body(a, f))
        return silr_fail_memory(err);
    unlink_flight(a, f);
    f->id = *id;
    f->attempt = 0;
    link_flight(a, f);
    return SILR_OK;
}

void silr_flight_free(silr_asker *a, silr_flight *f)
{
    unlink_flight(a, f);
    while (f->followers) {
        silr_follower *x = f->followers;
        f->followers = x->next;
        silr_free(x);
    }
    a->on_the_way -= (double)f->len;
    silr_free(f->body);
    silr_free(f->why);
    silr_free(f);
}

silr_status silr_flight_send(silr_asker *a, silr_flight *f, silr_error *err)
{
    if (!silr_grow(&a->leaving, &a->cap_leaving, a->n_leaving + 1, sizeof *a->leaving))
        return silr_fail_memory(err);
    a->leaving[a->n_leaving++] = f;
    a->flying++;
    a->in_the_air += (double)f->len;
    a->c->sent++;
    return SILR_OK;
}

silr_status silr_flight_wait(silr_asker *a, silr_flight *f, double due, silr_error *err)
{
    f->due = due;
    if (!silr_grow(&a->waiting, &a->cap_waiting, a->n_waiting + 1, sizeof *a->waiting))
        return silr_fail_memory(err);
    a->waiting[a->n_waiting++] = f;
    return SILR_OK;
}

silr_status silr_flight_follow(silr_flight *f, size_t item, int sample, silr_error *err)
{
    silr_follower *x = silr_alloc(1, sizeof *x);

    if (!x)
        return silr_fail_memory(err);
    *x = (silr_follower){f->followers, item, sample};
    f->followers = x;
    return SILR_OK;
}
