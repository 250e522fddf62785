/* checkpoint.c - a training as bytes.
 *
 *     offset  size
 *          0     8   "SILRCKPT"
 *          8     8   u64: what the training is made of (identity)
 *         16     8   u64: bytes of the classifier's state
 *         24         silr_place
 *                    for each member: i32 n, i32 best, n epochs of its log
 *                    the classifier's state
 *    end - 8     8   u64: XXH3 of all bytes before
 *
 * It is read by the program that wrote it, on the machine that wrote it: structures lie as they are.
 * Their sizes are part of the identity. */
#include "classify/checkpoint.h"

#include <string.h>
#include <unistd.h>

static const char MAGIC[8] = {'S', 'I', 'L', 'R', 'C', 'K', 'P', 'T'};
enum { HEAD = 24, TAIL = 8 };
static const size_t MOST_BYTES = (size_t)64 << 30;

/* --- what a training is made of --------------------------------------------------------------- */

static void mix(uint64_t *h, const void *bytes, size_t len)
{
    *h = silr_hash64(bytes, len, *h);
}

static void mix_risk(uint64_t *h, const silr_risk *r)
{
    const uint64_t whole[] = {(uint64_t)r->kind, (uint64_t)r->loss, (uint64_t)r->K, (uint64_t)r->sets};
    const double real[] = {r->lambda, r->all_plus, r->all_minus};

    mix(h, whole, sizeof whole);
    mix(h, real, sizeof real);
    mix(h, r->c, sizeof r->c);
    mix(h, r->plus, sizeof r->plus);
    mix(h, r->minus, sizeof r->minus);
}

static void mix_docs(uint64_t *h, const silr_member *x, const uint32_t *docs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct {
            int set, validation;
            float weight;
        } d = {x->set[docs[i]], x->validation ? x->validation[docs[i]] : 0, x->weight ? x->weight[docs[i]] : 1};
        mix(h, &docs[i], sizeof docs[i]);
        mix(h, &d, sizeof d);
    }
}

static uint64_t identity(const silr_train_opts *o, const silr_classifier *model, const silr_member *members, size_t n,
                         const silr_train_texts *texts)
{
    const double real[] = {o->adam.beta1, o->adam.beta2, o->adam.epsilon, o->adam.weight_decay,
                           o->adam.l2, o->adam.clip, o->learning_rate, o->warmup, o->gate_decay};
    const uint64_t whole[] = {(uint64_t)o->schedule, (uint64_t)o->epochs, o->batch, (uint64_t)o->gate,
                              o->choose, o->by_risk, o->stratify, o->seed, o->iteration, n, texts->n,
                              model->n_params, model->identity, sizeof(silr_place), sizeof(silr_epoch)};
    uint64_t h = 1;

    mix(&h, real, sizeof real);
    mix(&h, whole, sizeof whole);
    for (size_t m = 0; m < n; m++) {
        mix_risk(&h, &members[m].risk);
        mix_docs(&h, &members[m], texts->docs, texts->n);
        mix_docs(&h, &members[m], texts->validation, texts->n_validation);
    }
    return h;
}

/* --- bytes ---------------------------------------------------------------------------------------- */

static void add_log(silr_buf *b, const silr_train_log *log)
{
    const int32_t head[2] = {log ? log->n : 0, log ? log->best : 0};

    silr_buf_add(b, head, sizeof head);
    if (head[0] > 0)
        silr_buf_add(b, log->epoch, (size_t)head[0] * sizeof *log->epoch);
}

typedef struct {
    const char *at;
    size_t left;
} reader;

static bool take(reader *r, void *to, size_t len)
{
    if (r->left < len)
        return false;
    memcpy(to, r->at, len);
    r->at += len;
    r->left -= len;
    return true;
}

static silr_status read_log(reader *r, silr_train_log *log, int epochs, bool *good, silr_error *err)
{
    int32_t head[2];
    const size_t most = (size_t)epochs;
    silr_epoch skipped;

    *good = take(r, head, sizeof head) && head[0] >= 0 && head[0] <= epochs && head[1] >= 0 &&
            head[1] <= head[0];
    if (!*good)
        return SILR_OK;
    if (log && !(log->epoch = silr_calloc(most, sizeof *log->epoch)))
        return silr_fail_memory(err);
    for (int32_t i = 0; *good && i < head[0]; i++)
        *good = take(r, log ? &log->epoch[i] : &skipped, sizeof skipped);
    if (log && *good) {
        log->n = head[0];
        log->best = head[1];
    }
    return SILR_OK;
}

