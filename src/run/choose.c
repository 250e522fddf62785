/* choose.c - which texts a person should label, one after the other.
 *
 * Texts lie in cells (priors/cells.c): those of one of the annotator's labels and, where several
 * annotators spoke, of one label and of one opinion or of several. Inside a cell the order is a
 * seeded shuffle, made before anything is known, so that the labelled texts of a cell are a random
 * draw from it however many there are; weights then make the sample stand for the pool
 * (priors/sample.c).
 *
 *     the start    10 texts a class, or as many as the task asks for: in blocks of two of each
 *                  class, shuffled. Wherever one stops the classes differ by two at most, and who
 *                  counts along does not know what the annotator said of the next text
 *     then         the cell in which one more label is expected to tell most (silr_cells_next)
 *
 * What is next is a function of the seed and of the labels there are (which texts, which answers),
 * not of the order in which they came: it is the same after an undo, a pause, an import. */
#include "run/internal.h"
#include <stdlib.h>
#include <string.h>

enum { START = 10, BLOCK = 2, NO_CELL = 255, FIFTY = 50 };
enum { OFFERED = 1, SKIPPED = 2 }; /* state of a document */

struct silr_chooser {
    const silr_session *s;
    int K;
    size_t start; /* labels that each class begins with */
    size_t n_cells, n_texts;
    silr_cell *cell, *ahead;          /* as it is; and in a look ahead */
    uint8_t opinion[SILR_MAX_CELLS];  /* cell c: 1 where several annotators disagreed */
    size_t first[SILR_MAX_CELLS + 1]; /* cell c: order[first[c]] .. */
    uint32_t *order;
    uint8_t *cell_of, *state; /* by document */
    int8_t *given;            /* by document: the label, -1: none */
};

/* Can be asked for: not labelled, not skipped, and the first of its group. */
static bool is_free(const silr_chooser *c, size_t doc)
{
    return c->state[doc] == OFFERED && c->given[doc] < 0;
}

/* --- setting up -------------------------------------------------------------------------------- */

/* Cells by label and opinion, and the cell of each document of the pool. */
static void make_cells(silr_chooser *c)
{
    const silr_session *s = c->s;
    size_t total = silr_corpus_size(s->corpus);
    double size[SILR_MAX_CLASSES][2] = {{0}};
    uint8_t number[SILR_MAX_CLASSES][2] = {{0}};

    memset(c->cell_of, NO_CELL, total);
    for (size_t i = 0; i < total; i++) {
        int k = silr_session_sets(s)[i];
        if (k < 0 || k >= c->K || silr_corpus_split(s->corpus, i) == SILR_TEST ||
            silr_corpus_empty(s->corpus, i))
            continue;
        c->cell_of[i] = (uint8_t)(2 * k + (s->disagreed && s->disagreed[i]));
        size[k][c->cell_of[i] % 2]++;
    }
    for (int k = 0; k < c->K; k++)
        for (int d = 0; d < 2; d++)
            if (size[k][d] > 0) {
                number[k][d] = (uint8_t)c->n_cells;
                c->opinion[c->n_cells] = (uint8_t)d;
                c->cell[c->n_cells++] = (silr_cell){.set = k, .size = size[k][d]};
            }
    for (size_t i = 0; i < total; i++)
        if (c->cell_of[i] != NO_CELL)
            c->cell_of[i] = number[c->cell_of[i] / 2][c->cell_of[i] % 2];
}

/* Of each group the first text of the pool is offered; each cell's are shuffled. */
static silr_status deal(silr_chooser *c, silr_error *err)
{
    const silr_session *s = c->s;
    size_t total = silr_corpus_size(s->corpus), at[SILR_MAX_CELLS] = {0};
    bool *seen = silr_calloc(silr_corpus_groups(s->corpus) + 1, sizeof *seen);

    if (!seen)
        return silr_fail_memory(err);
    for (size_t i = 0; i < total; i++) {
        uint32_t group = silr_corpus_group(s->corpus, i);
        if (c->cell_of[i] == NO_CELL || seen[group])
            continue;
        seen[group] = true;
        c->state[i] = OFFERED;
        c->cell[c->cell_of[i]].left++;
        c->n_texts++;
    }
    for (size_t k = 0; k < c->n_cells; k++)
        c->first[k + 1] = c->first[k] + c->cell[k].left;
    for (size_t i = 0; i < total; i++)
        if (c->state[i] & OFFERED) {
            uint8_t k = c->cell_of[i];
            c->order[c->first[k] + at[k]++] = (uint32_t)i;
        }
    for (size_t k = 0; k < c->n_cells; k++) {
        silr_rng g;
        silr_rng_init(&g, (uint64_t)s->task->seed, SILR_RNG_SAMPLE, 1,
                      2 * (uint64_t)c->cell[k].set + c->opinion[k]);
        silr_rng_shuffle(&g, c->order + c->first[k], c->cell[k].left);
    }
    silr_free(seen);
    return SILR_OK;
}

