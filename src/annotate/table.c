/* table.c - what each rule did: coverage, overlaps, conflicts, and how right it was.
 *
 * The matches are made anew: they cost less than the reading of the corpus, and the stored votes
 * know 64 rules only. */
#include "annotate/internal.h"
#include <string.h>

typedef struct {
    silr_rule_table *table;
    const silr_ballot *ballot;
    const int *truth; /* [documents]; may be NULL */
} counter;

/* Cuts at a character, so that a name stays UTF-8. */
static void set_name(silr_rule_row *row, const char *name)
{
    size_t n = strnlen(name, sizeof row->name);

    if (n == sizeof row->name) {
        n--;
        while (n > 0 && ((unsigned char)name[n] & 0xc0) == 0x80)
            n--;
    }
    memcpy(row->name, name, n);
    row->name[n] = '\0';
}

static void count_truth(silr_rule_row *row, int label, int truth)
{
    if (truth == SILR_NO_LABEL)
        return;
    row->labelled++;
    row->right += label == truth;
}

static silr_status count_document(void *ctx, size_t doc, const silr_verdict_of_rules *v,
                                  silr_error *err)
{
    const counter *k = ctx;
    silr_rule_table *t = k->table;
    size_t fired = 0;
    int first = SILR_NO_LABEL;
    bool conflict = false;
    (void)err;

    for (size_t r = 0; r < t->n; r++) {
        if (v->hits[r] == 0)
            continue;
        fired++;
        conflict = conflict || (first != SILR_NO_LABEL && first != t->rows[r].label);
        first = t->rows[r].label;
    }
    t->covered += v->label != SILR_NO_LABEL;
    t->conflicted += conflict;
    t->tied += v->tied;
    for (size_t r = 0; r < t->n; r++) {
        silr_rule_row *row = &t->rows[r];
        if (v->hits[r] == 0)
            continue;
        row->fired++;
        row->overlaps += fired > 1;
        row->conflicts += conflict; /* two classes in all: one of them is not this rule's */
        count_truth(row, row->label, k->truth ? k->truth[doc] : SILR_NO_LABEL);
    }
    return SILR_OK;
}

static silr_status rules_table(silr_rule_table *t, const silr_task *task, const silr_corpus *c,
                               const uint32_t *docs, size_t n, const int *truth, silr_error *err)
{
    silr_ballot *b = NULL;
    counter k;
    silr_status st = silr_ballot_new(&b, task, err);

    if (st != SILR_OK)
        return st;
    k = (counter){t, b, truth};
    t->n = silr_ballot_rules(b);
    if (!(t->rows = silr_calloc(t->n, sizeof *t->rows))) {
        st = silr_fail_memory(err);
        goto done;
    }
    for (size_t r = 0; r < t->n; r++) {
        set_name(&t->rows[r], silr_ballot_name(b, r));
        t->rows[r].label = silr_ballot_label(b, r);
    }
    st = silr_ballot_hold(b, "counting rules", c, docs, n, count_document, &k, err);
done:
    silr_ballot_free(b);
    return st;
}

static silr_status column_table(silr_rule_table *t, const silr_task *task, const silr_corpus *c,
                                const uint32_t *docs, size_t n, const int *truth, silr_error *err)
{
    silr_status st = SILR_OK;

    if (!(t->rows = silr_calloc(1, sizeof *t->rows)))
        return silr_fail_memory(err);
    t->n = 1;
    set_name(&t->rows[0], task->annotator.column ? task->annotator.column : task->annotator.log_odds);
    t->rows[0].label = SILR_NO_LABEL;
    for (size_t i = 0; st == SILR_OK && i < n; i++) {
        silr_column_answer a;
        st = silr_column_read(&a, task, c, docs[i], err);
        if (st != SILR_OK || a.label == SILR_NO_LABEL)
            continue;
        t->covered++;
        t->rows[0].fired++;
        count_truth(&t->rows[0], a.label, truth ? truth[docs[i]] : SILR_NO_LABEL);
    }
    return st;
}

silr_status silr_rule_table_make(silr_rule_table *out, const silr_task *task, const silr_corpus *c,
                                 const uint32_t *docs, size_t n, const int *sample_truth,
                                 silr_error *err)
{
    silr_status st;

    *out = (silr_rule_table){.documents = n};
    if (task->annotator.kind == SILR_ANNOTATOR_COLUMN)
        st = column_table(out, task, c, docs, n, sample_truth, err);
    else
        st = rules_table(out, task, c, docs, n, sample_truth, err);
    if (st != SILR_OK) {
        silr_free(out->rows);
        *out = (silr_rule_table){0};
    }
    return st;
}
