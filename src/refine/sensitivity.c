/* sensitivity.c - how much of the result hangs on what was only estimated.
 *
 * The last step (calibrate, stack, output rule) is done again with theta at the ends of its 80 %
 * interval, with another margin, and, where log-odds are used, with their cut at the ends of its
 * 80 % interval; the report shows how many labels would differ. Training is not repeated. */
#include "refine/finish.h"
#include <math.h>
#include <string.h>

typedef struct {
    const char *what;
    int row;         /* theta of this set is moved; -1: none */
    double quantile; /* to this quantile of its posterior */
    double margin;   /* 0: the task's */
    double cut;      /* b of the log-odds' line is moved by so many standard deviations */
} change;

static const change changes[] = {
    {"theta_p low (10 % quantile)", 0, 0.1, 0, 0},  {"theta_p high (90 % quantile)", 0, 0.9, 0, 0},
    {"theta_n low (10 % quantile)", 1, 0.1, 0, 0},  {"theta_n high (90 % quantile)", 1, 0.9, 0, 0},
    {"log-odds cut lower (10 % quantile)", -1, 0, 0, 1.2816},
    {"log-odds cut higher (90 % quantile)", -1, 0, 0, -1.2816},
    {"margin 0.5 (flip sooner)", -1, 0, 0.5, 0},    {"margin 0.7 (flip later)", -1, 0, 0.7, 0},
};

/* Whether the change says anything of this run. */
static bool applies(const silr_ours *o, const change *c)
{
    if (c->row >= 0)
        return o->loop->K == 2 && !o->loop->known;
    return c->cut == 0 || (o->variant[0].cut && o->variant[0].line.wide > 0);
}

/* T of the moved priors. Two classes: P(+ | set) at a quantile of its Beta posterior; pi follows. */
static void moved(const silr_variant *v, const change *c, silr_priors *p)
{
    *p = v->start;
    if (c->row < 0 || p->K != 2)
        return;
    p->theta[c->row * 2] = silr_beta_quantile(1 + p->hits[c->row],
                                              1 + p->n_eff[c->row] - p->hits[c->row], c->quantile);
    p->theta[c->row * 2 + 1] = 1 - p->theta[c->row * 2];
    for (int k = 0; k < 2; k++)
        p->pi[k] = p->rho[0] * p->theta[k] + p->rho[1] * p->theta[2 + k];
}

/* Fuses a copy of variant 0 under the change; counts labels that come out otherwise. */
static silr_status one_row(silr_ours *o, const change *c, silr_buf *json, bool first,
                           silr_error *err)
{
    silr_loop *l = o->loop;
    silr_variant v = o->variant[0];
    silr_task task = *l->task; /* borrowed strings: only the margin differs */
    const silr_task *was = l->task;
    size_t changed = 0, agree = 0;
    silr_status st = SILR_OK;

    v.stack = NULL;
    v.label = silr_alloc(l->n_rows, sizeof *v.label);
    v.out = silr_alloc(l->n_rows, sizeof *v.out);
    v.q = silr_alloc(l->n_rows * l->C, sizeof *v.q);
    if (!v.label || !v.out || !v.q) {
        st = silr_fail_memory(err);
        goto done;
    }
    if (c->cut != 0) {
        v.line.b += c->cut * v.line.wide;
        v.cut = NULL; /* a copy of its own */
        if ((st = silr_ours_cut(o, &v, err)) != SILR_OK || (st = silr_ours_start(o, &v, err)) != SILR_OK)
            goto done;
    } else {
        moved(&o->variant[0], c, &v.start);
        silr_transition(v.T, l->K, v.start.theta, v.start.rho, v.start.pi);
    }
    if (c->margin > 0)
        task.refine.margin = c->margin;
    l->task = &task;
    st = silr_ours_fuse(o, &v, err);
    l->task = was;
    for (size_t i = 0; i < o->n_covered && st == SILR_OK; i++) {
        uint32_t r = o->covered[i];
        changed += v.out[r] != o->side[r];
        agree += v.out[r] == o->variant[0].out[r];
    }
    silr_buf_printf(json, "%s{\"what\":\"%s\"", first ? "" : ",", c->what);
    if (l->K == 2) {
        silr_buf_puts(json, ",\"theta_p\":");
        silr_buf_number(json, v.start.theta[0], 6);
        silr_buf_puts(json, ",\"theta_n\":");
        silr_buf_number(json, v.start.theta[2], 6);
        silr_buf_puts(json, ",\"pi\":");
        silr_buf_number(json, v.start.pi[0], 6);
    }
    silr_buf_printf(json, ",\"changed\":%zu,\"agreement\":", changed);
    silr_buf_number(json, o->n_covered ? (double)agree / (double)o->n_covered : 1, 6);
    silr_buf_putc(json, '}');
done:
    silr_stack_free(v.stack);
    if (v.cut != o->variant[0].cut)
        silr_free(v.cut);
    silr_free(v.label);
    silr_free(v.out);
    silr_free(v.q);
    return st;
}

silr_status silr_ours_sensitivity(silr_ours *o, silr_error *err)
{
    silr_buf json = {0};
    silr_status st = SILR_OK;
    bool first = true;

    silr_buf_puts(&json, "{\"rows\":[");
    for (size_t i = 0; i < sizeof changes / sizeof *changes && st == SILR_OK; i++) {
        if (!applies(o, &changes[i]))
            continue;
        st = one_row(o, &changes[i], &json, first, err);
        first = false;
    }
    silr_buf_puts(&json, "]}");
    if (st == SILR_OK && json.failed)
        st = silr_fail_memory(err);
    if (st == SILR_OK)
        st = silr_store_set(o->loop->store, "sensitivity", json.data, json.len, err);
    silr_buf_clear(&json);
    return st;
}