silr_status silr_chooser_new(silr_chooser **out, const silr_session *s, silr_error *err)
{
    size_t total = silr_corpus_size(s->corpus) + 1, K = s->task->n_classes;
    size_t asked = s->task->labelled.count > 0 ? (size_t)s->task->labelled.count : FIFTY;
    silr_chooser *c = silr_calloc(1, sizeof *c);
    silr_status st;

    *out = NULL;
    if (!c)
        return silr_fail_memory(err);
    c->s = s;
    c->K = (int)K;
    c->start = asked / K < 1 ? 1 : asked / K < START ? asked / K : START;
    c->cell = silr_calloc(SILR_MAX_CELLS, sizeof *c->cell);
    c->ahead = silr_calloc(SILR_MAX_CELLS, sizeof *c->ahead);
    c->order = silr_alloc(total, sizeof *c->order);
    c->cell_of = silr_alloc(total, 1);
    c->state = silr_calloc(total, 1);
    c->given = silr_alloc(total, 1);
    if (!c->cell || !c->ahead || !c->order || !c->cell_of || !c->state || !c->given) {
        st = silr_fail_memory(err);
        goto done;
    }
    memset(c->given, -1, total);
    make_cells(c);
    if ((st = deal(c, err)) != SILR_OK)
        goto done;
    *out = c;
    c = NULL;
done:
    silr_chooser_free(c);
    return st;
}

void silr_chooser_free(silr_chooser *c)
{
    if (!c)
        return;
    silr_free(c->cell);
    silr_free(c->ahead);
    silr_free(c->order);
    silr_free(c->cell_of);
    silr_free(c->state);
    silr_free(c->given);
    silr_free(c);
}

/* --- labels ------------------------------------------------------------------------------------ */

size_t silr_chooser_texts(const silr_chooser *c)
{
    return c->n_texts;
}

void silr_chooser_label(silr_chooser *c, size_t doc, int label)
{
    silr_cell *cell;
    bool before = is_free(c, doc);

    if (c->cell_of[doc] == NO_CELL)
        return; /* of the test part, or the annotator abstained: tells nothing of a set */
    cell = &c->cell[c->cell_of[doc]];
    if (c->given[doc] >= 0) {
        cell->n--;
        cell->seen[c->given[doc]]--;
    }
    c->given[doc] = (int8_t)(label >= 0 && label < c->K ? label : -1);
    if (c->given[doc] >= 0) {
        cell->n++;
        cell->seen[c->given[doc]]++;
    }
    cell->left += (size_t)is_free(c, doc);
    cell->left -= (size_t)before;
}

static bool any_left(const silr_chooser *c)
{
    for (size_t k = 0; k < c->n_cells; k++)
        if (c->cell[k].left > 0)
            return true;
    return false;
}

static void set_skipped(silr_chooser *c, size_t doc, bool skipped)
{
    bool before = is_free(c, doc);

    c->state[doc] = skipped ? OFFERED | SKIPPED : OFFERED;
    c->cell[c->cell_of[doc]].left += (size_t)is_free(c, doc);
    c->cell[c->cell_of[doc]].left -= (size_t)before;
}

void silr_chooser_skip(silr_chooser *c, size_t doc)
{
    if (!(c->state[doc] & OFFERED))
        return;
    set_skipped(c, doc, true);
    if (any_left(c))
        return;
    for (size_t i = 0; i < c->n_texts; i++) /* those skipped before come round again */
        if (c->order[i] != doc)
            set_skipped(c, c->order[i], false);
    if (!any_left(c))
        set_skipped(c, doc, false);
}

/* --- the next one ------------------------------------------------------------------------------ */

/* The class whose turn it is in the start; -1: the start is over. The sequence of blocks is fixed
 * by the seed: the first place in it that the labels of its class do not fill yet. */
static int class_of_start(const silr_chooser *c, const silr_cell *cell)
{
    double have[SILR_MAX_CLASSES] = {0}, need[SILR_MAX_CLASSES] = {0};
    size_t left[SILR_MAX_CLASSES] = {0}, K = (size_t)c->K;
    uint32_t turn[SILR_MAX_CLASSES * BLOCK];

    for (size_t k = 0; k < c->n_cells; k++) {
        have[cell[k].set] += cell[k].n;
        left[cell[k].set] += cell[k].left;
    }
    for (size_t dealt = 0; dealt < c->start; dealt += BLOCK) {
        size_t n = K * (c->start - dealt < BLOCK ? c->start - dealt : BLOCK);
        silr_rng g;
        for (size_t i = 0; i < n; i++)
            turn[i] = (uint32_t)(i % K);
        silr_rng_init(&g, (uint64_t)c->s->task->seed, SILR_RNG_SAMPLE, 2, dealt);
        silr_rng_shuffle(&g, turn, n);
        for (size_t i = 0; i < n; i++)
            if (++need[turn[i]] > have[turn[i]] && left[turn[i]] > 0)
                return (int)turn[i];
    }
    return -1;
}