/* Everything behind the header; *found stays false where a number makes no sense. */
static silr_status read_body(reader r, const silr_train_opts *o, silr_classifier *model, size_t n,
                             uint64_t state, silr_train_log *logs, silr_place *place, bool *found,
                             silr_error *err)
{
    bool good = take(&r, place, sizeof *place) && place->member < n && place->epoch >= 1 &&
                place->epoch <= o->epochs;
    silr_status st = SILR_OK;

    for (size_t m = 0; st == SILR_OK && good && m < n; m++)
        st = read_log(&r, logs ? &logs[m] : NULL, o->epochs, &good, err);
    if (st == SILR_OK && good && r.left == state &&
        (st = model->state_set(model, r.at, r.left, err)) == SILR_OK)
        *found = true;
    return st;
}

static silr_status read_all(const silr_checkpoint *c, const silr_buf *b, const silr_train_opts *o,
                            silr_classifier *model, silr_train_log *logs, silr_place *place,
                            bool *found, silr_error *err)
{
    uint64_t head[2], sum;

    if (b->len < HEAD + TAIL || memcmp(b->data, MAGIC, sizeof MAGIC) != 0)
        return SILR_OK;
    memcpy(head, b->data + sizeof MAGIC, sizeof head);
    memcpy(&sum, b->data + b->len - TAIL, sizeof sum);
    if (head[0] != c->identity || sum != silr_hash64(b->data, b->len - TAIL, 0))
        return SILR_OK;
    return read_body((reader){b->data + HEAD, b->len - HEAD - TAIL}, o, model, c->n, head[1], logs,
                     place, found, err);
}

/* --- the door --------------------------------------------------------------------------------------- */

silr_status silr_checkpoint_open(silr_checkpoint *c, const silr_train_opts *o, silr_classifier *model,
                                 const silr_member *members, size_t n, const silr_train_texts *texts,
                                 silr_train_log *logs, silr_place *place, bool *found, silr_error *err)
{
    silr_buf b = {0};
    silr_status st = SILR_OK;

    *found = false;
    *c = (silr_checkpoint){.every = o->every, .last = silr_now(), .logs = logs, .n = n};
    if (!o->checkpoint || !model->state_get || o->steps > 0)
        return SILR_OK;
    c->path = o->checkpoint;
    c->identity = identity(o, model, members, n, texts);
    if (!silr_file_exists(c->path))
        return SILR_OK;
    if ((st = silr_file_read(&b, c->path, MOST_BYTES, err)) == SILR_OK)
        st = read_all(c, &b, o, model, logs, place, found, err);
    if (st == SILR_EINPUT || st == SILR_EIO || (st == SILR_OK && !*found)) {
        silr_log(SILR_LOG_INFO, "%s is damaged or of another training: this one begins anew", c->path);
        st = SILR_OK;
        for (size_t m = 0; logs && m < n; m++) {
            silr_free(logs[m].epoch);
            logs[m] = (silr_train_log){0};
        }
    }
    silr_buf_clear(&b);
    return st;
}

silr_status silr_checkpoint_save(silr_checkpoint *c, silr_classifier *model, const silr_place *place,
                                 bool now, silr_error *err)
{
    silr_buf b = {0}, state = {0};
    uint64_t head[2], sum;
    silr_status st;

    if (!now && silr_now() - c->last < c->every)
        return SILR_OK;
    if ((st = model->state_get(model, &state, err)) == SILR_OK) {
        head[0] = c->identity;
        head[1] = state.len;
        silr_buf_add(&b, MAGIC, sizeof MAGIC);
        silr_buf_add(&b, head, sizeof head);
        silr_buf_add(&b, place, sizeof *place);
        for (size_t m = 0; m < c->n; m++)
            add_log(&b, c->logs ? &c->logs[m] : NULL);
        silr_buf_add(&b, state.data, state.len);
        sum = b.failed ? 0 : silr_hash64(b.data, b.len, 0);
        silr_buf_add(&b, &sum, sizeof sum);
        st = b.failed ? silr_fail_memory(err) : silr_file_write(c->path, b.data, b.len, err);
    }
    c->last = silr_now();
    silr_buf_clear(&b);
    silr_buf_clear(&state);
    return st;
}

void silr_checkpoint_close(silr_checkpoint *c, bool done)
{
    if (done && c->path)
        unlink(c->path);
}