static size_t next_cell(const silr_chooser *c, const silr_cell *cell)
{
    return silr_cells_next(c->K, cell, c->n_cells, class_of_start(c, cell));
}

size_t silr_chooser_next(const silr_chooser *c)
{
    size_t k = next_cell(c, c->cell);

    for (size_t i = k < c->n_cells ? c->first[k] : 0; k < c->n_cells && i < c->first[k + 1]; i++)
        if (is_free(c, c->order[i]))
            return c->order[i];
    return SIZE_MAX;
}

size_t silr_chooser_batch(silr_chooser *c, size_t want, uint32_t *docs)
{
    size_t at[SILR_MAX_CELLS], n = 0;

    memcpy(at, c->first, sizeof at);
    memcpy(c->ahead, c->cell, c->n_cells * sizeof *c->cell);
    while (n < want) {
        size_t k = next_cell(c, c->ahead);
        if (k >= c->n_cells)
            break;
        while (!is_free(c, c->order[at[k]]))
            at[k]++;
        docs[n++] = c->order[at[k]++];
        silr_cells_expect(c->K, c->ahead, c->n_cells, k);
    }
    return n;
}

/* --- how it stands ----------------------------------------------------------------------------- */

enum {
    FARTHEST = 200,  /* labels that a look ahead goes at most */
    STRIDE = 10,     /* it looks at every tenth */
    FEW_CLASSES = 4  /* up to which there is time for draws between two keys */
};

/* Labels of the start that are still to come. */
static size_t start_left(const silr_chooser *c)
{
    double have[SILR_MAX_CLASSES] = {0}, most[SILR_MAX_CLASSES] = {0};
    size_t sum = 0;

    for (size_t k = 0; k < c->n_cells; k++) {
        have[c->cell[k].set] += c->cell[k].n;
        most[c->cell[k].set] += c->cell[k].n + (double)c->cell[k].left;
    }
    for (int j = 0; j < c->K; j++) {
        double goal = most[j] < (double)c->start ? most[j] : (double)c->start;
        sum += goal > have[j] ? (size_t)(goal - have[j]) : 0;
    }
    return sum;
}

/* Goes on as the rule would, each answer as it is to be expected. */
static void look_ahead(silr_chooser *c, silr_standing *out)
{
    silr_priors p; /* not out->priors, whose posterior is drawn already */

    out->needed = SIZE_MAX;
    memcpy(c->ahead, c->cell, c->n_cells * sizeof *c->cell);
    for (size_t step = 1; step <= FARTHEST && (step <= SILR_AHEAD || !out->enough); step++) {
        size_t k = next_cell(c, c->ahead);
        if (k >= c->n_cells)
            return;
        silr_cells_expect(c->K, c->ahead, c->n_cells, k);
        if (step % STRIDE != 0)
            continue;
        silr_priors_cells(&p, c->K, c->ahead, c->n_cells);
        if (step <= SILR_AHEAD) {
            out->ahead = step;
            out->then = silr_priors_accuracy(&p);
        }
        if (!out->enough && out->needed == SIZE_MAX && silr_priors_reaches(&out->priors, &p) >= 0.5)
            out->needed = step;
        if (step >= SILR_AHEAD && out->needed != SIZE_MAX)
            return;
    }
}

void silr_chooser_standing(silr_chooser *c, silr_standing *out)
{
    memset(out, 0, sizeof *out);
    for (size_t k = 0; k < c->n_cells; k++) {
        out->labelled += (size_t)c->cell[k].n;
        for (int j = 0; j < c->K; j++)
            out->answers[j] += (size_t)c->cell[k].seen[j];
    }
    out->start_left = start_left(c);
    silr_priors_cells(&out->priors, c->K, c->cell, c->n_cells);
    if (c->K <= FEW_CLASSES)
        silr_priors_posterior(&out->priors, (uint64_t)c->s->task->seed);
    else
        silr_priors_curves(&out->priors);
    out->enough = out->start_left == 0 && out->priors.p_d_margin >= SILR_SURE;
    out->accuracy = out->then = silr_priors_accuracy(&out->priors);
    look_ahead(c, out);
    if (out->enough)
        out->needed = 0;
}
